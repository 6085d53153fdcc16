"""What customers read: an event and its order as the text of a mail and of a short message."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_currency, get_currency_symbol
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from app.notifications.channels import CustomerMessage
from models import ids
from models.cancel_reasons import HEARD_TOO_LATE
from models.declines import GENERIC, decline_text
from models.events import EventType
from models.money import decimal_text, number_pattern, shown_decimals
from models.notification import CHANNELS_BY_EVENT, Notification
from models.order import Placed
from web import languages
from web.catalogue import Restaurant
from web.languages import gettext, gettext_of

TEMPLATE_DIR: Final = Path(__file__).parent / "templates" / "mail"
OrderLink = Callable[[str, Notification], str]
"""Order's id, notification -> the address of the order's page that the letter links to. It is a secret, so
it is made when the letter is. No two are the same, nor are two short messages, which is how one that was
sent is told from another (app/notifications/sms.py)."""

PLAIN_FORMAT: Final = "¤¤ #,##0.00"
"""Currency codes, as in INR 2,500.00: a short message with ₹ in it would cost twice as much."""

DEFAULT_GREETING_NAME: Final = "there"
"""Who is greeted when a name looks like an advertisement: mail programs make links of bare addresses."""
MAX_NAME_CHARS: Final = 80
_LINK: Final = re.compile(r"[:/\\@]|[^\W_]\.[^\W\d_]{2}")

REJECTED: Final = "RESTAURANT_REJECTED"
CANCELLATION_TEXTS: Final[dict[str, str]] = {
    "CUSTOMER_REQUEST": "You asked us to.",
    "CHANGED_MIND": "You asked us to.",
    "ORDERED_BY_MISTAKE": "You asked us to.",
    "TOO_SLOW": "You asked us to; we are sorry it took so long.",
    "OPERATOR_REQUEST": "Our support team cancelled it.",
    "REFUNDED": "Its payment was refunded.",
    "PAYMENT_EXPIRED": "It was not paid in time.",
    "PAID_TOO_LATE": "The payment arrived too late for the restaurant.",
    HEARD_TOO_LATE: "You paid in time, but we found out too late. That was our fault, and we are sorry.",
    "TOO_MANY_ATTEMPTS": "There were too many payment attempts.",
    "RESTAURANT_TIMEOUT": "The restaurant did not respond in time; we are sorry.",
    REJECTED: "The restaurant can't prepare it; we are sorry.",
}
"""Reason of a cancelled order -> words; one that is not here is not told."""


def order_link(make_token: Callable[[str, str, int], str], base_url: str) -> OrderLink:
    """How letters link to an order: its page, or where it is paid after a payment that failed.

    The end counts from what the letter tells of, so that a second try has the same link.
    """

    def link(order_id: str, notification: Notification) -> str:
        name, since_s = notification.notification_id, notification.occurred_at // 1000
        page = "/pay" if notification.event_type is EventType.PAYMENT_FAILED else ""
        return f"{base_url.rstrip('/')}/o/{make_token(order_id, name, since_s)}{page}"

    return link


@dataclass(frozen=True, slots=True)
class RegionFormat:
    """How a restaurant's customers write money and times."""

    locale: Locale
    zone: ZoneInfo

    def money(self, amount: int, currency: str, layout: str | None = None) -> str:
        """Show minor units; with their own decimals, where CLDR's differ from Stripe's (MGA, LBP)."""
        pattern = layout or self.locale.currency_formats["standard"].pattern
        pattern = number_pattern(pattern, shown_decimals(amount, currency))
        if get_currency_symbol(currency, self.locale)[-1:].isalpha():
            pattern = pattern.replace("¤#", "¤\N{NO-BREAK SPACE}#")  # CLDR's rule; Babel lacks it
        value = Decimal(decimal_text(amount, currency))
        return format_currency(value, currency, pattern, self.locale, currency_digits=False)

    def time(self, moment: datetime) -> str:
        """Show a moment in the restaurant's time zone, named."""
        return format_datetime(moment, "long", tzinfo=self.zone, locale=self.locale)


class MessageRenderer:
    """Writes letters; all templates are read and compiled at the start."""

    def __init__(
        self, restaurants: Iterable[Restaurant], link: OrderLink, default_language: str = "en"
    ) -> None:
        """default_language: of customers of whom no language is known."""
        self._link, self._default_language = link, default_language
        templates = Environment(
            loader=FileSystemLoader(TEMPLATE_DIR), autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        templates.globals["_"] = gettext
        self._words = {
            kind: templates.get_template(f"{kind.lower()}.txt") for kind in CHANNELS_BY_EVENT
        }
        self._text = templates.get_template("letter.txt")
        self._html = templates.get_template("letter.html")
        self._regions = {each.id: (each.locale, ZoneInfo(each.time_zone)) for each in restaurants}
        self._elsewhere = ("en", ZoneInfo("UTC"))

    def write(self, order_id: str, notification: Notification, placed: Placed) -> CustomerMessage:
        """The letter of a notification; the same each time, as long as the templates are."""
        name = placed.language or self._default_language
        made: CustomerMessage = languages.in_language(
            name, lambda: self._written(order_id, notification, placed)
        )
        return made

    def _written(
        self, order_id: str, notification: Notification, placed: Placed
    ) -> CustomerMessage:
        """The letter in the language that is set."""
        locale, zone = self._regions.get(placed.restaurant_id, self._elsewhere)
        region = RegionFormat(languages.regional(locale), zone)
        values = _values(order_id, notification, placed, region)
        values["link"] = self._link(order_id, notification)
        words = self._words[notification.event_type]
        subject = _line(_block(words, "subject", values))
        paragraphs = [_line(part) for part in _block(words, "text", values).split("\n\n")]
        shown = {**values, "subject": subject, "paragraphs": [part for part in paragraphs if part]}
        return CustomerMessage(
            notification_id=notification.notification_id, order_id=order_id, contact=placed.contact,
            subject=subject, text=self._text.render(shown), html=self._html.render(shown),
            short_text=_line(_block(words, "sms", values)),
            occurred_at=_moment(notification.occurred_at),
            requested_at=_moment(notification.requested_at),
        )  # fmt: skip


def _values(
    order_id: str, notification: Notification, placed: Placed, region: RegionFormat
) -> dict[str, Any]:
    facts, currency = notification.facts, placed.currency
    amounts = {name: value for name, value in facts.items() if isinstance(value, int)}
    amounts["total"] = placed.amount
    amounts["remaining"] = max(0, placed.amount - amounts.get("refunded_total", 0))
    reason = facts.get("failure_reason")
    return {
        "reference": ids.reference(order_id),
        "pays_again": notification.event_type is EventType.PAYMENT_FAILED,
        "language": str(region.locale).replace("_", "-"),
        "name": _greeting_name(placed.contact.name),
        "restaurant": placed.restaurant_name,
        "items": [
            {
                "quantity": item.quantity,
                "name": item.name,
                "total": region.money(item.unit_price * item.quantity, currency),
            }
            for item in placed.items
        ],
        "money": {name: region.money(amount, currency) for name, amount in amounts.items()},
        "is_last_part": amounts.get("amount") != amounts.get("refunded_total"),
        "plain": {
            name: region.money(amount, currency, PLAIN_FORMAT) for name, amount in amounts.items()
        },
        "goes_back": "cancel_requested" in facts,
        "heard_too_late": facts.get("cancel_requested") == HEARD_TOO_LATE,
        "at": region.time(_moment(notification.occurred_at)),
        "failure": gettext((reason and decline_text(str(reason))) or GENERIC),
        "cancellation": _cancellation(str(facts.get("reason", ""))),
        "receipt_url": _web_url(facts.get("receipt_url")),
    }


def _greeting_name(name: str) -> str:
    """The customer's name, unless it is more than one: whoever orders names the address as well."""
    return (
        gettext(DEFAULT_GREETING_NAME) if len(name) > MAX_NAME_CHARS or _LINK.search(name) else name
    )


def _cancellation(reason: str) -> str:
    code, _, words = reason.partition(": ")
    if code == REJECTED and words:
        return gettext("The restaurant can't prepare it. They say: {words}", words=words)
    return gettext_of(CANCELLATION_TEXTS.get(code))


def _web_url(url: object) -> str | None:
    """An address that a mail may link to."""
    return url if isinstance(url, str) and urlsplit(url).scheme in {"http", "https"} else None


def _block(template: Template, name: str, values: Mapping[str, Any]) -> str:
    return "".join(template.blocks[name](template.new_context(dict(values))))


def _line(text: str) -> str:
    """Without line breaks: a subject with one would be a header more."""
    return " ".join(text.split())


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
