import { get, session } from "./api.js";
import { button, endSilence, turn } from "./actions.js";
import { h, pill, time, table, section } from "./dom.js";
import { moment } from "./format.js";
import { keys } from "./keys.js";
import { ledger } from "./ledger.js";
import { webhooks } from "./webhooks.js";

export async function settings(query) {
  const [watches, automation, silences] = await Promise.all([get("/watches"), get("/automation"), get("/silences")]);
  const [hooks, told] = session.admin ? await Promise.all([get("/webhooks"), get("/serving/keys").catch((problem) => problem)]) : [null, null];
  return h("div", {}, h("h1", {}, "Settings"), switches(automation), held(silences),
    session.admin ? [webhooks(hooks), keys(told)] : h("div", { class: "card soft" }, "Webhooks and keys are shown to keys with scope admin."), ledger(watches, query));
}

function switches(all) {
  const off = all.applications.filter((one) => !one.switch.enabled);
  const last = all.switch.at ? h("p", { class: "soft" }, `Turned by ${all.switch.actor} `, time(all.switch.at), all.switch.reason ? `: ${all.switch.reason}` : "") : h("p", { class: "soft" }, "The monitor may act by itself wherever a watch says so. Switched off, it alerts and proposes, and changes nothing.");
  return section("h-automation", "Automation", h("div", { class: "row between" }, h("p", { class: "row tight" }, "All applications", pill(all.enabled ? "on" : "off", all.enabled ? "ok" : "firing")), button(all.enabled ? "Switch everything off…" : "Switch on…", () => turn(!all.enabled), all.enabled ? "quiet danger" : "")), last,
    off.length ? table("Applications with automation off", ["Application", "By", "When", "Why", ""], off.map((one) => [one.application, one.switch.actor, time(one.switch.at), one.switch.reason ?? "–", button("On…", () => turn(true, one.application), "quiet small", { "aria-label": `Switch automation on for ${one.application}` })])) : null);
}

function held(silences) {
  if (!silences.length) return null;
  return section("h-silences", "Silences", table("Silences that hold", ["Application", "About", "Until (UTC)", "By", "Why", ""], silences.map((one) => [one.application, one.kind ?? "everything", moment(one.until), one.author, one.reason, button("End…", () => endSilence(one), "quiet small", { "aria-label": `End the silence of ${one.application}` })])));
}
