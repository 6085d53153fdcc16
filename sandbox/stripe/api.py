"""The HTTP side of Stripe's API: keys, faults, validation, idempotency, then one handler.

Nothing is awaited between the moment a handler is called and the moment its answer is stored for
the idempotency key, so no request sees another half done.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import deque
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from sandbox.stripe.account import check_permission
from sandbox.stripe.errors import StripeError, invalid, rate_limited, server_error, unauthorized
from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.idempotency import IdempotencyKeys
from sandbox.stripe.params import Params, decode_form
from sandbox.stripe.payment_methods import refuse_card_number
from sandbox.stripe.routes import BROWSER_KEYS, Call, Route, check_expand, expand, find
from sandbox.stripe.state import API_VERSION, EventCause, Resource, State, new_id
from sandbox.stripe.webhooks import Webhooks

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Stripe-Version",
    "Access-Control-Expose-Headers": "Request-Id",
    "Access-Control-Max-Age": "300",
}


@dataclass(slots=True)
class Exchange:
    """One request on its way through, and what the log keeps of it (never a body or a key)."""

    request: web.Request
    id: str
    idempotency_key: str | None
    fault: Fault | None
    replayed: bool = False

    def headers(self, original: str | None = None) -> dict[str, str]:
        """Stripe's headers; `original` is the request whose answer is replayed."""
        headers = {
            **CORS,
            "Request-Id": self.id,
            "Stripe-Version": self.request.headers.get("Stripe-Version", API_VERSION),
        }
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        if original is not None:
            headers["Original-Request"] = original
        return headers


@dataclass
class Api:
    """Stripe's API over a State; `handle` is the aiohttp handler of every /v1 path."""

    state: State
    webhooks: Webhooks
    faults: Faults = field(default_factory=Faults)
    keys: IdempotencyKeys = field(default_factory=IdempotencyKeys)
    log: deque[Resource] = field(default_factory=lambda: deque(maxlen=20_000))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, or leave it without an answer when a fault says so."""
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=CORS)
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        fault = self.faults.take(request.method, request.path, key)
        exchange = Exchange(request, new_id("req_"), key, fault)
        kind = fault.kind if fault else None
        if kind in ("timeout_before", "drop_before"):
            return await self._leave(exchange, None)
        response = await self._answer(exchange)
        if kind in ("timeout_after", "drop_after"):
            return await self._leave(exchange, response.status)
        self._record(exchange, response.status)
        return response

    async def _answer(self, exchange: Exchange) -> web.Response:
        try:
            params = await _read_params(exchange.request)
            key = _key_of(exchange.request, params)
            from_browser = _authenticate(key)
            if exchange.fault is not None and exchange.fault.kind == "rate_limit":
                raise rate_limited(exchange.fault.code)
            route, id_ = find(exchange.request.method, exchange.request.path)
            check_permission(self.state, key, route.resource, exchange.request.method)
            call = self._validate(route, id_, params, from_browser=from_browser)
            if exchange.idempotency_key is not None:
                stored = self.keys.begin(
                    exchange.idempotency_key, exchange.request.path, params, exchange.id
                )
                if stored is not None and stored.status is not None:
                    exchange.replayed = True
                    return _json(
                        stored.status,
                        stored.body,
                        {**exchange.headers(stored.request_id), "Idempotent-Replayed": "true"},
                    )
        except StripeError as error:
            return _json(error.status, orjson.dumps(error.body), exchange.headers())
        if exchange.fault is not None:
            await _wait(exchange.fault)
        try:
            status, body = self._execute(exchange, route, call)
        except Exception:
            # A mistake of the stand-in: let the next try with this key see it too.
            if exchange.idempotency_key is not None:
                self.keys.release(exchange.idempotency_key)
            raise
        headers = exchange.headers()
        if status >= 500:
            # The stored 500 would only be replayed.
            headers["Stripe-Should-Retry"] = "false"
        return _json(status, body, headers)

    def _validate(self, route: Route, id_: str, params: Params, *, from_browser: bool) -> Call:
        given = dict(params)
        if from_browser:
            if not route.is_for_browsers:
                raise unauthorized(
                    "This API call cannot be made with a publishable API key. Please use a "
                    "secret API key."
                )
            secret = given.pop("client_secret", None)
            if id_ and secret != self.state.get(route.resource, id_).get("client_secret"):
                raise invalid(
                    "The client_secret provided does not match any associated PaymentIntent on "
                    "this account.",
                    code="payment_intent_invalid_parameter",
                    param="client_secret",
                )
        parsed = route.schema(given, "")
        if not from_browser:
            refuse_card_number(parsed)
        check_expand(route, parsed.get("expand", []))
        return Call(self.state, self.webhooks, id_, parsed, from_browser)

    def _execute(self, exchange: Exchange, route: Route, call: Call) -> tuple[int, bytes]:
        kind = exchange.fault.kind if exchange.fault else None
        status: int = 200
        answer: Resource = {}
        if kind != "error_500_before":
            paths = call.params.pop("expand", [])
            with self.state.caused_by(EventCause(exchange.id, exchange.idempotency_key)):
                try:
                    answer = expand(self.state, route.handler(call), paths)
                except StripeError as error:
                    status, answer = error.status, error.body
        if kind in ("error_500_before", "error_500_after"):
            broken = server_error()
            status, answer = broken.status, broken.body
        if call.from_browser:
            answer = _for_browser(answer)
        body = orjson.dumps(answer)
        if exchange.idempotency_key is not None:
            self.keys.finish(exchange.idempotency_key, status, body)
        return status, body

    async def _leave(self, exchange: Exchange, status: int | None) -> web.Response:
        """End an exchange without an answer: at once, or when the client has given up."""
        self._record(exchange, status)
        assert exchange.fault is not None
        if exchange.fault.kind.startswith("timeout"):
            await self._until_gone(exchange.request)
        if exchange.request.transport is not None:
            exchange.request.transport.abort()
        return web.Response()

    async def _until_gone(self, request: web.Request) -> None:
        # aiohttp tells nobody when a client goes away while a handler runs.
        while request.transport is not None and not request.transport.is_closing():
            try:
                await asyncio.wait_for(self.stopping.wait(), timeout=0.02)
                return
            except TimeoutError:
                pass

    def _record(self, exchange: Exchange, status: int | None) -> None:
        self.log.append(
            {
                "id": exchange.id,
                "method": exchange.request.method,
                "path": exchange.request.path,
                "idempotency_key": exchange.idempotency_key,
                "status": status,
                "replayed": exchange.replayed,
                "fault": exchange.fault.kind if exchange.fault else None,
            }
        )


async def _wait(fault: Fault) -> None:
    if fault.kind == "latency":
        await asyncio.sleep(fault.seconds)
    elif fault.kind == "hold":
        await fault.released.wait()


async def _read_params(request: web.Request) -> Params:
    pairs = list(request.query.items())
    if request.method == "POST":
        form = await request.post()
        pairs += [(name, value) for name, value in form.items() if isinstance(value, str)]
    return decode_form(pairs)


def _key_of(request: web.Request, params: Params) -> str:
    """The key of a request; "" when there is none."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    key = str(params.pop("key", ""))
    if scheme == "Bearer":
        key = credentials.strip()
    elif scheme == "Basic":
        try:
            key = base64.b64decode(credentials).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise unauthorized("Invalid API Key provided.") from None
    return key


def _authenticate(key: str) -> bool:
    """Whether the key is a publishable one; a 401 when it is missing, live, or no test key."""
    if not key:
        raise unauthorized(
            "You did not provide an API key. You need to provide your API key in the "
            "Authorization header, using Bearer auth (e.g. 'Authorization: Bearer "
            "YOUR_SECRET_KEY')."
        )
    if key.startswith(("sk_live_", "rk_live_", "pk_live_")):
        raise unauthorized(
            "This is a stand-in for Stripe, not Stripe: it refuses live keys. Use a key that "
            "begins with sk_test_ or pk_test_, and keep the live one away from the sandbox."
        )
    if key.startswith("pk_test_"):
        return True
    if not key.startswith(("sk_test_", "rk_test_")):
        raise unauthorized("Invalid API Key provided: it must begin with sk_test_ or pk_test_.")
    return False


def _for_browser(answer: Resource) -> Resource:
    if "error" in answer and "payment_intent" in answer["error"]:
        intent = _for_browser(answer["error"]["payment_intent"])
        return {"error": {**answer["error"], "payment_intent": intent}}
    if answer.get("object") != "payment_intent":
        return answer
    return {name: answer[name] for name in BROWSER_KEYS}


def _json(status: int, body: bytes, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
