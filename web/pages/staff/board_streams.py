"""The boards' streams: a page is told that it should look, and asks for itself what there is to see.

A look is the page's own address with what it has (`?seen=`), answered 204 when that is all there is.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Final

import orjson
from aiohttp import web

from web.http.auth import authorize_staff, is_worker
from web.http.change_feed import ANY_COURIER, COURIER, KITCHEN, OPERATIONS, ChangeFeed, matches_any
from web.http.context import CONTEXT, Context
from web.http.problems import ProblemError
from web.http.scatter_gather import PARTITIONS
from web.http.sse import HEARTBEAT_S, StreamEvent
from web.http.tokens import Identity, Role
from web.pages.ops.overview import OVERVIEW_SNAPSHOT

BOARD_CHANGED: Final = StreamEvent("board", "look")
MIN_INTERVAL_S: Final = 2.0
"""A board is told to look at most so often: nobody reads, or hits, a list that changes faster."""


async def stream_kitchen(request: web.Request) -> web.StreamResponse:
    """Tell a kitchen's board; an operator's is every kitchen's."""
    context, identity = await _authorized(request, Role.KITCHEN, Role.OPERATOR)
    is_kitchen = identity.role is Role.KITCHEN
    own = f"{KITCHEN}:{identity.restaurant_id}" if is_kitchen else KITCHEN
    return await _send(context, request, identity, own)


async def stream_courier(request: web.Request) -> web.StreamResponse:
    """Tell a courier's board: of what waits for a courier, and of its own; an operator's is everybody's."""
    context, identity = await _authorized(request, Role.COURIER, Role.OPERATOR)
    own = (ANY_COURIER, f"{COURIER}:{identity.subject}")
    return await _send(
        context, request, identity, *(own if identity.role is Role.COURIER else [COURIER])
    )


async def stream_operations(request: web.Request) -> web.StreamResponse:
    """Tell the operators' overview."""
    context, identity = await _authorized(request, Role.OPERATOR)
    with request.app[OVERVIEW_SNAPSHOT].watch.asked(request):
        return await _send(context, request, identity, OPERATIONS)


async def show_changes(request: web.Request) -> web.StreamResponse:
    """What changed at this worker, for the other ones alone; held until there is something.

    It says of all kitchens and couriers when they have something to do, so no token of anybody's opens it.
    """
    context = request.app[CONTEXT]
    if not is_worker(request, context.deps):
        await authorize_staff(request, context.deps, Role.OPERATOR)
        raise ProblemError("ROLE_REFUSED", "accepted: workers")
    told = await context.changes.told(request.query.get("after", ""))
    return web.Response(body=orjson.dumps(told), content_type="application/json")


async def _authorized(request: web.Request, *roles: Role) -> tuple[Context, Identity]:
    context = request.app[CONTEXT]
    identity = await authorize_staff(request, context.deps, *roles)
    if PARTITIONS in request.headers:  # its headers serve to ask the other workers
        raise ProblemError("BAD_REQUEST")
    return context, identity


async def _send(
    context: Context, request: web.Request, identity: Identity, *scopes: str
) -> web.StreamResponse:
    whose = f"{identity.role}:{identity.subject}"
    with context.changes.following.asked(request):
        return await context.streams.send(
            request, whose, _board_events(context.changes, frozenset(scopes))
        )


async def _board_events(
    changes: ChangeFeed, scopes: frozenset[str]
) -> AsyncGenerator[StreamEvent | None]:
    read, due_s = changes.heard.last, time.monotonic() + MIN_INTERVAL_S
    yield BOARD_CHANGED  # what happened while nothing was told
    while True:
        beat_at_s, news = time.monotonic() + HEARTBEAT_S, False
        # What concerns others must not show either, not even as a beat that comes early.
        while not news and (remaining_s := beat_at_s - time.monotonic()) > 0:
            await changes.heard.wait(read, remaining_s)
            changed, read = changes.heard.since(read), changes.heard.last
            news = matches_any(changed, scopes)
        if news:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            read, due_s = changes.heard.last, time.monotonic() + MIN_INTERVAL_S
            yield BOARD_CHANGED
        else:
            yield None
