// The watches of each application, with the false alarms that each may cost: who shares which budget.
import { send, button } from "./actions.js";
import { get, name, session } from "./api.js";
import { h, pill, link, empty, table, section, say } from "./dom.js";
import { count, day, number, plural, words } from "./format.js";

const TIERS = ["rollback", "page", "info"];
const sum = (mine) => mine.reduce((total, w) => total + (w.enabled ? w.budget_per_year ?? 0 : 0), 0);

export function ledger(watches, query) {
  const by = new Map();
  for (const watch of watches) by.set(watch.application, [...(by.get(watch.application) ?? []), watch]);
  const apps = [...by.keys()].sort(), about = h("p", { class: "soft small" }, "The expected number of false alarms a year, at most. The enabled watches of a tier share its budget; more watches, or fewer, change the shares, never the sum.");
  if (!apps.length) return section("h-ledger", "Watches and their budgets", empty("No watch yet: they come by themselves with the first application."));
  const body = h("div", {}), filter = h("input", { id: "ledger-filter", type: "search", placeholder: "Application", value: query.get("application") ?? "" });
  const fill = () => {
    const found = apps.filter((app) => app.toLowerCase().includes(filter.value.toLowerCase()));
    body.replaceChildren(...(found.length ? found.map((app) => account(app, by.get(app), found.length === 1)) : [empty("No application is called like that.")]));
  };
  filter.addEventListener("input", () => { fill(); history.replaceState(null, "", filter.value ? `#/settings?application=${name(filter.value)}` : "#/settings"); });
  fill();
  return section("h-ledger", "Watches and their budgets", about, apps.length > 1 ? h("div", { class: "search" }, h("label", { for: "ledger-filter", class: "hidden" }, "Filter by application"), filter) : null, body);
}

// One application's account; its lines are made when it is opened.
function account(app, mine, open) {
  const totals = TIERS.map((tier) => `${tier} ${number(sum(mine.filter((w) => w.tier === tier)))}`).join(", ");
  const holder = h("div", {});
  const fill = async (event) => {
    if (!event.currentTarget.open || holder.firstChild) return;
    holder.append(h("p", { class: "soft small" }, "Loading…"));
    holder.replaceChildren(lines(app, mine, await get(`/applications/${name(app)}/budget`).catch(() => null)));
  };
  return h("details", { class: "account", id: `ledger-${app}`, open, ontoggle: fill }, h("summary", {}, h("b", {}, app), h("span", { class: "soft" }, ` ${plural(mine.length, "watch", "watches")}; a year: ${totals}`)), holder);
}

function lines(app, mine, told) {
  const spent = (tier) => told?.tiers.find((one) => one.name === tier);
  const of = (w) => spent(w.tier)?.watches.find((one) => one.name === w.name);
  const since = told?.tiers.map((one) => one.since).filter(Boolean).sort()[0];
  const rows = TIERS.flatMap((tier) => {
    const some = mine.filter((w) => w.tier === tier).sort((a, b) => (b.budget_per_year ?? -1) - (a.budget_per_year ?? -1));
    const total = sum(some);
    return some.length ? [...some.map((w) => line(w, total, of(w))), [h("b", { class: "total" }, tier), "", "", "", h("b", {}, number(total)), h("b", {}, number(spent(tier)?.expected_false_alarms)), h("b", {}, spent(tier) ? count(spent(tier).alarms) : "–"), ""]] : [];
  });
  const about = told === null ? "What was spent could not be read." : since ? `Since ${day(since)}: at most so many false alarms were to be expected, had nothing ever changed, and so many alarms came, true ones among them.` : "Nothing was tested yet.";
  return h("div", {}, h("p", { class: "soft small" }, about), table(`Watches of ${app} by tier, with the sum of each tier`, ["Tier", "Watch", "Detector", "Remedy", "#False a year", "#Expected so far", "#Alarms so far", "State"], rows), h("p", { class: "small" }, link(`#/applications/${name(app)}`, `Evidence of these watches in ${app}`)));
}

function line(w, total, told) {
  const share = h("i");
  share.style.width = `${total ? (100 * (w.budget_per_year ?? 0)) / total : 0}%`;
  const acts = w.rule.map((step) => words(step.kind)).join(", then ");
  const flip = async () => { try { await send("PATCH", `/watches/${w.id}`, { enabled: !w.enabled }); say(`${w.name} is ${w.enabled ? "off" : "on"}.`, { shown: true }); } catch (problem) { say(problem.message, { shown: true }); } };
  return [pill(w.tier), h("span", {}, h("b", {}, words(w.name)), h("code", { class: "under" }, w.signal)), w.detector, h("span", {}, acts, acts === "notify" ? "" : h("span", { class: "soft" }, ` · ${w.mode}`)),
    w.budget_per_year === null ? h("span", { class: "soft", title: "Its error rate is not drawn from the budget." }, "of its own") : h("span", { class: "row tight nowrap right" }, h("span", { class: "share", "aria-hidden": "true" }, share), number(w.budget_per_year)),
    number(told?.expected_false_alarms), told ? count(told.alarms) : "–",
    session.admin ? h("span", { class: "row tight nowrap" }, h("span", { class: w.enabled ? "" : "soft" }, w.enabled ? "on" : "off"), button(w.enabled ? "Disable" : "Enable", flip, "quiet small", { "aria-label": `${w.enabled ? "Disable" : "Enable"} ${w.name} of ${w.application}` })) : w.enabled ? "on" : "off"];
}
