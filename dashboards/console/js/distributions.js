// What comes in and goes out now, beside the reference; the furthest moved first.
import { h, svg, empty, section } from "./dom.js";
import { count, number } from "./format.js";

const FAR = 0.15;

export function distributions(told) {
  if (told === null) return section("h-features", "Distributions", h("p", { class: "error" }, "The newest rows could not be read."));
  if (!told.features.length) return section("h-features", "Distributions", empty("There are no rows to compare yet."));
  const features = told.features.filter((one) => one.of === "feature"), answers = told.features.filter((one) => one.of !== "feature");
  const moved = features.filter((one) => one.distance > FAR).length;
  const about = told.rows_then ? `its reference of ${count(told.rows_then)} rows (line)` : "no reference: none was uploaded with the version";
  return section("h-features", "Distributions now and in the reference",
    h("p", { class: "soft small" }, `The newest ${count(told.rows_now)} rows of ${told.version} (bars) beside ${about}. The distance runs from 0, alike, to 1, apart; it describes and promises nothing.`),
    h("h3", {}, `Features, the furthest moved first${moved ? `: ${moved} of ${features.length} beyond ${FAR}` : ""}`), h("ol", { class: "features" }, features.map((one, place) => histogram(one, place + 1))),
    answers.length ? [h("h3", {}, "Answers"), h("ul", { class: "features" }, answers.map((one) => histogram(one)))] : null);
}

// What a bar stands for, where there is room for the ends of the axis alone.
const said = (one, k) => `${one.labels?.[k] ?? `${number(one.edges[k])} to ${number(one.edges[k + 1])}`}: ${number(100 * one.now[k], 2)} %${one.distance === null ? "" : `, ${number(100 * one.then[k], 2)} % in the reference`}`;

function histogram(one, rank = null) {
  const wide = 240 / Math.max(one.now.length, 1), top = Math.max(...one.now, ...one.then, 0.001), y = (v) => 62 - (v / top) * 58;
  const line = one.then.map((v, k) => `${k ? "L" : "M"}${k * wide},${y(v)}L${(k + 1) * wide},${y(v)}`).join("");
  const ends = one.edges ? [...new Set([one.edges[0], one.edges.at(-1)])].map((edge) => number(edge)) : one.labels.length > 4 ? [one.labels[0], one.labels.at(-1)] : one.labels;
  const gone = Math.max(one.missing_now, one.missing_then) > 0.001 ? h("p", { class: "small soft" }, `missing ${number(100 * one.missing_now)} %${one.distance === null ? "" : `, ${number(100 * one.missing_then)} % in the reference`}`) : null;
  const distance = one.distance === null ? "no reference" : number(one.distance, 2);
  return h("li", {}, h("p", { class: "what" }, h("b", {}, rank ? `${rank}. ${one.name}` : one.name), h("span", { class: one.distance > FAR ? "pill page" : "pill" }, distance)),
    svg("svg", { class: "bars", viewBox: "0 0 240 64", preserveAspectRatio: "none", role: "img", "aria-label": `${one.name}: ${one.distance === null ? distance : `distance ${distance} from the reference`}` },
      one.now.map((v, k) => (v ? svg("rect", { x: k * wide + 0.5, width: Math.max(wide - 1, 0.5), y: y(v), height: 62 - y(v) }, svg("title", {}, said(one, k))) : null)), svg("path", { class: "foot", d: "M0 62.5H240" }), one.then.some(Boolean) ? svg("path", { class: "then", d: line }) : null),
    h("p", { class: (one.edges ?? one.labels).length > 4 ? "ends" : "ends even" }, ends.map((text) => h("span", {}, text))), gone,
    one.of === "score" && one.distance !== null ? h("p", { class: "small soft" }, "Its reference is the version's first answers.") : null);
}
