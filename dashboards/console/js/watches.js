// What the watches know: each one's evidence against the line at which it alarms.
import { get, name } from "./api.js";
import { h, pill, empty, table, section } from "./dom.js";
import { count, interval, number, plural, words } from "./format.js";
import { dash, dot, plot } from "./plot.js";

const TIERS = ["rollback", "page", "info"];
// A detector of this kind tells no evidence relative to a threshold.
const relative = (w) => !("delta" in w.parameters) && w.signal !== "service.traffic";

// On a logarithmic scale from a millionth up to the line.
function meter(statistic) {
  const share = Math.min(Math.max((Math.log10(Math.max(statistic, 1e-6)) + 6) / 6, 0), 1);
  const bar = h("i");
  bar.style.width = `${share * 100}%`;
  const look = statistic >= 1 ? "meter over" : statistic >= 0.1 ? "meter near" : "meter";
  return h("span", { class: "row tight nowrap" }, h("span", { class: look, role: "img", "aria-label": `evidence ${number(statistic, 2)}; it alarms at 1` }, bar), h("span", { class: "small soft figure" }, number(statistic, 2)));
}

export function watchTable(health, colour) {
  const mine = health.watches.filter((w) => w.in_service && !w.subject.includes("|"));
  if (!mine.length) return section("h-watches", "Watches", empty("No watch has seen anything yet."));
  mine.sort((a, b) => TIERS.indexOf(a.tier) - TIERS.indexOf(b.tier) || Number(relative(b)) - Number(relative(a)) || b.statistic - a.statistic);
  const state = (w) => h("span", {}, pill(w.status), w.status !== "armed" && w.status_reason ? h("span", { class: "under" }, w.status_reason) : null);
  const row = (w) => [pill(w.tier), h("span", {}, h("b", {}, words(w.watch)), members(w)), h("span", { class: "mono" }, dot(colour(w.versions)), w.versions),
    w.status === "armed" ? (relative(w) ? meter(w.statistic) : h("span", { class: "soft small" }, "no threshold of this kind")) : h("span", { class: "soft" }, "–"), state(w), count(w.observations), count(w.alarms), number(w.budget_per_year)];
  const heads = ["Tier", "Watch", "About", "Evidence", "Status", "#Observations", "#Alarms", "#Budget a year"];
  const grave = mine.filter((w) => w.tier !== "info"), light = mine.filter((w) => w.tier === "info");
  const armed = (some) => `${some.filter((w) => w.status === "armed").length} of ${some.length}`;
  return section("h-watches", "Watches", h("p", { class: "soft small" }, `Evidence runs up to 1, where the watch alarms; the bar is logarithmic. ${armed(grave)} that page or roll back are armed. The budget is the expected number of false alarms a year, at most.`),
    grave.length ? table("Watches with their evidence", heads, grave.map(row)) : null,
    light.length ? h("details", { id: "light-watches", open: !grave.length }, h("summary", {}, `${plural(light.length, "watch", "watches")} that only inform, ${armed(light)} armed`), table("Watches that only inform, with their evidence", heads, light.map(row))) : null);
}

function members(watch) {
  const all = Object.entries(watch.signals).sort(([, a], [, b]) => b.statistic - a.statistic);
  if (!all.length) return h("code", { class: "under" }, watch.signal);
  return h("details", { id: `members-${watch.watch}-${watch.subject}` }, h("summary", {}, `${all.length} signals, the nearest is `, h("code", {}, all[0][0])),
    h("ul", { class: "members" }, all.map(([signal, told]) => h("li", {}, h("code", {}, signal), told.status === "armed" ? meter(told.statistic) : h("span", { class: "soft small" }, told.status_reason ?? words(told.status))))));
}

// A stretch of a feature, [0.25,0.5), as people say it; a value as it is.
function part(segment) {
  const [, name, low, high] = segment.match(/^(.*?)=\[(.+),(.+)\)$/) ?? [];
  if (!name) return segment.replace("=", " = ");
  return `${name} ${low === "-inf" ? `below ${high}` : high === "inf" ? `from ${low} on` : `from ${low} to ${high}`}`;
}

export function segments(health, colour) {
  const mine = health.watches.filter((w) => w.in_service && w.subject.includes("|")).sort((a, b) => (b.mean.mean ?? 0) - (a.mean.mean ?? 0));
  if (!mine.length) return null;
  return section("h-segments", "Segments", h("p", { class: "soft small" }, "Parts of the traffic that are watched apart, the worst first."),
    table("Segments, the worst first", ["Segment", "Signal", "Mean, 95 % interval", "Evidence", "Status", "#Observations"], mine.map((w) => [
      h("span", {}, h("b", {}, part(w.subject.slice(w.subject.indexOf("|") + 1))), h("span", { class: "under mono" }, dot(colour(w.versions)), w.versions.split(" where ")[0])), h("code", {}, w.signal), h("span", {}, h("b", {}, number(w.mean.mean)), h("span", { class: "under" }, interval(w.mean))), w.status === "armed" ? meter(w.statistic) : h("span", { class: "soft small" }, w.status_reason ?? "–"), h("span", {}, pill(w.status), w.note ? h("span", { class: "under" }, w.note) : null), count(w.observations)])));
}

export const evidence = {
  // Of the signal that the link asks for; without one of the loss.
  read: (path, query) => get(`${path}/evidence${query.get("evidence") ? `?signal=${name(query.get("evidence"))}` : ""}`).catch(() => []),
  show(health, told, query, marks, box, colour, here) {
    const known = [...new Set(health.watches.filter((w) => relative(w)).flatMap((w) => (Object.keys(w.signals).length ? Object.keys(w.signals) : [w.signal])))].sort();
    if (!known.length) return null;
    const wanted = query.get("evidence");
    // What is out of service is of interest where it alarmed: it is why. Segments have a table of their own.
    const serving = new Set(health.watches.filter((w) => w.in_service || (w.alarms && w.tier !== "info")).map((w) => w.subject));
    const weak = new Set(health.watches.filter((w) => !relative(w)).map((w) => w.watch));
    const traces = told.filter((one) => serving.has(one.subject) && !weak.has(one.watch) && !one.subject.includes("|"));
    const watches = [...new Set(traces.map((t) => t.watch))];
    const lines = traces.map((t) => ({ label: `${words(t.watch)}: ${t.versions}`, colour: colour(t.versions), dash: dash(watches.indexOf(t.watch)), at: t.at, value: t.statistic.map((s) => Math.max(s, 1e-6)) }));
    const pick = h("select", { id: "evidence", onchange: () => { location.hash = here({ evidence: pick.value || null }); } }, h("option", { value: "" }, "the loss"), known.map((signal) => h("option", { value: signal, selected: signal === wanted }, signal)));
    const seen = lines.some((line) => line.at.some((at) => at >= box.start && at <= box.end));
    return section("h-evidence", "Evidence of the watches", h("div", { class: "row between" }, h("p", { class: "soft small" }, "Each test's statistic relative to the line at which it alarms; logarithmic. After an alarm a test begins anew."), h("div", { class: "pick" }, h("label", { for: "evidence" }, "Of"), pick)),
      seen ? plot("evidence against all is well", lines, { unit: "evidence", marks: marks.filter((m) => m.kind !== "remedy" && m.tier !== "info"), logarithmic: true, height: 220, threshold: 1, ...box }) : empty("No watch of this gathered evidence in this time."));
  },
};
