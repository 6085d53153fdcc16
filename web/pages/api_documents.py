"""The documents that describe Tiffin, to programs and to people: each made once, and not on the event loop.

They are public, made of the tables that the code runs on, and making one takes 100 to 200 ms.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from models.events import EVENTS
from models.graphs import DELIVERY_GRAPH, ORDER_GRAPH, PAYMENT_GRAPH, REFUND_GRAPH
from models.stuck import WAIT_RULES
from models.times import DAY_MS, HOUR_MS, MINUTE_MS
from models.topics import TopicUse
from web import asyncapi, openapi
from web.asyncapi import first_paragraph, messages_of, wire_names
from web.http.context import CONTEXT, ORDERS
from web.http.dispatch import mount
from web.http.problems import CODES
from web.http.route import PUBLIC, AnyCall, Route
from web.pages.assets import Asset
from web.pages.render import ROBOTS_TAG, policy, render
from web.routes import ROUTES as API_ROUTES

JSON: Final = "application/json"
GRAPHS: Final[Mapping[str, Mapping[Any, frozenset[Any]]]] = {
    "Payment": PAYMENT_GRAPH, "Order": ORDER_GRAPH, "Delivery": DELIVERY_GRAPH,
    "Refund": REFUND_GRAPH,
}  # fmt: skip


class Documents:
    """Those of one application, by path."""

    def __init__(self) -> None:
        self._made: dict[str, Asset] = {}
        self._lock = asyncio.Lock()

    async def response(self, request: web.Request, make: Callable[[], Asset]) -> web.Response:
        """The document at this path; the first who asks has it made, the others wait."""
        if request.path not in self._made:
            async with self._lock:
                if request.path not in self._made:
                    self._made[request.path] = await asyncio.to_thread(_packed, make)
        return self._made[request.path].response(request)


DOCUMENTS: Final = web.AppKey("documents", Documents)


async def show_openapi(call: AnyCall) -> web.Response:
    """OpenAPI of the HTTP API."""
    return await call.request.app[DOCUMENTS].response(call.request, _openapi)


async def show_asyncapi(call: AnyCall) -> web.Response:
    """AsyncAPI of Kafka's topics."""
    partitions, uses = call.context.tables[ORDERS].partitions, call.context.deps.topics
    make = functools.partial(_asyncapi, partitions, uses)
    return await call.request.app[DOCUMENTS].response(call.request, make)


async def show_reference(call: AnyCall) -> web.Response:
    """The same for people, on one page."""
    make = functools.partial(_reference, call.request)
    response = await call.request.app[DOCUMENTS].response(call.request, make)
    response.headers.update({"Content-Security-Policy": policy(), "X-Robots-Tag": ROBOTS_TAG})
    return response


ROUTES: Final = (
    Route(method="GET", path="/openapi.json", access=PUBLIC, run=show_openapi),
    Route(method="GET", path="/asyncapi.json", access=PUBLIC, run=show_asyncapi),
    Route(method="GET", path="/docs", access=PUBLIC, run=show_reference, is_page=True),
)


def setup(app: web.Application) -> None:
    """Mount the documents."""
    app[DOCUMENTS] = Documents()
    mount(app, ROUTES)


@functools.cache
def _openapi() -> Asset:
    return Asset(orjson.dumps(openapi.description()), JSON, is_packable=True)


@functools.cache
def _asyncapi(partitions: int, uses: tuple[TopicUse, ...]) -> Asset:
    return Asset(orjson.dumps(asyncapi.description(partitions, uses)), JSON, is_packable=True)


def _reference(request: web.Request) -> Asset:
    page = render_reference(request)
    assert isinstance(page.body, bytes), "a page is rendered whole"
    return Asset(page.body, page.headers["Content-Type"], is_packable=True)


def _packed(make: Callable[[], Asset]) -> Asset:
    """Hash and compress it here too, not when it is first sent."""
    asset = make()
    assert asset.packed
    assert asset.version
    return asset


def render_reference(request: web.Request) -> web.Response:
    """Routes, states, topics and codes on one page, to be searched with the browser's own search."""
    context = request.app[CONTEXT]
    partitions = context.tables[ORDERS].partitions
    topics = [
        (use, use.topic.partitions or partitions, use.topic.retention)
        for use in context.deps.topics
    ]
    graphs = {
        name: [(str(state or "(none)"), sorted(map(str, after))) for state, after in graph.items()]
        for name, graph in GRAPHS.items()
    }
    return render(
        request, "reference.html", topics=topics, messages_of=messages_of, waits=WAIT_RULES,
        allowed=allowed, codes=CODES, graphs=graphs,
        routes=[(route, first_paragraph(route.run)) for route in API_ROUTES],
        events=[(kind, wire_names(spec.data), spec.topics) for kind, spec in EVENTS.items()],
    )  # fmt: skip


def allowed(duration_ms: int) -> str:
    """A duration in the largest unit that it is a whole number of."""
    for unit, length_ms in (("d", DAY_MS), ("h", HOUR_MS), ("min", MINUTE_MS), ("s", 1000)):
        if duration_ms and duration_ms % length_ms == 0:
            return f"{duration_ms // length_ms} {unit}"
    return "at once"
