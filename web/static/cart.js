/* The cart without leaving the page: each tap is sent, in order, and counts; other tabs follow.
 *
 * Taps queue up here and not at the buttons, because what a tap changes replaces the buttons. */

const PARTS = ["#cart-link", "#cart-said", "#cart-print"];
const channel = "BroadcastChannel" in window ? new BroadcastChannel("tiffin-cart") : null;
const area = () => document.querySelector("[data-cart]");
let queue = Promise.resolve();
let waiting = 0;

/* A button that is replaced while it is pressed gets no click: what is new waits until the hand is off. */
let isPressed = false;
let letGo = () => {};
document.addEventListener("pointerdown", () => { isPressed = true; });
for (const name of ["pointerup", "pointercancel"]) {
  document.addEventListener(name, () => { isPressed = false; setTimeout(() => letGo()); });
}
const handsOff = () => (isPressed ? new Promise((resolve) => { letGo = resolve; }) : Promise.resolve());

/* Take the parts that show the cart from a page of ours; the keyboard's place is kept. */
function swap(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const focused = document.activeElement?.id || "";
  const name = area().dataset.cart;
  const fresh = page.querySelector(name);
  if (!fresh) { location.reload(); return; }
  document.querySelector(name).replaceWith(document.adoptNode(fresh));
  for (const part of PARTS) {
    const [old, next] = [document.querySelector(part), page.querySelector(part)];
    if (!old || !next) continue;
    if (part === "#cart-said") old.textContent = next.textContent;
    else old.replaceWith(document.adoptNode(next));
  }
  if (focused && document.activeElement?.id !== focused) {
    const next = document.getElementById(focused)
      || document.getElementById(focused.replace(/-less$/, "-more"))
      || document.querySelector("#summary-title, #cart-title");
    if (next && !next.matches("button, a, input")) next.tabIndex = -1;
    next?.focus({ preventScroll: true });
  }
  // Out of the last dish on the checkout there is no form to keep.
  if (document.querySelector("#details") && !document.querySelector(".cart-line")) location.reload();
}

async function send(form, fields) {
  const answer = await fetch(form.action, { method: "POST", body: fields, headers: { Accept: "text/html" } });
  if (new URL(answer.url).pathname === "/cart/replace") { location.assign(answer.url); return; }
  if (!answer.ok) throw new Error(String(answer.status));
  const html = await answer.text();
  waiting -= 1;
  if (waiting === 0) await handsOff();
  if (waiting === 0) swap(html);
  channel?.postMessage("changed");
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-cart] form") || new URL(form.action).pathname !== "/cart") return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form));
  waiting += 1;
  queue = queue.then(() => send(form, fields)).catch(() => {
    waiting = 0;
    location.reload();
  });
});

async function follow() {
  if (!area() || waiting) return;
  const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
  const html = await answer.text();
  await handsOff();
  if (answer.ok && !waiting) swap(html);
}
channel?.addEventListener("message", () => { follow().catch(() => {}); });
window.addEventListener("pageshow", (event) => { if (event.persisted) follow().catch(() => {}); });
