"""The one dispatcher: enforces a route's row, runs it, and renders what it gives.

For each request, in this order; whatever fails first ends it:

1. empty parameters of a form (redirect), the order's id in the path (the origin of a POST and the limits
   of clients come before: middleware.py)
2. access: token and role; then key, query and body, each as the row says; then access again where the
   body names the order
3. `resolve`; then forwarding to the `owner`, with the body as it came
4. at the owner: the consistency token's wait (`waits_for`), `order_must_exist`
5. `run(call)`, a plain or async function, or a class of `Gather`. It gives the result, or says how to
   get it: a `Gather` (all partitions are asked; another worker's request gets this worker's shares,
   whatever the renderer), a `CommandRequest` (sent once for its key; `Accepted` past the bound), an
   `EventStream`. A `web.StreamResponse` is the answer itself
6. the renderer: `html` for people, else the row's own, else JSON

From the second step on `rescue` may answer what was raised. To write a query function: take a `Call`,
give an `ApiModel`; pages call the same function, or another row's by `result_of(call, run)`.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final

import structlog
from aiohttp import web

from models.errors import UnavailableError
from tables import NotOwnerError, NotReadyError
from web.http import consistency
from web.http.answers import json_answer
from web.http.bodies import FORM_CONTENT_TYPE, parse_form, read_body, read_json, validated
from web.http.commands import CommandRequest, check_order_is_known, perform
from web.http.context import ORDER_ID, ORDERS
from web.http.params import idempotency_key, order_id_of
from web.http.problems import ProblemError
from web.http.route import (
    HTML_RENDERERS,
    AnyCall,
    Call,
    Key,
    Owner,
    RawBody,
    Renderer,
    Route,
    context_of,
)
from web.http.scatter_gather import PARTITIONS, Gather
from web.http.sse import EventStream, StreamEvent
from web.http.tokens import STAFF_ROLES, Role

RESCUED: Final = (ProblemError, UnavailableError, NotOwnerError, NotReadyError)


def mount(app: web.Application, routes: Iterable[Route]) -> None:
    """Add routes to an application: the only way in, so none goes without its row."""
    for route in routes:
        add = app.router.add_get if route.method == "GET" else app.router.add_post
        add(route.path, functools.partial(dispatch, route))


async def dispatch(route: Route, request: web.Request) -> web.StreamResponse:
    """Answer a request as its row says."""
    call: AnyCall = Call(context_of(request), request, route)
    if route.drops_empty and not all(request.query.values()):
        kept = {name: value for name, value in request.query.items() if value}
        raise web.HTTPSeeOther(request.rel_url.with_query(kept))
    if "{order_id}" in route.path:
        call.order_id = order_id_of(request)
    call.who = await route.access.check(call)
    try:
        await _read(call)
        return await _at_owner(call)
    except RESCUED as error:
        if route.rescue is None:
            raise
        return await route.rescue(call, error)


async def result_of(call: AnyCall, run: Any) -> Any:
    """What a row's `run` gives, after what it asks for has been done. Raises as that does."""
    found = await given_by(run, call)
    if isinstance(found, Gather):
        return await found.collect()
    if isinstance(found, CommandRequest):
        return await perform(call.context, found)
    return found


async def forward(
    call: AnyCall, owner: Owner | None, headers: Mapping[str, str] | None = None
) -> web.StreamResponse | None:
    """The owner's answer; None when this worker is the owner. headers: to be added.

    A service that does not run here is asked here. Raises ProblemError (503).
    """
    table = call.context.tables.get(owner.service) if owner else None
    if owner is None or table is None:
        return None
    return await call.context.forwarder.forwarded(
        call.request, owner.key, table, max_hops=owner.max_hops, headers=headers
    )


async def _read(call: AnyCall) -> None:
    """Key, query and body, in this order. Raises ProblemError (400, 408, 413, 415, 401, 403)."""
    route, request = call.route, call.request
    if route.key is not Key.NONE:
        call.key = idempotency_key(request, route.key_param, optional=route.key is Key.OPTIONAL)
    call.params = route.params.read(request.query)
    call.body = await _body(call)
    if route.access.check_body is not None:
        call.who = await route.access.check_body(call)


async def _body(call: AnyCall) -> Any:
    kind, request = call.route.body, call.request
    limit_bytes = call.context.deps.body_limit_bytes
    if kind is None:
        return None
    if isinstance(kind, RawBody):
        return await read_body(request, kind.limit_bytes)
    if isinstance(kind, type):
        return await read_json(
            request, kind, limit_bytes, may_be_empty=call.route.body_may_be_empty
        )
    raw = await read_body(request, limit_bytes)
    if raw and request.content_type != FORM_CONTENT_TYPE:
        raise ProblemError("CONTENT_TYPE_REFUSED", "A form of our own pages is accepted here.")
    call.fields = parse_form(raw)
    value = kind.value_of(call, dict(call.fields))
    return value if kind.to is None else validated(kind.to, value)


async def _at_owner(call: AnyCall) -> web.StreamResponse:
    route, context = call.route, call.context
    if route.resolve is not None:
        call.subject = await route.resolve(call)
    if call.order_id:
        structlog.contextvars.bind_contextvars(**{ORDER_ID: call.order_id})
    token = None
    if route.waits_for and call.order_id:
        token = consistency.token_of_request(call.request, call.order_id)
    if route.owner is not None:
        forwarded = await forward(call, route.owner(call))
        if forwarded is not None:
            return forwarded
    await consistency.hold(context, call.order_id, token, route.waits_for)
    if route.order_must_exist:
        _check_order(call)
    return await _rendered(call, await result_of(call, _run_or_share))


async def given_by(run: Any, call: AnyCall) -> Any:
    """What a row's `run` gives, as it is."""
    found = run(call)
    return await found if inspect.isawaitable(found) else found


async def _run_or_share(call: AnyCall) -> Any:
    """What `run` gives, but for another worker its shares of a `Gather`."""
    found = await given_by(call.route.run, call)
    if isinstance(found, Gather) and PARTITIONS in call.request.headers:
        return await found.shares_response()
    return found


async def _rendered(call: AnyCall, result: Any) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    if isinstance(result, EventStream):
        events = _while_let_in(call, result.events)
        return await call.context.streams.send(call.request, result.whose, events)
    return _renderer(call)(call, result)


async def _while_let_in(
    call: AnyCall, events: AsyncGenerator[StreamEvent | None]
) -> AsyncGenerator[StreamEvent | None]:
    """The events as long as the token of staff that asked for them is taken: it may be revoked, or expire."""
    is_staff = call.who is not None and call.who.role in STAFF_ROLES
    async with aclosing(events):
        async for event in events:
            if is_staff:
                try:
                    await call.route.access.check(call)
                except (ProblemError, UnavailableError):
                    return
            yield event


def _renderer(call: AnyCall) -> Renderer:
    route = call.route
    if route.html:
        wanted = call.request.query.get("format")
        accepts = "text/html" in call.request.headers.get("Accept", "")
        if wanted == "html" or (wanted is None and accepts):
            return call.request.app[HTML_RENDERERS][route.html]
    return route.renderer or json_answer


def _check_order(call: AnyCall) -> None:
    """Raises ProblemError (404; 403 for a kitchen that asks for another restaurant's order)."""
    context, who = call.context, call.who
    check_order_is_known(context, call.order_id)
    if who is None or who.role is not Role.KITCHEN:
        return
    record = context.record(ORDERS, call.order_id)
    known = record and (record.state.placed or record.state.order)
    if not known or known.restaurant_id != who.restaurant_id:
        raise ProblemError("WRONG_RESTAURANT")
