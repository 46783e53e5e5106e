import { call, get, name } from "./api.js";
import { send } from "./actions.js";
import { h, pill, time, link, empty, table, section, crumbs, say } from "./dom.js";
import { ask } from "./dialog.js";
import { words } from "./format.js";

const FORMATS = [["", "by its address"], ["generic", "generic JSON"], ["alertmanager", "Alertmanager"], ["slack", "Slack"], ["email", "e-mail"]];
const tell = async (what, then) => { try { await then(); say(what, { shown: true }); } catch (problem) { say(`${problem.title}: ${problem.message}`, { shown: true }); } };

export function webhooks(all) {
  const made = h("div", { "aria-live": "polite" });
  const url = h("input", { id: "hook-url", type: "text", placeholder: "https://… or mailto:…", required: true, spellcheck: "false" });
  const form = h("select", { id: "hook-format" }, FORMATS.map(([value, label]) => h("option", { value }, label)));
  const add = async (event) => {
    event.preventDefault();
    try {
      const told = await call("POST", "/webhooks", { url: url.value.trim(), format: form.value || null });
      made.replaceChildren(secret("The secret that signs its deliveries. It is shown this once:", told.secret));
    } catch (problem) { made.replaceChildren(h("p", { class: "error" }, problem.message)); }
  };
  return section("h-webhooks", "Webhooks", all.length ? table("Webhooks", ["Address", "Format", "Tiers", "Deliveries", ""], all.map(row)) : empty("Nobody is told of alerts: add a webhook."),
    h("form", { class: "inline", onsubmit: add }, h("div", {}, h("label", { for: "hook-url" }, "Address"), url), h("div", {}, h("label", { for: "hook-format" }, "Format"), form), h("button", {}, "Add webhook")), made);
}

function row(w) {
  const remove = () => ask({ title: "Remove the webhook", text: `Nothing is sent to ${w.url} any more; what waits for it is given up.`, confirm: "Remove", danger: true, done: "The webhook was removed.", run: () => send("DELETE", `/webhooks/${w.id}`) });
  const test = () => tell("A test delivery is on its way.", () => send("POST", `/webhooks/${w.id}/test`));
  const stand = [w.waiting ? pill(`${w.waiting} waiting`, "waiting") : null, w.dead ? pill(`${w.dead} given up`, "dead") : null];
  return [h("code", {}, w.url), w.format, h("span", { class: "row tight" }, w.tiers.map((tier) => pill(tier))), h("span", { class: "row tight" }, link(`#/webhooks/${w.id}`, "Deliveries"), stand),
    h("span", { class: "row tight nowrap" }, h("button", { class: "quiet small", type: "button", onclick: test, "aria-label": `Test ${w.url}` }, "Test"), h("button", { class: "quiet small", type: "button", onclick: remove, "aria-label": `Remove ${w.url}` }, "Remove…"))];
}

// Shown once: it stays on the page until it is put away, and nothing is redrawn meanwhile.
export function secret(text, value) {
  const copy = h("button", { type: "button", class: "quiet small", onclick: () => navigator.clipboard?.writeText(value).then(() => say("Copied.", { shown: true })) }, "Copy");
  const away = h("button", { type: "button", class: "quiet small", onclick: () => { box.remove(); dispatchEvent(new HashChangeEvent("hashchange")); } }, "I have kept it");
  const box = h("div", { class: "secret" }, h("p", {}, text), h("code", { id: "secret" }, value), h("p", { class: "row" }, copy, away));
  return box;
}

export async function deliveries(id) {
  const [all, hooks] = await Promise.all([get(`/webhooks/${name(id)}/deliveries`), get("/webhooks")]);
  const mine = hooks.find((w) => String(w.id) === id);
  const again = (d) => tell("It is sent again.", () => send("POST", `/webhooks/${id}/deliveries/${d.id}/redeliver`));
  const last = (d) => { const one = d.attempts.at(-1); return one ? h("span", {}, one.status ? `HTTP ${one.status}` : words(one.error ?? ""), h("span", { class: "under" }, `${Math.round(one.duration_ms)} ms, `, time(one.at))) : "not tried yet"; };
  return h("div", {}, crumbs(link("#/settings", "Settings"), h("span", { "aria-current": "page" }, `webhook ${id}`)), h("h1", {}, "Deliveries"), h("p", { class: "mono soft wrap" }, mine?.url ?? ""),
    h("div", { class: "card" }, all.length ? table("Deliveries, newest first", ["When", "Event", "Incident", "State", "#Attempts", "Last answer", ""], all.map((d) => [time(d.created_at), h("code", {}, d.event), d.alert ? link(`#/incidents/${d.alert}`, `incident ${d.alert}`) : "–", h("span", {}, pill(d.state), d.next_attempt_at && d.state === "waiting" ? h("span", { class: "under" }, "again soon") : null), d.attempts.length, last(d),
      h("button", { class: "quiet small", type: "button", onclick: () => again(d), "aria-label": `Redeliver ${d.event} of ${d.created_at}` }, "Redeliver")])) : empty("Nothing was sent there yet.")));
}
