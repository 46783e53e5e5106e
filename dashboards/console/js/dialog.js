import { h, say } from "./dom.js";

// One question, and what is done with the answer. The dialog stays until it was done: what hinders it is read in it.
export function ask({ title, text, fields = [], confirm, danger = false, run, done }) {
  const inputs = fields.map((field) => [field, field.options
    ? h("select", { id: `ask-${field.name}` }, field.options.map(([value, label]) => h("option", { value }, label)))
    : h("textarea", { id: `ask-${field.name}`, rows: 2, required: field.required, maxlength: 2000 })]);
  const told = h("p", { role: "alert", class: "error", hidden: true });
  const go = h("button", { class: danger ? "danger" : null }, confirm);
  const shut = () => { box.close(); box.remove(); };
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(inputs.map(([field, input]) => [field.name, input.value.trim() || null]));
    go.disabled = true;
    go.textContent = "Working…";
    try {
      await run(given);
      shut();
      say(done ?? `${confirm}: done`, { shown: true });
    } catch (problem) {
      told.hidden = false;
      told.textContent = `${problem.title ? `${problem.title}: ` : ""}${problem.message}`;
      go.disabled = false;
      go.textContent = confirm;
    }
  };
  const box = h("dialog", { "aria-labelledby": "ask-title" }, h("form", { onsubmit: submit },
    h("h2", { id: "ask-title" }, title), text ? h("p", { class: "soft" }, text) : null,
    inputs.map(([field, input]) => [h("label", { for: input.id }, field.label), input]), told,
    h("p", { class: "row end" }, h("button", { type: "button", class: "quiet", onclick: shut }, "Cancel"), go)));
  box.addEventListener("cancel", (event) => { event.preventDefault(); shut(); });
  document.body.append(box);
  box.showModal();
  (inputs[0]?.[1] ?? go).focus();
}
