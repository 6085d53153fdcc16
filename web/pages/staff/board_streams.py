"""The boards' streams: they tell a page that something changed, and the page asks for itself.

It asks with its own address and what it has (`?seen=`), answered 204 when nothing else is to be shown.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import Final

import orjson
from aiohttp import web

from web.http.auth import authorize_staff, is_worker
from web.http.change_feed import ANY_COURIER, COURIER, KITCHEN, OPERATIONS, ChangeFeed, matches_any
from web.http.problems import ProblemError
from web.http.route import Access, AnyCall
from web.http.scatter_gather import PARTITIONS
from web.http.sse import HEARTBEAT_S, EventStream, StreamEvent
from web.http.tokens import Role
from web.pages.ops.overview import OVERVIEW_SNAPSHOT

BOARD_CHANGED: Final = StreamEvent("board", "look")
MIN_INTERVAL_S: Final = 2.0
"""A board is told of changes at most so often: nobody reads, or hits, a list that changes faster."""


def stream_kitchen(call: AnyCall) -> EventStream:
    """Of a kitchen's own changes; an operator's is of every kitchen's."""
    is_kitchen = call.identity.role is Role.KITCHEN
    own = f"{KITCHEN}:{call.identity.restaurant_id}" if is_kitchen else KITCHEN
    return _stream(call, own)


def stream_courier(call: AnyCall) -> EventStream:
    """Of what waits for a courier, and of a courier's own; an operator's is of everybody's."""
    own = (ANY_COURIER, f"{COURIER}:{call.identity.subject}")
    return _stream(call, *(own if call.identity.role is Role.COURIER else [COURIER]))


def stream_operations(call: AnyCall) -> EventStream:
    """Of the operators' overview."""
    return _stream(call, OPERATIONS)


async def _only_workers(call: AnyCall) -> None:
    if not is_worker(call.request, call.context.deps):
        await authorize_staff(call.request, call.context.deps, Role.OPERATOR)
        raise ProblemError("ROLE_REFUSED", "accepted: workers")


WORKERS: Final = Access(text="workers", check=_only_workers)
"""Changes name all kitchens and couriers that have something to do, so nobody's token opens them."""


async def show_changes(call: AnyCall) -> web.Response:
    """What changed at this worker; held until there is something."""
    changed = await call.context.changes.told(call.request.query.get("after", ""))
    return web.Response(body=orjson.dumps(changed), content_type="application/json")


def _stream(call: AnyCall, *scopes: str) -> EventStream:
    if PARTITIONS in call.request.headers:  # its headers serve to ask the other workers
        raise ProblemError("BAD_REQUEST")
    whose = f"{call.identity.role}:{call.identity.subject}"
    return EventStream(whose, _while_open(call, frozenset(scopes)))


async def _while_open(call: AnyCall, scopes: frozenset[str]) -> AsyncGenerator[StreamEvent | None]:
    """A board's events; what they need from the other workers is asked for until they end."""
    changes = call.context.changes
    with ExitStack() as stack:
        stack.enter_context(changes.following.asked(call.request))
        if OPERATIONS in scopes:
            watch = call.request.app[OVERVIEW_SNAPSHOT].watch
            stack.enter_context(watch.asked(call.request))
        async with aclosing(_board_events(changes, scopes)) as events:
            async for event in events:
                yield event


async def _board_events(
    changes: ChangeFeed, scopes: frozenset[str]
) -> AsyncGenerator[StreamEvent | None]:
    read, due_s = changes.heard.last, time.monotonic() + MIN_INTERVAL_S
    yield BOARD_CHANGED  # what happened before the stream began
    while True:
        beat_at_s, is_news = time.monotonic() + HEARTBEAT_S, False
        # What concerns others must not show either, not even as a beat that comes early.
        while not is_news and (remaining_s := beat_at_s - time.monotonic()) > 0:
            await changes.heard.wait(read, remaining_s)
            changed, read = changes.heard.since(read), changes.heard.last
            is_news = matches_any(changed, scopes)
        if is_news:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            read, due_s = changes.heard.last, time.monotonic() + MIN_INTERVAL_S
            yield BOARD_CHANGED
        else:
            yield None
