"""Stripe in process: the sandbox's stand-in behind the product's gateway, and webhooks that go astray."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import stripe
from multidict import CIMultiDict, MultiDict

from sandbox.stripe import attempts, disputes
from sandbox.stripe.account import new_account
from sandbox.stripe.api import Api
from sandbox.stripe.errors import StripeError
from sandbox.stripe.faults import Fault
from sandbox.stripe.state import Resource, State
from sandbox.stripe.webhooks import Webhooks
from tests.simulation.virtual_time import CURRENT, EPOCH_S, SimulatedLoop

REDELIVERIES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
SETTLE_S = 4.0
PASSED_OVER = {"charge.succeeded", "charge.failed", "charge.pending", "charge.captured"}
"""Events of which nothing follows."""


@dataclass
class StripeTrouble:
    """Shares of requests and of webhooks that go wrong."""

    before: float = 0.0
    after: float = 0.0
    error_before: float = 0.0
    error_after: float = 0.0
    webhooks_lost: float = 0.0
    webhooks_late_s: float = 0.0
    webhooks_doubled: float = 0.0


@dataclass
class _Request:
    """What the stand-in reads of aiohttp's request."""

    method: str
    path: str
    query: MultiDict[str]
    headers: CIMultiDict[str]
    form: MultiDict[str]

    async def post(self) -> MultiDict[str]:
        return self.form


class SimulatedStripe:
    """deliver: gives an event to our webhook endpoint; whether it was taken."""

    def __init__(
        self, loop: SimulatedLoop, draw: random.Random, deliver: Callable[[Resource], Any]
    ) -> None:
        self.loop, self.draw, self._deliver = loop, draw, deliver
        self.trouble = StripeTrouble()
        self.state = State(settle_delay_s=SETTLE_S, account=new_account())
        self.api = Api(self.state, Webhooks(self.state))
        self.state.publish = self._publish

    # -- requests

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], data: Any
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """As the HTTP client: it may never answer."""
        trouble, draw, loop = self.trouble, self.draw, self.loop
        answered, context = loop.create_future(), CURRENT.get().context
        parts = urlsplit(url)
        form = MultiDict(parse_qsl(data, keep_blank_values=True)) if data else MultiDict()
        query = MultiDict(parse_qsl(parts.query, keep_blank_values=True))
        request = _Request(method.upper(), parts.path, query, CIMultiDict(headers), form)
        fault = None
        if request.method == "POST":
            if draw.random() < trouble.error_before:
                fault = "error_500_before"
            elif draw.random() < trouble.error_after:
                fault = "error_500_after"
        is_lost, is_unanswered = draw.random() < trouble.before, draw.random() < trouble.after

        def arrive() -> None:
            answer = self._handle(request, fault)
            if not is_unanswered:
                loop.call_later(self._way_s(), give, answer, context=context)

        def give(answer: tuple[bytes, int, Mapping[str, str]]) -> None:
            if not answered.done():
                answered.set_result(answer)

        if not is_lost:
            loop.in_world(arrive, after_s=self._way_s())
        result: tuple[bytes, int, Mapping[str, str]] = await answered
        return result

    def _way_s(self) -> float:
        return 0.02 + self.draw.random() * 0.3

    def _handle(self, request: _Request, fault: str | None) -> tuple[bytes, int, Mapping[str, str]]:
        if fault:
            self.api.faults.add(Fault(fault))
        handling = self.api.handle(request)
        try:
            handling.send(None)
        except StopIteration as done:
            answer = done.value
        else:
            raise AssertionError("the stand-in waits")
        headers = CIMultiDict(answer.headers)
        headers["Date"] = formatdate(self.loop.now_s + EPOCH_S, usegmt=True)
        return bytes(answer.body), answer.status, headers

    # -- what customers and banks do

    def authenticate(self, intent_id: str, *, succeeded: bool) -> None:
        """The customer ends 3-D Secure, if Stripe waits for that."""
        if self.state.payment_intents[intent_id]["status"] == "requires_action":
            attempts.authenticated(self.state, intent_id, succeeded=succeeded)

    def close_disputes(self) -> None:
        """The banks decide about all open disputes."""
        for id_, dispute in list(self.state.disputes.items()):
            is_inquiry = dispute["status"].startswith("warning_")
            outcome = "warning_closed" if is_inquiry else self.draw.choice(("won", "lost"))
            try:
                disputes.close_dispute(self.state, id_, outcome)
            except StripeError:
                continue

    # -- webhooks

    def _publish(self, event: Resource) -> None:
        if event["type"] in PASSED_OVER:
            return
        trouble = self.trouble
        if self.draw.random() < trouble.webhooks_lost:
            return
        copies = 2 if self.draw.random() < max(0.05, trouble.webhooks_doubled) else 1
        event = orjson.loads(orjson.dumps(event))
        for _ in range(copies):
            late_s = self.draw.random() * max(0.5, trouble.webhooks_late_s)
            self.loop.in_world(self._spawn, event, after_s=0.01 + late_s)

    def _spawn(self, event: Resource) -> None:
        self.loop.world.spawn(self._deliver_until_taken(event))

    async def _deliver_until_taken(self, event: Resource) -> None:
        for pause_s in REDELIVERIES_S:
            if await self._deliver(event):
                return
            await asyncio.sleep(pause_s)


class HTTPClient(stripe.HTTPClient):
    """In the place of `PooledHTTPClient`."""

    name = "simulated"

    def __init__(self, simulated: SimulatedStripe) -> None:
        super().__init__()
        self._simulated = simulated

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        return await self._simulated.request(method, url, headers, post_data)

    def sleep_async(self, secs: float) -> Any:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        """There is no connection."""
