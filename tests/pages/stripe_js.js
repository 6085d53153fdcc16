/* A strict stand-in for Stripe.js as its types (@stripe/stripe-js 10, release endive) describe it: it throws
 * at what Stripe.js does not know, at calls in the wrong order and at anything it was never asked for, and
 * notes every call. The card lives in a frame of Stripe's origin, tokens come from Stripe's API. */
(function () {
  "use strict";
  const calls = (window.stripeCalls = []);
  const API = "https://api.stripe.com";
  const FRAME = "https://js.stripe.com/v3/elements-inner-payment.html";
  const BANK = "https://hooks.stripe.com/3ds/";

  class IntegrationError extends Error {
    constructor(message) { super(message); this.name = "IntegrationError"; }
  }
  const must = (holds, message) => { if (!holds) throw new IntegrationError(message); };
  const only = (where, value, ...names) => {
    must(value && typeof value === "object", `${where} must be an object`);
    for (const [name, held] of Object.entries(value)) {
      must(names.includes(name), `${where}.${name} is not known`);
      must(held !== undefined && held !== "", `${where}.${name} is empty`);
    }
  };
  const closed = (name, methods) => new Proxy(methods, {
    get(target, key) {
      if (key in target || typeof key === "symbol" || key === "then" || key === "toJSON") return target[key];
      throw new IntegrationError(`${name}.${String(key)} is not known`);
    },
  });
  const told = (name, value) => (name === "elements" ? "elements" : value);
  const noted = (name, call) => (...given) => {
    calls.push([name, ...JSON.parse(JSON.stringify(given.filter((one) => typeof one !== "function"), told))]);
    return call(...given);
  };

  function makePayment(options) {
    only("options", options, "defaultValues", "layout", "fields", "terms", "wallets", "business");
    if (options.defaultValues) {
      only("defaultValues", options.defaultValues, "billingDetails");
      only("billingDetails", options.defaultValues.billingDetails, "name", "email", "phone", "address");
    }
    const listeners = {};
    const state = { frame: null, card: null, isMounted: false, fire: (event, told) => (listeners[event] || []).forEach((one) => one(told)) };
    window.addEventListener("message", ({ origin, source, data }) => {
      if (origin !== "https://js.stripe.com" || source !== state.frame?.contentWindow) return;
      if (data.ready) state.fire("ready", { elementType: "payment" });
      else { state.card = data.card; state.isSubmitted = false; }
    });
    state.handle = closed("element", {
      on: noted("on", (event, listener) => {
        must(["ready", "change", "focus", "blur", "escape", "loaderror", "loaderstart"].includes(event), `${event} is no event`);
        must(!state.isMounted || event !== "ready", "ready is listened for too late");
        (listeners[event] ||= []).push(listener);
      }),
      mount: noted("mount", (where) => {
        const place = document.querySelector(where);
        must(place, `${where} is not there`);
        must(!state.isMounted, "it is mounted already");
        state.isMounted = true;
        state.frame = document.createElement("iframe");
        state.frame.src = FRAME;
        state.frame.title = "Secure payment input frame";
        place.replaceChildren(state.frame);
      }),
    });
    return state;
  }

  async function call(key, method, path, params) {
    const form = new URLSearchParams(params);
    const answer = await fetch(`${API}${path}${method === "GET" ? `?${form}` : ""}`, {
      method, headers: { Authorization: `Bearer ${key}` }, ...(method === "GET" ? {} : { body: form }),
    });
    return answer.json();
  }

  function flat(value, name = "", into = {}) {
    if (value && typeof value === "object") {
      for (const [key, held] of Object.entries(value)) flat(held, name ? `${name}[${key}]` : key, into);
    } else into[name] = value;
    return into;
  }

  window.Stripe = noted("Stripe", (key, options) => {
    must(/^pk_(test|live)_\w+$/.test(key), "a publishable key is needed");
    must(options === undefined, "options are not asked for here");
    const groups = new Map();

    const elements = noted("elements", (asked) => {
      only("elements", asked, "mode", "amount", "currency", "appearance", "locale", "loader",
        "allowedPaymentMethodTypes");
      must(asked.mode === "payment", "mode must be payment");
      must(Number.isSafeInteger(asked.amount) && asked.amount > 0, "amount must be minor units");
      must(/^[a-z]{3}$/.test(asked.currency), "currency must be in lower case");
      only("appearance", asked.appearance, "theme", "variables", "rules", "labels", "disableAnimations");
      must(["stripe", "night", "flat"].includes(asked.appearance.theme), "theme is not known");
      for (const [name, value] of Object.entries(asked.appearance.variables)) {
        must(/^(color|font|border|spacing)\w+$/.test(name), `${name} is no variable`);
        must(!/var\(/.test(value), `${name} is of another document`);
      }
      const group = { payment: null };
      const handle = closed("elements", {
        isElements: true,
        create: noted("create", (type, more = {}) => {
          must(type === "payment", `${type} is not asked for here`);
          must(!group.payment, "there can be one payment element");
          group.payment = makePayment(more);
          return group.payment.handle;
        }),
        submit: noted("submit", async () => {
          must(group.payment?.isMounted, "mount the payment element first");
          must(navigator.userActivation.isActive, "submit must follow the customer's own tap at once");
          if (!group.payment.card?.number) {
            return { error: { type: "validation_error", code: "incomplete_number", message: "Your card number is incomplete." } };
          }
          group.payment.isSubmitted = true;
          return { selectedPaymentMethod: "card" };
        }),
      });
      groups.set(handle, group);
      return handle;
    });

    const createConfirmationToken = noted("createConfirmationToken", async (asked) => {
      only("createConfirmationToken", asked, "elements", "params");
      const group = groups.get(asked.elements);
      must(group?.payment, "elements is not of stripe.elements()");
      must(group.payment.isSubmitted, "elements.submit() must be called before");
      group.payment.isSubmitted = false;
      only("params", asked.params, "payment_method_data", "shipping", "return_url");
      must(/^https?:\/\//.test(asked.params.return_url), "return_url must be whole");
      only("payment_method_data", asked.params.payment_method_data, "billing_details", "allow_redisplay");
      only("billing_details", asked.params.payment_method_data.billing_details, "name", "email", "phone", "address");
      const { number, ...rest } = group.payment.card;
      const body = await call(key, "POST", "/v1/confirmation_tokens", flat({
        return_url: asked.params.return_url,
        payment_method_data: { type: "card", card: { number, ...rest }, ...asked.params.payment_method_data },
      }));
      return body.error ? { error: body.error } : { confirmationToken: body };
    });

    const intent = (secret) => call(key, "GET", `/v1/payment_intents/${secret.split("_secret_")[0]}`, { client_secret: secret });
    const handleNextAction = noted("handleNextAction", async (asked) => {
      only("handleNextAction", asked, "clientSecret");
      const first = await intent(asked.clientSecret);
      must(first.status === "requires_action", `the payment intent is ${first.status}, not requires_action`);
      const frame = document.createElement("iframe");
      frame.src = BANK + first.id;
      frame.title = "3D Secure authentication";
      document.body.append(frame);
      for (;;) {
        const now = await intent(asked.clientSecret);
        if (now.status !== "requires_action") {
          frame.remove();
          return now.status === "requires_payment_method" ? { error: now.last_payment_error } : { paymentIntent: now };
        }
        await new Promise((resolve) => { setTimeout(resolve, 300); });
      }
    });
    return closed("stripe", { elements, createConfirmationToken, handleNextAction });
  });
})();
