import { get, name } from "./api.js";
import { h, pill, time, link, empty, table, moment } from "./dom.js";

export function lookUp(value = "") {
  const input = h("input", { id: "prediction", value, placeholder: "id of a prediction", class: "mono", required: true });
  return h("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); location.hash = `#/predictions/${name(input.value.trim())}`; } },
    h("div", {}, h("label", { for: "prediction" }, "Look a prediction up"), input), h("button", {}, "Look up"));
}

export async function models() {
  const [{ models: all }, fleet] = await Promise.all([get("/serving/models"), get("/fleet")]);
  const head = [h("h1", {}, "Models"), h("div", { class: "card" }, lookUp())];
  if (!all.length) return h("div", {}, head, h("div", { class: "card" }, empty("No model is registered.")));
  const cards = await Promise.all(all.map(async ({ model }) => {
    const { versions } = await get(`/serving/models/${name(model)}/versions`);
    const told = await Promise.all(versions.map((v) => get(`/serving/models/${name(model)}/versions/${name(v.version)}/replicas`).catch(() => null)));
    const rows = versions.map((v, place) => {
      const full = `${model}:${v.version}`, replicas = told[place];
      const serves = fleet.filter((one) => Object.values(one.policy ?? {}).flat().includes(full));
      return [h("b", {}, v.version), v.framework, h("code", { title: v.digest }, v.digest.slice(0, 16)), `${Math.max(Math.round(v.size_bytes / 1024), 1).toLocaleString("en")} kB`,
        serves.length ? h("span", {}, serves.map((one, k) => [k ? ", " : "", link(`#/applications/${name(one.application)}`, one.application), h("span", { class: "soft small" }, one.version === full ? " answers" : " in trial")])) : "nowhere",
        replicas ? h("span", {}, `${replicas.count} × ${replicas.processes} `, replicas.state ? pill(replicas.state) : h("span", { class: "soft small" }, "not started")) : "–", time(v.created_at)];
    }).reverse();
    return h("section", { class: "card" }, h("h2", {}, model), table(`Versions of ${model}`, ["Version", "Framework", "Digest", "#Size", "Serves", "Replicas", "Registered"], rows));
  }));
  return h("div", {}, head, cards);
}

export async function prediction(id) {
  const one = await get(`/serving/predictions/${name(id)}`);
  const show = (value) => h("code", {}, JSON.stringify(value));
  const terms = (pairs) => h("dl", {}, pairs.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
  return h("div", {}, h("p", { class: "small soft" }, link("#/models", "Models"), " / prediction"), h("h1", {}, "Prediction"), h("p", { class: "mono soft" }, one.id), h("div", { class: "card" }, lookUp(one.id)),
    h("div", { class: "grid" },
      h("section", { class: "card" }, h("h2", {}, "Answer"), terms([["Output", show(one.output)], ["Scores", show(one.scores)], ["Version", h("span", { class: "mono" }, one.model ? `${one.model}:${one.version}` : "none")], ["Application", h("span", {}, link(`#/applications/${name(one.application)}`, one.application), `, revision ${one.revision}`)],
        ["When", `${moment(one.predicted_at)} UTC`], ["Took", `${one.latency_ms} ms`], ["Chosen with", `probability ${one.propensity}`], ["Default", one.default ? `yes: ${one.default_reason}` : "no"], ["Cached", one.cached ? "yes" : "no"]])),
      h("section", { class: "card" }, h("h2", {}, "Label"), one.feedback.length ? table("Labels", ["Label", "Received (UTC)"], one.feedback.map((f) => [show(f.label), moment(f.received_at)])) : empty("No label came yet."),
        one.shadows.length ? [h("h3", {}, "In the shadow"), table("Shadows", ["Version", "Output"], one.shadows.map((s) => [`${s.model}:${s.version}`, show(s.output)]))] : null)),
    h("section", { class: "card" }, h("h2", {}, "Input"), table("Input", ["Feature", "Value"], Object.entries(one.input).map(([feature, value]) => [feature, show(value)])), one.context ? [h("h3", {}, "Context"), show(one.context)] : null));
}
