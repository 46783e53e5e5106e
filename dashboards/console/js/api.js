// The monitor's REST interface, with the key of this tab. The key never leaves sessionStorage but in its header.
const KEY = "leadsman-key";

export const session = { admin: false, name: null };
export const key = () => sessionStorage.getItem(KEY);
export const keep = (value) => sessionStorage.setItem(KEY, value);
export const forget = () => sessionStorage.removeItem(KEY);

class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? `The monitor answered ${status}.`);
    this.status = status;
    this.title = body.title ?? "It could not be done";
  }
}

let entering = null;

export async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${key()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["Idempotency-Key"] = crypto.randomUUID?.() ?? String(Math.random());
  let answer;
  try {
    answer = await fetch(`/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, { title: "No connection", detail: "The monitor gives no answer." });
  }
  const text = await answer.text();
  let told = {};
  try { told = text ? JSON.parse(text) : {}; } catch { told = { detail: text.slice(0, 300) }; }
  if (!answer.ok) throw new Problem(answer.status, told);
  // Requests are on their way before it is known who asks; what may be offered to them is decided after.
  if (path !== "/caller") await entering;
  return told;
}
export const get = (path) => call("GET", path);
export const name = (text) => encodeURIComponent(text);

// Read keys see, admin keys act.
export async function signIn() {
  const asked = get("/caller").then((caller) => {
    session.name = caller.name;
    session.admin = caller.scopes.includes("admin");
  });
  entering = asked.catch(() => {});
  await asked;
}
// Whether the monitor reads the record; asked without a key, and answered with 503 where it does not.
export async function readiness() {
  try { return await (await fetch("/readyz")).json(); } catch { return null; }
}

// Server-sent events over fetch, since EventSource sends no Authorization. What changed while nothing was heard is
// not told again, so each new connection asks for everything anew. A stream that is silent for longer than the
// monitor's comments are apart is dead, whatever the network says.
const SILENT = 45000;
export async function listen(changed, standing, signal) {
  let pause = 1000, again = false;
  while (!signal.aborted) {
    const attempt = new AbortController(), leave = () => attempt.abort();
    signal.addEventListener("abort", leave);
    let watchdog = setTimeout(leave, SILENT);
    try {
      const answer = await fetch("/v1/events", { headers: { Authorization: `Bearer ${key()}` }, signal: attempt.signal });
      if (answer.status === 401) return changed(["key"]);
      if (!answer.ok) throw new Problem(answer.status, {});
      standing(true);
      if (again) changed(["all"]);
      again = true;
      pause = 1000;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let kept = ""; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(watchdog);
        watchdog = setTimeout(leave, SILENT);
        const parts = (kept + value).split("\n\n");
        kept = parts.pop();
        for (const part of parts) {
          if (part.includes("event: changed")) changed(JSON.parse(part.split("data: ")[1]));
        }
      }
    } catch {
      if (signal.aborted) return;
      standing(false);
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", leave);
    }
    await new Promise((resume) => setTimeout(resume, pause));
    pause = Math.min(pause * 2, 15000);
  }
}
