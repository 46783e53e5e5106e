import { forget, keep, key, listen, readiness, session, signIn } from "./api.js";
import { onChange } from "./actions.js";
import { h, link, say } from "./dom.js";
import { fleet } from "./fleet.js";
import { ago } from "./format.js";

// Every view but the first is fetched when it is wanted: the fleet paints without the charts. The files that a view
// imports are named here, so that they come at the same time and not one after another.
const CHARTS = ["plot", "../vendor/uPlot.esm"];
const VIEWS = [
  [/^\/$/, "fleet", [], (m, query) => fleet(query)],
  [/^\/applications\/([^/]+)$/, "fleet", ["application", "watches", "distributions", ...CHARTS], (m, query, view) => view.application(decodeURIComponent(m[1]), query)],
  [/^\/incidents\/(\d+)$/, "fleet", ["incident", ...CHARTS], (m, query, view) => view.incident(m[1])],
  [/^\/models$/, "models", ["models", "prediction"], (m, query, view) => view.models(query)],
  [/^\/models\/([^/]+)$/, "models", ["models", "prediction"], (m, query, view) => view.models(query, decodeURIComponent(m[1]))],
  [/^\/predictions\/([^/]+)$/, "models", ["prediction"], (m, query, view) => view.prediction(decodeURIComponent(m[1]))],
  [/^\/settings$/, "settings", ["settings", "keys", "ledger", "webhooks"], (m, query, view) => view.settings(query)],
  [/^\/webhooks\/(\d+)$/, "settings", ["webhooks"], (m, query, view) => view.deliveries(m[1])],
  [/^\/runbook(?:\/([\w-]+))?$/, "fleet", ["runbook"], (m, query, view) => view.runbook(m[1])],
];
const fetched = async (names) => (await Promise.all(names.map((name) => import(`./${name}.js`))))[0];
const CALM = 5000, STALE = 180000, LOOK = 30000;
const [main, top, live, banner, progress] = ["main", "top", "live", "banner", "progress"].map((id) => document.getElementById(id));
let turn = 0, hearing = null, shown = null, later = null, drawn = 0;

// quietly: by itself, because something changed; asked: because of what the person just did.
async function show({ quietly = false, asked = false } = {}) {
  const mine = ++turn;
  if (!key()) return door();
  const [path, rest] = (location.hash.slice(1) || "/").split("?");
  const found = VIEWS.map(([form, ...view]) => [path.match(form), ...view]).find(([match]) => match);
  const slow = setTimeout(() => { if (!quietly && mine === turn) waiting(); }, 150);
  let made;
  try {
    made = found ? await found[3](found[0], new URLSearchParams(rest), await fetched(found[2])) : h("div", {}, h("h1", {}, "No such view"), h("p", {}, link("#/", "To the fleet")));
  } catch (problem) {
    if (mine !== turn) return;
    if (problem.status === 401) { forget(); return door("This key is not in force."); }
    if (quietly) return;
    made = failed(problem);
  } finally { clearTimeout(slow); if (mine === turn) progress.hidden = true; }
  if (mine !== turn || (quietly && !asked && busy())) return;
  place(made, found?.[1], quietly);
  if (asked && document.activeElement === document.body) main.focus({ preventScroll: true });
  if (!hearing) hear();
}

function waiting() {
  progress.hidden = false;
  if (!main.firstChild) main.replaceChildren(h("p", { class: "soft" }, "Loading…"));
}
// What is no answer of the monitor may be a file that did not come; a browser may remember that, until it is reloaded.
function failed(problem) {
  if (problem.status === undefined) console.error(problem);
  return h("div", {}, h("h1", {}, problem.title ?? "Something went wrong"), h("p", { class: "error", role: "alert" }, problem.message), h("p", { class: "row" }, h("button", { type: "button", onclick: () => (problem.status === undefined ? location.reload() : show()) }, "Try again"), link("#/", "To the fleet")));
}

// A view that is drawn anew keeps what the person did to it: where it was scrolled, what was opened, the focus.
function place(made, view, quietly) {
  top.hidden = false;
  for (const a of top.querySelectorAll("[data-view]")) { if (a.dataset.view === view) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current"); }
  const same = shown?.split("?")[0] === location.hash.split("?")[0];
  const scrolled = scrollY, focused = document.activeElement?.id;
  const opened = same ? [...main.querySelectorAll("details[id]")].map((one) => [one.id, one.open]) : [];
  main.replaceChildren(made);
  for (const [id, open] of opened) { const one = document.getElementById(id); if (one) one.open = open; }
  const title = main.querySelector("h1")?.textContent ?? "";
  document.title = `${title} · Leadsman`;
  if (quietly || same) {
    scrollTo(0, scrolled);
    if (focused && focused !== "main") document.getElementById(focused)?.focus({ preventScroll: true });
  } else if (shown !== null) { scrollTo(0, 0); main.focus({ preventScroll: true }); say(title); }
  shown = location.hash;
  drawn = Date.now();
}

// Nothing is redrawn under the hands of somebody who writes, decides, reads a chart or marks text, nor a secret that is shown once.
let moved = 0;
addEventListener("pointermove", () => { moved = Date.now(); }, { passive: true });
const reads = () => document.querySelector(".plot:hover") !== null && Date.now() - moved < CALM;
const busy = () => document.querySelector("dialog[open], .secret") !== null || reads() || ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName) || String(getSelection()) !== "";

const introduce = () => { document.getElementById("who").textContent = `${session.name}${session.admin ? "" : ", reads"}`; };

function hear() {
  hearing = new AbortController();
  stand();
  listen((parts) => {
    if (parts.includes("alerts")) say("Alerts changed.");
    // New data alone is drawn at most once in five seconds; what people wait for, at once.
    const pause = parts.some((part) => part !== "data") ? 300 : Math.max(CALM - (Date.now() - drawn), 300);
    clearTimeout(later);
    later = setTimeout(redraw, pause);
  }, (on) => { live.textContent = on ? "live" : "no connection"; live.classList.toggle("on", on); if (!on) stand(); }, hearing.signal);
}

// What was held back for somebody's sake comes when the hands are free.
function redraw() {
  stand();
  if (!key()) return;
  if (busy()) later = setTimeout(redraw, 1500);
  else show({ quietly: true });
}

// Whether what is shown can be believed: a monitor that does not read the record sees no alarm.
async function stand() {
  const told = await readiness();
  const silent = told?.last_turn_at && Date.now() - new Date(told.last_turn_at) > STALE;
  const wrong = told === null ? "No connection to the monitor. What is shown may be old."
    : told.last_error ? `The monitor cannot read the record, so it sees no new alarm: ${told.last_error}`
    : told.last_turn_at === null ? "The monitor has not read the record since it started, so it sees no new alarm."
    : silent ? `The monitor last read the record ${ago(told.last_turn_at)}: it sees no new alarm.` : "";
  if (banner.textContent !== wrong) banner.textContent = wrong;
  banner.hidden = !wrong;
}

function door(why = null) {
  hearing?.abort();
  hearing = shown = null;
  top.hidden = banner.hidden = true;
  document.title = "Sign in · Leadsman";
  const input = h("input", { id: "key", type: "password", autocomplete: "off", required: true, placeholder: "lsm_…", "aria-describedby": "key-about" });
  const told = h("p", { role: "alert", class: why ? "error" : null }, why ?? "");
  const go = h("button", {}, "Sign in");
  const enter = async (event) => {
    event.preventDefault();
    keep(input.value.trim());
    go.disabled = true;
    try { await signIn(); introduce(); show(); } catch (problem) {
      forget();
      told.className = "error";
      told.textContent = problem.status === 401 ? "This key is not in force." : problem.status === 403 ? "This key may not read: it needs the scope read." : problem.message;
    }
    go.disabled = false;
  };
  main.replaceChildren(h("div", { class: "card sign" }, h("img", { src: "console/icon.svg", alt: "", width: 44, height: 44 }), h("h1", {}, "Leadsman"), h("p", { class: "soft", id: "key-about" }, "Sign in with an API key. It stays in this tab and is forgotten with it. ", h("code", {}, "leadsman up"), " shows the first one when it starts."),
    h("form", { onsubmit: enter }, h("label", { for: "key" }, "API key"), input, told, go)));
  input.focus();
}

document.getElementById("leave").addEventListener("click", () => { forget(); door(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", () => show());
addEventListener("online", () => stand());
// A monitor that stands still tells of no change: so it is asked whether it reads.
setInterval(() => { if (hearing) stand(); }, LOOK);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
onChange(() => show({ quietly: true, asked: true }));
// The link of an alert's text: ?application=loans&alert=17.
const asked = new URLSearchParams(location.search);
if (asked.has("alert")) history.replaceState(null, "", `/#/incidents/${encodeURIComponent(asked.get("alert"))}`);
else if (asked.has("application")) history.replaceState(null, "", `/#/applications/${encodeURIComponent(asked.get("application"))}`);
if (key()) signIn().then(introduce, () => {});
show();
