import { call, get, name, session } from "./api.js";
import { h, pill, number, time, link, empty, table, ask } from "./dom.js";
import { act } from "./incident.js";

export async function settings() {
  const [watches, automation] = await Promise.all([get("/watches"), get("/automation")]);
  const parts = [h("h1", {}, "Settings"), switches(automation)];
  if (session.admin) {
    const [webhooks, told] = await Promise.all([get("/webhooks"), get("/serving/keys").catch((problem) => problem)]);
    parts.push(hooks(webhooks), keys(told));
  } else parts.push(h("div", { class: "card soft" }, "Webhooks and keys are shown to keys with scope admin."));
  parts.push(ledger(watches));
  return h("div", {}, parts);
}

function switches(all) {
  const turn = async () => {
    const given = await ask(all.enabled ? "Switch automation off" : "Switch automation on", "While it is off alarms still alert and remedies are proposed; nothing acts.", [{ name: "reason", label: "Reason", required: true }], all.enabled ? "Switch off" : "Switch on", all.enabled);
    if (given) await act("Automation", "PUT", "/automation", { enabled: !all.enabled, reason: given.reason });
  };
  return h("section", { class: "card" }, h("div", { class: "row between" }, h("h2", {}, "Automation ", pill(all.enabled ? "on" : "off")), session.admin && h("button", { class: all.enabled ? "danger" : null, onclick: turn }, all.enabled ? "Switch everything off…" : "Switch on…")),
    h("p", { class: "soft" }, all.switch.at ? h("span", {}, `Turned by ${all.switch.actor} `, time(all.switch.at), all.switch.reason ? `: ${all.switch.reason}` : "") : "It was never turned."));
}

function ledger(watches) {
  const by = Map.groupBy ? Map.groupBy(watches, (w) => w.application) : watches.reduce((m, w) => m.set(w.application, [...(m.get(w.application) ?? []), w]), new Map());
  const sum = (mine, tier) => number(mine.filter((w) => w.tier === tier && w.enabled).reduce((total, w) => total + (w.budget_per_year ?? 0), 0));
  return h("section", { class: "card" }, h("h2", {}, "Watches and their budgets"), h("p", { class: "small soft" }, "Expected false alarms a year, at most; the watches of a tier share its budget."), by.size ? [...by].map(([app, mine]) => h("details", { open: by.size === 1 }, h("summary", {}, h("b", {}, app), ` · ${mine.length} watches · rollback ${sum(mine, "rollback")}, page ${sum(mine, "page")}, info ${sum(mine, "info")} a year`),
    table(`Watches of ${app}`, ["Watch", "Signal", "Detector", "Tier", "Remedy", "Mode", "#Budget a year", "State"], mine.map((w) => [w.name, h("code", {}, w.signal), w.detector, pill(w.tier), w.rule.map((s) => s.kind.replaceAll("_", " ")).join(", then "), w.mode, number(w.budget_per_year),
      session.admin ? h("button", { class: "quiet small", "aria-pressed": String(w.enabled), "aria-label": `${w.name} of ${app}`, onclick: () => act(w.name, "PATCH", `/watches/${w.id}`, { enabled: !w.enabled }) }, w.enabled ? "on" : "off") : w.enabled ? "on" : "off"])))) : empty("No watch yet: they come with the first application."));
}

function hooks(all) {
  const made = h("div", { "aria-live": "polite" });
  const url = h("input", { id: "hook-url", type: "text", placeholder: "https://… or mailto:…", required: true });
  const form = h("select", { id: "hook-format" }, [["", "usual"], ["generic", "generic"], ["alertmanager", "Alertmanager"], ["slack", "Slack"], ["email", "e-mail"]].map(([value, label]) => h("option", { value }, label)));
  const add = async (event) => {
    event.preventDefault();
    try {
      const told = await call("POST", "/webhooks", { url: url.value.trim(), format: form.value || null });
      made.replaceChildren(h("p", { class: "secret" }, "The secret that signs its deliveries, shown this once: ", h("code", {}, told.secret)));
    } catch (problem) { made.replaceChildren(h("p", { class: "error" }, problem.message)); }
  };
  return h("section", { class: "card" }, h("h2", {}, "Webhooks"), all.length ? table("Webhooks", ["Address", "Format", "Tiers", "#Waiting", "#Given up", "Do"], all.map((w) => [h("code", {}, w.url), w.format, h("span", { class: "row" }, w.tiers.map(pill)), w.waiting, w.dead,
    h("span", { class: "row" }, link(`#/webhooks/${w.id}`, "Deliveries"), h("button", { class: "quiet small", onclick: () => act("Test sent", "POST", `/webhooks/${w.id}/test`) }, "Test"), h("button", { class: "quiet small", onclick: async () => { if (await ask("Remove the webhook", w.url, [], "Remove", true)) await act("Removed", "DELETE", `/webhooks/${w.id}`); } }, "Remove"))])) : empty("Nobody is told of alerts: add a webhook."),
  h("form", { class: "inline", onsubmit: add }, h("div", {}, h("label", { for: "hook-url" }, "Address"), url), h("div", {}, h("label", { for: "hook-format" }, "Format"), form), h("button", {}, "Add webhook")), made);
}

export async function deliveries(id) {
  const all = await get(`/webhooks/${name(id)}/deliveries`);
  return h("div", {}, h("p", { class: "small soft" }, link("#/settings", "Settings"), ` / webhook ${id}`), h("h1", {}, "Deliveries"), h("div", { class: "card" }, all.length ? table("Deliveries, newest first", ["When", "Event", "Incident", "State", "Attempts", "Last answer", "Do"], all.map((d) => [time(d.created_at), h("code", {}, d.event), d.alert ? link(`#/incidents/${d.alert}`, d.alert) : "–", pill(d.state), d.attempts.length, d.attempts.at(-1)?.status ?? d.attempts.at(-1)?.error ?? "–",
    h("button", { class: "quiet small", onclick: () => act("Sent again", "POST", `/webhooks/${id}/deliveries/${d.id}/redeliver`) }, "Redeliver")])) : empty("Nothing was sent there yet.")));
}

function keys(told) {
  if (told instanceof Error) return h("section", { class: "card" }, h("h2", {}, "Keys"), h("p", { class: "error" }, told.message));
  const made = h("div", { "aria-live": "polite" });
  const label = h("input", { id: "key-name", required: true, placeholder: "who or what uses it" });
  const scopes = ["read", "predict", "feedback", "admin"].map((scope) => [scope, h("input", { type: "checkbox", id: `scope-${scope}`, checked: scope === "read" })]);
  const add = async (event) => {
    event.preventDefault();
    try {
      const one = await call("POST", "/serving/keys", { name: label.value.trim(), scopes: scopes.filter(([, box]) => box.checked).map(([scope]) => scope) });
      made.replaceChildren(h("p", { class: "secret" }, `The key ${one.name}, shown this once: `, h("code", { id: "new-key" }, one.key)));
    } catch (problem) { made.replaceChildren(h("p", { class: "error" }, problem.message)); }
  };
  return h("section", { class: "card" }, h("h2", {}, "Keys"), table("Keys", ["Name", "Scopes", "Made", "Do"], told.keys.map((k) => [k.name, k.scopes.join(", "), time(k.created_at), k.revoked_at ? h("span", { class: "soft" }, "revoked") : h("button", { class: "quiet small", "aria-label": `Revoke ${k.name}`, onclick: async () => { if (await ask(`Revoke ${k.name}`, "Whoever uses it is refused from now on.", [], "Revoke", true)) await act("Revoked", "DELETE", `/serving/keys/${k.id}`); } }, "Revoke")])),
    h("form", { class: "inline", onsubmit: add }, h("div", {}, h("label", { for: "key-name" }, "Name"), label), h("div", { class: "checks", role: "group", "aria-label": "Scopes" }, scopes.map(([scope, box]) => h("label", {}, box, scope))), h("button", {}, "Make key")), made);
}
