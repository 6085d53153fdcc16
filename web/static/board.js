/* Boards: news by the stream, waiting times that run, a sound for what is new or late, no swap under a busy
 * hand, and no tap that hits what has just moved under it. */
import "./print.js";
import { keepLive } from "./sse.js";
import { localTimes } from "./times.js";
import { locale, t } from "./words.js";

const SLOW_LOOK_MS = 30000; // should news ever get lost
const MOVING_LOOK_MS = 3000; // while a part of the board is missing
const ALERT_MS = 12000;
const AIM_MS = 1500; // a mouse that moves over a button is about to press it
const MOVED_MS = 500; // nobody sees and decides faster
const board = () => document.querySelector("[data-board]");
const said = document.querySelector("[data-board-said]");
const words = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "narrow" });

const waited = (ms) => {
  const minutes = Math.floor(ms / 60000);
  if (minutes < 1) return `${Math.max(0, Math.floor(ms / 1000))} s`;
  return minutes < 60 ? `${minutes} min` : words.format(-Math.floor(minutes / 60), "hour");
};

/* The sound: off until somebody switches it on, which is also what browsers ask for before they play.
 * Of several tabs one has the ears: it plays, and it listens although nobody looks at it. */
const SOUND = "tiffin:sound";
const button = document.querySelector("[data-sound]");
const isOn = () => button?.getAttribute("aria-pressed") === "true";
let audio;
let releaseSound;
let ownsSound = !navigator.locks;

function beep(times) {
  if (!isOn() || !ownsSound) return;
  audio ??= new AudioContext();
  for (let n = 0; n < times; n += 1) {
    const tone = audio.createOscillator();
    const loudness = audio.createGain();
    const at = audio.currentTime + n * 0.22;
    tone.frequency.value = times > 1 ? 880 : 660;
    loudness.gain.setValueAtTime(0.15, at);
    loudness.gain.exponentialRampToValueAtTime(0.001, at + 0.18);
    tone.connect(loudness).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.2);
  }
}

async function setSound(on) {
  button.setAttribute("aria-pressed", String(on));
  releaseSound?.abort();
  releaseSound = undefined;
  if (on && navigator.locks) {
    releaseSound = new AbortController();
    const { signal } = releaseSound;
    await new Promise((taken) => {
      navigator.locks.request("tiffin-ears", { signal }, () => {
        ownsSound = true;
        taken();
        return new Promise((dropped) => {
          signal.addEventListener("abort", () => { ownsSound = false; dropped(); });
        });
      }).catch(() => {});
      setTimeout(taken, 200); // another tab has them; this one's turn comes when that one is closed
    });
  }
  tellSound();
  stream.review();
}

function tellSound() {
  const isMuted = isOn() && ownsSound && audio?.state !== "running";
  button.textContent = !isOn() ? t("Sound is off") : isMuted ? t("Tap once for sound") : t("Sound is on");
}

/* What a tab says that has sound from before: browsers play only after a tap or a key. */
const wake = () => {
  if (!isOn()) return;
  audio ??= new AudioContext();
  audio.resume().then(tellSound, () => {});
};

/* Runs each second: the times, and what has become late since. */
const known = new Map();
let isFirst = true;
function tick() {
  for (const time of document.querySelectorAll("[data-since]")) {
    time.textContent = waited(Date.now() - Date.parse(time.dateTime));
  }
  let late = 0;
  let fresh = 0;
  for (const ticket of document.querySelectorAll("[data-ticket]")) {
    const after = Number(ticket.dataset.lateAfter || Infinity) * 1000;
    const isLate = Date.now() - Date.parse(ticket.querySelector("[data-since]")?.dateTime) >= after;
    if (isLate && !ticket.classList.contains("late")) {
      ticket.classList.add("late");
      ticket.querySelector(".badge").classList.add("bad");
      ticket.querySelector("[data-late-word]").textContent = t("Waiting too long");
    }
    const name = ticket.dataset.ticket;
    if (ticket.classList.contains("late") && !known.get(name)) late += 1;
    if (ticket.classList.contains("fresh") && !known.has(name)) fresh += 1;
    known.set(name, ticket.classList.contains("late"));
  }
  if (!isFirst && late) beep(3);
  if (!isFirst && fresh) beep(1);
  isFirst = false;
  if (isBehind && !isBusy()) look();
}

/* A hand is at the board: what is new waits until it has done. */
let isBehind = false;
let lookedAt = Date.now();
let isPressed = false;
let aimedAt = 0;
document.addEventListener("pointerdown", (event) => { isPressed = Boolean(board()?.contains(event.target)); });
for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => { isPressed = false; });
document.addEventListener("pointermove", (event) => {
  if (!event.buttons) isPressed = false; // let go outside of the window
  if (event.pointerType === "mouse" && event.target.closest?.("[data-board] button")) aimedAt = Date.now();
});
const isBusy = () => isPressed || Date.now() - aimedAt < AIM_MS
  || document.querySelector("[data-board] details[open], [data-board] select:focus, [data-board] input:focus");
const look = () => { if (board() && window.htmx) htmx.trigger(board(), "look"); };

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "get" || event.target !== board()) return;
  isBehind = Boolean(isBusy());
  if (isBehind) event.preventDefault();
  else lookedAt = Date.now();
});

/* News are put in so that what is looked at stays where it was; what could not stay is not hit unawares. */
const buttons = () => [...document.querySelectorAll("[data-board] .ticket button")]
  .map((each) => ({ ticket: each.closest("[data-ticket]").dataset.ticket, box: each.getBoundingClientRect() }));
let before = [];
let movedAt = 0;
let anchor;
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target !== board() || !event.detail.shouldSwap) return;
  const isNews = event.detail.requestConfig.verb === "get";
  if (isNews && isBusy()) {
    isBehind = true;
    event.detail.shouldSwap = false;
    return;
  }
  before = isNews ? buttons() : [];
  const tickets = [...document.querySelectorAll("[data-ticket]")];
  const seen = tickets.find((each) => each.contains(document.activeElement))
    || tickets.find((each) => each.getBoundingClientRect().top >= 0);
  anchor = seen && { name: seen.dataset.ticket, top: seen.getBoundingClientRect().top };
});
function settle() {
  const now = anchor && document.querySelector(`[data-ticket="${anchor.name}"]`);
  if (now && scrollY > 0) scrollBy({ top: now.getBoundingClientRect().top - anchor.top, behavior: "instant" });
  movedAt = Date.now();
}
document.addEventListener("click", (event) => {
  const pressed = event.target.closest?.("[data-board] .ticket button")?.closest("[data-ticket]");
  if (!pressed || !event.detail || Date.now() - movedAt > MOVED_MS) return; // a key hits what has the focus
  const { clientX: x, clientY: y } = event;
  const was = before.find(({ box }) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom);
  if (!was || was.ticket === pressed.dataset.ticket) return;
  event.preventDefault();
  event.stopPropagation();
  if (said) said.textContent = t("The list has just moved. Press again.");
}, true);

/* Why a tap did nothing stays for a while, whatever the board shows next. */
const alertPlace = document.querySelector("[data-board-alert]");
let alertTimer;
document.addEventListener("htmx:afterSwap", () => {
  settle();
  const refused = board()?.querySelector("[data-refused]");
  if (refused) {
    alertPlace.replaceChildren(refused);
    clearTimeout(alertTimer);
    alertTimer = setTimeout(() => alertPlace.replaceChildren(), ALERT_MS);
  }
  tick();
  localTimes(document);
  const now = board()?.dataset.said;
  if (said && now && said.textContent !== now) said.textContent = now;
});

const stream = keepLive({ look, mustListen: () => isOn() && ownsSound });
setInterval(() => {
  const isMoving = board()?.hasAttribute("data-incomplete");
  const after = isMoving ? MOVING_LOOK_MS : SLOW_LOOK_MS;
  if (stream.isOpen() && Date.now() - lookedAt >= after) look();
}, 1000);

if (button) {
  const wasOn = () => { try { return localStorage.getItem(SOUND) === "on"; } catch { return false; } };
  button.hidden = false;
  setSound(wasOn());
  document.addEventListener("pointerdown", wake);
  document.addEventListener("keydown", wake);
  button.addEventListener("click", async () => {
    const on = !isOn() || button.textContent === t("Tap once for sound");
    try { localStorage.setItem(SOUND, on ? "on" : "off"); } catch { /* for this page alone */ }
    audio ??= new AudioContext();
    audio.resume().catch(() => {});
    await setSound(on);
    if (on) beep(1);
  });
  window.addEventListener("storage", (event) => {
    if (event.key === SOUND && wasOn() !== isOn()) setSound(wasOn());
  });
}
setInterval(tick, 1000);
tick();
