// How numbers and times are written. All times are UTC; a title tells the exact one where a rough one stands.

export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  if (size > 0 && size < 0.001) return value.toExponential(1).replace(/e([+-]\d+)/, (_, power) => ` · 10${raised(Number(power))}`);
  return String(Number(value.toPrecision(digits)));
}
export const count = (value) => Number(value).toLocaleString("en");
export const interval = (told) => (told?.low === null || told?.low === undefined ? "" : `${number(told.low)} to ${number(told.high)}`);
export const raised = (power) => [...String(power)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("");
export const words = (name) => String(name).replaceAll("_", " ");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export const seconds = (text) => new Date(text) / 1000;
export const iso = (stamp) => new Date(stamp * 1000).toISOString();
export const moment = (text) => (text ? new Date(text).toISOString().slice(0, 16).replace("T", " ") : "–");
export const clock = (text) => new Date(text).toISOString().slice(11, 19);
export const day = (text) => new Date(text).toLocaleDateString("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" });

export function ago(text) {
  if (!text) return "never";
  const s = (Date.now() - new Date(text)) / 1000;
  if (s < 60) return "just now";
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  return s < 129600 ? `${Math.round(s / 3600)} h ago` : `${Math.round(s / 86400)} d ago`;
}
export function duration(s) {
  if (s === null || s === undefined) return "–";
  if (s < 10) return `${number(s, 2)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${number(s / 3600)} h` : `${number(s / 86400)} d`;
}

const KINDS = { single: "alone", shadow: "with a shadow", canary: "with a canary" };
// A route in a sentence: who answers, and who goes along.
export function route(policy) {
  if (!policy) return "no route yet";
  const others = policy.challengers ?? (policy.challenger ? [policy.challenger] : []);
  if (policy.kind === "shadow") return `${policy.champion} answers, ${others.join(" and ")} in its shadow`;
  if (policy.kind === "canary") return `${policy.champion} answers, ${others.join(", ")} is tried on ${number(100 * policy.share)} %`;
  if (policy.kind === "single") return `${policy.champion} answers ${KINDS.single}`;
  const members = policy.members ?? policy.arms ?? policy.stages?.map((s) => s.version) ?? [];
  return `${words(policy.kind)} of ${members.join(", ")}`;
}
export const versionsOf = (policy) => Object.values(policy ?? {}).flat().map((one) => one?.version ?? one).filter((one) => typeof one === "string" && one.includes(":"));
