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

  /* Type -> its one currency, what it is called, and the fields of its form. */
  const METHODS = {
    card: { only: null, title: "Card (Stripe stand-in: test cards only)", fields: ["number", "expiry", "cvc"] },
    bancontact: { only: "eur", title: "Bancontact", fields: ["name"] },
    us_bank_account: { only: "usd", title: "US bank account", fields: ["name", "account"] },
  };

  /* The form of each method that is offered: labelled inputs and a live region for what is wrong. */
  class PaymentElement {
    constructor(types, defaults) {
      this.listeners = {};
      this.type = types[0];
      this.fields = {
        number: this.field("Card number", "cc-number", "1234 1234 1234 1234", 23),
        expiry: this.field("Expiration date (MM / YY)", "cc-exp", "MM / YY", 9),
        cvc: this.field("Security code", "cc-csc", "CVC", 4),
        name: this.field("Full name", "name", "First and last name", 100, "text"),
        account: this.field("Account number", "off", "000123456789", 17),
      };
      this.fields.name.input.value = ((defaults || {}).billingDetails || {}).name || "";
      this.error = make("p", { role: "alert", class: "StripeElement-error" });
      this.legend = make("legend", {}, METHODS[this.type].title);
      this.root = make("fieldset", { class: "StripeElement StripeElement-card" }, this.legend);
      if (types.length > 1) this.root.append(this.choice(types));
      for (const each of Object.values(this.fields)) {
        each.row = make("div", {}, each.label, each.input);
        this.root.append(each.row);
        each.input.addEventListener("input", () => this.changed());
      }
      this.root.append(this.error);
      this.choose(this.type);
    }
    choice(types) {
      const options = types.map((type) => make("option", { value: type }, METHODS[type].title));
      const select = make("select", { id: "stripe-method" }, ...options);
      select.addEventListener("change", () => { this.choose(select.value); this.changed(); });
      return make("div", {}, make("label", { for: "stripe-method" }, "Payment method"), select);
    }
    choose(type) {
      this.type = type;
      this.legend.textContent = METHODS[type].title;
      for (const [name, { row }] of Object.entries(this.fields)) {
        row.hidden = !METHODS[type].fields.includes(name);
      }
    }
    field(text, autocomplete, placeholder, maxlength, inputmode = "numeric") {
      const id = `stripe-${autocomplete}`;
      const label = make("label", { for: id }, text);
      const input = make("input", {
        id, autocomplete, placeholder, maxlength, inputmode, type: "text",
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
    /* payment_method_data of a ConfirmationToken. */
    data(billing = {}) {
      const named = METHODS[this.type].fields.includes("name")
        ? { ...billing, name: this.fields.name.input.value.trim() } : billing;
      const own = { card: () => this.value(), bancontact: () => undefined,
        us_bank_account: () => ({ account_number: this.fields.account.input.value.trim() }) }[this.type]();
      return { type: this.type, [this.type]: own, billing_details: named };
    }
    /* The first field that lacks something; undefined when all are complete. */
    incomplete() {
      const card = this.value();
      const isComplete = {
        number: /^\d{13,19}$/.test(card.number), expiry: card.exp_year !== "",
        cvc: /^\d{3,4}$/.test(card.cvc), name: this.fields.name.input.value.trim() !== "",
        account: /^\d{4,17}$/.test(this.fields.account.input.value.trim()),
      };
      return this.fields[METHODS[this.type].fields.find((name) => !isComplete[name])];
    }
    complete() { return this.incomplete() === undefined; }
    changed() {
      this.submitted = false;
      this.show("");
      const empty = Object.values(this.fields).every(({ input }) => !input.value);
      this.fire("change", { elementType: "payment", complete: this.complete(), empty,
        value: { type: this.type } });
    }
    check() {
      const bad = this.incomplete();
      if (bad === undefined) return {};
      const error = { type: "validation_error", code: "incomplete_payment_details",
        message: this.type === "card" ? "Your card details are incomplete."
          : "Your payment details are incomplete." };
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
    focus() { this.fields[METHODS[this.type].fields[0]].input.focus(); }
    clear() { for (const { input } of Object.values(this.fields)) input.value = ""; this.changed(); }
    update() {}
    unmount() { this.root.remove(); }
    destroy() { this.unmount(); }
  }

  class Elements {
    constructor(options) {
      this.options = options || {};
      this.element = null;
      /* Since endive: docs.stripe.com/changelog/endive/2026-09-30/remove-elements-deferred-intent-payment-method-types */
      if (this.options.paymentMethodTypes) {
        throw new Error("paymentMethodTypes is no longer supported; use allowedPaymentMethodTypes.");
      }
    }
    /* As the API does it: what the currency excludes is left out. */
    types() {
      const allowed = this.options.allowedPaymentMethodTypes;
      return Object.keys(METHODS).filter((type) => (!allowed || allowed.includes(type))
        && [null, this.options.currency].includes(METHODS[type].only));
    }
    create(type, options = {}) {
      if (type !== "payment") throw new Error(`The stand-in has only the payment element, not ${type}`);
      const types = this.types();
      this.element = new PaymentElement(types.length ? types : ["card"], options.defaultValues);
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
        payment_method_data: elements.element.data((params.payment_method_data || {}).billing_details),
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
