/* The cart in several tabs: a change in one is shown in the others; the keyboard's place is kept. */

const channel = "BroadcastChannel" in window ? new BroadcastChannel("tiffin-cart") : null;
const area = () => document.querySelector("[data-cart]");

const show = () => {
  if (!area() || !window.htmx) return;
  const part = document.querySelector("#summary") ? "#summary" : "#area";
  htmx.ajax("GET", location.pathname + location.search, { source: part, target: part, select: part, swap: "outerHTML" });
};

document.addEventListener("htmx:afterRequest", (event) => {
  const { requestConfig, successful } = event.detail;
  if (requestConfig.verb === "post" && successful) channel?.postMessage("changed");
});

// The last portion of a dish takes its "less" button along: focus goes to the button beside it.
let last = "";
document.addEventListener("htmx:beforeSwap", () => { last = document.activeElement?.id || ""; });
document.addEventListener("htmx:afterSettle", () => {
  if (!last || document.getElementById(last)) return;
  const next = document.getElementById(last.replace(/-less$/, "-more")) || document.querySelector("#summary-title, #cart-title");
  if (next && !next.matches("button")) next.tabIndex = -1;
  next?.focus({ preventScroll: true });
  last = "";
});

// Out of the last dish on the checkout there is no form to keep.
document.addEventListener("htmx:afterSettle", () => {
  if (document.querySelector("#details") && !document.querySelector("#summary .cart-line")) location.reload();
});

channel?.addEventListener("message", show);
window.addEventListener("pageshow", (event) => { if (event.persisted) show(); });
