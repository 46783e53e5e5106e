import { get, name } from "./api.js";
import { h, pill, time, link, empty, table, section, crumbs } from "./dom.js";
import { count, versionsOf } from "./format.js";
import { lookUp } from "./prediction.js";

const FEW = 12;

export async function models(query, only = null) {
  const [{ models: all }, fleet] = await Promise.all([get("/serving/models"), get("/fleet")]);
  const known = all.map((one) => one.model).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  if (only !== null) return h("div", {}, crumbs(link("#/models", "Models"), h("span", { "aria-current": "page" }, only)), h("h1", {}, only), section("h-versions", "Versions", await versions(only, fleet)));
  const head = [h("h1", {}, "Models"), section("h-look", "Look a prediction up", lookUp())];
  if (!known.length) return h("div", {}, head, h("div", { class: "card" }, empty("No model is registered.", h("p", {}, "A model is registered with its first version, by ", h("code", {}, "leadsman deploy"), "."))));
  if (known.length <= FEW) return h("div", {}, head, await Promise.all(known.map(async (model) => section(`m-${model}`, link(`#/models/${name(model)}`, model, { class: "name" }), await versions(model, fleet)))));
  const body = h("div", {}), filter = h("input", { id: "filter", type: "search", placeholder: "Name of a model", value: query.get("q") ?? "" });
  const fill = () => {
    const found = known.filter((model) => model.toLowerCase().includes(filter.value.toLowerCase()));
    const served = (model) => fleet.filter((one) => versionsOf(one.policy).some((v) => v.startsWith(`${model}:`)));
    body.replaceChildren(found.length ? table("Models", ["Model", "In service", "For"], found.map((model) => [link(`#/models/${name(model)}`, model, { class: "name" }), h("span", { class: "mono" }, [...new Set(served(model).map((one) => one.version).filter(Boolean))].join(", ") || "–"), h("span", {}, served(model).slice(0, 3).map((one, k) => [k ? ", " : "", link(`#/applications/${name(one.application)}`, one.application)]))])) : empty("No model is called like that."));
  };
  filter.addEventListener("input", () => { fill(); history.replaceState(null, "", filter.value ? `#/models?q=${name(filter.value)}` : "#/models"); });
  fill();
  return h("div", {}, head, h("section", { class: "card", "aria-labelledby": "h-models" }, h("div", { class: "row between" }, h("h2", { id: "h-models" }, `${count(known.length)} models`), h("div", { class: "search" }, h("label", { for: "filter", class: "hidden" }, "Filter models"), filter)), body));
}

async function versions(model, fleet) {
  const { versions: all } = await get(`/serving/models/${name(model)}/versions`);
  const replicas = await Promise.all(all.map((v) => get(`/serving/models/${name(model)}/versions/${name(v.version)}/replicas`).catch(() => null)));
  return table(`Versions of ${model}, the newest first`, ["Version", "Serves", "Replicas", "Framework", "Digest", "#Size", "Registered"], all.map((v, place) => [
    h("b", {}, v.version), serves(`${model}:${v.version}`, fleet), state(replicas[place]), v.framework, h("details", { class: "digest" }, h("summary", {}, h("code", {}, v.digest.slice(0, 12))), h("code", {}, v.digest)), size(v.size_bytes), time(v.created_at)]).reverse());
}

function serves(full, fleet) {
  const mine = fleet.filter((one) => versionsOf(one.policy).includes(full));
  return mine.length ? h("span", {}, mine.map((one, k) => [k ? ", " : "", link(`#/applications/${name(one.application)}`, one.application), h("span", { class: "soft" }, one.version === full ? " answers" : " on trial")])) : h("span", { class: "soft" }, "nowhere");
}

function state(told) {
  if (told === null) return h("span", { class: "soft" }, "not known");
  const counted = told.state ? [h("span", {}, count(told.count * told.processes)), pill(told.state)] : h("span", { class: "soft" }, "none started");
  return h("span", {}, h("span", { class: "row tight" }, counted), told.last_words ? h("details", {}, h("summary", {}, "last words"), h("pre", { class: "mono words" }, told.last_words)) : null);
}
const size = (bytes) => (bytes < 1e6 ? `${count(Math.max(Math.round(bytes / 1024), 1))} kB` : `${count(Math.round(bytes / 1048576))} MB`);
