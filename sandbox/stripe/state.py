"""The stand-in's memory: Stripe's objects by resource, its events, and what happens later.

Objects are plain dicts with exactly Stripe's keys; what Stripe keeps to itself (how a card
behaves, which token was used) is beside them. Everything here is synchronous: a handler that
never awaits is atomic, so two requests on one PaymentIntent can't interleave.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from sandbox.stripe.cards import Behaviour
from sandbox.stripe.errors import invalid, no_such

API_VERSION = "2026-10-28.endive"
ALPHABET = string.ascii_letters + string.digits
SHORT_SETTLE_DELAY_S = 0.5

Resource = dict[str, Any]


def now() -> int:
    """Seconds since the epoch, as Stripe counts."""
    return int(time.time())


def new_id(prefix: str) -> str:
    """`pi_` and 24 letters and digits."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(24))


def snapshot(resource: Resource) -> Resource:
    """A deep copy: what is handed out never changes afterwards."""
    copy: Resource = orjson.loads(orjson.dumps(resource))
    return copy


@dataclass(frozen=True, slots=True)
class EventCause:
    """The request that an event is due to; both None when Stripe acted by itself."""

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass
class State:
    """All objects of one stand-in.

    base_url: where its 3-D Secure and receipt pages are. settle_delay_s: after how many seconds
    a bank debit or a refund that settles later does so; None only when asked. publish: called
    with each event as it happens. permissions: restricted key -> what it may do, such as
    `payment_intent_write`; other keys may do all. domain_errors: payment method -> why it is
    inactive on every domain.
    """

    base_url: str = ""
    settle_delay_s: float | None = SHORT_SETTLE_DELAY_S
    publish: Callable[[Resource], None] = lambda _event: None

    payment_intents: dict[str, Resource] = field(default_factory=dict)
    charges: dict[str, Resource] = field(default_factory=dict)
    refunds: dict[str, Resource] = field(default_factory=dict)
    disputes: dict[str, Resource] = field(default_factory=dict)
    early_fraud_warnings: dict[str, Resource] = field(default_factory=dict)
    reviews: dict[str, Resource] = field(default_factory=dict)
    events: dict[str, Resource] = field(default_factory=dict)
    payment_methods: dict[str, Resource] = field(default_factory=dict)
    confirmation_tokens: dict[str, Resource] = field(default_factory=dict)
    webhook_endpoints: dict[str, Resource] = field(default_factory=dict)
    balance_transactions: dict[str, Resource] = field(default_factory=dict)
    payment_method_domains: dict[str, Resource] = field(default_factory=dict)

    account: Resource = field(default_factory=dict)
    permissions: dict[str, frozenset[str]] = field(default_factory=dict)
    domain_errors: dict[str, str] = field(default_factory=dict)

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    token_payment_methods: dict[str, str] = field(default_factory=dict)
    return_urls: dict[str, str | None] = field(default_factory=dict)
    cause: EventCause = EventCause()
    _timers: set[asyncio.TimerHandle] = field(default_factory=set)

    def get(self, resource: str, id_: str, *, param: str = "id") -> Resource:
        """The object, or Stripe's resource_missing."""
        try:
            return self.collection(resource)[id_]
        except KeyError:
            raise no_such(resource, id_, param=param) from None

    def collection(self, resource: str) -> dict[str, Resource]:
        """All objects of a resource by id, oldest first: `payment_intent`, `charge`, ..."""
        collection: dict[str, Resource] = getattr(self, f"{resource}s")
        return collection

    @contextlib.contextmanager
    def caused_by(self, cause: EventCause) -> Iterator[None]:
        """Events emitted inside carry this request."""
        self.cause = cause
        try:
            yield
        finally:
            self.cause = EventCause()

    def emit(self, type_: str, resource: Resource, previous: Resource | None = None) -> None:
        """Record an event about the object as it is now, and publish it."""
        data: Resource = {"object": snapshot(resource)}
        if previous is not None:
            data["previous_attributes"] = previous
        event: Resource = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            "created": now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {
                "id": self.cause.request_id,
                "idempotency_key": self.cause.idempotency_key,
            },
            "type": type_,
        }
        self.events[event["id"]] = event
        self.publish(event)

    def later(self, action: Callable[[], None]) -> None:
        """Do it after the settle delay; not at all when settling happens only on request."""
        if self.settle_delay_s is None:
            return

        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(self.settle_delay_s, run)
        self._timers.add(handle)

    def cancel_timers(self) -> None:
        """Forget everything that was to happen later."""
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()

    def charges_of(self, payment_intent: str) -> list[Resource]:
        """The charges of a PaymentIntent, oldest first."""
        return [c for c in self.charges.values() if c["payment_intent"] == payment_intent]

    def add_balance_transaction(
        self, type_: str, source: Resource, amount: int, currency: str
    ) -> str:
        """Book an amount (minor units, negative for money that leaves); returns its id."""
        id_ = new_id("txn_")
        self.balance_transactions[id_] = {
            "id": id_,
            "object": "balance_transaction",
            "amount": amount,
            "available_on": now(),
            "balance_type": "payments",
            "created": now(),
            "currency": currency,
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": 0,
            "fee_details": [],
            "net": amount,
            "reporting_category": "dispute" if type_ == "adjustment" else type_,
            "source": source["id"],
            "status": "available",
            "type": type_,
        }
        return id_


_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def list_page(
    state: State,
    resource: str,
    params: dict[str, Any],
    keep: Callable[[Resource], bool] = lambda _item: True,
) -> Resource:
    """One page of Stripe's list, newest first: limit, starting_after, ending_before, created."""
    created = params.get("created", {})
    items = [
        item
        for item in reversed(state.collection(resource).values())
        if keep(item) and all(_COMPARE[op](item["created"], at) for op, at in created.items())
    ]
    limit = params.get("limit", 10)
    if "starting_after" in params and "ending_before" in params:
        raise invalid("You can only use one of starting_after and ending_before.")
    cursor = params.get("starting_after") or params.get("ending_before")
    newer = 0 if cursor is None else _count_newer(state, resource, items, cursor)
    if "ending_before" in params:
        page, more = items[max(0, newer - limit) : newer], newer > limit
    else:
        # Step over the cursor, unless a filter has left it out.
        start = newer + (newer < len(items) and items[newer]["id"] == cursor)
        page, more = items[start : start + limit], start + limit < len(items)
    return {"object": "list", "data": page, "has_more": more, "url": f"/v1/{resource}s"}


def _count_newer(state: State, resource: str, items: list[Resource], cursor: str) -> int:
    state.get(resource, cursor, param="starting_after")
    newer = 0
    for id_ in reversed(state.collection(resource)):
        if id_ == cursor:
            break
        newer += newer < len(items) and items[newer]["id"] == id_
    return newer
