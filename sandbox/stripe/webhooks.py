"""Webhooks: endpoints, signatures, delivery with retries, and the ways a delivery can go wrong.

A delivery is one event to one endpoint. It is tried at once and again with growing pauses until
the endpoint answers 2xx; one that never does keeps the event's `pending_webhooks` above 0. Rules
made by the control API lose, delay, double, hold or reorder deliveries instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from sandbox.stripe.errors import invalid
from sandbox.stripe.params import (
    EXPAND,
    PAGE,
    Params,
    boolean,
    fields,
    list_of,
    merge_metadata,
    metadata,
    text,
    unsettable_text,
)
from sandbox.stripe.state import Resource, State, new_id, now

CREATE = fields(
    ("url", "enabled_events"),
    url=text,
    enabled_events=list_of(text),
    api_version=text,
    description=unsettable_text,
    metadata=metadata,
    **EXPAND,
)
UPDATE = fields(
    url=text,
    enabled_events=list_of(text),
    description=unsettable_text,
    disabled=boolean,
    metadata=metadata,
    **EXPAND,
)
LIST = fields(**PAGE)
DELETE = fields()

RETRY_DELAYS_S = (0.5, 1, 2, 4, 8, 15, 30, 60, 60, 60, 60, 60)
TIMEOUT_S = 10.0


def signature(body: bytes, signing_secrets: list[str], timestamp: int) -> str:
    """The Stripe-Signature header: one v1 for each secret that is valid at the moment."""
    signed = b"%d.%s" % (timestamp, body)
    digests = (
        hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in signing_secrets
    )
    return ",".join([f"t={timestamp}", *(f"v1={digest}" for digest in digests)])


@dataclass(slots=True)
class WebhookDelivery:
    """One event on its way to one endpoint."""

    event: Resource
    endpoint: str
    body: bytes
    attempts: int = 0
    accepted: int = 0
    state: str = "pending"

    def describe(self) -> Resource:
        """For the control API."""
        return {
            "event": self.event["id"],
            "type": self.event["type"],
            "endpoint": self.endpoint,
            "attempts": self.attempts,
            "accepted": self.accepted,
            "state": self.state,
        }


@dataclass(slots=True)
class DeliveryRule:
    """What happens to the next `times` deliveries (None: all) whose event matches.

    events: regex over the event's type. payment_intent: only events of this one. delay_s, copies
    and batch are for delay, duplicate and reorder.
    """

    kind: str
    events: str = "."
    payment_intent: str | None = None
    times: int | None = 1
    delay_s: float = 1.0
    copies: int = 2
    batch: int = 2
    id: str = field(default_factory=lambda: new_id("rule_"))

    def matches(self, event: Resource) -> bool:
        """Whether an event meets this rule; does not use it up."""
        subject = event["data"]["object"]
        intent = (
            subject["id"]
            if subject["object"] == "payment_intent"
            else (subject.get("payment_intent"))
        )
        return (
            self.times != 0
            and re.search(self.events, event["type"]) is not None
            and self.payment_intent in (None, intent)
        )


class Webhooks:
    """All endpoints and deliveries of one stand-in; `start` and `stop` bracket its HTTP client."""

    def __init__(self, state: State, retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S) -> None:
        self.state = state
        self.retry_delays_s = retry_delays_s
        self.rules: list[DeliveryRule] = []
        self.held: list[WebhookDelivery] = []
        self.deliveries: deque[WebhookDelivery] = deque(maxlen=20_000)
        self._secrets: dict[str, list[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the HTTP client."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def stop(self) -> None:
        """Give up what is under way, and close the client."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    def create(self, params: Params, signing_secrets: list[str] | None = None) -> Resource:
        """A new endpoint; its answer alone carries the secret."""
        if not re.match(r"https?://", params["url"]):
            raise invalid(
                "Invalid URL: An explicit scheme (such as https) must be provided.",
                code="url_invalid",
                param="url",
            )
        endpoint = {
            "id": new_id("we_"),
            "object": "webhook_endpoint",
            "api_version": params.get("api_version"),
            "application": None,
            "created": now(),
            "description": params.get("description"),
            "enabled_events": params["enabled_events"],
            "livemode": False,
            "metadata": params.get("metadata", {}),
            "status": "enabled",
            "url": params["url"],
        }
        self.state.webhook_endpoints[endpoint["id"]] = endpoint
        self._secrets[endpoint["id"]] = signing_secrets or ["whsec_" + secrets.token_hex(16)]
        return {**endpoint, "secret": self._secrets[endpoint["id"]][0]}

    def update(self, id_: str, params: Params) -> Resource:
        """Change an endpoint's URL, events, description or metadata, or disable it."""
        endpoint = self.state.get("webhook_endpoint", id_)
        if "disabled" in params:
            endpoint["status"] = "disabled" if params["disabled"] else "enabled"
        endpoint.update(
            {key: value for key, value in params.items() if key in endpoint},
            metadata=merge_metadata(endpoint["metadata"], params),
        )
        return endpoint

    def delete(self, id_: str) -> Resource:
        """Remove an endpoint; what is on its way to it is dropped at its next attempt."""
        self.state.get("webhook_endpoint", id_)
        del self.state.webhook_endpoints[id_]
        return {"id": id_, "object": "webhook_endpoint", "deleted": True}

    def roll_secret(self, id_: str, secret: str | None = None) -> str:
        """Add a newer secret; deliveries are signed with all of them. Returns it."""
        self.state.get("webhook_endpoint", id_)
        newest = secret or "whsec_" + secrets.token_hex(16)
        self._secrets[id_].insert(0, newest)
        return newest

    def publish(self, event: Resource) -> None:
        """Send an event to every endpoint that wants it, as the rules will have it."""
        endpoints = [
            endpoint["id"]
            for endpoint in self.state.webhook_endpoints.values()
            if endpoint["status"] == "enabled"
            and any(wanted in ("*", event["type"]) for wanted in endpoint["enabled_events"])
        ]
        event["pending_webhooks"] = len(endpoints)
        body = orjson.dumps(event, option=orjson.OPT_INDENT_2)
        for endpoint_id in endpoints:
            delivery = WebhookDelivery(event, endpoint_id, body)
            self.deliveries.append(delivery)
            self._dispatch(delivery)

    def _dispatch(self, delivery: WebhookDelivery) -> None:
        rule = next((r for r in self.rules if r.matches(delivery.event)), None)
        if rule is None:
            self._spawn(self._deliver(delivery))
            return
        if rule.times is not None:
            rule.times -= 1
        match rule.kind:
            case "lose":
                delivery.state = "lost"
            case "delay":
                self._spawn(self._deliver(delivery, delay_s=rule.delay_s))
            case "duplicate":
                for _ in range(rule.copies):
                    self._spawn(self._deliver(delivery))
            case "hold":
                self._hold(delivery)
            case "reorder":
                self._hold(delivery)
                if len(self.held) >= rule.batch:
                    self.release("reverse")

    def _hold(self, delivery: WebhookDelivery) -> None:
        delivery.state = "held"
        self.held.append(delivery)

    def release(self, order: str = "fifo", events: str = ".") -> int:
        """Send what is held (`fifo` or `reverse`), each after the one before; returns how many."""
        chosen = [d for d in self.held if re.search(events, d.event["type"])]
        self.held = [d for d in self.held if d not in chosen]
        if order == "reverse":
            chosen.reverse()
        self._spawn(self._in_turn(chosen))
        return len(chosen)

    async def _in_turn(self, deliveries: list[WebhookDelivery]) -> None:
        for delivery in deliveries:
            if not await self._attempt(delivery):
                self._spawn(self._deliver(delivery, delay_s=self.retry_delays_s[0]))

    def redeliver(self, event_id: str) -> int:
        """Send an event again to all its endpoints, whatever became of it; returns how many."""
        self.state.get("event", event_id)
        again = [d for d in self.deliveries if d.event["id"] == event_id]
        for delivery in again:
            self._spawn(self._deliver(delivery))
        return len(again)

    def is_delivered(self, event: Resource) -> bool:
        """Whether every endpoint has answered 2xx."""
        return bool(event["pending_webhooks"] == 0)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: WebhookDelivery, delay_s: float = 0.0) -> None:
        for pause_s in (delay_s, *self.retry_delays_s):
            await asyncio.sleep(pause_s)
            if await self._attempt(delivery):
                return
        delivery.state = "failed"

    async def _attempt(self, delivery: WebhookDelivery) -> bool:
        """True when there is nothing left to try."""
        endpoint = self.state.webhook_endpoints.get(delivery.endpoint)
        if endpoint is None or self._http is None:
            return True
        delivery.attempts += 1
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(delivery.body, self._secrets[delivery.endpoint], now()),
        }
        try:
            async with self._http.post(
                endpoint["url"], data=delivery.body, headers=headers, allow_redirects=False
            ) as answer:
                accepted = 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            accepted = False
        delivery.accepted += accepted
        if accepted and delivery.state != "delivered":
            delivery.state = "delivered"
            delivery.event["pending_webhooks"] -= 1
        return accepted
