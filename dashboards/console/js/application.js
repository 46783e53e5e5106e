import { get, name } from "./api.js";
import { button, rollBack, turn } from "./actions.js";
import { h, pill, time, link, empty, table, section, crumbs } from "./dom.js";
import { duration, iso, moment, plural, route, seconds, versionsOf, words } from "./format.js";
import { dot, palette, plot } from "./plot.js";
import { evidence, segments, watchTable } from "./watches.js";
import { distributions } from "./distributions.js";
import { standing } from "./fleet.js";

const RANGES = { "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000, all: Infinity };
const WANTED = ["loss", "service.default", "service.latency", "service.error", "label.delay", "label.coverage"];
const SIGNALS = WANTED.map((signal) => `signal=${signal}`).join("&");
const GRAVEST = ["rollback", "page", "info"];

// Everything is asked for at once: what depends on an answer is worked out by the monitor.
export async function application(app, query) {
  const path = `/applications/${name(app)}`, settled = (asked) => get(asked).catch(() => null);
  const [health, plots, marks, remedies, compared, traced] = await Promise.all([get(`${path}/health`), get(`${path}/plots?${SIGNALS}&${timeOf(query)}`), get(`${path}/marks`), get(`/remedies?application=${name(app)}`), settled(`${path}/distributions`), evidence.read(path, query)]);
  const told = Object.fromEntries(plots.map((one) => [one.signal, one])), whole = told.loss;
  const versions = [...health.watches.flatMap((w) => w.versions.split(/ where /)[0].split(" against ")), ...marks.map((m) => m.version), ...versionsOf(health.policy), ...whole.lines.map((l) => l.versions)].filter((v) => v?.includes(":"));
  const colour = palette(versions);
  const top = [heading(app, health, marks, colour), openAlerts(health, remedies)];
  if (!whole.start) return h("div", {}, top, h("div", { class: "card" }, empty("Nothing was answered yet.", h("p", {}, "As soon as predictions come, they are drawn here."))));
  const start = seconds(whole.start), range = rangeOf(query, whole);
  // What was done a moment ago is seen before the first answer after it is.
  const end = Math.max(seconds(whole.end), ...(range ? marks.map((m) => seconds(m.at)) : []));
  const here = (changes) => { const asked = new URLSearchParams(query); for (const [key, value] of Object.entries(changes)) { if (value === null) asked.delete(key); else asked.set(key, value); } return `#${path}?${asked}`; };
  const shown = marks.map((m) => ({ ...m, at: seconds(m.at) })).filter((m) => m.at >= start && m.at <= end);
  const box = { start, end, zoom: (from, to) => { location.hash = here({ range: null, from: iso(from), to: iso(to) }); } };
  return h("div", {}, top,
    lossSection(told.loss, shown, box, colour, range, here),
    evidence.show(health, traced, query, shown, box, colour, here),
    watchTable(health, colour), segments(health, colour), distributions(compared), labelsAndService(told, box, colour));
}

// The stretch of time stands in the link: a range that ends with the newest data, or from and to.
const between = (query) => { const from = Date.parse(query.get("from")), to = Date.parse(query.get("to")); return from < to ? [from / 1000, to / 1000] : null; };
function timeOf(query) {
  const stretch = between(query);
  if (stretch) return `from=${name(iso(stretch[0]))}&to=${name(iso(stretch[1]))}`;
  const last = RANGES[query.get("range")] ?? RANGES["7d"];
  return last === Infinity ? "" : `last=${last}`;
}
function rangeOf(query, whole) {
  if (between(query)) return null;
  if (query.get("range") in RANGES) return query.get("range");
  return seconds(whole.start) <= seconds(whole.first_at) ? "all" : "7d";
}

function heading(app, health, marks, colour) {
  const since = marks.findLast((m) => m.kind === "revision");
  const one = { state: health.state, tier: GRAVEST.find((tier) => health.alerts.some((a) => a.tier === tier && a.state === "firing")) };
  const names = versionsOf(health.policy);
  return h("div", {}, crumbs(link("#/", "Fleet"), h("span", { "aria-current": "page" }, app)),
    h("div", { class: "row between top" }, h("div", { class: "row" }, h("h1", {}, app), pill(standing(one))),
      h("div", { class: "row" }, button(`Switch automation ${health.automation.switch.enabled ? "off" : "on"}…`, () => turn(!health.automation.switch.enabled, app)), health.revision > 1 ? button("Roll back…", () => rollBack(app), "quiet danger") : null)),
    h("p", { class: "soft lead" }, names.length ? h("span", { class: "row tight versions" }, names.map((v) => h("span", { class: "chip mono" }, dot(colour(v)), v))) : null,
      health.revision ? h("span", {}, `Revision ${health.revision}: ${route(health.policy)}`, since ? [", ", time(since.at), "."] : ".") : "No route yet."),
    health.automation.enabled ? null : h("p", { class: "note warn" }, `Automation is off${health.automation.of_all.enabled ? "" : " for all applications"}: alarms tell, nothing acts.`),
    health.behind > 20 ? h("p", { class: "note warn" }, `The monitor has ${plural(health.behind, "shipment")} still to read: what is shown is older than the record.`) : null);
}

function openAlerts(health, remedies) {
  const graver = (a, b) => GRAVEST.indexOf(a.tier) - GRAVEST.indexOf(b.tier) || b.opened_at.localeCompare(a.opened_at);
  const all = [...health.alerts].sort(graver), grave = all.filter((a) => a.tier !== "info"), notices = all.filter((a) => a.tier === "info");
  if (!all.length) return h("p", { class: "verdict" }, health.state === "learning" ? "No open alert. Its errors are not watched yet: the watches still learn what is normal." : "No open alert.");
  const last = (a) => { const one = remedies.find((r) => r.alert === a.id); return one ? h("span", { class: "row tight" }, words(one.kind), pill(one.state)) : ""; };
  const rows = (some) => some.map((a) => [h("span", { class: "row tight" }, pill(a.state, a.tier === "info" ? "notice" : a.state), pill(a.tier)), link(`#/incidents/${a.id}`, a.title.replace(`${health.application}: `, ""), { class: "name" }), time(a.opened_at), last(a)]);
  const heads = ["State", "What", "Since", "Remedy"];
  return section("h-alerts", "Open alerts", grave.length ? table("Open alerts", heads, rows(grave)) : null,
    notices.length ? h("details", { id: "notices", open: !grave.length }, h("summary", {}, `${plural(notices.length, "notice")}: changes that need nobody at once`), table("Notices", heads, rows(notices))) : null);
}

const lines = (told, colour, { limits = false, scale = 1 } = {}) => (told?.lines ?? []).filter((l) => !l.segment).map((l) => ({
  label: l.versions, colour: colour(l.versions), step: told.step_s, at: l.at, value: scaled(l.mean, scale), low: scaled(l.low, scale), high: scaled(l.high, scale), ...(limits ? { reference: l.reference, limit: l.limit } : {}) }));
const scaled = (values, scale) => values.map((v) => (v === null ? null : v * scale));

function lossSection(loss, shown, box, colour, range, here) {
  const { start, end } = box;
  const ranges = h("nav", { class: "ranges", "aria-label": "Stretch of time" }, Object.keys(RANGES).map((one) => link(here({ range: one, from: null, to: null }), one, { "aria-current": one === range ? "true" : null })));
  const about = `Mean per version in stretches of ${duration(loss?.step_s)}, with its 95 % interval. Draw over a stretch to look closer; an alarm leads to its incident.`;
  return section("h-loss", "Loss over time", h("div", { class: "row between" }, h("p", { class: "soft small" }, range ? about : `${moment(iso(start))} to ${moment(iso(end))} UTC. ${about}`), ranges),
    loss?.lines.length ? plot("loss", lines(loss, colour, { limits: true }), { unit: "mean loss", marks: shown, height: 300, ...box }) : empty("No label came in this time."),
    shown.length ? h("details", { id: "marks" }, h("summary", {}, `${plural(shown.length, "mark")} on the axis of time`), table("Marks, newest first", ["When (UTC)", "Kind", "What"], [...shown].reverse().map((m) => [moment(m.at * 1000), pill(m.kind, m.kind === "alarm" ? m.tier : m.kind), m.alert ? link(`#/incidents/${m.alert}`, m.title) : m.title]))) : null);
}

function labelsAndService(told, box, colour) {
  const small = (id, title, about, signal, rest = {}) => section(id, title, h("p", { class: "soft small" }, about),
    told[signal].lines.length ? plot(title, rest.n ? told[signal].lines.map((l) => ({ label: l.versions, colour: colour(l.versions), step: told[signal].step_s, at: l.at, value: l.n })) : lines(told[signal], colour, rest), { unit: rest.unit ?? "share", height: 170, ...box }) : empty(rest.none ?? "Nothing in this time."));
  return h("div", { class: "grid" },
    small("h-traffic", "Traffic", `Answers in each stretch of ${duration(told["service.default"]?.step_s)}.`, "service.default", { n: true, unit: "answers" }),
    small("h-late", "Late answers", "Share that came after the latency objective.", "service.latency"),
    small("h-default", "Default answers", "Share that no model gave in time; never counted as drift.", "service.default"),
    small("h-errors", "Errors", "Share of answers whose model failed.", "service.error"),
    small("h-delay", "Label delay", "Minutes from the prediction to its label.", "label.delay", { scale: 1 / 60, unit: "minutes", none: "No label came in this time." }),
    small("h-coverage", "Missing labels", "Share of predictions still without a label when they should have one.", "label.coverage", { none: "Not known yet: labels are still expected." }));
}
