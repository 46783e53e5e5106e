// Elements from values: text is always text, so nothing that a model or a client wrote becomes HTML.
const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

export const pill = (word) => h("span", { class: `pill ${word}` }, String(word).replaceAll("_", " "));
export const number = (value, digits = 3) =>
  value === null || value === undefined ? "–" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en")
    : String(Number(value.toPrecision(digits)));
export const moment = (text) => (text ? new Date(text).toISOString().slice(0, 16).replace("T", " ") : "–");
export function ago(text) {
  if (!text) return "never";
  const s = (Date.now() - new Date(text)) / 1000;
  if (s < 60) return "just now";
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  return s < 129600 ? `${Math.round(s / 3600)} h ago` : `${Math.round(s / 86400)} d ago`;
}
export const time = (text) => h("time", { datetime: text ?? "", title: text ? `${moment(text)} UTC` : null }, ago(text));
export const link = (href, text, attributes = {}) => h("a", { href, ...attributes }, text);
export const empty = (title, ...more) => h("div", { class: "empty" }, h("p", {}, h("b", {}, title)), ...more);

export function table(caption, heads, rows, { stack = true } = {}) {
  const body = rows.map((cells) =>
    h("tr", {}, cells.map((cell, place) => h("td", { "data-label": heads[place].replace(/^#/, ""), class: heads[place].startsWith("#") ? "num" : null }, cell ?? "–"))));
  return h("div", { class: "scroll" }, h("table", { class: stack ? "stack" : null },
    h("caption", { class: "hidden" }, caption),
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col", class: head.startsWith("#") ? "num" : null }, head.replace(/^#/, ""))))),
    h("tbody", {}, body)));
}

export function say(text) { document.getElementById("said").textContent = text; }

// One question in a dialog; resolves to the answers by name, or null where it was closed.
export function ask(title, text, fields, confirm = "Confirm", danger = false) {
  return new Promise((resolve) => {
    const inputs = fields.map((field) => [field, field.options
      ? h("select", { id: `ask-${field.name}` }, field.options.map(([value, label]) => h("option", { value }, label)))
      : h("textarea", { id: `ask-${field.name}`, rows: 2, required: field.required })]);
    const done = (answer) => { box.close(); box.remove(); resolve(answer); };
    const box = h("dialog", { "aria-labelledby": "ask-title" }, h("form", {
      onsubmit: (event) => { event.preventDefault(); done(Object.fromEntries(inputs.map(([field, input]) => [field.name, input.value.trim()]))); },
    }, h("h2", { id: "ask-title" }, title), h("p", { class: "soft" }, text),
    inputs.map(([field, input]) => [h("label", { for: input.id }, field.label), input]),
    h("p", { class: "row" }, h("button", { class: danger ? "danger" : null }, confirm),
      h("button", { type: "button", class: "quiet", onclick: () => done(null) }, "Cancel"))));
    box.addEventListener("cancel", (event) => { event.preventDefault(); done(null); });
    document.body.append(box);
    box.showModal();
  });
}
