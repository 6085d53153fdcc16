"""The documents that describe Tiffin, to programs and to people: each made once, and not on the event loop.

They are public, and making one takes longer than most requests: 100 to 200 ms.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Final

import orjson
from aiohttp import web

from models.topics import TopicUse
from web import asyncapi, openapi
from web.http.context import ORDERS
from web.http.dispatch import mount
from web.http.route import PUBLIC, AnyCall, Route
from web.pages import reference
from web.pages.assets import Asset

JSON: Final = "application/json"


class Documents:
    """Those of one application, by path."""

    def __init__(self) -> None:
        self._made: dict[str, Asset] = {}
        self._lock = asyncio.Lock()

    async def get(self, path: str, make: Callable[[], Asset]) -> Asset:
        """The document; the first who asks has it made, the others wait."""
        if path not in self._made:
            async with self._lock:
                if path not in self._made:
                    self._made[path] = await asyncio.to_thread(_packed, make)
        return self._made[path]


DOCUMENTS: Final = web.AppKey("documents", Documents)


async def show_openapi(call: AnyCall) -> web.Response:
    """OpenAPI of the HTTP API."""
    made = await call.request.app[DOCUMENTS].get("openapi", _openapi)
    return made.response(call.request)


async def show_asyncapi(call: AnyCall) -> web.Response:
    """AsyncAPI of Kafka's topics."""
    partitions, uses = call.context.tables[ORDERS].partitions, call.context.deps.topics
    made = await call.request.app[DOCUMENTS].get("asyncapi", lambda: _asyncapi(partitions, uses))
    return made.response(call.request)


async def show_reference(call: AnyCall) -> web.Response:
    """The same for people, on one page."""
    made = await call.request.app[DOCUMENTS].get("docs", lambda: _reference(call.request))
    response = made.response(call.request)
    response.headers.update(reference.HEADERS)
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
    page = reference.render_reference(request)
    assert isinstance(page.body, bytes), "a page is rendered whole"
    return Asset(page.body, page.headers["Content-Type"], is_packable=True)


def _packed(make: Callable[[], Asset]) -> Asset:
    """Hash and compress it here too, not when it is first sent."""
    asset = make()
    assert asset.packed
    assert asset.version
    return asset
