import uPlot from "../vendor/uPlot.esm.js";
import { h, moment, number } from "./dom.js";

const COLOURS = { light: ["#1d66b3", "#b4531a", "#6b3fa0", "#12807a", "#a02765", "#5d6b1e"], dark: ["#6db3f2", "#f0a060", "#bd9bf0", "#5cd1c5", "#f08ab8", "#c4d260"] };
const MARKS = { revision: ["#5a6675", [5, 4]], alarm: ["#c2261d", []], remedy: ["#1c7540", [2, 3]] };
const dark = matchMedia("(prefers-color-scheme: dark)");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The chart's logarithmic axis counts up from its lower end: only from a whole power of ten does it arrive.
const decade = (low) => Number(`1e${Math.max(Math.floor(Math.log10(Number.isFinite(low) ? Math.min(Math.max(low, 1e-6), 0.01) : 0.01)), -6)}`);

// lines: [{label, at, value, low?, high?, limit?, reference?}] in seconds since 1970; marks: [{at, kind, title}]
export function plot(title, lines, { marks = [], logarithmic = false, height = 280, threshold = null, start, end } = {}) {
  const holder = h("div", { role: "img", "aria-label": `${title}: ${lines.map((l) => `${l.label} last ${number(l.value.at(-1))}`).join(", ")}` });
  const palette = COLOURS[dark.matches ? "dark" : "light"];
  const tables = lines.map((l) => [l.at, l.value, ...(l.low ? [l.low, l.high] : [])]);
  const data = lines.length ? uPlot.join(tables) : [[], []];
  const series = [{}], bands = [];
  lines.forEach((line, place) => {
    const colour = palette[place % palette.length];
    series.push({ label: line.label, stroke: colour, width: 2, spanGaps: true, points: { show: line.at.length < 3 } });
    if (line.low) {
      series.push({ stroke: "transparent", spanGaps: true, points: { show: false } }, { stroke: "transparent", spanGaps: true, points: { show: false } });
      bands.push({ series: [series.length - 1, series.length - 2], fill: `${colour}2e` });
    }
  });
  const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") } };
  const levels = [...lines.flatMap((l, place) => [[l.reference, palette[place % palette.length], [6, 4]], [l.limit, css("--bad"), [2, 4]]]), [threshold, css("--bad"), [6, 4]]].filter(([v]) => v !== null && v !== undefined);
  const options = {
    width: 600, height, series, bands, legend: { show: false }, cursor: { points: { size: 7 } },
    scales: {
      x: { time: true, ...(start && end ? { range: [start, end] } : {}) },
      y: logarithmic ? { distr: 3, log: 10, range: (u, low, high) => [decade(low), Math.max(Number.isFinite(high) ? high : 3, 3)] }
        : { range: (u, low, high) => { const every = [low, high, ...levels.map(([v]) => v)].filter(Number.isFinite); const top = Math.max(0, ...every); const bottom = Math.min(0, ...every); return [bottom, top + (top - bottom) * 0.08 || 1]; } },
    },
    axes: [axis, { ...axis, size: 62, values: (u, ticks) => ticks.map((t) => (t === null ? "" : number(t))) }],
    tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC"),
    hooks: { draw: [(u) => {
      const c = u.ctx, { left, top, width, height: tall } = u.bbox;
      c.save(); c.beginPath(); c.rect(left, top, width, tall); c.clip();
      for (const [value, colour, dash] of levels) {
        const y = u.valToPos(value, "y", true);
        c.strokeStyle = colour; c.setLineDash(dash.map((d) => d * devicePixelRatio)); c.lineWidth = 1.4 * devicePixelRatio;
        c.beginPath(); c.moveTo(left, y); c.lineTo(left + width, y); c.stroke();
      }
      for (const mark of marks) {
        const x = u.valToPos(mark.at, "x", true), [colour, dash] = MARKS[mark.kind];
        c.strokeStyle = c.fillStyle = colour; c.globalAlpha = mark.kind === "alarm" ? 0.55 : 0.9;
        c.setLineDash(dash.map((d) => d * devicePixelRatio)); c.lineWidth = 1.3 * devicePixelRatio;
        c.beginPath(); c.moveTo(x, top); c.lineTo(x, top + tall); c.stroke();
        c.beginPath(); c.arc(x, top + 5 * devicePixelRatio, 4 * devicePixelRatio, 0, 7); c.fill(); c.globalAlpha = 1;
      }
      c.restore();
    }], setCursor: [(u) => {
      const place = u.cursor.idx;
      told.textContent = place === null || place === undefined || !u.data[0].length ? "" : `${moment(u.data[0][place] * 1000)} UTC  ` + u.series.slice(1).map((s, k) => (s.label && s.label !== "Value" && u.data[k + 1][place] !== null && u.data[k + 1][place] !== undefined ? `${s.label} ${number(u.data[k + 1][place])}` : "")).filter(Boolean).join("   ");
    }] },
  };
  const told = h("p", { class: "small soft mono", "aria-hidden": "true" }, "\u00a0");
  const item = (colour, text, dash) => { const mark = h("i", { class: dash ? "dash" : null }); mark.style.borderColor = colour; return h("li", {}, mark, text); };
  const kinds = [...new Set(marks.map((m) => m.kind))];
  const legend = h("ul", { class: "legend" }, lines.map((l, place) => item(palette[place % palette.length], l.label)),
    lines.some((l) => l.reference) && item(palette[0], "its reference", true), lines.some((l) => l.limit) && item(css("--bad"), "limit", true),
    threshold !== null && item(css("--bad"), "alarms here", true), kinds.map((kind) => item(MARKS[kind][0], kind)));
  requestAnimationFrame(() => {
    if (!holder.isConnected) return;
    const made = new uPlot({ ...options, width: holder.clientWidth || 600 }, data, holder);
    new ResizeObserver(() => { if (holder.clientWidth && holder.clientWidth !== made.width) made.setSize({ width: holder.clientWidth, height }); }).observe(holder);
  });
  holder.style.minHeight = `${height}px`;
  return h("div", {}, holder, told, legend);
}
