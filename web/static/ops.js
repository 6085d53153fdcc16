/* Operators' pages: times in the reader's zone, tables that become cards on a phone, the overview live. */
import { keepLive } from "./sse.js";
import { localTimes } from "./times.js";

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

function show() {
  localTimes(document);
  labelCells();
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
