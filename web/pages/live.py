"""The boards' streams: a page is told that it should look, and asks for itself what there is to see.

A look is the page's own address with what it has (`?seen=`), answered 204 when that is all there is.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from models import ids
from web import operations
from web.auth import authorize_staff, is_worker
from web.changes import AGAIN_S, ANY_COURIER, COURIER, KITCHEN, OPERATIONS, Changes, Watch, touches
from web.context import CONTEXT, Context
from web.fanout import PARTITIONS
from web.pages.forms import answer_of
from web.problems import ProblemError
from web.streams import BEAT_S, Event
from web.tokens import Identity, Role

LOOK: Final = Event("board", "look")
BATCH_S: Final = 2.0
"""A board is told to look at most so often: nobody reads, or hits, a list that changes faster."""
OVERVIEW: Final = "/api/ops/overview"


async def stream_kitchen(request: web.Request) -> web.StreamResponse:
    """Tell a kitchen's board; an operator's is every kitchen's."""
    context, identity = await _begun(request, Role.KITCHEN, Role.OPERATOR)
    is_kitchen = identity.role is Role.KITCHEN
    own = f"{KITCHEN}:{identity.restaurant_id}" if is_kitchen else KITCHEN
    return await _send(context, request, identity, own)


async def stream_courier(request: web.Request) -> web.StreamResponse:
    """Tell a courier's board: of what waits for a courier, and of its own; an operator's is everybody's."""
    context, identity = await _begun(request, Role.COURIER, Role.OPERATOR)
    own = (ANY_COURIER, f"{COURIER}:{identity.subject}")
    return await _send(
        context, request, identity, *(own if identity.role is Role.COURIER else [COURIER])
    )


async def stream_operations(request: web.Request) -> web.StreamResponse:
    """Tell the operators' overview."""
    context, identity = await _begun(request, Role.OPERATOR)
    with request.app[GLANCE].watch.asked(request):
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


async def _begun(request: web.Request, *roles: Role) -> tuple[Context, Identity]:
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
            request, whose, _looks(context.changes, frozenset(scopes))
        )


async def _looks(changes: Changes, scopes: frozenset[str]) -> AsyncGenerator[Event | None]:
    read, due_s = changes.heard.last, time.monotonic() + BATCH_S
    yield LOOK  # what happened while nothing was told
    while True:
        beat_at_s, news = time.monotonic() + BEAT_S, False
        # What concerns others must not show either, not even as a beat that comes early.
        while not news and (remaining_s := beat_at_s - time.monotonic()) > 0:
            await changes.heard.wait(read, remaining_s)
            changed, read = changes.heard.since(read), changes.heard.last
            news = touches(changed, scopes)
        if news:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            read, due_s = changes.heard.last, time.monotonic() + BATCH_S
            yield LOOK
        else:
            yield None


@dataclass(slots=True)
class _Seen:
    overview: dict[str, Any]
    at_s: float


class Glance:
    """The overview as it was a moment ago, looked at once for all who have it open."""

    def __init__(self, changes: Changes) -> None:
        self.watch = Watch(self._look)
        self._changes = changes
        self._seen: _Seen | None = None

    def latest(self) -> dict[str, Any] | None:
        """The overview, unless it is old."""
        seen = self._seen
        return seen.overview if seen and time.monotonic() - seen.at_s < 2 * AGAIN_S else None

    async def _look(self, watch: Watch) -> None:
        """Once; the watch does it again and again."""
        request = watch.asker.clone(rel_url=OVERVIEW)
        found = answer_of(await operations.show_overview(request))
        before, self._seen = self._seen, _Seen(found, time.monotonic())
        if before is None or print_of(before.overview) != print_of(found):
            self._changes.heard.add(OPERATIONS)


def print_of(overview: dict[str, Any]) -> str:
    """The same for overviews that say the same."""
    return ids.derived("board", {**overview, "at": ""})


GLANCE: Final = web.AppKey("glance", Glance)
