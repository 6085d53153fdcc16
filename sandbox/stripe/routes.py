"""The table of Stripe's API: each route with its parameters, its handler, and who may call it.

A handler is synchronous: what it checks still holds when it changes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.stripe import account, disputes, refunds, webhooks
from sandbox.stripe import payment_intents as intents
from sandbox.stripe import payment_method_domains as domains
from sandbox.stripe import payment_methods as methods
from sandbox.stripe.errors import StripeError, invalid
from sandbox.stripe.params import (
    EXPAND,
    PAGE,
    Params,
    Parser,
    boolean,
    choice,
    fields,
    list_of,
    text,
)
from sandbox.stripe.state import Resource, State, list_page, snapshot
from sandbox.stripe.webhooks import Webhooks

# What `expand` can follow: resource -> property -> the resource that it names.
EXPANDABLE: dict[str, dict[str, str]] = {
    "payment_intent": {"latest_charge": "charge", "payment_method": "payment_method"},
    "charge": {
        "balance_transaction": "balance_transaction",
        "payment_intent": "payment_intent",
        "refunds": "refund",
    },
    "refund": {
        "balance_transaction": "balance_transaction",
        "charge": "charge",
        "failure_balance_transaction": "balance_transaction",
        "payment_intent": "payment_intent",
    },
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
}

# What a publishable key sees of a PaymentIntent.
BROWSER_KEYS = (
    "id", "object", "amount", "amount_details", "automatic_payment_methods", "canceled_at",
    "cancellation_reason", "capture_method", "client_secret", "confirmation_method", "created",
    "currency", "description", "last_payment_error", "livemode", "next_action", "payment_method",
    "payment_method_configuration_details", "payment_method_types", "processing",
    "receipt_email", "setup_future_usage", "shipping", "source", "status",
)  # fmt: skip


BROWSER_ROUTES = {
    ("GET", "/v1/payment_intents/{id}"),
    ("POST", "/v1/payment_intents/{id}/confirm"),
    ("POST", "/v1/payment_methods"),
    ("POST", "/v1/confirmation_tokens"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One valid request on its way into a handler."""

    state: State
    webhooks: Webhooks
    id: str
    params: Params
    from_browser: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint, and the resource that it answers with."""

    method: str
    path: str
    resource: str
    schema: Parser
    handler: Callable[[Call], Resource]

    @property
    def is_for_browsers(self) -> bool:
        """Whether a publishable key may call it, with the client secret where there is one."""
        return (self.method, self.path) in BROWSER_ROUTES

    def match(self, method: str, path: str) -> str | None:
        """The id in the path ("" without one), or None when this is another route."""
        pattern = re.sub(r"\{id\}", r"(?P<id>[A-Za-z0-9_]+)", self.path)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return None if found is None else found.groupdict().get("id", "")


def _get(resource: str) -> Callable[[Call], Resource]:
    return lambda call: call.state.get(resource, call.id)


def _list(resource: str, *filters: str) -> Callable[[Call], Resource]:
    def handler(call: Call) -> Resource:
        wanted = {name: call.params[name] for name in filters if name in call.params}
        return list_page(
            call.state,
            resource,
            call.params,
            lambda item: all(item[name] == value for name, value in wanted.items()),
        )

    return handler


def _list_events(call: Call) -> Resource:
    if "type" in call.params and "types" in call.params:
        raise invalid(
            "You may only specify one of these parameters: type, types.",
            code="parameters_exclusive",
        )
    types = call.params.get("types") or [call.params.get("type", "*")]
    if len(types) > 20:
        raise invalid("You may specify up to 20 types.", param="types")
    delivered = call.params.get("delivery_success")
    # Stripe's wildcard is the end of a type: charge.*
    patterns = [re.compile(re.escape(name).replace(r"\*", ".*")) for name in types]
    return list_page(
        call.state,
        "event",
        call.params,
        lambda event: (
            any(p.fullmatch(event["type"]) for p in patterns)
            and delivered in (None, call.webhooks.is_delivered(event))
        ),
    )


def _new(create: Callable[[State, Params], Resource]) -> Callable[[Call], Resource]:
    return lambda call: create(call.state, call.params)


def _act(act: Callable[[State, str, Params], Resource]) -> Callable[[Call], Resource]:
    return lambda call: act(call.state, call.id, call.params)


def _new_token(call: Call) -> Resource:
    return methods.create_token(call.state, call.params, from_browser=call.from_browser)


def _update_webhook(call: Call) -> Resource:
    return call.webhooks.update(call.id, call.params)


RETRIEVE = fields(**EXPAND)
LIST_EVENTS = fields(**PAGE, type=text, types=list_of(text), delivery_success=boolean)
LIST_CHARGES = fields(**PAGE, payment_intent=text)
LIST_BALANCE = fields(
    **PAGE,
    type=choice("charge", "refund", "refund_failure", "adjustment"),
    source=text,
    currency=text,
)

_PI, _PM, _CT = "payment_intent", "payment_method", "confirmation_token"
_WE, _TXN, _PMD = "webhook_endpoint", "balance_transaction", "payment_method_domain"

# fmt: off
ROUTES = (
    Route("POST", "/v1/payment_intents", _PI, intents.CREATE, _new(intents.create)),
    Route("GET", "/v1/payment_intents", _PI, intents.LIST, _list(_PI)),
    Route("GET", "/v1/payment_intents/{id}", _PI, intents.RETRIEVE, _get(_PI)),
    Route("POST", "/v1/payment_intents/{id}", _PI, intents.UPDATE, _act(intents.update)),
    Route("POST", "/v1/payment_intents/{id}/confirm", _PI, intents.CONFIRM, _act(intents.confirm)),
    Route("POST", "/v1/payment_intents/{id}/capture", _PI, intents.CAPTURE, _act(intents.capture)),
    Route("POST", "/v1/payment_intents/{id}/cancel", _PI, intents.CANCEL, _act(intents.cancel)),
    Route("POST", "/v1/refunds", "refund", refunds.CREATE, _new(refunds.create)),
    Route("GET", "/v1/refunds", "refund", refunds.LIST, _list("refund", "charge", "payment_intent")),
    Route("GET", "/v1/refunds/{id}", "refund", RETRIEVE, _get("refund")),
    Route("POST", "/v1/refunds/{id}", "refund", refunds.UPDATE, _act(refunds.update)),
    Route("POST", "/v1/refunds/{id}/cancel", "refund", RETRIEVE, _act(refunds.cancel)),
    Route("GET", "/v1/charges", "charge", LIST_CHARGES, _list("charge", "payment_intent")),
    Route("GET", "/v1/charges/{id}", "charge", RETRIEVE, _get("charge")),
    Route("GET", "/v1/events", "event", LIST_EVENTS, _list_events),
    Route("GET", "/v1/events/{id}", "event", RETRIEVE, _get("event")),
    Route("GET", "/v1/disputes", "dispute", disputes.LIST, _list("dispute", "charge", "payment_intent")),
    Route("GET", "/v1/disputes/{id}", "dispute", RETRIEVE, _get("dispute")),
    Route("POST", "/v1/disputes/{id}", "dispute", disputes.UPDATE, _act(disputes.update)),
    Route("POST", "/v1/disputes/{id}/close", "dispute", RETRIEVE, _act(disputes.close)),
    Route("POST", "/v1/payment_methods", _PM, methods.CREATE_METHOD, _new(methods.create)),
    Route("GET", "/v1/payment_methods/{id}", _PM, RETRIEVE, _get(_PM)),
    Route("POST", "/v1/confirmation_tokens", _CT, methods.CREATE_TOKEN, _new_token),
    Route("POST", "/v1/test_helpers/confirmation_tokens", _CT, methods.CREATE_TOKEN, _new_token),
    Route("GET", "/v1/confirmation_tokens/{id}", _CT, RETRIEVE, _get(_CT)),
    Route("POST", "/v1/webhook_endpoints", _WE, webhooks.CREATE, lambda c: c.webhooks.create(c.params)),
    Route("GET", "/v1/webhook_endpoints", _WE, webhooks.LIST, _list(_WE)),
    Route("GET", "/v1/webhook_endpoints/{id}", _WE, RETRIEVE, _get(_WE)),
    Route("POST", "/v1/webhook_endpoints/{id}", _WE, webhooks.UPDATE, _update_webhook),
    Route("DELETE", "/v1/webhook_endpoints/{id}", _WE, webhooks.DELETE, lambda c: c.webhooks.delete(c.id)),
    Route("GET", "/v1/balance_transactions", _TXN, LIST_BALANCE, _list(_TXN, "type", "source", "currency")),
    Route("GET", "/v1/balance_transactions/{id}", _TXN, RETRIEVE, _get(_TXN)),
    Route("GET", "/v1/account", "account", RETRIEVE, lambda c: account.retrieve(c.state)),
    Route("GET", "/v1/country_specs/{id}", "country_spec", RETRIEVE,
          lambda c: account.country_spec(c.state, c.id)),
    Route("POST", "/v1/payment_method_domains", _PMD, domains.CREATE, _new(domains.create)),
    Route("GET", "/v1/payment_method_domains", _PMD, domains.LIST, _list(_PMD, "domain_name", "enabled")),
    Route("GET", "/v1/payment_method_domains/{id}", _PMD, RETRIEVE, _get(_PMD)),
    Route("POST", "/v1/payment_method_domains/{id}", _PMD, domains.UPDATE, _act(domains.update)),
    Route("POST", "/v1/payment_method_domains/{id}/validate", _PMD, domains.VALIDATE, _act(domains.validate)),
)
# fmt: on


def find(method: str, path: str) -> tuple[Route, str]:
    """The route of a request and the id in its path; Stripe's 404 when there is none."""
    for route in ROUTES:
        id_ = route.match(method, path)
        if id_ is not None:
            return route, id_
    raise StripeError(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")


def check_expand(route: Route, paths: list[str]) -> None:
    """A 400 for a path that can't be expanded, before anything is executed."""
    for path in paths:
        resource: str | None = route.resource
        parts = path.split(".")
        if route.method == "GET" and "{id}" not in route.path:
            resource = resource if parts.pop(0) == "data" and parts else None
        for part in parts:
            resource = EXPANDABLE.get(resource or "", {}).get(part)
        if resource is None or len(parts) > 4:
            raise invalid(f"This property cannot be expanded ({path}).", param="expand")


def expand(state: State, answer: Resource, paths: list[str]) -> Resource:
    """A copy of the answer with the ids at these paths replaced by their objects."""
    copy = snapshot(answer)
    for path in paths:
        parts = path.split(".")
        if copy.get("object") == "list":
            for item in copy["data"]:
                _expand(state, item, parts[1:])
        else:
            _expand(state, copy, parts)
    return copy


def _expand(state: State, node: Resource, parts: list[str]) -> None:
    if not parts:
        return
    name = parts[0]
    if node["object"] == "charge" and name == "refunds":
        node[name] = list_page(state, "refund", {}, lambda r: r["charge"] == node["id"])
        node[name] = snapshot({**node[name], "url": f"/v1/charges/{node['id']}/refunds"})
        return
    if isinstance(node.get(name), str):
        resource = EXPANDABLE[node["object"]][name]
        node[name] = snapshot(state.get(resource, node[name]))
    if isinstance(node.get(name), dict):
        _expand(state, node[name], parts[1:])
