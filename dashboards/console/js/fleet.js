import { get, name } from "./api.js";
import { h, svg, pill, number, time, link, empty, table, ago } from "./dom.js";

export const percent = (value) => (value === null || value === undefined ? "–" : number(value));

export function spark(hours, what) {
  const top = Math.max(...hours, 1);
  return svg("svg", { class: "spark", viewBox: `0 0 ${hours.length * 5} 26`, preserveAspectRatio: "none", role: "img", "aria-label": what },
    hours.map((n, place) => svg("rect", { x: place * 5, width: 4, y: 26 - (n / top) * 24, height: (n / top) * 24 })));
}

export async function fleet(query) {
  const all = await get("/fleet");
  if (!all.length) {
    return h("div", {}, h("h1", {}, "Fleet"), h("div", { class: "card" }, empty("No application yet.",
      h("p", {}, "Deploy a model and it appears here, with its watches, by itself:"),
      h("pre", { class: "mono" }, "leadsman deploy fraud model.joblib --model fraud --version 1"))));
  }
  const wanted = query.get("q") ?? "";
  const count = (state) => all.filter((one) => one.state === state).length;
  const firing = count("firing"), open = count("pending") + count("acknowledged"), proposed = all.reduce((sum, one) => sum + one.proposed, 0);
  const plural = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  const verdict = firing ? ["bad", `${plural(firing, "application")} of ${all.length} in alarm${proposed ? `, ${plural(proposed, "remedy").replace("remedys", "remedies")} waiting for you` : ""}`]
    : open ? ["warn", `${plural(open, "application")} with an open alert in hand`] : ["", `Nothing is wrong: ${plural(all.length, "application")}, no open alert`];
  const tile = (label, value, bad) => h("div", { class: bad ? "tile bad" : "tile" }, h("b", {}, value), label);
  const body = h("div", {});
  const show = (text) => {
    const shown = all.filter((one) => `${one.application} ${one.version ?? ""} ${one.state}`.includes(text.toLowerCase()));
    body.replaceChildren(shown.length ? table("Applications, worst first", ["State", "Application", "Version", "Requests, 24 h", "Loss, 95 % interval", "Open alerts", "Last change"],
      shown.map((one) => [pill(one.state), link(`#/applications/${name(one.application)}`, one.application, { class: "name" }),
        h("span", { class: "mono" }, one.version ?? one.policy?.kind ?? "no route"),
        h("span", { class: "row" }, spark(one.hours, `${one.requests} requests in 24 hours`), one.requests.toLocaleString("en")),
        h("span", {}, percent(one.loss.mean), one.loss.low !== null && h("span", { class: "soft small" }, ` ${percent(one.loss.low)} – ${percent(one.loss.high)}`), one.reference !== null && h("span", { class: "soft small" }, ` (ref. ${percent(one.reference)})`)),
        h("span", { class: "row" }, Object.entries(one.alerts).map(([tier, n]) => h("span", { class: `pill ${tier}` }, `${n} ${tier}`)), one.proposed ? h("span", { class: "pill proposed" }, `${one.proposed} proposed`) : null, !Object.keys(one.alerts).length && "none"),
        one.last_change ? h("span", {}, `rev. ${one.last_change.revision} `, h("span", { class: "soft small" }, one.last_change.kind, ", ", time(one.last_change.at))) : "never",
      ])) : empty(`No application matches “${text}”.`));
  };
  show(wanted);
  const filter = h("input", { id: "filter", type: "search", value: wanted, placeholder: "name, version or state", oninput: () => { show(filter.value); history.replaceState(null, "", filter.value ? `#/?q=${name(filter.value)}` : "#/"); } });
  const newest = all.map((one) => one.seen_at).filter(Boolean).sort().at(-1);
  return h("div", {}, h("h1", {}, "Fleet"), h("p", { class: `verdict ${verdict[0]}` }, verdict[1]),
    h("div", { class: "tiles" }, tile("in alarm", firing, firing > 0), tile("in hand", open), tile("learning", count("learning")), tile("well", count("ok")), tile("idle", count("idle")),
      tile("requests, 24 h", all.reduce((sum, one) => sum + one.requests, 0).toLocaleString("en")), tile("last traffic", newest ? ago(newest) : "–")),
    h("div", { class: "card" }, h("div", { class: "row between" }, h("h2", {}, "Applications, worst first"), h("div", {}, h("label", { for: "filter", class: "hidden" }, "Filter"), filter)), body));
}
