"""Turns templates into pages: what every page knows, its security policy, money and times for people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import jinja2
import orjson
from aiohttp import web
from babel.dates import format_datetime
from babel.numbers import format_currency

from models import ids, money
from models.wording import counted
from web.http.context import CONTEXT
from web.http.deps import StripeOrigins
from web.pages.assets import Assets

TEMPLATES: Final = Path(__file__).parent.parent / "templates"
ASSETS: Final = web.AppKey("assets", Assets)
TEMPLATE_ENGINE: Final = web.AppKey("templates", jinja2.Environment)

ROBOTS_TAG: Final = "noindex"
LOCALES: Final = {"INR": "en_IN", "GBP": "en_GB", "EUR": "en_IE"}
"""How amounts of a currency are grouped and marked, shown and read."""
DEFAULT_LOCALE: Final = "en_US"
"""For the others."""

ORDER_STATUS_TEXTS: Final[Mapping[str, str]] = {
    "PLACED": "Opening the payment",
    "PAYMENT_PENDING": "Waiting for payment",
    "PAYMENT_FAILED": "Payment failed",
    "PENDING": "Waiting for the kitchen",
    "CONFIRMED": "Accepted",
    "PREPARING": "Preparing",
    "READY_FOR_PICKUP": "Ready for pick-up",
    "OUT_FOR_DELIVERY": "On its way",
    "DELIVERED": "Delivered",
    "CANCELLED": "Cancelled",
    "REFUNDED": "Refunded",
}
"""States of an order, for people."""


def make_environment(assets: Assets) -> jinja2.Environment:
    """Templates that escape what they show and name what they miss."""
    engine = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    engine.globals.update(
        asset=assets.url,
        integrity=assets.integrity,
        dish_picture=assets.dish_picture,
        status_words=ORDER_STATUS_TEXTS,
        counted=counted,
    )
    engine.filters.update(
        money=money_text,
        time=time_of,
        clock=clock,
        exact=exact,
        pretty=pretty,
        state=state,
        reference=ids.reference,
    )
    return engine


async def warm(app: web.Application) -> None:
    """Compile the templates and load the locales before there are requests.

    Else the first who sees a page waits for that, and all others with them. Blocks for half a second.
    """
    engine = app[TEMPLATE_ENGINE]
    for name in engine.list_templates():
        engine.get_template(name)
    for currency in (*LOCALES, "USD"):
        money_text(0, currency)
    clock("2026-01-01T00:00:00.000Z")


def money_text(value: Any, currency: str | None = None) -> str:
    """An amount as people of its currency write it: 250000 INR is "₹2,500.00".

    value: a `Money`, its JSON, or minor units with their currency.
    """
    if isinstance(value, Mapping):
        amount, code = value["amount"], value["currency"]
    elif currency is not None:
        amount, code = value, currency
    else:
        amount, code = value.amount, value.currency
    decimal = Decimal(money.decimal_text(amount, code))
    text = format_currency(decimal, code, locale=LOCALES.get(code, DEFAULT_LOCALE))
    return str(text.replace(code, f"{code}\u00a0"))  # a code is no symbol: it keeps its distance


def time_of(rfc3339: str) -> datetime:
    """The time that an RFC 3339 text names."""
    return datetime.fromisoformat(rfc3339).astimezone(UTC)


def clock(rfc3339: str) -> str:
    """A time as it stands there without JavaScript, which shows the browser's own zone."""
    at = time_of(rfc3339)
    form = "d MMM, HH:mm" if at.year == datetime.now(UTC).year else "d MMM y, HH:mm"
    return str(format_datetime(at, form, locale="en")) + " UTC"


def exact(rfc3339: str) -> str:
    """A time on paper: date, time and zone, whoever reads it wherever."""
    return str(format_datetime(time_of(rfc3339), "d MMMM y, HH:mm:ss", locale="en")) + " UTC"


def state(code: str) -> str:
    """A code of ours or Stripe's as words: READY_FOR_PICKUP is "Ready for pickup"."""
    return code.replace("_", " ").capitalize()


def pretty(value: Any) -> str:
    """JSON values, for people."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


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
    text = engine.get_template(template).render(
        request=request,
        path=request.path,
        is_sandbox=context.deps.is_sandbox,
        **values,
    )
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
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {scripts}",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "manifest-src 'self'",
            "media-src 'self'",
            f"connect-src {connects}",
            f"frame-src {frames}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
