import { get, name } from "./api.js";
import { h, link, empty, table, section, crumbs, terms, time } from "./dom.js";
import { number } from "./format.js";

export function lookUp(value = "") {
  const input = h("input", { id: "prediction", value, placeholder: "01a21303-22eb-7f68-ab61-405492a3fbd4", class: "mono", required: true, spellcheck: "false", autocomplete: "off" });
  return h("form", { class: "inline", role: "search", onsubmit: (event) => { event.preventDefault(); location.hash = `#/predictions/${name(input.value.trim())}`; } },
    h("div", {}, h("label", { for: "prediction" }, "Id of the prediction"), input), h("button", {}, "Look up"));
}
const show = (value) => h("code", {}, JSON.stringify(value));

export async function prediction(id) {
  const head = [crumbs(link("#/models", "Models"), h("span", { "aria-current": "page" }, "prediction")), h("h1", {}, "Prediction")];
  let one;
  try { one = await get(`/serving/predictions/${name(id)}`); } catch (problem) {
    if (![400, 404, 422].includes(problem.status)) throw problem;
    return h("div", {}, head, h("p", { class: "error", role: "alert" }, problem.message), h("div", { class: "card" }, lookUp(id)));
  }
  const inputs = Array.isArray(one.input) ? one.input.map((value, place) => [`${place}`, value]) : Object.entries(one.input);
  const answer = [["Output", h("b", {}, show(one.output))], ["Scores", one.scores ? h("code", {}, one.scores.map((s) => number(s, 4)).join(", ")) : "none"],
    ["Version", one.model ? link(`#/models/${name(one.model)}`, `${one.model}:${one.version}`, { class: "mono" }) : "none answered"], ["Application", h("span", {}, link(`#/applications/${name(one.application)}`, one.application), `, revision ${one.revision}`)],
    ["Asked", h("span", {}, h("span", { class: "mono" }, new Date(one.predicted_at).toISOString().slice(0, 23).replace("T", " ")), " UTC, ", time(one.predicted_at))], ["Took", `${number(one.latency_ms)} ms`], ["Chosen", one.propensity === 1 ? "always, by this route" : `with probability ${number(one.propensity)}`],
    ["Default answer", one.default ? `yes: ${one.default_reason}` : "no"], ["From the cache", one.cached ? "yes" : "no"]];
  const labels = one.feedback.length ? table("Labels", ["Label", "Received"], one.feedback.map((f) => [show(f.label), time(f.received_at)])) : empty("No label came yet.");
  const shadows = one.shadows.length ? [h("h3", {}, "In the shadow"), table("Answers in the shadow", ["Version", "Output"], one.shadows.map((s) => [h("span", { class: "mono" }, `${s.model}:${s.version}`), show(s.output)]))] : null;
  return h("div", {}, head, h("p", { class: "mono soft wrap" }, one.id),
    h("div", { class: "grid" }, section("h-answer", "Answer", terms(answer)), section("h-label", "Label", labels, shadows)),
    section("h-input", "Input", table("Input", ["Feature", "Value"], inputs.map(([feature, value]) => [feature, show(value)])), one.context ? [h("h3", {}, "Context"), show(one.context)] : null),
    section("h-look", "Look another up", lookUp()));
}
