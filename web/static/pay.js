/* Paying: Stripe takes the card, we confirm with its token, and whatever happens is said in plain words.
 *
 * One try at a time: the button is off while one runs, and the server takes one confirm at a time. A
 * request whose answer is lost is sent again with the same Idempotency-Key, so it is the same try. */

import { t } from "./words.js";

const page = document.querySelector("#pay");
const at = page.dataset;
const find = (id) => document.getElementById(id);
const [wrong, wait, said, form, button, words, action, change] =
  ["pay-wrong", "pay-wait", "pay-said", "pay-form", "pay-button", "pay-words", "action-button", "change-button"].map(find);

const ORDER = `/api/orders/${at.order}`;
const TRACKING = `/orders/${at.order}`;
const REPEAT_MS = [500, 1000, 2000, 4000, 4000, 8000, 8000, 8000];
const LOOK_MS = 1000;
const HEARING_MS = 30000;
const FOLLOW_MS = 5000;
const CHECKING = t("Checking with your bank. You will not be charged twice.");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const show = (what) => {
  wait.hidden = !what.wait;
  if (what.wait) said.textContent = what.wait;
  wrong.hidden = !what.wrong;
  if (what.wrong) {
    const [first, second] = wrong.querySelectorAll("span");
    first.textContent = what.wrong;
    second.textContent = what.kept === false ? "" : t("You have not been charged, and your order is saved.");
    wrong.focus();
  }
  form.hidden = !what.card && !what.busy;
  action.hidden = !what.action;
  button.disabled = !what.card;
  change.disabled = !what.card && !what.action;
  button.setAttribute("aria-busy", String(Boolean(what.busy)));
  words.textContent = what.busy ? t("Paying…") : words.dataset.idle;
};
const done = () => { show({ wait: t("Taking you to your order…") }); location.replace(TRACKING); };

/* Ask our API; a lost answer, a 5xx and a 429 are asked again, with the same key. Gives {status, body}. */
async function ask(method, path, body, key) {
  for (let turn = 0; ; turn += 1) {
    try {
      const answer = await fetch(path, {
        method,
        headers: { "Content-Type": "application/json", ...(key ? { "Idempotency-Key": key } : {}) },
        body: body && JSON.stringify(body),
      });
      const comesAgain = answer.status >= 500 || answer.status === 429;
      if (!comesAgain) return { status: answer.status, body: await answer.json() };
    } catch { /* no answer: the network, or a worker that ends */ }
    if (turn >= REPEAT_MS.length) return { status: 0, body: {} };
    said.textContent = `${CHECKING} ${t("The connection is slow; we keep trying.")}`;
    wait.hidden = false;
    await pause(REPEAT_MS[turn]);
  }
}

/* What the order's view means for this page. */
function stepOf(view) {
  if (!["PLACED", "PAYMENT_PENDING", "PAYMENT_FAILED"].includes(view.status)) return "over";
  const payment = view.payment;
  if (!payment) return "opening";
  if (payment.status === "PROCESSING") return payment.nextAction ? "action" : "checking";
  if (payment.status === "FAILED" || payment.status === "PENDING") return "card";
  return "checking";
}

/* Look until the payment is where `isOver` says: by the stream's own words, and by asking. */
async function settle(isOver) {
  for (;;) {
    const { status, body } = await ask("GET", ORDER);
    if (status === 200) {
      const step = stepOf(body);
      if (step === "over") { done(); return null; }
      if (isOver(step)) return { step, view: body };
    } else if (status === 401 || status === 403) {
      show({ wrong: t("Your session has ended. Open the order in the browser you placed it in."), kept: false });
      return null;
    }
    await pause(LOOK_MS);
  }
}

/* "Change the order" was pressed: its answer leads back to the menu, though the order is over by then. */
let isLeaving = false;
change.form.addEventListener("submit", () => { isLeaving = true; });

/* Nothing runs here: the card is being typed, or the bank's question waits to be opened. */
const isIdle = () => !isLeaving && (!button.disabled || !action.hidden);

/* Meanwhile the order may have been paid or cancelled in another tab, or have run out of time. */
async function follow() {
  if (document.hidden || !isIdle()) return;
  try {
    const answer = await fetch(ORDER);
    if (answer.ok && stepOf(await answer.json()) === "over" && isIdle()) done();
  } catch { /* asked again soon */ }
}

const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value));

function declined(payment) {
  show({ card: true, wrong: t(payment.failureReason || "Your payment did not go through. Try again.") });
}

async function waitForBank(text = CHECKING) {
  show({ wait: text });
  const now = await settle((step) => step === "card" || step === "action");
  if (!now) return;
  if (now.step === "action") offerAction();
  else declined(now.view.payment);
}

let stripe;
let elements;

/* Stripe's frame knows no CSS variables of ours: it gets the colours that they come to here. */
function appearance() {
  const probe = document.body.appendChild(document.createElement("span"));
  const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const variables = {
    colorPrimary: colour("--accent"), colorBackground: colour("--surface"), colorText: colour("--ink"),
    colorTextSecondary: colour("--ink-soft"), colorDanger: colour("--bad"), borderRadius: "8px",
    fontFamily: getComputedStyle(document.body).fontFamily, fontSizeBase: "16px",
  };
  probe.remove();
  return { theme: (document.documentElement.dataset.theme
    ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark" ? "night" : "stripe", variables };
}

function mountCard() {
  elements = stripe.elements({
    mode: "payment", amount: Number(at.amount), currency: at.currency, appearance: appearance(),
    // As the payment intent is made; none: what is on in Stripe's dashboard.
    ...(at.methods ? { allowedPaymentMethodTypes: at.methods.split(",") } : {}),
  });
  const card = elements.create("payment", {
    defaultValues: { billingDetails: given({ name: at.name, email: at.email, phone: at.phone }) },
  });
  card.on("ready", () => { button.disabled = form.hidden; });
  card.on("loaderror", () => show({ wrong: t("The card form could not be loaded. Reload the page to try again.") }));
  card.mount("#payment-element");
}

/* Stripe shows the bank's question; what came of it is the server's word, not the browser's. */
async function authenticate(secret) {
  show({ wait: t("Confirm the payment with your bank…") });
  // Throws when there is nothing left to confirm: it was done in another tab, or the payment is over.
  const { error, paymentIntent } = await stripe.handleNextAction({ clientSecret: secret })
    .catch((cause) => ({ error: cause }));
  if (paymentIntent?.status === "requires_action") {
    at.secret = secret;
    offerAction();
    return;
  }
  show({ wait: error ? t("Waiting to hear from your bank…") : t("Confirmed. Waiting for your bank…") });
  const until = Date.now() + HEARING_MS;
  const now = await settle((step) => step === "card" || (step === "action" && Date.now() > until));
  if (now?.step === "card") declined(now.view.payment);
  else if (now) offerAction();
}

function offerAction() {
  show({ wait: t("Your bank needs you to confirm this payment."), action: true });
  action.focus();
}

async function confirm(confirmationToken) {
  const { status, body } = await ask(
    "POST", "/api/payments/confirm", { orderId: at.order, confirmationToken }, crypto.randomUUID());
  if (status === 200) {
    if (body.status === "COMPLETED" || body.status === "REFUNDED" || body.status === "CANCELLED") done();
    else if (body.status === "FAILED") declined(body);
    else if (body.status === "REQUIRES_ACTION") await authenticate(body.clientSecret);
    else await waitForBank();
  } else if (status === 202 || status === 0) {
    await waitForBank();
  } else if (status === 409) {
    // Another tab pays this order, or has paid it.
    await waitForBank(t("This order is already being paid. You will not be charged twice."));
  } else {
    show({ card: true, wrong: body.detail || body.title || t("Your payment did not go through. Try again.") });
  }
}

async function pay() {
  show({ busy: true });
  wrong.hidden = true;
  const checked = await elements.submit();
  if (checked.error) {
    // What is wrong with a field stands beside it, in Stripe's form.
    const isField = checked.error.type === "validation_error";
    show({ card: true, wrong: isField ? "" : checked.error.message });
    return;
  }
  const { error, confirmationToken } = await stripe.createConfirmationToken({
    elements,
    params: {
      return_url: location.origin + TRACKING,
      // Where it is delivered says nothing of where the card's bills go: Stripe's form asks for that.
      payment_method_data: { billing_details: given({ email: at.email, phone: at.phone }) },
    },
  });
  if (error) { show({ card: true, wrong: error.message }); return; }
  await confirm(confirmationToken.id);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (button.disabled) return;
  button.disabled = true;
  pay().catch(() => waitForBank());
});
action.addEventListener("click", () => {
  if (at.secret) authenticate(at.secret);
  else location.reload();
});

async function begin() {
  if (!window.Stripe) {
    show({ wrong: t("Stripe can't be reached, so you can't enter a card. Reload the page to try again.") });
    return;
  }
  stripe = window.Stripe(at.key);
  mountCard();
  if (at.step === "opening") {
    const now = await settle((step) => step !== "opening");
    if (now) location.reload();
  } else if (at.step === "checking") await waitForBank();
}

// Back from the bank's page, out of the browser's memory: how it stands now, the server says.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
document.addEventListener("visibilitychange", follow);
setInterval(follow, FOLLOW_MS);
begin();
