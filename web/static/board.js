/* Boards: waiting times that run, a sound for what is new or late, and no swap under a busy hand. */
import { localTimes } from "./times.js";

const SOUND = "tiffin:sound";
const board = () => document.querySelector("[data-board]");
const said = document.querySelector("[data-board-said]");
const button = document.querySelector("[data-sound]");
const words = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "narrow" });
const known = new Map();
let audio;

const waited = (ms) => {
  const minutes = Math.floor(ms / 60000);
  if (minutes < 1) return `${Math.max(0, Math.floor(ms / 1000))} s`;
  return minutes < 60 ? `${minutes} min` : words.format(-Math.floor(minutes / 60), "hour");
};

function beep(times) {
  if (button?.getAttribute("aria-pressed") !== "true") return;
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

/* Runs each second: the times, and what has become late since. */
function tick() {
  for (const time of document.querySelectorAll("[data-since]")) {
    time.textContent = waited(Date.now() - Date.parse(time.dateTime));
  }
  for (const ticket of document.querySelectorAll("[data-late-after]")) {
    const since = Date.parse(ticket.querySelector("[data-since]").dateTime);
    if (Date.now() - since < Number(ticket.dataset.lateAfter) * 1000 || ticket.classList.contains("late")) continue;
    ticket.classList.add("late");
    ticket.querySelector(".badge").classList.add("bad");
    ticket.querySelector("[data-late-word]").textContent = "Waiting too long";
  }
  const late = [...document.querySelectorAll(".ticket.late")].filter((ticket) => !known.get(ticket.dataset.ticket)?.late);
  const fresh = [...document.querySelectorAll(".ticket.fresh")].filter((ticket) => !known.has(ticket.dataset.ticket));
  if (known.size || document.hidden) {
    if (late.length) beep(3);
    else if (fresh.length) beep(1);
  }
  known.set("", {});
  for (const ticket of document.querySelectorAll("[data-ticket]")) {
    known.set(ticket.dataset.ticket, { late: ticket.classList.contains("late") });
  }
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const isPoll = event.detail.requestConfig.verb === "get" && event.target === board();
  const isBusy = document.hidden || document.querySelector("[data-board] details[open], [data-board] select:focus");
  if (isPoll && isBusy) event.preventDefault();
});
document.addEventListener("htmx:afterSwap", () => {
  tick();
  localTimes(document);
  const now = board()?.dataset.said;
  if (said && now && said.textContent !== now) said.textContent = now;
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && board() && window.htmx) htmx.trigger(board(), "look");
});

if (button) {
  button.hidden = false;
  const show = (on) => {
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "Sound is on" : "Sound is off";
  };
  let isOn = false;
  try { isOn = localStorage.getItem(SOUND) === "on"; } catch { /* then it is off */ }
  show(isOn);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    show(on);
    try { localStorage.setItem(SOUND, on ? "on" : "off"); } catch { /* for this page alone */ }
    if (on) beep(1);
  });
}
setInterval(tick, 1000);
tick();
