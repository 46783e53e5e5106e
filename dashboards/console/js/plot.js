import uPlot from "../vendor/uPlot.esm.js";
import { h, svg, table } from "./dom.js";
import { iso, moment, number, raised } from "./format.js";

const COLOURS = {
  light: ["#1d66b3", "#b4531a", "#6b3fa0", "#0d7a74", "#a02765", "#5d6b1e", "#444f5c"],
  dark: ["#6db3f2", "#f0a060", "#bd9bf0", "#5cd1c5", "#f08ab8", "#c4d260", "#b7c2cf"],
};
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
// How a level is drawn, in the chart and in its legend alike.
const REFERENCE = [6, 4], LIMIT = [2, 4], THRESHOLD = [6, 4];
const dark = matchMedia("(prefers-color-scheme: dark)");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const MARKS = { revision: ["--soft", [5, 4]], alarm: ["--bad", []], remedy: ["--good", [2, 3]] };
const STEPS = uPlot.paths.stepped({ align: 1 });
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

// A version has one colour in all charts of an application: by its place among all versions.
export function palette(versions) {
  const order = [...new Set(versions)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const colours = COLOURS[dark.matches ? "dark" : "light"];
  return (version) => colours[Math.max(order.indexOf(version.split(/ against | where /)[0]), 0) % colours.length];
}
export const dot = (colour) => { const made = h("i", { class: "dot", "aria-hidden": "true" }); made.style.background = colour; return made; };
export const dash = (place) => DASHES[place % DASHES.length];

function ticks(u, splits, _axis, _space, step) {
  let before = null;
  return splits.map((stamp) => {
    const text = iso(stamp), date = `${Number(text.slice(8, 10))} ${MONTHS[text.slice(5, 7) - 1]}`;
    // The first one says by which clock.
    const day = before === null ? `${date}, UTC` : date;
    const shown = step >= 86400 ? date : `${step < 1 ? text.slice(11, 21) : step < 60 ? text.slice(11, 19) : text.slice(11, 16)}${date === before ? "" : `\n${day}`}`;
    before = date;
    return shown;
  });
}

// The logarithmic axis goes from a whole power of ten to above its threshold.
const floor = (low) => 10 ** Math.max(Math.floor(Math.log10(Number.isFinite(low) ? Math.min(Math.max(low, 1e-6), 0.01) : 0.01)), -6);
const decades = (low, high) => Array.from({ length: Math.floor(Math.log10(high * 1.0001)) - Math.round(Math.log10(low)) + 1 }, (_, k) => Number(`1e${Math.round(Math.log10(low)) + k}`));
const power = (value) => (value >= 0.01 && value < 1000 ? String(value) : `10${raised(Math.round(Math.log10(value)))}`);

/* lines: [{label, colour, dash?, step?, at, value, low?, high?, limit?, reference?}], times in seconds since 1970;
   marks: [{at, kind, title, tier?, revision?, alert?}], where one with an alert leads to its incident; unit is what the
   upright axis counts; zoom(start, end) is called with a stretch that was drawn over. */
export function plot(title, lines, { unit, marks = [], logarithmic = false, height = 260, threshold = null, start, end, zoom = null, zero = true } = {}) {
  const referred = references(lines), levels = referred.map((one) => [one.value, one.colour, REFERENCE]);
  for (const limit of new Set(lines.map((line) => line.limit).filter(known))) levels.push([limit, css("--bad"), LIMIT]);
  if (threshold !== null) levels.push([threshold, css("--bad"), THRESHOLD]);
  const readout = h("p", { class: "readout", "aria-hidden": "true" }, "\u00a0");
  const holder = h("div", { class: "plot", role: "img", "aria-label": spoken(title, lines, marks) });
  holder.style.minHeight = `${height}px`;
  const { data, series, bands } = columns(lines);
  const linear = (u, low, high) => {
    const every = [...extent, ...levels.map(([v]) => v)].filter(Number.isFinite);
    const top = Math.max(zero ? 0 : -Infinity, ...every), bottom = Math.min(zero ? 0 : Infinity, ...every);
    return [bottom, top + (top - bottom) * 0.1 || bottom + 1];
  };
  const extent = reach(lines);
  const log = (u, low, high) => [floor(low), Math.max(Number.isFinite(high) ? high * 1.6 : 3, 3)];
  const axis = { stroke: css("--soft"), font: "12px system-ui, 'DejaVu Sans', sans-serif", grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
  const options = {
    height, series, bands, padding: [14, room(start ?? data[0][0], end ?? data[0].at(-1)), 0, 0], legend: { show: false },
    cursor: { points: { size: 7 }, drag: { x: zoom !== null, y: false, setScale: false } },
    scales: { x: { time: true, ...(start && end ? { range: [start, end] } : {}) }, y: logarithmic ? { distr: 3, log: 10, range: log } : { range: linear } },
    axes: [{ ...axis, values: ticks, space: (u, place, low, high, width) => labelled(high - low) + (width < 500 ? 6 : 22), size: 38 }, { ...axis, label: unit, labelSize: 18, labelGap: 2, labelFont: axis.font, size: (u, at) => 18 + 7 * Math.max(3, ...(at ?? []).map((text) => text.length)), values: (u, at) => at.map((v) => (v === null ? "" : logarithmic ? power(v) : number(v))),
      ...(logarithmic ? { splits: (u, place, low, high) => decades(low, high), filter: (u, at) => at } : {}) }],
    tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC"),
    hooks: {
      draw: [(u) => draw(u, levels, marks)],
      setCursor: [(u) => { readout.textContent = reading(u, lines, marks); u.over.style.cursor = led(u, marks) ? "pointer" : ""; }],
      ready: [(u) => u.over.addEventListener("click", () => { const mark = u.select.width <= 8 && led(u, marks); if (mark) location.hash = `#/incidents/${mark.alert}`; })],
      setSelect: [(u) => { if (zoom && u.select.width > 8) zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); }],
    },
  };
  requestAnimationFrame(() => {
    if (!holder.isConnected) return;
    const made = new uPlot({ ...options, width: holder.clientWidth || 600 }, data, holder);
    const watch = new ResizeObserver(() => {
      if (!holder.isConnected) { watch.disconnect(); made.destroy(); } else if (holder.clientWidth && holder.clientWidth !== made.width) made.setSize({ width: holder.clientWidth, height });
    });
    watch.observe(holder);
  });
  return h("div", { class: "chart" }, holder, readout, legend(lines, marks, threshold, referred), asTable(title, lines));
}

// From the lowest to the highest that is drawn. A stretch of one row has an interval over nearly everything: a few
// such ends are cut off, so that they do not press all others flat.
function reach(lines) {
  const ends = (name) => lines.flatMap((line) => line[name] ?? []).filter(Number.isFinite).sort((a, b) => a - b);
  const lows = ends("low"), highs = ends("high"), values = ends("value");
  const few = (some) => Math.floor(some.length * 0.04);
  return [values[0], values.at(-1), lows[few(lows)], highs.at(-1 - few(highs))];
}
// Pixels across of the longest label, by the seconds that are drawn: with tenths, with seconds, with minutes.
const labelled = (span) => (span < 12 ? 70 : span < 900 ? 56 : 42);
const known = (value) => value !== null && value !== undefined;
// Each version's mean of the reference in its own colour; one that several share in none of theirs.
function references(lines) {
  const all = lines.filter((line) => known(line.reference)), values = [...new Set(all.map((line) => line.reference))];
  if (values.length === 1) return [{ value: values[0], colour: all.length > 1 ? css("--soft") : all[0].colour, text: "mean of the reference" }];
  return all.map((line) => ({ value: line.reference, colour: line.colour, text: `mean of the reference of ${line.label}` }));
}
// The last label of the axis of time stands in the middle under its tick: half of it needs a place beside the chart.
const room = (start, end) => labelled(end - start) / 2 + 2;

// A mean is drawn over the whole of its stretch. Where a version was silent its line breaks: an explicit null is a
// gap, what another line's points leave open is none.
function broken(line) {
  const steps = line.at.slice(1).map((at, k) => at - line.at[k]).sort((a, b) => a - b);
  const wide = Math.max(3 * (line.step ?? Infinity), 5 * (steps[Math.floor(steps.length / 2)] ?? 0));
  const all = [line.at, line.value, ...(line.low ? [line.low, line.high] : [])], columns = all.map(() => []);
  const add = (k, at, silent = false) => columns.forEach((column, place) => column.push(place === 0 ? at : silent ? null : all[place][k]));
  line.at.forEach((at, k) => {
    if (k && at - line.at[k - 1] > wide) { add(k - 1, line.at[k - 1] + line.step * 0.999); add(k - 1, line.at[k - 1] + line.step, true); }
    add(k, at);
  });
  if (line.step && line.at.length) add(line.at.length - 1, line.at.at(-1) + line.step);
  return columns;
}

function columns(lines) {
  const series = [{}], bands = [];
  for (const line of lines) {
    const paths = line.step ? STEPS : undefined;
    series.push({ stroke: line.colour, width: 1.8, dash: line.dash, paths, points: { show: line.at.length < 3, size: 6, fill: line.colour } });
    if (!line.low) continue;
    const edge = { stroke: "transparent", width: 0, paths, points: { show: false } };
    series.push({ ...edge }, { ...edge });
    bands.push({ series: [series.length - 1, series.length - 2], fill: `${line.colour}30` });
  }
  const tables = lines.map(broken), expand = 2;
  const data = lines.length ? uPlot.join(tables, tables.map((columns) => columns.map(() => expand))) : [[], []];
  return { data, series, bands };
}

function draw(u, levels, marks) {
  const c = u.ctx, r = devicePixelRatio, { left, top, width, height } = u.bbox;
  const stroke = (colour, pattern, thick) => { c.strokeStyle = c.fillStyle = colour; c.setLineDash(pattern.map((d) => d * r)); c.lineWidth = thick * r; };
  c.save();
  c.beginPath(); c.rect(left, 0, width, top + height); c.clip();
  for (const [value, colour, pattern] of levels) {
    stroke(colour, pattern, 1.3);
    const y = u.valToPos(value, "y", true);
    c.beginPath(); c.moveTo(left, y); c.lineTo(left + width, y); c.stroke();
  }
  let free = -Infinity;
  for (const mark of marks) {
    const x = u.valToPos(mark.at, "x", true), [colour, pattern] = MARKS[mark.kind], light = mark.tier === "info";
    stroke(css(colour), pattern, 1.2);
    c.globalAlpha = mark.kind === "alarm" ? (light ? 0.45 : 0.6) : 0.9;
    // An alarm that only informs is a tick at the foot; what moves traffic or wakes people crosses the chart.
    c.beginPath(); c.moveTo(x, light ? top + height - 12 * r : top); c.lineTo(x, top + height); c.stroke();
    c.globalAlpha = 1;
    c.setLineDash([]);
    if (mark.kind === "revision" && x - free > 24 * r) {
      c.font = `${11 * r}px system-ui, "DejaVu Sans", sans-serif`; c.textAlign = "center"; c.fillText(`r${mark.revision}`, Math.min(Math.max(x, left + 10 * r), left + width - 10 * r), top - 4 * r);
      free = x;
    }
    if (light || mark.kind === "revision") continue;
    c.beginPath();
    if (mark.kind === "alarm") { c.moveTo(x - 4 * r, top); c.lineTo(x + 4 * r, top); c.lineTo(x, top + 7 * r); } else c.arc(x, top + 12 * r, 3.5 * r, 0, 7);
    c.fill();
  }
  c.restore();
}

const near = (u, marks) => marks.filter((m) => Math.abs(u.valToPos(m.at, "x") - u.cursor.left) < 5);
// The mark under the cursor that leads to an incident: what wakes people before what informs.
const led = (u, marks) => near(u, marks).filter((m) => m.alert).sort((a, b) => (a.tier === "info") - (b.tier === "info"))[0];

function reading(u, lines, marks) {
  const place = u.cursor.idx;
  if (place === null || place === undefined || !u.data[0].length || u.cursor.left < 0) return "\u00a0";
  const said = [];
  let column = 1;
  for (const line of lines) {
    const value = u.data[column][place];
    if (value !== null && value !== undefined) {
      const low = line.low ? u.data[column + 1][place] : null;
      said.push(`${line.label} ${number(value)}${low === null || low === undefined ? "" : ` (${number(low)} to ${number(u.data[column + 2][place])})`}`);
    }
    column += line.low ? 3 : 1;
  }
  return [`${iso(u.data[0][place]).slice(0, 19).replace("T", " ")} UTC`, ...said, ...near(u, marks).slice(0, 2).map((m) => (m.alert ? `${m.title} (incident ${m.alert})` : m.title))].join("  ·  ");
}

function spoken(title, lines, marks) {
  const told = lines.map((line) => `${line.label}, last ${number(line.value.findLast((v) => v !== null))}${line.limit ? `, limit ${number(line.limit)}` : ""}`);
  return [`Chart of ${title}`, ...told, marks.length ? `${marks.length} marks` : null].filter(Boolean).join("; ");
}

// Each key is drawn as what it stands for is: the same colour, the same pattern.
function legend(lines, marks, threshold, referred) {
  const key = (colour, pattern = [], thick = 1.6) => svg("svg", { class: "key", viewBox: "0 0 26 10", "aria-hidden": "true" }, svg("path", { d: "M0 5H26", stroke: colour, "stroke-width": thick, "stroke-dasharray": pattern.join(" ") || null }));
  const upright = (kind) => { const [colour, pattern] = MARKS[kind]; return svg("svg", { class: "key mark", viewBox: "0 0 10 14", "aria-hidden": "true" }, svg("path", { d: "M5 0V14", stroke: css(colour), "stroke-width": 1.6, "stroke-dasharray": pattern.join(" ") || null }), kind === "alarm" ? svg("path", { d: "M1 0H9L5 7Z", fill: css(colour) }) : kind === "remedy" ? svg("circle", { cx: 5, cy: 5, r: 3.5, fill: css(colour) }) : null); };
  const band = () => svg("svg", { class: "key", viewBox: "0 0 26 10", "aria-hidden": "true" }, svg("rect", { width: 26, height: 10, rx: 2, fill: css("--soft"), opacity: 0.28 }));
  const item = (shape, text) => h("li", {}, shape, text);
  const kinds = [...new Set(marks.map((m) => m.kind))];
  const said = { revision: "revision of the route", alarm: "alarm", remedy: "remedy" };
  return h("ul", { class: "legend" }, lines.map((l) => item(key(l.colour, l.dash, 2.4), l.label)),
    lines.some((l) => l.low) && item(band(), "95 % interval"),
    referred.map((one) => item(key(one.colour, REFERENCE), one.text)),
    lines.some((l) => known(l.limit)) && item(key(css("--bad"), LIMIT), "limit: beyond it the watch gathers evidence"),
    threshold !== null && item(key(css("--bad"), THRESHOLD), "alarms here"), kinds.map((kind) => item(upright(kind), said[kind])));
}

// The same for who cannot see a chart; made when it is opened.
function asTable(title, lines) {
  if (!lines.length) return null;
  const holder = h("div", {});
  const fill = () => {
    if (holder.firstChild) return;
    const rows = lines.flatMap((line) => line.at.map((at, k) => [at, line, k])).filter(([, line, k]) => line.value[k] !== null).sort((a, b) => b[0] - a[0]).slice(0, 200);
    holder.append(table(`${title}, newest first`, ["When (UTC)", "Line", "#Value", "#Low", "#High"], rows.map(([at, line, k]) => [moment(at * 1000), line.label, number(line.value[k]), number(line.low?.[k]), number(line.high?.[k])])));
  };
  return h("details", { class: "data", ontoggle: fill }, h("summary", {}, "As a table"), holder);
}
