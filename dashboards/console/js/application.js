import { get, name, session } from "./api.js";
import { h, svg, pill, number, time, link, empty, table, moment } from "./dom.js";
import { plot } from "./plot.js";
import { rollBack } from "./incident.js";

const RANGES = { "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000, all: null };
const seconds = (text) => new Date(text) / 1000;

export async function application(app, query) {
  const path = `/applications/${name(app)}`;
  const range = query.get("range") in RANGES ? query.get("range") : "all";
  const [health, whole, marks, remedies] = await Promise.all([get(`${path}/health`), get(`${path}/plots/loss`), get(`${path}/marks`), get(`/remedies?application=${name(app)}`)]);
  const here = link(`#/applications/${name(app)}`, app);
  const head = h("div", {}, h("p", { class: "small soft" }, link("#/", "Fleet"), " / ", here),
    h("div", { class: "row between" }, h("h1", {}, app, " ", pill(health.state)), session.admin && health.revision ? h("button", { class: "danger", onclick: () => rollBack(app) }, "Roll back…") : null),
    h("p", { class: "soft" }, health.revision ? `Revision ${health.revision}: ` : "No route yet", health.policy && h("span", { class: "mono" }, Object.entries(health.policy).map(([k, v]) => `${k} ${[v].flat().join(", ")}`).join("; ")), health.automation.enabled ? "" : " · automation is off", health.behind ? ` · ${health.behind} shipments behind` : ""));
  const alerts = health.alerts.length ? h("section", { class: "card", "aria-labelledby": "h-alerts" }, h("h2", { id: "h-alerts" }, "Open alerts"),
    table("Open alerts", ["State", "What", "Since", "Remedy"], health.alerts.map((a) => [h("span", { class: "row" }, pill(a.state), pill(a.tier)), link(`#/incidents/${a.id}`, a.title, { class: "name" }), time(a.opened_at), h("span", { class: "row" }, remedies.filter((r) => r.alert === a.id).map((r) => h("span", {}, r.kind.replaceAll("_", " "), " ", pill(r.state))))]))) : null;
  if (!whole.start) return h("div", {}, head, alerts, h("div", { class: "card" }, empty("Nothing was answered yet.", h("p", {}, "As soon as predictions come, they are drawn here."))));
  const end = seconds(whole.end), start = RANGES[range] === null ? seconds(whole.start) : Math.max(end - RANGES[range], seconds(whole.first_at));
  const span = `from=${name(new Date(start * 1000).toISOString())}&to=${name(new Date(end * 1000).toISOString())}`;
  const plots = (signal) => get(`${path}/plots/${signal}?${span}`);
  const settled = (promise) => promise.catch(() => null);
  const [loss, traffic, latency, defaults, delay, coverage, compared, trace, traceDiff] = await Promise.all([plots("loss"), plots("service.error"), plots("service.latency"), plots("service.default"), plots("label.delay"), plots("label.coverage"),
    settled(get(`${path}/distributions`)), settled(get(`${path}/signals/loss?step=hour&${span}`)), settled(get(`${path}/signals/loss_difference?step=hour&${span}`))]);
  const lines = (told, { limits = false, scale = 1 } = {}) => told.lines.filter((l) => !l.segment).map((l) => ({ label: l.versions, at: l.at, value: l.mean.map((v) => v === null ? null : v * scale), low: l.low.map((v) => v === null ? null : v * scale), high: l.high.map((v) => v === null ? null : v * scale), ...(limits ? { reference: l.reference, limit: l.limit } : {}) }));
  const shown = marks.map((m) => ({ ...m, at: seconds(m.at) })).filter((m) => m.at >= start && m.at <= end);
  const box = { start, end };
  const ranges = h("div", { class: "ranges", role: "group", "aria-label": "Stretch of time" }, Object.keys(RANGES).map((one) => link(`#/applications/${name(app)}?range=${one}`, one, { "aria-current": one === range ? "true" : null })));
  const evidence = [...(trace ?? []), ...(traceDiff ?? [])].flatMap((one) => Object.entries(one.trace).filter(([watch]) => !watch.includes("adwin")).map(([watch, points]) => ({ label: `${watch}: ${one.versions}`, at: points.map((p) => p.at_us / 1e6), value: points.map((p) => Math.max(p.statistic, 1e-6)) }))).filter((one) => one.at.length);
  const segments = health.watches.filter((w) => w.subject.includes("|") && w.signal === "loss");
  const section = (id, title, ...rest) => h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), ...rest);
  return h("div", {}, head, alerts,
    section("h-loss", "Loss over time", h("div", { class: "row between" }, h("p", { class: "small soft" }, `Mean per version with its 95 % band, by ${loss.step_s >= 3600 ? `${loss.step_s / 3600} h` : `${loss.step_s / 60} min`}; UTC.`), ranges),
      loss.lines.length ? plot("Loss", lines(loss, { limits: true }), { marks: shown, ...box }) : empty("No label came yet."),
      shown.length ? h("details", {}, h("summary", {}, `${shown.length} marks as a list`), table("Marks", ["When (UTC)", "What"], shown.map((m) => [moment(m.at * 1000), m.title]))) : null),
    evidence.length ? section("h-evidence", "Evidence against “all is well”", h("p", { class: "small soft" }, "Each test's statistic relative to the line at which it alarms; logarithmic."), plot("Evidence", evidence, { marks: shown.filter((m) => m.kind === "alarm"), logarithmic: true, height: 220, threshold: 1, ...box })) : null,
    section("h-watches", "Watches", table("Watches with their evidence", ["Watch", "About", "Tier", "Status", "Evidence", "#Observations", "#Alarms", "#Budget a year"], health.watches.filter((w) => w.in_service && !w.subject.includes("|")).map((w) => [
      h("span", {}, w.watch, h("span", { class: "soft small" }, ` ${w.signal}`)), h("span", { class: "mono" }, w.versions), pill(w.tier), h("span", { title: w.status_reason }, pill(w.status)), meter(w), w.observations.toLocaleString("en"), w.alarms, number(w.budget_per_year)]))),
    segments.length ? section("h-segments", "Segments", table("Loss by segment", ["Segment", "Status", "Loss, 95 % interval", "Evidence", "#Labels"], segments.filter((w) => w.in_service).sort((a, b) => (b.mean.mean ?? 0) - (a.mean.mean ?? 0)).map((w) => [h("span", { class: "mono" }, w.versions), pill(w.status), h("span", {}, number(w.mean.mean), h("span", { class: "soft small" }, ` ${number(w.mean.low)} – ${number(w.mean.high)}`)), meter(w), w.observations.toLocaleString("en")]))) : null,
    compared?.features.length ? section("h-features", "What comes in, now and in the reference", h("p", { class: "small soft" }, `The newest ${compared.rows_now.toLocaleString("en")} rows of ${compared.version} (bars) beside its reference (line); the furthest moved first. The distance runs from 0 to 1.`), h("div", { class: "features" }, compared.features.map(histogram))) : null,
    h("div", { class: "grid" },
      section("h-late", "Answers later than the objective", h("p", { class: "small soft" }, "Share."), plot("Late answers", lines(latency), { height: 170, ...box })),
      section("h-service", "Default answers", h("p", { class: "small soft" }, "Share."), plot("Default answers", lines(defaults), { height: 170, ...box })),
      section("h-traffic", "Traffic", h("p", { class: "small soft" }, "Answers in each stretch."), plot("Traffic", traffic.lines.map((l) => ({ label: l.versions, at: l.at, value: l.n })), { height: 170, ...box })),
      section("h-delay", "Label delay", h("p", { class: "small soft" }, "Minutes from prediction to label."), delay.lines.length ? plot("Label delay", lines(delay, { scale: 1 / 60 }), { height: 170, ...box }) : empty("No label came yet.")),
      coverage.lines.length ? section("h-coverage", "Missing labels", h("p", { class: "small soft" }, "Share of predictions without a label when they should have one."), plot("Missing labels", lines(coverage), { height: 170, ...box })) : null));
}

function meter(watch) {
  const told = watch.status_reason && watch.status !== "armed" ? h("span", { class: "soft small" }, watch.status_reason) : null;
  if (told) return told;
  if ("delta" in watch.parameters || watch.signal === "service.traffic") return number(watch.statistic);
  const share = Math.min(Math.max((Math.log10(Math.max(watch.statistic, 1e-6)) + 6) / 6, 0), 1);
  const bar = h("i");
  bar.style.width = `${share * 100}%`;
  return h("span", { class: "row" }, h("span", { class: watch.statistic >= 1 ? "meter over" : "meter", role: "img", "aria-label": `${number(watch.statistic)} of 1, where it alarms` }, bar), h("span", { class: "small soft" }, number(watch.statistic, 2)));
}

function histogram(feature) {
  const top = Math.max(...feature.now, ...feature.then, 0.001), wide = 240 / feature.now.length;
  const y = (v) => 62 - (v / top) * 60;
  const steps = feature.then.map((v, k) => `${k ? "L" : "M"}${k * wide},${y(v)}L${(k + 1) * wide},${y(v)}`).join("");
  const ends = feature.edges ? [number(feature.edges[0]), number(feature.edges.at(-1))] : [feature.labels[0], feature.labels.at(-1)];
  const gone = feature.missing_now > 0.001 || feature.missing_then > 0.001 ? h("p", { class: "small soft" }, `missing ${number(100 * feature.missing_now)} %, was ${number(100 * feature.missing_then)} %`) : null;
  return h("div", {}, h("h3", {}, feature.name, h("span", { class: feature.distance > 0.15 ? "pill page" : "pill" }, number(feature.distance, 2))),
    svg("svg", { class: "bars", viewBox: "0 0 240 62", preserveAspectRatio: "none", role: "img", "aria-label": `${feature.name}: distance ${number(feature.distance, 2)} from the reference` },
      feature.now.map((v, k) => svg("rect", { class: "now", x: k * wide + 0.5, width: Math.max(wide - 1, 0.5), y: y(v), height: 62 - y(v) })), feature.then.some(Boolean) ? svg("path", { d: steps }) : null),
    h("div", { class: "ends" }, h("span", {}, ends[0]), feature.edges || feature.labels.length > 1 ? h("span", {}, ends[1]) : null), gone);
}
