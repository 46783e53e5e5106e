// The runbook beside the alert that names it, also where nothing else can be reached.
import { h, crumbs, link, prose } from "./dom.js";

const slug = (title) => title.toLowerCase().replace(/[^\w -]/g, "").trim().replaceAll(" ", "-");
const cells = (line) => line.split("|").slice(1, -1).map((cell) => cell.trim());

export async function runbook(anchor) {
  const answer = await fetch("console/runbook.md");
  const text = answer.ok ? await answer.text() : "";
  const made = h("article", { class: "card prose" }, blocks(text));
  // Once it stands on the page: to the heading that was asked for.
  if (anchor) requestAnimationFrame(() => { const there = document.getElementById(anchor); there?.scrollIntoView(); there?.focus({ preventScroll: true }); });
  return h("div", {}, crumbs(link("#/", "Fleet"), h("span", { "aria-current": "page" }, "runbook")), h("h1", {}, "Runbook"), made);
}

// As much of Markdown as the runbook is written in; its own title stands above it.
function blocks(text) {
  const made = [];
  for (const block of text.split(/\n{2,}/)) {
    const lines = block.trim().split("\n"), [, marks, title] = lines[0].match(/^(#+) (.*)$/) ?? [];
    if (marks === "#") continue;
    if (marks) made.push(h(marks === "##" ? "h2" : "h3", { id: slug(title), tabindex: "-1" }, prose(title)));
    else if (lines[0].startsWith("|")) made.push(grid(lines));
    else made.push(...paragraphs(lines));
  }
  return made;
}

// A paragraph, or a list of which each further line belongs to the item before it.
function paragraphs(lines) {
  const made = [];
  let list = null;
  for (const line of lines) {
    const [, mark, rest] = line.match(/^(-|\d+\.) (.*)$/) ?? [];
    const open = made.at(-1);
    if (mark) {
      if (!list) { list = [mark === "-" ? "ul" : "ol", []]; made.push(list); }
      list[1].push(rest);
    } else if (list) list[1].push(`${list[1].pop()} ${line.trim()}`);
    else if (open) open[1] += ` ${line.trim()}`;
    else made.push(["p", line]);
  }
  return made.map(([tag, content]) => h(tag, {}, tag === "p" ? prose(content) : content.map((one) => h("li", {}, prose(one)))));
}

function grid(lines) {
  const [heads, , ...rows] = lines;
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "What is seen, what it means, what to do" }, h("table", {},
    h("thead", {}, h("tr", {}, cells(heads).map((one) => h("th", { scope: "col" }, prose(one))))), h("tbody", {}, rows.map((row) => h("tr", {}, cells(row).map((one) => h("td", {}, prose(one))))))));
}
