// What people may do. Each asks first, says what will happen, and leaves a reason in the history.
import { call, get, name, session } from "./api.js";
import { h } from "./dom.js";
import { ask } from "./dialog.js";
import { words } from "./format.js";

let refresh = () => {};
export const onChange = (then) => { refresh = then; };

const REASON = { name: "reason", label: "Reason (stays in the history)", required: true };
const PERHAPS = { ...REASON, label: "Reason (stays in the history; may be empty)", required: false };

export async function send(method, path, body) {
  const told = await call(method, path, body);
  refresh();
  return told;
}
// Read keys see, admin keys act: what may not be done is not offered.
export function button(text, then, look = "quiet", attributes = {}) {
  return session.admin ? h("button", { type: "button", class: look, onclick: then, ...attributes }, text) : null;
}
export const readOnly = () => (session.admin ? null : h("p", { class: "soft small" }, "This key reads. Acting needs a key with scope admin."));

export function rollBack(app) {
  // What it leaves is read once: whoever asks again because no answer came goes no step further back.
  let left = null;
  const run = async ({ reason }) => {
    left ??= (await get(`/serving/applications/${name(app)}/revisions`)).revisions[0].revision;
    return send("POST", `/serving/applications/${name(app)}/rollback`, { reason, expected_revision: left });
  };
  return ask({
    title: `Roll ${app} back`, text: "Traffic returns to the last good revision at once. That becomes a new revision with your name and this reason.",
    fields: [REASON], confirm: "Roll back", danger: true, done: `${app} was rolled back.`, run,
  });
}

export const decide = (remedy, verb) => ask({
  title: `${verb} remedy ${remedy.id}?`,
  text: verb === "Approve" ? `The monitor will ${words(remedy.kind)} ${remedy.application} ${path(remedy)}; its guards are looked at once more.` : "It is not done, and the same cause does not propose it again while the route stays as it is.",
  fields: [PERHAPS], confirm: verb, danger: verb === "Reject", done: `Remedy ${remedy.id} was ${verb === "Approve" ? "approved" : "rejected"}.`,
  run: ({ reason }) => send("POST", `/remedies/${remedy.id}/${verb.toLowerCase()}`, { reason }),
});
export const path = (remedy) => [remedy.from_version && `from ${remedy.from_version}`, remedy.to_version && `to ${remedy.to_version}`].filter(Boolean).join(" ");

export const acknowledge = (alert) => ask({
  title: "Acknowledge", text: "Says that somebody looks after it. A graver alarm makes it fire again.",
  fields: [PERHAPS], confirm: "Acknowledge", done: "Acknowledged.",
  run: ({ reason }) => send("POST", `/alerts/${alert}/acknowledge`, { reason }),
});
export const resolve = (alert) => ask({
  title: "Resolve", text: "Says that its cause is gone. The next alarm opens another alert.",
  fields: [REASON], confirm: "Resolve", done: "Resolved.",
  run: ({ reason }) => send("POST", `/alerts/${alert}/resolve`, { reason }),
});

const HOURS = [["1", "1 hour"], ["4", "4 hours"], ["24", "1 day"], ["168", "1 week"]];
export const silence = (application, kind) => ask({
  title: `Silence ${application}`, text: "Holds deliveries back. Alerts open and remedies act all the same.",
  fields: [{ name: "hours", label: "For", options: HOURS }, { name: "about", label: "About", options: [["kind", `alerts of ${words(kind)} alone`], ["all", "everything of this application"]] }, REASON],
  confirm: "Silence", done: "Silenced.",
  run: ({ hours, about, reason }) => send("POST", "/silences", { application, kind: about === "kind" ? kind : null, until: new Date(Date.now() + hours * 3.6e6).toISOString(), reason }),
});
export const endSilence = (one) => ask({
  title: "End the silence", text: `Deliveries about ${one.application} go out again.`, confirm: "End it", done: "The silence ended.",
  run: () => send("DELETE", `/silences/${one.id}`),
});

export const turn = (enabled, app = null) => ask({
  title: `Switch automation ${enabled ? "on" : "off"}${app ? ` for ${app}` : ""}`,
  text: enabled ? "Alarms may change routes by themselves again, as each watch says. A proposal made meanwhile waits for its approval." : "Alarms still alert and remedies are proposed; nothing acts until it is switched on.",
  fields: [REASON], confirm: enabled ? "Switch on" : "Switch off", danger: !enabled, done: `Automation is ${enabled ? "on" : "off"}.`,
  run: ({ reason }) => send("PUT", app ? `/automation/${name(app)}` : "/automation", { enabled, reason }),
});
