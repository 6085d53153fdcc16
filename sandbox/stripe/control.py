"""The control API: what tests and simulated people do that Stripe's own API has no call for.

Everything is JSON under /_control; `GET /_control` lists each request with an example, made from
the methods below. A wrong body, or an act that the object's state forbids, is a 400
{"error": {"message": ..., ...}} that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

import orjson
from aiohttp import web
from pydantic import ValidationError

from sandbox.stripe import attempts, disputes, fraud, payment_intents, payment_methods, refunds
from sandbox.stripe import control_bodies as bodies
from sandbox.stripe.api import Api
from sandbox.stripe.cards import BANK_ACCOUNTS, PAYMENT_METHODS
from sandbox.stripe.errors import StripeError, invalid
from sandbox.stripe.faults import KINDS, Fault
from sandbox.stripe.ledger import ledger
from sandbox.stripe.state import Resource, now
from sandbox.stripe.webhooks import DeliveryRule


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """One request of the control API; `body` is None when it takes none."""

    method: str
    path: str
    act: Callable[..., Any]
    body: type[bodies.Body] | None
    example: dict[str, Any] | None


CONTROL_REQUESTS: list[ControlRequest] = []


def control_request(
    method: str, path: str, example: dict[str, Any] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a method of Control into the table; its `body` argument is the request's model."""

    def add(act: Callable[..., Any]) -> Callable[..., Any]:
        model = get_type_hints(act, globals()).get("body")
        CONTROL_REQUESTS.append(ControlRequest(method, path, act, model, example))
        return act

    return add


class Control:
    """The control API over one Api."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.state = api.state

    async def handle(self, request: web.Request) -> web.Response:
        """Route, validate, act; nothing is awaited between the last two."""
        for entry in CONTROL_REQUESTS:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9_]+)", entry.path)
            match = re.fullmatch(pattern, request.path)
            if match is None or entry.method != request.method:
                continue
            arguments: dict[str, Any] = match.groupdict()
            try:
                if entry.body is not None:
                    arguments["body"] = await _read(request, entry.body)
                return _json(200, entry.act(self, **arguments))
            except ValidationError as error:
                details = error.errors(include_url=False, include_context=False)
                return _json(400, {"error": {"message": str(error), "fields": details}})
            except StripeError as error:
                return _json(400, error.body)
        return _json(404, {"error": {"message": "No such request; see GET /_control."}})

    @control_request("GET", "/_control")
    def describe(self) -> Resource:
        """Lists these requests."""
        return {
            "requests": [
                {
                    "request": f"{entry.method} {entry.path}",
                    "does": " ".join((entry.act.__doc__ or "").split()),
                    "fields": list(entry.body.model_fields) if entry.body else [],
                    "example": entry.example,
                }
                for entry in CONTROL_REQUESTS
            ],
            "fault_kinds": KINDS,
        }

    @control_request("GET", "/_control/ledger")
    def ledger(self) -> Resource:
        """All money: totals by currency, and charges and refunds of each PaymentIntent."""
        return ledger(self.state)

    @control_request("GET", "/_control/requests")
    def requests(self) -> list[Resource]:
        """The latest requests to the API: method, path, key, status, replayed, fault."""
        return list(self.api.log)

    @control_request("GET", "/_control/cards")
    def cards(self) -> Resource:
        """The pm_card_... names with their numbers, and the bank accounts' names."""
        return {"cards": PAYMENT_METHODS, "bank_accounts": list(BANK_ACCOUNTS)}

    @control_request("GET", "/_control/faults")
    def faults(self) -> list[Resource]:
        """The faults, how often each is still due, and how often it was hit."""
        return [fault.describe() for fault in self.api.faults.all()]

    @control_request(
        "POST",
        "/_control/faults",
        {"kind": "timeout_after", "method": "POST", "path": "/confirm$", "times": 1},
    )
    def add_fault(self, body: bodies.FaultBody) -> Resource:
        """Adds a fault for the next `times` (null: all) requests that match."""
        return self.api.faults.add(Fault(**body.model_dump())).describe()

    @control_request("POST", "/_control/faults/release", {"id": None})
    def release_faults(self, body: bodies.ReleaseFaultBody) -> Resource:
        """Lets go what faults of kind hold keep: of one fault, or of all."""
        return {"released": self.api.faults.release(body.id)}

    @control_request("DELETE", "/_control/faults")
    def clear_faults(self) -> Resource:
        """Removes all faults and lets held requests go."""
        return {"cleared": self.api.faults.clear()}

    @control_request(
        "POST",
        "/_control/webhooks/rules",
        {"kind": "lose", "events": r"^payment_intent\.succeeded$", "times": 1},
    )
    def add_rule(self, body: bodies.RuleBody) -> Resource:
        """Loses, delays, doubles, holds or reorders the next `times` deliveries that match."""
        rule = DeliveryRule(**body.model_dump())
        self.api.webhooks.rules.append(rule)
        return {"id": rule.id}

    @control_request("DELETE", "/_control/webhooks/rules")
    def clear_rules(self) -> Resource:
        """Removes all rules and sends what is held."""
        cleared = len(self.api.webhooks.rules)
        self.api.webhooks.rules.clear()
        return {"cleared": cleared, "released": self.api.webhooks.release()}

    @control_request("POST", "/_control/webhooks/release", {"order": "reverse"})
    def release_deliveries(self, body: bodies.ReleaseBody) -> Resource:
        """Sends held deliveries, each after the one before was answered."""
        return {"released": self.api.webhooks.release(body.order, body.events)}

    @control_request("POST", "/_control/webhooks/redeliver", {"event": "evt_..."})
    def redeliver(self, body: bodies.RedeliverBody) -> Resource:
        """Sends an event again, like the dashboard's Resend; lost ones too."""
        return {"sent": self.api.webhooks.redeliver(body.event)}

    @control_request("GET", "/_control/webhooks/deliveries/{payment_intent}")
    def deliveries(self, payment_intent: str) -> list[Resource]:
        """What was sent about a PaymentIntent itself: attempts, and how many of them were accepted."""
        return [
            d.describe()
            for d in self.api.webhooks.deliveries
            if d.event["data"]["object"]["id"] == payment_intent
        ]

    @control_request("GET", "/_control/webhooks/undelivered")
    def undelivered(self) -> list[Resource]:
        """Deliveries that no endpoint has taken: pending, lost, held, failed."""
        return [d.describe() for d in self.api.webhooks.deliveries if d.state != "delivered"]

    @control_request("POST", "/_control/webhooks/roll_secret", {"webhook_endpoint": "we_..."})
    def roll_secret(self, body: bodies.RollSecretBody) -> Resource:
        """Adds a newer signing secret to an endpoint; deliveries are signed with all."""
        return {"secret": self.api.webhooks.roll_secret(body.webhook_endpoint, body.secret)}

    @control_request("POST", "/_control/settings", {"settle_delay_s": None})
    def set(self, body: bodies.SettingsBody) -> Resource:
        """Seconds after which bank debits and late refunds settle; null: only on request."""
        self.state.settle_delay_s = body.settle_delay_s
        return {"settle_delay_s": self.state.settle_delay_s}

    @control_request("POST", "/_control/settle", {"payment_intent": "pi_...", "outcome": "succeed"})
    def settle(self, body: bodies.SettleBody) -> Resource:
        """Ends a processing payment or a refund; without an outcome, as its card or account does."""
        if body.payment_intent is not None and body.refund is None:
            return attempts.settle(self.state, body.payment_intent, body.outcome)
        if body.refund is not None and body.payment_intent is None:
            return refunds.settle(self.state, body.refund, body.outcome, body.reason)
        raise invalid("Name either a payment_intent or a refund.")

    @control_request(
        "POST", "/_control/dashboard_refund", {"payment_intent": "pi_...", "amount": 500}
    )
    def dashboard_refund(self, body: bodies.DashboardRefundBody) -> Resource:
        """Refunds as a person does in Stripe's dashboard: without metadata."""
        return refunds.create(self.state, body.model_dump(exclude_none=True))

    @control_request(
        "POST",
        "/_control/disputes",
        {"payment_intent": "pi_...", "reason": "fraudulent", "inquiry": False},
    )
    def open_dispute(self, body: bodies.DisputeBody) -> Resource:
        """Disputes a payment, as the customer does at the bank."""
        charge = self._charge_of(body.payment_intent)
        return disputes.open_dispute(
            self.state, charge, reason=body.reason, inquiry=body.inquiry, amount=body.amount
        )

    def _charge_of(self, payment_intent: str) -> Resource:
        intent = self.state.get("payment_intent", payment_intent)
        if intent["latest_charge"] is None:
            raise invalid("This PaymentIntent has no charge.")
        return self.state.charges[intent["latest_charge"]]

    @control_request("POST", "/_control/disputes/close", {"dispute": "du_...", "outcome": "won"})
    def close_dispute(self, body: bodies.CloseDisputeBody) -> Resource:
        """Decides a dispute, as the bank does."""
        return disputes.close_dispute(self.state, body.dispute, body.outcome)

    @control_request("POST", "/_control/fraud_warnings", {"payment_intent": "pi_..."})
    def warn_of_fraud(self, body: bodies.FraudWarningBody) -> Resource:
        """Raises an early fraud warning, as the card's issuer does."""
        return fraud.warn(self.state, self._charge_of(body.payment_intent), body.fraud_type)

    @control_request("POST", "/_control/reviews", {"payment_intent": "pi_...", "reason": "rule"})
    def open_review(self, body: bodies.ReviewBody) -> Resource:
        """Puts a payment in review, as a rule of Radar does."""
        return fraud.open_review(self.state, self._charge_of(body.payment_intent), body.reason)

    @control_request("POST", "/_control/reviews/close", {"review": "prv_...", "reason": "approved"})
    def close_review(self, body: bodies.CloseReviewBody) -> Resource:
        """Closes a review, as somebody does in Stripe's dashboard."""
        return fraud.close_review(self.state, body.review, body.reason)

    @control_request("POST", "/_control/expire", {"idempotency_key": "*"})
    def expire(self, body: bodies.ExpireBody) -> Resource:
        """Lets time pass for an uncaptured payment, a token, or an idempotency key (* for all)."""
        if len(body.model_dump(exclude_none=True)) != 1:
            raise invalid("Name one of payment_intent, confirmation_token, idempotency_key.")
        if body.payment_intent is not None:
            return payment_intents.expire(self.state, body.payment_intent)
        if body.confirmation_token is not None:
            token = self.state.get("confirmation_token", body.confirmation_token)
            token["expires_at"] = now() - 1
            return token
        key = None if body.idempotency_key == "*" else body.idempotency_key
        return {"expired": self.api.keys.expire(key)}

    @control_request("POST", "/_control/confirmation_token", {"card": "4242424242424242"})
    def confirmation_token(self, body: bodies.TokenBody) -> Resource:
        """Mints a ConfirmationToken from a test card's number, a pm_... name or `bancontact`."""
        if body.card == "bancontact":
            params = {"type": "bancontact", "billing_details": {"name": "Jenny Rosen"}}
            method = payment_methods.create(self.state, params)
        elif body.card[:1].isdecimal():
            method = payment_methods.for_card_number(self.state, body.card)
        else:
            method = payment_methods.named(self.state, body.card)
        params = {"payment_method": method["id"]}
        if body.return_url is not None:
            params["return_url"] = body.return_url
        return payment_methods.create_token(self.state, params, from_browser=True)

    @control_request("POST", "/_control/3ds/{payment_intent}", {"outcome": "succeed"})
    def challenge(self, payment_intent: str, body: bodies.ChallengeBody) -> Resource:
        """Completes or fails 3-D Secure, as the customer does; returns the PaymentIntent."""
        return attempts.authenticated(
            self.state, payment_intent, succeeded=body.outcome == "succeed"
        )


async def _read(request: web.Request, model: type[bodies.Body]) -> bodies.Body:
    # Only this type makes a browser ask first, so no page can post here.
    if request.content_type != "application/json":
        raise invalid("The control API takes application/json.")
    return model.model_validate_json(await request.read() or b"{}")


def _json(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
