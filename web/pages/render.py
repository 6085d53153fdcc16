"""Turns templates into pages: what every page knows, its security policy, money and times for people."""

import os
import re
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import jinja2
import orjson
from aiohttp import web
from jinja2.ext import Extension
from markupsafe import Markup

from models import ids
from models.wording import counted
from web import languages
from web.api import csp_reports
from web.http.context import CONTEXT
from web.http.deps import StripeOrigins
from web.pages import formats
from web.pages.assets import Assets

TEMPLATES: Final = Path(__file__).parent.parent / "templates"
COMPILED: Final = TEMPLATES.parent / "__pycache__"
"""Compiled templates lie beside the modules' bytecode, where Python may write that."""
_MADE_OF: Final = (Path(__file__), Path(languages.__file__), *languages.FOLDER.rglob("*.mo"))
COMPILED_BY: Final = blake2b(
    jinja2.__version__.encode() + b"".join(path.read_bytes() for path in sorted(_MADE_OF)),
    digest_size=8,
).hexdigest()
"""In their names: what another release, environment or translation compiled must not run here."""
_STATIC_TEXT: Final = re.compile(r'\{\{ _\("([^"\\]*)"\) \}\}')
ASSETS: Final = web.AppKey("assets", Assets)
TEMPLATE_ENGINES: Final = web.AppKey("templates", Mapping[str, jinja2.Environment])
"""By language."""

THEME_COOKIE: Final = "tiffin_theme"
"""Holds light or dark, where the reader has chosen one."""
REPORTING_ENDPOINTS: Final = f'csp="{csp_reports.PATH}"'
ROBOTS_TAG: Final = "noindex"


class StaticTexts(Extension):
    """Puts texts without values into a template when it is compiled: they cost nothing when it is shown."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """The template in its environment's language."""
        to: str = self.environment.reader_language  # type: ignore[attr-defined]
        put = lambda text: languages.in_language(to, lambda: languages.markup(text[1]))  # noqa: E731
        return _STATIC_TEXT.sub(put, source)


def make_environments(assets: Assets) -> dict[str, jinja2.Environment]:
    """The templates in each language."""
    return {name: make_environment(assets, name) for name in languages.LANGUAGES}


def make_environment(assets: Assets, language: str = languages.ENGLISH) -> jinja2.Environment:
    """Templates that escape what they show and name what they miss."""
    is_kept = os.access(COMPILED, os.W_OK)
    compiled = jinja2.FileSystemBytecodeCache(
        str(COMPILED), f"__jinja2_{COMPILED_BY}_{language}_%s.cache"
    )
    engine = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True,
        bytecode_cache=compiled if is_kept else None,
        extensions=[StaticTexts], undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    engine.extend(reader_language=language)
    engine.globals.update(
        asset=assets.url, integrity=assets.integrity, dish_picture=assets.dish_picture,
        _=languages.markup, ngettext=languages.markup_of_number, language=languages.language.get,
        languages=languages.LANGUAGES, status_words=formats.ORDER_STATUS_TEXTS, counted=counted,
    )  # fmt: skip
    engine.filters.update(
        money=formats.money_text, time=formats.time_of, clock=formats.clock, day=formats.day,
        exact=formats.exact, pretty=formats.pretty, state=formats.state,
        order_state=formats.order_state, reference=ids.reference,
        strong=formats.strong, code=formats.code, mono=formats.mono,
    )  # fmt: skip
    return engine


async def warm(app: web.Application) -> None:
    """Compile the templates and load the locales before there are requests.

    Else the first who sees a page waits for that, and all others with them. Blocks for half a second.
    """
    for engine in app[TEMPLATE_ENGINES].values():
        for name in engine.list_templates():
            engine.get_template(name)
    for currency in (*formats.LOCALES, "USD"):
        formats.money_text(0, currency)
    for name in languages.LANGUAGES:
        languages.in_language(name, lambda: formats.clock("2026-01-01T00:00:00.000Z"))


def render(
    request: web.Request,
    template: str,
    *,
    status: int = 200,
    stripe: StripeOrigins | None = None,
    **values: Any,
) -> web.Response:
    """A page. stripe: the origins that this page's policy lets in, for pages that take cards."""
    engine = request.config_dict[TEMPLATE_ENGINES][languages.language.get()]
    context = request.config_dict[CONTEXT]
    shown_path = request.path_qs if request.method == "GET" else request.path
    theme = request.cookies.get(THEME_COOKIE, "")
    known = {
        "theme": theme if theme in {"light", "dark"} else "auto",
        "request": request,
        "path": request.path,
        "shown_path": shown_path,
        "script_words": script_words(languages.language.get()),
        "is_sandbox": context.deps.is_sandbox,
    }
    text = engine.get_template(template).render(**known, **values)
    response = web.Response(status=status, text=text, content_type="text/html")
    response.headers["Content-Security-Policy"] = policy(stripe)
    response.headers["Reporting-Endpoints"] = REPORTING_ENDPOINTS
    if stripe is not None:  # some ways to pay open a window of the bank's, and wait for its word
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
    response.headers["X-Robots-Tag"] = ROBOTS_TAG
    response.headers["Content-Language"] = languages.language.get()
    response.headers["Vary"] = "Accept-Language, Cookie"
    response.enable_compression()
    return response


@cache
def script_words(name: str) -> Markup:
    """The texts of the scripts, as JSON; "" in English."""
    words = languages.of_scripts(name)
    return Markup(orjson.dumps(words).decode().replace("<", "\\u003c")) if words else Markup()  # noqa: S704


def policy(stripe: StripeOrigins | None = None) -> str:
    """The Content-Security-Policy: our own files alone, and Stripe's where a card is entered."""
    scripts = " ".join(["'self'", *(stripe.script if stripe else ())])
    connects = " ".join(["'self'", *(stripe.connect if stripe else ())])
    frames = " ".join(stripe.frame if stripe else ()) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; manifest-src 'self'; media-src 'self'; "
        f"connect-src {connects}; frame-src {frames}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"report-uri {csp_reports.PATH}; report-to csp"
    )
