/* Operators' pages: times in the reader's zone, tables that become cards on a phone, the overview live. */
import { keepLive } from "./sse.js";
import { localTimes } from "./times.js";
import { t } from "./words.js";

/* What a column is called stands in each cell, for where there is no room for columns. */
function labelCells() {
  for (const table of document.querySelectorAll(".cards:not(.labelled)")) {
    const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, n) => { cell.dataset.label = names[n] || ""; });
    }
    table.classList.add("labelled");
  }
}

/* Ids with a button that copies them, whole where they are shown shortened. Browsers allow it over HTTPS. */
function offerCopies() {
  if (!navigator.clipboard) return;
  for (const place of document.querySelectorAll("[data-copy]:not(:has(.copy))")) {
    const id = place.title || place.textContent.trim();
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "copy", textContent: t("Copy") });
    button.setAttribute("aria-label", t("Copy {id}", { id }));
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(id);
      button.textContent = t("Copied");
    });
    place.append(" ", button);
  }
}

function show() {
  localTimes(document);
  labelCells();
  offerCopies();
}

show();
document.addEventListener("htmx:afterSwap", show);
for (const list of document.querySelectorAll(".tabs, .filters")) {
  const chosen = list.querySelector("[aria-current]");
  if (chosen) list.scrollLeft = chosen.offsetLeft - (list.clientWidth - chosen.offsetWidth) / 2;
}
if (document.querySelector("[sse-connect]")) {
  keepLive({ look: () => htmx.trigger("#glance", "look") });
}

/* Keys, while nothing is being typed. They follow the links that the page has anyway. */
const KEYS = {
  o: ["/ops", t("Overview")], l: ["/ops/orders", t("Orders")], s: ["/ops/stuck", t("Stuck")],
  d: ["/ops/dead-letters", t("Dead letters")], p: ["/ops/payments", t("Payments")],
  r: ["/ops/refunds", t("Refunds")], n: ["/ops/notifications", t("Notifications")], a: ["/ops/audit", t("Audit")],
};
let isGoing = false;
let help;

function showHelp() {
  if (!help) {
    help = document.createElement("dialog");
    help.className = "card keys";
    const title = Object.assign(document.createElement("h2"), { textContent: t("Keyboard shortcuts"), id: "keys-title" });
    help.setAttribute("aria-labelledby", title.id);
    const list = document.createElement("dl");
    list.className = "facts";
    const rows = [["?", t("This list")], ["/", t("Search")], ...Object.entries(KEYS).map(([key, [, name]]) => [`g ${key}`, name])];
    for (const [key, name] of rows) {
      list.append(Object.assign(document.createElement("dt"), { textContent: key, className: "mono" }),
        Object.assign(document.createElement("dd"), { textContent: name }));
    }
    const close = Object.assign(document.createElement("button"), { className: "button", textContent: t("Close") });
    close.addEventListener("click", () => help.close());
    help.append(title, list, close);
    document.querySelector("main").append(help);
  }
  help.showModal();
}

if (document.querySelector("#q")) document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog")) return;
  const place = isGoing && KEYS[event.key];
  isGoing = event.key === "g";
  if (place) location.assign(place[0]);
  else if (event.key === "/") { event.preventDefault(); document.querySelector("#q").focus(); }
  else if (event.key === "?") showHelp();
});
