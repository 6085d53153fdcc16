/* Operators' pages: times in the reader's zone, also after a part was swapped. */
import { localTimes } from "./times.js";

localTimes(document);
document.addEventListener("htmx:afterSwap", () => localTimes(document));
document.addEventListener("htmx:beforeRequest", (event) => { if (document.hidden) event.preventDefault(); });
