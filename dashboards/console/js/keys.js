import { call, name } from "./api.js";
import { send } from "./actions.js";
import { h, pill, time, table, section } from "./dom.js";
import { ask } from "./dialog.js";
import { secret } from "./webhooks.js";

const SCOPES = ["read", "predict", "feedback", "admin"];

export function keys(told) {
  if (told instanceof Error) return section("h-keys", "Keys", h("p", { class: "error" }, `${told.title}: ${told.message}`));
  const made = h("div", { "aria-live": "polite" });
  const label = h("input", { id: "key-name", required: true, placeholder: "who or what uses it" });
  const boxes = SCOPES.map((scope) => [scope, h("input", { type: "checkbox", id: `scope-${scope}`, checked: scope === "read" })]);
  const add = async (event) => {
    event.preventDefault();
    try {
      const one = await call("POST", "/serving/keys", { name: label.value.trim(), scopes: boxes.filter(([, box]) => box.checked).map(([scope]) => scope) });
      made.replaceChildren(secret(`The key ${one.name}. It is shown this once:`, one.key));
    } catch (problem) { made.replaceChildren(h("p", { class: "error" }, problem.message)); }
  };
  const revoke = (k) => ask({ title: `Revoke ${k.name}`, text: "Whoever uses it is refused from now on.", confirm: "Revoke", danger: true, done: `${k.name} was revoked.`, run: () => send("DELETE", `/serving/keys/${name(k.id)}`) });
  const live = told.keys.filter((k) => !k.revoked_at), gone = told.keys.filter((k) => k.revoked_at);
  const rows = [...live, ...gone].map((k) => [h("b", {}, k.name), h("span", { class: "row tight" }, k.scopes.map((scope) => pill(scope))), time(k.created_at), k.revoked_at ? h("span", { class: "soft" }, "revoked ", time(k.revoked_at)) : h("button", { class: "quiet small", type: "button", "aria-label": `Revoke ${k.name}`, onclick: () => revoke(k) }, "Revoke…")]);
  return section("h-keys", "Keys", table("Keys", ["Name", "Scopes", "Made", ""], rows),
    h("form", { class: "inline", onsubmit: add }, h("div", {}, h("label", { for: "key-name" }, "Name of a new key"), label), h("fieldset", { class: "checks" }, h("legend", {}, "Scopes"), boxes.map(([scope, box]) => h("label", {}, box, scope))), h("button", {}, "Make key")), made);
}
