// Elements from values: text is always text, so nothing that a model or a client wrote becomes HTML.
import { ago, moment, words } from "./format.js";

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

export const pill = (word, look = word) => h("span", { class: `pill ${look}` }, words(word));
export const time = (text) => h("time", { datetime: text ?? "", title: text ? `${moment(text)} UTC` : null }, ago(text));
export const link = (href, text, attributes = {}) => h("a", { href, ...attributes }, text);
export const empty = (title, ...more) => h("div", { class: "empty" }, h("p", {}, h("b", {}, title)), ...more);
export const crumbs = (...parts) => h("nav", { class: "crumbs", "aria-label": "Where this is" }, parts.flatMap((part, place) => (place ? [h("span", { "aria-hidden": "true" }, "/"), part] : [part])));
export const terms = (pairs) => h("dl", {}, pairs.filter(Boolean).flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value ?? "–")]));

// Text as people write it: what stands between backticks is typed, between two stars it is strong.
export const prose = (text) => text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => (part.startsWith("`") ? h("code", {}, part.slice(1, -1)) : part.startsWith("**") ? h("b", {}, part.slice(2, -2)) : part));

export function section(id, title, ...rest) {
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), ...rest);
}

// What is wide scrolls in its own box, which the keyboard reaches; on a narrow page each row becomes a block.
// A head that begins with # stands over numbers.
export function table(caption, heads, rows) {
  const cell = (value, place) => h("td", { "data-label": heads[place].replace(/^#/, ""), class: heads[place].startsWith("#") ? "num" : null }, h("span", { class: "cell" }, value ?? "–"));
  const head = (text) => h("th", { scope: "col", class: text.startsWith("#") ? "num" : null }, text ? text.replace(/^#/, "") : h("span", { class: "hidden" }, "What can be done"));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption }, h("table", { class: "stack" },
    h("caption", { class: "hidden" }, caption),
    h("thead", {}, h("tr", {}, heads.map(head))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map(cell))))));
}

// Says it to a screen reader, and shows it for a while.
export function say(text, { shown = false } = {}) {
  document.getElementById("said").textContent = text;
  const toast = document.getElementById("toast");
  if (!shown) return;
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(say.later);
  say.later = setTimeout(() => { toast.hidden = true; }, 6000);
}
