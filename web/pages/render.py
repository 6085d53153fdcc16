"""Turns templates into pages: what every page knows, its security policy, money and times for people."""

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import jinja2
from aiohttp import web

from models import ids
from models.wording import counted
from web.http.context import CONTEXT
from web.http.deps import StripeOrigins
from web.pages import formats
from web.pages.assets import Assets

TEMPLATES: Final = Path(__file__).parent.parent / "templates"
COMPILED: Final = TEMPLATES.parent / "__pycache__"
"""Compiled templates lie beside the modules' bytecode, where Python may write that."""
COMPILED_BY: Final = blake2b(
    jinja2.__version__.encode() + Path(__file__).read_bytes(), digest_size=8
).hexdigest()
"""In their names: what another release or another environment compiled must not run here."""
ASSETS: Final = web.AppKey("assets", Assets)
TEMPLATE_ENGINE: Final = web.AppKey("templates", jinja2.Environment)

ROBOTS_TAG: Final = "noindex"


def make_environment(assets: Assets) -> jinja2.Environment:
    """Templates that escape what they show and name what they miss."""
    is_kept = os.access(COMPILED, os.W_OK)
    compiled = jinja2.FileSystemBytecodeCache(str(COMPILED), f"__jinja2_{COMPILED_BY}_%s.cache")
    engine = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True,
        bytecode_cache=compiled if is_kept else None,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    engine.globals.update(
        asset=assets.url, integrity=assets.integrity, dish_picture=assets.dish_picture,
        status_words=formats.ORDER_STATUS_TEXTS, counted=counted,
    )  # fmt: skip
    engine.filters.update(
        money=formats.money_text, time=formats.time_of, clock=formats.clock, exact=formats.exact,
        pretty=formats.pretty, state=formats.state, reference=ids.reference,
    )  # fmt: skip
    return engine


async def warm(app: web.Application) -> None:
    """Compile the templates and load the locales before there are requests.

    Else the first who sees a page waits for that, and all others with them. Blocks for half a second.
    """
    engine = app[TEMPLATE_ENGINE]
    for name in engine.list_templates():
        engine.get_template(name)
    for currency in (*formats.LOCALES, "USD"):
        formats.money_text(0, currency)
    formats.clock("2026-01-01T00:00:00.000Z")


def render(
    request: web.Request,
    template: str,
    *,
    status: int = 200,
    stripe: StripeOrigins | None = None,
    **values: Any,
) -> web.Response:
    """A page. stripe: the origins that this page's policy lets in, for pages that take cards."""
    engine = request.config_dict[TEMPLATE_ENGINE]
    context = request.config_dict[CONTEXT]
    known = {"request": request, "path": request.path, "is_sandbox": context.deps.is_sandbox}
    text = engine.get_template(template).render(**known, **values)
    response = web.Response(status=status, text=text, content_type="text/html")
    response.headers["Content-Security-Policy"] = policy(stripe)
    if stripe is not None:  # some ways to pay open a window of the bank's, and wait for its word
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
    response.headers["X-Robots-Tag"] = ROBOTS_TAG
    response.enable_compression()
    return response


def policy(stripe: StripeOrigins | None = None) -> str:
    """The Content-Security-Policy: our own files alone, and Stripe's where a card is entered."""
    scripts = " ".join(["'self'", *(stripe.script if stripe else ())])
    connects = " ".join(["'self'", *(stripe.connect if stripe else ())])
    frames = " ".join(stripe.frame if stripe else ()) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; manifest-src 'self'; media-src 'self'; "
        f"connect-src {connects}; frame-src {frames}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
