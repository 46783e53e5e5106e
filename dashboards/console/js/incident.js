import { call, get, name, session } from "./api.js";
import { h, pill, number, time, link, table, moment, ask, say } from "./dom.js";
import { plot } from "./plot.js";

const REASON = { name: "reason", label: "Reason (stays in the history)", required: true };
let refresh = () => {};
export const onChange = (then) => { refresh = then; };

export async function act(what, method, path, body) {
  try { await call(method, path, body); say(`${what}: done`); } catch (problem) { window.alert(`${problem.title}: ${problem.message}`); }
  refresh();
}
export async function rollBack(app) {
  const given = await ask(`Roll ${app} back`, "Traffic returns to the last good revision at once; that becomes a new revision with your name.", [REASON], "Roll back", true);
  if (given) await act("Rolled back", "POST", `/serving/applications/${name(app)}/rollback`, { reason: given.reason });
}

function span(seconds) {
  if (seconds === null) return "–";
  return seconds < 120 ? `${Math.round(seconds)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${number(seconds / 3600)} h`;
}

export async function incident(id) {
  const [one, alert] = await Promise.all([get(`/incidents/${name(id)}`), get(`/alerts/${name(id)}`)]);
  const open = one.state !== "resolved", waits = one.remedies.filter((r) => r.state === "proposed");
  const button = (text, then, kind = "quiet") => h("button", { class: kind, disabled: !session.admin, onclick: then }, text);
  const decide = async (remedy, verb) => {
    const given = await ask(`${verb} remedy ${remedy.id}`, `${remedy.kind.replaceAll("_", " ")} of ${one.application}: ${remedy.from_version ?? ""} → ${remedy.to_version ?? ""}`, [{ ...REASON, required: false }], verb);
    if (given) await act(verb, "POST", `/remedies/${remedy.id}/${verb.toLowerCase()}`, { reason: given.reason || null });
  };
  const acknowledge = async () => {
    const given = await ask("Acknowledge", "Says that somebody looks after it.", [{ ...REASON, required: false }], "Acknowledge");
    if (given) await act("Acknowledged", "POST", `/alerts/${id}/acknowledge`, { reason: given.reason || null });
  };
  const silence = async () => {
    const given = await ask("Silence", `Holds back deliveries about ${one.kind} of ${one.application}. Alerts open and remedies act all the same.`, [{ name: "hours", label: "For", options: [["1", "1 hour"], ["4", "4 hours"], ["24", "1 day"], ["168", "1 week"]] }, REASON], "Silence");
    if (given) await act("Silenced", "POST", "/silences", { application: one.application, kind: one.kind, until: new Date(Date.now() + given.hours * 3.6e6).toISOString(), reason: given.reason });
  };
  const evidence = alert.alarms.at(0)?.evidence;
  const trace = (evidence?.trace ?? []).map((p) => ({ at: p.at_us / 1e6, value: Math.max(p.statistic, 1e-6) }));
  const between = (told) => (told?.mean === null || told?.mean === undefined ? "–" : `${number(told.mean)} (${number(told.low)} – ${number(told.high)}; ${told.rows} rows)`);
  const remedies = one.remedies.map((r) => [`${r.id}`, r.kind.replaceAll("_", " "), h("span", { class: "mono" }, `${r.from_version ?? "–"} → ${r.to_version ?? "–"}`), h("span", { title: r.state_reason }, pill(r.state)), r.outcome ? pill(r.outcome) : r.state_reason ?? "–",
    r.state === "proposed" ? h("span", { class: "row" }, h("button", { class: "small", disabled: !session.admin, onclick: () => decide(r, "Approve") }, "Approve"), h("button", { class: "quiet small", disabled: !session.admin, onclick: () => decide(r, "Reject") }, "Reject")) : ""]);
  return h("div", {}, h("p", { class: "small soft" }, link("#/", "Fleet"), " / ", link(`#/applications/${name(one.application)}`, one.application), ` / incident ${one.id}`),
    h("h1", {}, one.title), h("p", { class: "row" }, pill(one.state), pill(one.tier), h("span", { class: "soft" }, "opened ", time(one.opened_at), `, ${moment(one.opened_at)} UTC`)),
    waits.length ? h("p", { class: "verdict warn" }, `${waits.length === 1 ? "A remedy waits" : "Remedies wait"} for your approval.`) : null,
    h("div", { class: "row" }, open && button("Acknowledge", acknowledge), open && button("Silence…", silence), button("Roll back…", () => rollBack(one.application), "danger"), !session.admin && h("span", { class: "soft small" }, "A key with scope read sees; acting needs scope admin.")),
    h("div", { class: "tiles" }, [["onset to alert", one.seconds.onset_to_alert], ["alert to act", one.seconds.alert_to_act], ["alert to recovery", one.seconds.alert_to_recovery]].map(([label, value]) => h("div", { class: "tile" }, h("b", {}, span(value)), label))),
    one.remedies.length ? h("section", { class: "card", "aria-labelledby": "h-remedies" }, h("h2", { id: "h-remedies" }, "Remedies"), table("Remedies", ["Number", "Kind", "Versions", "State", "Outcome", "Decide"], remedies)) : null,
    h("div", { class: "grid" },
      h("section", { class: "card", "aria-labelledby": "h-told" }, h("h2", { id: "h-told" }, "What people were told"), h("p", { class: "said" }, alert.text)),
      evidence ? h("section", { class: "card", "aria-labelledby": "h-why" }, h("h2", { id: "h-why" }, "Evidence of the alarm"),
        trace.length > 1 ? plot("Evidence", [{ label: evidence.signal, at: trace.map((p) => p.at), value: trace.map((p) => p.value) }], { logarithmic: true, height: 190, threshold: 1 }) : null,
        h("dl", {}, [["Before", between(evidence.before)], ["After", between(evidence.after)], ["Promise", evidence.promise], ["Unit", evidence.unit]].flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text ?? "–")])),
        evidence.moved?.length ? h("div", {}, h("h3", {}, "Moved most"), h("ul", {}, evidence.moved.map((m) => h("li", {}, `${m.signal ?? m.segment ?? m.name ?? ""} by ${number(m.distance)} standard errors`)))) : null) : null),
    h("section", { class: "card", "aria-labelledby": "h-line" }, h("h2", { id: "h-line" }, "Timeline"), h("ol", { class: "timeline" }, one.timeline.map((line) => h("li", {}, h("time", { class: "soft small mono", datetime: line.at }, moment(line.at)), h("span", {}, pill(line.what)), h("span", {}, line.sentence, h("span", { class: "soft small" }, ` · ${line.who}`)))))));
}
