"""Reads forms of pages, and hands them to the API's own handlers."""

from typing import Any, Final

import orjson
from aiohttp import web

from web.http.bodies import FORM_CONTENT_TYPE, parse_form, read_body
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.http.scatter_gather import PARTITIONS

HTMX: Final = "HX-Request"


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form. Raises ProblemError (400, 413, 415)."""
    raw = await read_body(request, request.app[CONTEXT].deps.body_limit_bytes)
    if raw and request.content_type != FORM_CONTENT_TYPE:
        raise ProblemError("CONTENT_TYPE_REFUSED", "A form of our own pages is accepted here.")
    return parse_form(raw)


def wants_fragment(request: web.Request) -> bool:
    """Whether htmx asks, which swaps a part of the page."""
    return request.headers.get(HTMX) == "true"


def drop_empty(request: web.Request) -> None:
    """Drop what a form left empty. Raises HTTPSeeOther to the address without it."""
    if any(not value for value in request.query.values()):
        kept = {name: value for name, value in request.query.items() if value}
        raise web.HTTPSeeOther(request.rel_url.with_query(kept))


def answer_of(response: web.StreamResponse) -> Any:
    """What a handler of the API answered, as JSON values."""
    assert isinstance(response, web.Response)
    return orjson.loads(response.body if isinstance(response.body, bytes) else b"null")


def is_for_worker(request: web.Request) -> bool:
    """Whether another worker asks for its share of a list: it is answered as the API does."""
    return PARTITIONS in request.headers
