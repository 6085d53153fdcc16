"""Reads forms of pages: bounded, urlencoded, and kept for forwarding like every other body."""

from urllib.parse import parse_qsl

from aiohttp import web

from web.bodies import read_body
from web.context import CONTEXT
from web.problems import ProblemError

MOST_FIELDS = 60


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form, outer blanks cut off. Raises ProblemError (400, 413, 415)."""
    raw = await read_body(request, request.app[CONTEXT].deps.body_limit_bytes)
    if raw and request.content_type != "application/x-www-form-urlencoded":
        raise ProblemError("CONTENT_TYPE_REFUSED", "A form of our own pages is accepted here.")
    try:
        fields = parse_qsl(
            raw.decode(),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise ProblemError("BAD_REQUEST", "The form can't be read.") from None
    return {name: value.strip() for name, value in fields}


def wants_fragment(request: web.Request) -> bool:
    """Whether htmx asks, which swaps a part of the page."""
    return request.headers.get("HX-Request") == "true"
