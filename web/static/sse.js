/* Streams of server-sent events that share a browser's few connections (six to a host over HTTP/1.1).
 *
 * At most SLOTS streams of all tabs together are open; a tab without one asks by itself and tries again.
 * A hidden tab gives its place away unless it has to listen; what was missed comes when it is looked at,
 * because a stream that is made anew goes on after the last event that the page has. One that is silent
 * for longer than the server's heartbeat allows is dead, whatever the network says, and made anew.
 * htmx's extension sees an EventSource that never closes by itself. */

import { locale, t } from "./words.js";

const SLOTS = 4;
const SILENT_MS = 11000; // two heartbeats (HEARTBEAT_S in web/http/sse.py) and a little
const SLOT_MS = 5000;
const LONGEST_MS = 15000;

/* Take a place among all tabs; gives what gives it back, or null when none is free. */
async function takeSlot() {
  if (!navigator.locks) return () => {}; // not over plain HTTP: then each tab counts for itself
  for (let n = 0; n < SLOTS; n += 1) {
    const release = await new Promise((taken) => {
      navigator.locks.request(`tiffin-stream-${n}`, { ifAvailable: true }, (lock) => {
        if (lock) return new Promise(taken);
        taken(null);
        return null;
      });
    });
    if (release) return release;
  }
  return null;
}

export class SharedSource extends EventTarget {
  #url; #mustListen; #source; #release; #timer; #watchdog;
  #names = new Set(["beat"]);
  #failures = 0;
  #isTaking = false;
  lastEventId = "";
  heardAt = null; // when the server last said anything
  readyState = EventSource.CONNECTING;

  /* mustListen: whether the page listens although nobody looks at it. */
  constructor(url, mustListen = () => false) {
    super();
    this.#url = url;
    this.#mustListen = mustListen;
    document.addEventListener("visibilitychange", this.review);
    queueMicrotask(this.review); // whoever made it adds its listeners first
  }

  addEventListener(name, listener, options) {
    super.addEventListener(name, listener, options);
    if (!this.#names.has(name)) {
      this.#names.add(name);
      this.#source?.addEventListener(name, this.#pass);
    }
  }

  /* Open or close, as the page is looked at or not. */
  review = () => {
    if (this.readyState === EventSource.CLOSED) return;
    if (document.hidden && !this.#mustListen()) this.#end();
    else this.#open();
  };

  close() {
    this.readyState = EventSource.CLOSED;
    document.removeEventListener("visibilitychange", this.review);
    this.#end();
  }

  async #open() {
    if (this.#source || this.#isTaking) return;
    this.#isTaking = true;
    clearTimeout(this.#timer);
    const release = await takeSlot();
    this.#isTaking = false;
    if (this.readyState === EventSource.CLOSED) { release?.(); return; }
    if (!release) { this.#again(SLOT_MS); return; }
    this.#release = release;
    const address = new URL(this.#url, location.href);
    if (this.lastEventId) address.searchParams.set("lastEventId", this.lastEventId);
    const source = new EventSource(address);
    this.#source = source;
    this.#watch(); // a server that takes the connection and says nothing is dead as well
    source.onopen = (event) => {
      this.#failures = 0;
      this.readyState = EventSource.OPEN;
      this.#heard();
      this.onopen?.(event);
    };
    source.onerror = (event) => {
      // The browser would try for ever by itself, at its own pace, but not after a refusal.
      this.#end();
      this.#failures += 1;
      this.#again(Math.min(500 * 2 ** this.#failures, LONGEST_MS) * (0.5 + Math.random()));
      this.onerror?.(event);
    };
    for (const name of this.#names) source.addEventListener(name, this.#pass);
    this.review(); // hidden meanwhile?
  }

  #pass = (event) => {
    this.lastEventId = event.lastEventId || this.lastEventId;
    this.#heard();
    this.dispatchEvent(new MessageEvent(event.type, { data: event.data, lastEventId: event.lastEventId }));
  };

  #heard() {
    this.heardAt = new Date();
    this.#watch();
  }

  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#source?.onerror(new Event("error")), SILENT_MS);
  }

  #again(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.review, ms);
  }

  #end() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.#source?.close();
    this.#release?.();
    this.#source = this.#release = undefined;
    if (this.readyState === EventSource.OPEN) {
      this.readyState = EventSource.CONNECTING;
      this.onpause?.();
    }
  }
}

const WORDS = {
  live: t("Live"), trying: t("Reconnecting…"), polling: t("Checking every few seconds"), off: t("Connection lost."),
};
const POLL_MS = 4000;
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });

/* Bring a page's stream about: htmx's extension gets it, `data-live-state` says how the page hears of
 * news, or since when it does not; while there is no stream, `look` is called every few seconds. Gives the
 * stream's review and whether it is open. */
export function keepLive({ look, mustListen }) {
  const badge = document.querySelector("[data-live-state]");
  let source;
  let toldAt = new Date(); // the page itself is news
  const show = (state) => {
    if (state === "polling") toldAt = new Date();
    if (!badge || badge.dataset.state === state) return;
    badge.dataset.state = state;
    const lastAt = Math.max(toldAt, source?.heardAt || 0);
    const isSilent = state === "trying" || state === "off";
    badge.lastElementChild.textContent = WORDS[state] + (isSilent ? ` ${t("Last update at {time}", { time: clock.format(lastAt) })}` : "");
  };
  const isOpen = () => source?.readyState === EventSource.OPEN;
  if (window.htmx) {
    htmx.createEventSource = (url) => {
      source = new SharedSource(url, mustListen);
      source.onpause = () => show("trying"); // which is what one sees who comes back to the tab
      return source;
    };
  }
  document.addEventListener("htmx:sseOpen", () => show("live"));
  document.addEventListener("htmx:sseError", () => show("trying"));
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, () => { if (!isOpen()) show("off"); });
  }
  document.addEventListener("htmx:responseError", () => { if (!isOpen()) show("trying"); });
  document.addEventListener("htmx:afterOnLoad", () => { if (!isOpen()) show("polling"); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  setInterval(() => {
    if (!isOpen() && window.htmx && (!document.hidden || mustListen?.())) look();
  }, POLL_MS);
  return { isOpen, review: () => source?.review() };
}
