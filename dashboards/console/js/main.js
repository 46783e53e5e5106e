import { forget, keep, key, listen, signIn } from "./api.js";
import { h, link, say } from "./dom.js";
import { fleet } from "./fleet.js";

// Every view but the first is fetched when it is wanted: the fleet paints without the charts.
const VIEWS = [
  [/^\/$/, "fleet", (m, query) => fleet(query), "Fleet"],
  [/^\/applications\/([^/]+)$/, "fleet", async (m, query) => (await import("./application.js")).application(decodeURIComponent(m[1]), query), "Application"],
  [/^\/incidents\/(\d+)$/, "fleet", async (m) => (await import("./incident.js")).incident(m[1]), "Incident"],
  [/^\/models$/, "models", async () => (await import("./models.js")).models(), "Models"],
  [/^\/predictions\/([^/]+)$/, "models", async (m) => (await import("./models.js")).prediction(decodeURIComponent(m[1])), "Prediction"],
  [/^\/settings$/, "settings", async () => (await import("./settings.js")).settings(), "Settings"],
  [/^\/webhooks\/(\d+)$/, "settings", async (m) => (await import("./settings.js")).deliveries(m[1]), "Deliveries"],
];
const main = document.getElementById("main"), top = document.getElementById("top"), live = document.getElementById("live");
let turn = 0, hearing = null, shown = null, later = null;

async function show({ quietly = false } = {}) {
  const mine = ++turn;
  if (!key()) return door();
  const [path, rest] = (location.hash.slice(1) || "/").split("?");
  const found = VIEWS.map(([form, ...view]) => [path.match(form), ...view]).find(([match]) => match);
  let made;
  try {
    made = found ? await found[2](found[0], new URLSearchParams(rest)) : h("div", {}, h("h1", {}, "No such view"), link("#/", "To the fleet"));
  } catch (problem) {
    if (mine !== turn) return;
    if (problem.status === 401) { forget(); return door("This key is not in force."); }
    if (quietly) return;
    if (problem.status === undefined) console.error(problem);
    made = h("div", {}, h("h1", {}, problem.title ?? "Something went wrong"), h("p", { class: "error", role: "alert" }, problem.message), h("button", { onclick: () => show() }, "Try again"));
  }
  if (mine !== turn || (quietly && busy())) return;
  top.hidden = false;
  for (const a of top.querySelectorAll("[data-view]")) a.toggleAttribute("aria-current", a.dataset.view === found?.[1]);
  const place = scrollY, focused = document.activeElement?.id;
  main.replaceChildren(made);
  const title = main.querySelector("h1")?.textContent ?? "";
  document.title = `${title} · Leadsman`;
  if (quietly) {
    scrollTo(0, place);
    if (focused && focused !== "main") document.getElementById(focused)?.focus();
  } else if (shown !== null && shown !== location.hash) { scrollTo(0, 0); main.focus(); say(title); }
  shown = location.hash;
  if (!hearing) hear();
}

// Nothing is redrawn under the hands of somebody who writes or decides, nor a secret that is shown once.
const busy = () => document.querySelector("dialog[open], .secret") !== null || ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);

function hear() {
  hearing = new AbortController();
  listen((parts) => {
    if (parts.includes("alerts")) say("Alerts changed.");
    clearTimeout(later);
    later = setTimeout(() => { if (!busy() && key()) show({ quietly: true }); }, 400);
  }, (on) => { live.textContent = on ? "live" : "no connection"; live.classList.toggle("on", on); }, hearing.signal);
}

function door(why = null) {
  hearing?.abort();
  hearing = null;
  top.hidden = true;
  document.title = "Sign in · Leadsman";
  const input = h("input", { id: "key", type: "password", autocomplete: "off", required: true, placeholder: "lsm_…" });
  const told = h("p", { role: "alert", class: why ? "error" : null }, why ?? "");
  const enter = async (event) => {
    event.preventDefault();
    keep(input.value.trim());
    try { await signIn(); show(); } catch (problem) {
      forget();
      told.className = "error";
      told.textContent = problem.status === 401 ? "This key is not in force." : problem.status === 403 ? "This key may not read: it needs the scope read." : problem.message;
    }
  };
  main.replaceChildren(h("div", { class: "card sign" }, h("img", { src: "console/icon.svg", alt: "", width: 40, height: 40 }), h("h1", {}, "Leadsman"), h("p", { class: "soft" }, "Sign in with an API key. It stays in this tab and is forgotten with it."),
    h("form", { onsubmit: enter }, h("label", { for: "key" }, "API key"), input, told, h("button", {}, "Sign in"))));
  input.focus();
}

document.getElementById("leave").addEventListener("click", () => { forget(); door(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", () => show());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show({ quietly: true }));
import("./incident.js").then(({ onChange }) => onChange(() => show({ quietly: true })));
// The link of an alert's text: ?application=loans&alert=17.
const asked = new URLSearchParams(location.search);
if (asked.has("alert")) history.replaceState(null, "", `/#/incidents/${encodeURIComponent(asked.get("alert"))}`);
else if (asked.has("application")) history.replaceState(null, "", `/#/applications/${encodeURIComponent(asked.get("application"))}`);
if (key()) signIn().then(() => show(), (problem) => { if (problem.status === 401) forget(); show(); });
else show();
