import { get, name } from "./api.js";
import { acknowledge, button, decide, endSilence, path, readOnly, resolve, rollBack, silence } from "./actions.js";
import { h, pill, time, link, table, section, crumbs, terms, prose } from "./dom.js";
import { clock, day, duration, moment, number, plural, words } from "./format.js";
import { palette, plot } from "./plot.js";

const PARTS = ["Since when", "How sure", "How bad", "Where", "What was done", "How it ends"];

export async function incident(id) {
  const [one, alert, silences] = await Promise.all([get(`/incidents/${name(id)}`), get(`/alerts/${name(id)}`), get("/silences")]);
  const open = one.state !== "resolved", app = one.application;
  const title = one.title.replace(`${app}: `, "");
  // Also what an earlier alert of the same fault proposed: nobody proposes it twice.
  const proposed = open ? (await get(`/remedies?application=${name(app)}`)).filter((r) => r.state === "proposed") : one.remedies.filter((r) => r.state === "proposed");
  const waits = proposed.length > 0;
  const held = silences.filter((s) => s.application === app && (s.kind === null || s.kind === one.kind));
  return h("div", {}, crumbs(link("#/", "Fleet"), link(`#/applications/${name(app)}`, app), h("span", { "aria-current": "page" }, `incident ${one.id}`)),
    h("h1", {}, title), h("p", { class: "row tight" }, pill(one.state), pill(one.tier), h("span", { class: "soft" }, link(`#/applications/${name(app)}`, app), ", opened ", time(one.opened_at), ` (${moment(one.opened_at)} UTC)`, one.resolved_at ? [", resolved ", time(one.resolved_at)] : null)),
    waiting(proposed), held.map((s) => h("p", { class: "note row between" }, h("span", {}, `Silenced until ${moment(s.until)} UTC by ${s.author}: ${s.reason}`), button("End the silence…", () => endSilence(s), "quiet small"))),
    h("div", { class: "row actions" }, open && one.state !== "acknowledged" ? button("Acknowledge…", () => acknowledge(id), one.state === "firing" && !waits ? "" : "quiet") : null, open ? [button("Silence…", () => silence(app, one.kind)), button("Resolve…", () => resolve(id))] : null, button("Roll back…", () => rollBack(app), open && !waits ? "danger" : "quiet danger"), readOnly()),
    h("dl", { class: "tiles" }, [["from onset to alert", one.seconds.onset_to_alert], ["from alert to act", one.seconds.alert_to_act], ["from alert to recovery", one.seconds.alert_to_recovery]].map(([label, value]) => h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, value === null ? (open ? "not yet" : "–") : duration(value))))),
    h("div", { class: "grid" }, told(alert), why(alert)),
    one.remedies.length ? section("h-remedies", "Remedies", remedies(one)) : null,
    section("h-line", "Timeline", timeline(one.timeline)));
}

// What waits for a person stands first, with the two answers beside it.
function waiting(proposed) {
  return proposed.map((r) => h("div", { class: "verdict warn row between", role: "group", "aria-label": `Remedy ${r.id}` },
    h("span", {}, `The monitor proposes to ${words(r.kind)} ${path(r)}.`), h("span", { class: "row" }, button("Approve…", () => decide(r, "Approve"), ""), button("Reject…", () => decide(r, "Reject")))));
}

function told(alert) {
  const lines = alert.text.trim().split("\n").slice(1).filter((line) => !/^(Look|Runbook): /.test(line));
  const parts = [], others = [];
  for (const line of lines) {
    const part = PARTS.find((name) => line.startsWith(`${name}: `));
    if (part) parts.push([part, h("span", {}, prose(line.slice(part.length + 2)))]); else others.push(line);
  }
  const runbook = alert.detail.runbook;
  return section("h-told", "What people were told", others.map((line) => h("p", {}, prose(line))), terms([...parts, runbook ? ["Runbook", link(`#/runbook/${runbook.split("#")[1] ?? ""}`, `What to do about ${words(alert.kind)}`)] : null]));
}

function why(alert) {
  const evidence = alert.alarms.at(0)?.evidence;
  if (!evidence) return null;
  const points = evidence.trace ?? [], colour = palette([alert.versions])(alert.versions);
  const bad = alert.detail.how_bad ?? {}, some = (n) => (bad.counted === "stretches of time" ? plural(n, "stretch of time", bad.counted) : plural(n, "row"));
  const mean = (part) => (part?.mean === null || part?.mean === undefined ? "–" : `${number(part.mean)} (95 % interval ${number(part.low)} to ${number(part.high)}, ${some(part.rows)})`);
  const line = { label: `${words(evidence.signal)}: ${alert.versions}`, colour, at: points.map((p) => p.at_us / 1e6), value: points.map((p) => Math.max(p.statistic, 1e-6)) };
  const onset = alert.alarms[0].onset_at, marks = [{ at: new Date(alert.alarms[0].alarmed_at) / 1000, kind: "alarm", title: "alarm" }];
  const test = alert.recovery;
  return section("h-why", "Evidence of the alarm",
    points.length > 1 ? plot("evidence of the alarm", [line], { unit: "evidence", logarithmic: true, height: 200, threshold: 1, marks: marks.filter((m) => m.at <= line.at.at(-1) + 1) }) : null,
    terms([["Statistic", `${number(alert.alarms[0].statistic)}; it alarms at ${number(alert.alarms[0].threshold)}`], [evidence.before?.of === "reference" ? "In the reference" : "Before", mean(evidence.before)], ["After", mean(evidence.after)], onset ? ["Onset, estimated", `${moment(onset)}:${clock(onset).slice(6)} UTC`] : null, ["A step of the test", evidence.unit],
      alert.state !== "resolved" && test ? ["Recovery", `evidence ${number(test.statistic)} from ${some(test.rows)} since the alarm; it resolves at 1`] : null]),
    evidence.moved?.length ? [h("h3", {}, "Moved most"), h("ol", {}, evidence.moved.map((m) => h("li", {}, h("code", {}, m.signal ?? m.segment ?? m.name ?? ""), ` by ${number(m.distance)} standard errors`)))] : null);
}

function remedies(one) {
  const rows = one.remedies.map((r) => [r.alert === one.id ? `${r.id}` : [`${r.id} of `, link(`#/incidents/${r.alert}`, `incident ${r.alert}`)], words(r.kind), h("span", { class: "mono" }, [r.from_version, r.to_version].filter(Boolean).join(" → ") || "–"), h("span", {}, pill(r.state), r.state_reason ? h("span", { class: "under" }, r.state_reason) : null),
    r.outcome ? h("span", {}, pill(r.outcome), r.outcome_test?.null ? h("span", { class: "under" }, `refuted: ${r.outcome_test.null}`) : null) : r.acted_at ? "not known yet" : "–", r.acted_at ? time(r.acted_at) : "–"]);
  return table("Remedies", ["Number", "Kind", "Versions", "State", "Outcome", "Acted"], rows);
}

function timeline(lines) {
  let before = null;
  return h("ol", { class: "timeline" }, lines.map((line) => {
    const date = day(line.at), head = date === before ? null : h("span", { class: "date soft small" }, date);
    before = date;
    const look = line.what === "alarm" ? "firing" : line.what === "remedy" ? "acted" : line.what;
    return h("li", {}, head, h("time", { class: "soft mono", datetime: line.at }, clock(line.at)), h("span", {}, pill(line.what, look)), h("span", {}, line.sentence, line.who === "monitor" ? null : h("span", { class: "soft small" }, ` by ${line.who}`)));
  }));
}
