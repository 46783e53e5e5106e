import { get, name } from "./api.js";
import { h, svg, pill, time, link, empty, table } from "./dom.js";
import { ago, count, interval, number, plural, words } from "./format.js";

// What wakes people is an alarm; what only informs is a notice, and never red.
const urgent = (one) => one.state === "firing" && one.tier !== "info";
export const standing = (one) => (one.state === "firing" ? (urgent(one) ? "alarm" : "notice") : one.state);
const GROUPS = [["alarm", "in alarm"], ["pending", "pending"], ["acknowledged", "in hand"], ["notice", "with notices"], ["learning", "learning"], ["ok", "well"], ["idle", "idle"]];

function spark(hours, what) {
  const top = Math.max(...hours, 1);
  return svg("svg", { class: "spark", viewBox: `0 0 ${hours.length * 5} 26`, preserveAspectRatio: "none", role: "img", "aria-label": what },
    svg("path", { class: "foot", d: `M0 25.5H${hours.length * 5}` }),
    // One path: with 200 applications a bar each would be half of the page's elements.
    svg("path", { d: hours.map((n, place) => (n ? `M${place * 5} 25v${-Math.max((n / top) * 24, 1)}h4V25z` : "")).join("") }));
}

function verdict(all, numbers) {
  const waits = all.reduce((sum, one) => sum + one.proposed, 0);
  const proposals = waits ? ` ${plural(waits, "remedy waits", "remedies wait")} for your approval.` : "";
  const n = numbers.alarm, open = numbers.pending + numbers.acknowledged;
  // Many at once have rarely as many causes: labels, a feed, a machine.
  const common = n > 3 && n > all.length / 2 ? " So many at once: look for one cause of all first." : "";
  if (n) return ["bad", `${n} of ${plural(all.length, "application")} ${n === 1 ? "is" : "are"} in alarm.${common}${proposals}`];
  if (open) return ["warn", `${plural(open, "application has an alert", "applications have alerts")} that somebody looks after; nothing else is wrong.${proposals}`];
  if (waits) return ["warn", proposals.trim()];
  return ["", `Nothing is wrong: ${plural(all.length, "application")}, no open alarm${numbers.notice ? `, ${numbers.notice} with notices` : ""}.`];
}

const alerts = (one) => ["rollback", "page", "info"].filter((tier) => one.alerts[tier]).map((tier) => h("span", { class: `pill ${tier}` }, `${one.alerts[tier]} ${tier}`));

// Red where the whole interval lies above the reference.
const beyond = (one) => one.reference !== null && one.loss.low !== null && one.loss.low > one.reference && urgent(one);

function row(one) {
  const change = one.last_change;
  const title = one.worst?.title.replace(`${one.application}: `, "");
  return [pill(standing(one)),
    link(`#/applications/${name(one.application)}`, one.application, { class: "name" }),
    h("span", { class: "mono version" }, one.version ?? (one.policy ? words(one.policy.kind) : "no route")),
    h("span", { class: "row tight nowrap" }, spark(one.hours, `${one.requests} requests in 24 hours`), h("span", { class: "figure" }, count(one.requests))),
    one.loss.mean === null ? h("span", { class: "soft" }, "no label yet") : h("span", {}, h("b", { class: beyond(one) ? "worse" : null }, number(one.loss.mean)), h("span", { class: "under" }, interval(one.loss), one.reference === null ? "" : ` · ref. ${number(one.reference)}`)),
    one.worst ? h("span", {}, link(`#/incidents/${one.worst.id}`, title, { class: "clip", title }), h("span", { class: "row tight" }, alerts(one), one.proposed ? h("span", { class: "pill proposed" }, `${one.proposed} to approve`) : null)) : h("span", { class: "soft" }, "none"),
    change ? h("span", { title: `by ${change.actor}${change.reason ? `: ${change.reason}` : ""}` }, time(change.at), h("span", { class: "under" }, `r${change.revision}, ${words(change.kind)}`)) : h("span", { class: "soft" }, "never")];
}
let opened = false, fills = 0;
const SEEN = 40;
const HEADS = ["State", "Application", "Version", "Requests, 24 h", "Loss, 95 % interval", "Open alerts", "Last change"];

// What to do where nothing is there yet.
const FIRST = [
  ["Deploy a model.", "Rows of its training make the reference that it is watched against.", "leadsman deploy fraud model.joblib --model fraud --version 1 --reference rows.csv"],
  ["Ask it.", "Each answer has an id and is recorded before it leaves.", "leadsman predict fraud '{\"amount\": 12.5, \"country\": \"NZ\"}'"],
  ["Tell it what was true.", "Labels may come late, repeated or in any order.", "leadsman feedback PREDICTION_ID 1"],
];

export async function fleet(query) {
  const all = await get("/fleet");
  if (!all.length) {
    return h("div", {}, h("h1", {}, "Fleet"), h("section", { class: "card first", "aria-labelledby": "h-first" }, h("h2", { id: "h-first" }, "No application yet."),
      h("p", { class: "soft" }, "It appears here by itself, with its watches, as soon as a model is deployed."),
      h("ol", { class: "steps" }, FIRST.map(([what, why, command]) => h("li", {}, h("b", {}, what), h("span", { class: "soft" }, ` ${why}`), h("pre", { class: "mono command" }, command)))),
      h("p", { class: "soft small" }, h("code", {}, "leadsman demo"), " shows all of it with real data in three minutes: a bad release, the alarm, and traffic back on the version before.")));
  }
  const numbers = Object.fromEntries(GROUPS.map(([group]) => [group, all.filter((one) => standing(one) === group).length]));
  const wanted = { q: query.get("q") ?? "", state: query.get("state") };
  const [look, said] = verdict(all, numbers);
  const href = (state) => { const asked = new URLSearchParams({ ...(wanted.q ? { q: wanted.q } : {}), ...(state ? { state } : {}) }).toString(); return `#/${asked ? `?${asked}` : ""}`; };
  const tile = ([group, label]) => (numbers[group] || ["alarm", "ok"].includes(group) ? link(href(wanted.state === group ? null : group), [h("b", {}, count(numbers[group])), label], { class: `tile ${numbers[group] ? group : ""}`, "aria-current": wanted.state === group ? "true" : null }) : null);
  const newest = all.map((one) => one.seen_at).filter(Boolean).sort().at(-1);
  const total = all.reduce((sum, one) => sum + one.requests, 0);
  const body = h("div", {}), shown = h("p", { class: "soft small", role: "status" });
  const fill = () => {
    const mine = ++fills;
    const text = wanted.q.toLowerCase();
    const found = all.filter((one) => (!wanted.state || standing(one) === wanted.state) && `${one.application} ${one.version ?? ""} ${standing(one)} ${one.worst?.title ?? ""}`.toLowerCase().includes(text));
    shown.textContent = found.length === all.length ? "" : `${found.length} of ${all.length} are shown.`;
    const draw = (some) => body.replaceChildren(found.length ? table("Applications, worst first", HEADS, some.map(row)) : empty("No application is like that.", h("p", {}, link("#/", "Show all"))));
    draw(opened ? found : found.slice(0, SEEN));
    // What is in sight is painted first, once: a page that is drawn anew keeps its length.
    if (!opened && found.length > SEEN) requestAnimationFrame(() => setTimeout(() => { if (mine === fills) draw(found); }));
    opened = true;
  };
  const filter = h("input", { id: "filter", type: "search", value: wanted.q, placeholder: "Name, version, alert", oninput: () => { wanted.q = filter.value; fill(); history.replaceState(null, "", href(wanted.state)); } });
  fill();
  return h("div", {}, h("h1", {}, "Fleet"), h("p", { class: `verdict ${look}`, id: "verdict" }, said),
    h("div", { class: "tiles", role: "group", "aria-label": "Applications by state" }, GROUPS.map(tile), h("span", { class: "aside soft" }, `${count(total)} requests in 24 h${newest && Date.now() - new Date(newest) > 7.2e6 ? `, the last ${ago(newest)}` : ""}`)),
    h("section", { class: "card", "aria-labelledby": "h-fleet" }, h("div", { class: "row between" }, h("h2", { id: "h-fleet" }, "Applications, worst first"), h("div", { class: "search" }, h("label", { for: "filter", class: "hidden" }, "Filter applications"), filter)), shown, body));
}
