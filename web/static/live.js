/* Says how the page hears of news: live by server-sent events, else by asking every few seconds. */
import { localTimes } from "./times.js";

const POLL_MS = 4000;
const page = document.querySelector("[data-live]");
const live = document.querySelector("#live");
const badge = document.querySelector("[data-live-state]");
const said = document.querySelector("[data-live-said]");
const words = { live: "Live", trying: "Reconnecting…", polling: "Checking every few seconds", off: "Connection lost" };
let isOpen = false;
let lastEventId = "";
let headline = live?.firstElementChild?.dataset.headline;

const show = (state) => {
  if (!badge || badge.dataset.state === state) return;
  badge.dataset.state = state;
  badge.lastElementChild.textContent = words[state];
};

// A stream that is made anew goes on after the last event that this page has.
if (window.htmx && page) {
  htmx.createEventSource = (url) => {
    const address = new URL(url, location.href);
    if (lastEventId) address.searchParams.set("lastEventId", lastEventId);
    const source = new EventSource(address, { withCredentials: true });
    for (const name of (page.dataset.live || "order").split(" ")) {
      source.addEventListener(name, (event) => { lastEventId = event.lastEventId || lastEventId; });
    }
    return source;
  };
}

page?.addEventListener("htmx:sseOpen", () => { isOpen = true; show("live"); });
page?.addEventListener("htmx:sseError", () => { isOpen = false; show("trying"); });
live?.addEventListener("htmx:sendError", () => show("off"));
live?.addEventListener("htmx:responseError", () => show("trying"));
live?.addEventListener("htmx:afterOnLoad", () => { if (!isOpen) show("polling"); });
live?.addEventListener("htmx:afterSwap", () => {
  localTimes(live);
  const now = live.firstElementChild?.dataset.headline;
  if (now && now !== headline) {
    headline = now;
    if (said) said.textContent = now;
  }
});

setInterval(() => {
  if (!isOpen && live && window.htmx && !document.hidden) htmx.trigger(live, "poll");
}, POLL_MS);
localTimes(document);
