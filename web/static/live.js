/* The tracking page: the part that changes is swapped when the stream says so, and what is new is said. */
import { keepLive } from "./sse.js";
import { localTimes } from "./times.js";

const live = document.querySelector("#live");
const said = document.querySelector("[data-live-said]");
let headline = live?.firstElementChild?.dataset.headline;

live?.addEventListener("htmx:afterSwap", () => {
  localTimes(live);
  const now = live.firstElementChild?.dataset.headline;
  if (now && now !== headline) {
    headline = now;
    if (said) said.textContent = now;
  }
});
if (live) keepLive({ look: () => htmx.trigger(live, "look") });
localTimes(document);
