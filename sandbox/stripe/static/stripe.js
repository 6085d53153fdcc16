/* Stands in for Stripe.js v3: Stripe(pk), elements, the payment element, tokens, 3-D Secure.
 * Sets no style and no inline script, so a strict Content-Security-Policy needs to allow only this
 * origin in script-src, connect-src and frame-src. Card data goes to this origin alone. */
(function () {
  "use strict";
  const BASE = new URL(document.currentScript.src).origin;
  const POLL_MS = 300;

  const encode = (value, name, out) => {
    if (value === undefined || value === null) return out;
    if (typeof value === "object") {
      for (const key of Object.keys(value)) encode(value[key], name ? `${name}[${key}]` : key, out);
    } else out.append(name, String(value));
    return out;
  };

  const make = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  /* The card form: labelled inputs and a live region for what is wrong. */
  class PaymentElement {
    constructor() {
      this.listeners = {};
      this.fields = {
        number: this.field("Card number", "cc-number", "1234 1234 1234 1234", 23),
        expiry: this.field("Expiration date (MM / YY)", "cc-exp", "MM / YY", 9),
        cvc: this.field("Security code", "cc-csc", "CVC", 4),
      };
      this.error = make("p", { role: "alert", class: "StripeElement-error" });
      this.root = make("fieldset", { class: "StripeElement StripeElement-card" },
        make("legend", {}, "Card (Stripe stand-in: test cards only)"));
      for (const { label, input } of Object.values(this.fields)) {
        this.root.append(make("div", {}, label, input));
        input.addEventListener("input", () => this.changed());
      }
      this.root.append(this.error);
    }
    field(text, autocomplete, placeholder, maxlength) {
      const id = `stripe-${autocomplete}`;
      const label = make("label", { for: id }, text);
      const input = make("input", {
        id, autocomplete, placeholder, maxlength, inputmode: "numeric", type: "text",
        "aria-required": "true",
      });
      return { label, input };
    }
    value() {
      /* As people write it: 1234, 12/34, 12 / 34, 1/34, 12/2034. */
      const digits = this.fields.expiry.input.value.replace(/\D/g, "");
      const [, month = "", year = ""] = /^(0?[1-9]|1[0-2])(\d{2}|\d{4})$/.exec(digits) || [];
      return {
        number: this.fields.number.input.value.replace(/\s/g, ""),
        exp_month: month, exp_year: year, cvc: this.fields.cvc.input.value.trim(),
      };
    }
    /* The first field that lacks something; undefined when all are complete. */
    incomplete() {
      const card = this.value();
      const isComplete = {
        number: /^\d{13,19}$/.test(card.number), expiry: card.exp_year !== "",
        cvc: /^\d{3,4}$/.test(card.cvc),
      };
      return this.fields[Object.keys(isComplete).find((name) => !isComplete[name])];
    }
    complete() { return this.incomplete() === undefined; }
    changed() {
      this.submitted = false;
      this.show("");
      const empty = Object.values(this.fields).every(({ input }) => !input.value);
      this.fire("change", { elementType: "payment", complete: this.complete(), empty,
        value: { type: "card" } });
    }
    check() {
      const bad = this.incomplete();
      if (bad === undefined) return {};
      const error = { type: "validation_error", code: "incomplete_payment_details",
        message: "Your card details are incomplete." };
      this.show(error.message);
      bad.input.focus();
      return { error };
    }
    show(message) {
      this.error.textContent = message;
      for (const { input } of Object.values(this.fields)) {
        input.setAttribute("aria-invalid", message ? "true" : "false");
      }
    }
    mount(where) {
      const target = typeof where === "string" ? document.querySelector(where) : where;
      if (!target) throw new Error(`The selector you specified (${where}) applies to no DOM elements`);
      target.replaceChildren(this.root);
      queueMicrotask(() => this.fire("ready", { elementType: "payment" }));
    }
    on(event, listener) { (this.listeners[event] ||= []).push(listener); return this; }
    off(event) { delete this.listeners[event]; return this; }
    fire(event, detail) { for (const listener of this.listeners[event] || []) listener(detail); }
    focus() { this.fields.number.input.focus(); }
    clear() { for (const { input } of Object.values(this.fields)) input.value = ""; this.changed(); }
    update() {}
    unmount() { this.root.remove(); }
    destroy() { this.unmount(); }
  }

  class Elements {
    constructor(options) { this.options = options || {}; this.element = null; }
    create(type) {
      if (type !== "payment") throw new Error(`The stand-in has only the payment element, not ${type}`);
      this.element = new PaymentElement();
      return this.element;
    }
    getElement(type) { return type === "payment" ? this.element : null; }
    update(options) { Object.assign(this.options, options); }
    async fetchUpdates() { return {}; }
    async submit() {
      if (!this.element) throw new Error("elements.submit(): create and mount an element first");
      const result = this.element.check();
      this.element.submitted = !result.error;
      return result;
    }
  }

  class StripeShim {
    constructor(key) { this.key = key; }

    async call(method, path, params) {
      const form = encode(params, "", new URLSearchParams());
      const query = method === "GET" && form.toString() ? `?${form}` : "";
      try {
        const answer = await fetch(`${BASE}${path}${query}`, {
          method,
          credentials: "omit",
          headers: { Authorization: `Bearer ${this.key}` },
          body: method === "POST" ? form : undefined,
        });
        const body = await answer.json();
        return body.error ? { error: body.error } : { body };
      } catch (cause) {
        return { error: { type: "api_connection_error", message: "We could not reach Stripe." } };
      }
    }

    elements(options) { return new Elements(options); }

    async createConfirmationToken({ elements, params = {} }) {
      if (!elements.element.submitted) {
        throw new Error("elements.submit() must be called before stripe.createConfirmationToken()");
      }
      return this.token(elements, params);
    }

    async token(elements, params) {
      const checked = elements.element.check();
      if (checked.error) return checked;
      const { body, error } = await this.call("POST", "/v1/confirmation_tokens", {
        ...(params.return_url ? { return_url: params.return_url } : {}),
        ...(params.shipping ? { shipping: params.shipping } : {}),
        payment_method_data: {
          type: "card",
          card: elements.element.value(),
          billing_details: (params.payment_method_data || {}).billing_details,
        },
      });
      if (error) elements.element.show(error.message);
      return error ? { error } : { confirmationToken: body };
    }

    async retrievePaymentIntent(clientSecret) {
      const { body, error } = await this.call("GET",
        `/v1/payment_intents/${clientSecret.split("_secret_")[0]}`, { client_secret: clientSecret });
      return error ? { error } : { paymentIntent: body };
    }

    async confirmPayment({ elements, clientSecret, confirmParams = {}, redirect = "always" }) {
      const secret = clientSecret || elements.options.clientSecret;
      const params = { client_secret: secret, return_url: confirmParams.return_url, use_stripe_sdk: true };
      if (confirmParams.confirmation_token) params.confirmation_token = confirmParams.confirmation_token;
      else {
        const token = await this.token(elements, confirmParams);
        if (token.error) return token;
        params.confirmation_token = token.confirmationToken.id;
      }
      const { body, error } = await this.call("POST",
        `/v1/payment_intents/${secret.split("_secret_")[0]}/confirm`, params);
      if (error) return { error };
      const result = body.status === "requires_action"
        ? await this.handleNextAction({ clientSecret: secret }) : { paymentIntent: body };
      if (!result.error && redirect === "always" && confirmParams.return_url) {
        const back = new URL(confirmParams.return_url);
        back.searchParams.set("payment_intent", body.id);
        back.searchParams.set("payment_intent_client_secret", secret);
        back.searchParams.set("redirect_status", "succeeded");
        window.location.assign(back);
        return new Promise(() => {});
      }
      return result;
    }

    async handleNextAction({ clientSecret }) {
      const first = await this.retrievePaymentIntent(clientSecret);
      if (first.error || first.paymentIntent.status !== "requires_action") return first;
      const action = first.paymentIntent.next_action;
      const page = action.type === "redirect_to_url"
        ? action.redirect_to_url.url : action.use_stripe_sdk.stripe_js;
      if (action.type === "redirect_to_url") {
        window.location.assign(page);
        return new Promise(() => {});
      }
      const dialog = make("dialog", { "aria-label": "3D Secure authentication" },
        make("iframe", { src: page, title: "3D Secure authentication", width: "400", height: "300" }));
      document.body.append(dialog);
      let dismissed = false;
      dialog.addEventListener("cancel", () => { dismissed = true; });
      dialog.showModal();
      try {
        for (;;) {
          await new Promise((resolve) => setTimeout(resolve, POLL_MS));
          const now = await this.retrievePaymentIntent(clientSecret);
          if (now.error && now.error.type !== "api_connection_error") return now;
          if (now.paymentIntent && now.paymentIntent.status !== "requires_action") {
            return now.paymentIntent.status === "requires_payment_method"
              ? { error: now.paymentIntent.last_payment_error } : now;
          }
          if (dismissed) return now;
        }
      } finally {
        dialog.remove();
      }
    }
  }
  StripeShim.prototype.handleCardAction = function (clientSecret) {
    return this.handleNextAction({ clientSecret });
  };

  window.Stripe = function (key) {
    if (!/^pk_test_/.test(key || "")) {
      throw new Error("The Stripe stand-in takes a publishable test key (pk_test_...) only.");
    }
    return new StripeShim(key);
  };
  window.Stripe.version = "stand-in";
})();
