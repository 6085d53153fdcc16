/* Operators' pages: times in the reader's zone, and the overview as it is now. */
import { keepLive } from "./sse.js";
import { localTimes } from "./times.js";

localTimes(document);
document.addEventListener("htmx:afterSwap", () => localTimes(document));
if (document.querySelector("[sse-connect]")) {
  keepLive({ look: () => htmx.trigger("#glance", "look") });
}
