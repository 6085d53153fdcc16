"""What customers read: amounts and times as their region writes them, nothing taken for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st

from app.letters import PLAIN_FORMAT, Letter, Letters, Region
from models import ids
from models.commands import Address, Contact, Item
from models.events import EventType
from models.money import CURRENCIES, MAXIMUM_CHARGE, decimal_text
from models.notification import NOTIFIED, Channel, Notification
from models.order_state import Placed
from web.catalogue import load_catalogue

E = EventType
ORDER = ids.order_id("guest", "letters")
NASTY = '<script>alert("x")</script> & {{ 7 * 7 }}'
AT = 1_700_000_000_000
LETTERS = Letters(load_catalogue())


def letter(
    kind: EventType,
    facts: dict[str, str | int] | None = None,
    *,
    amount: int = 250_000,
    currency: str = "INR",
    restaurant: str = "annapurna-bengaluru",
    name: str = "Asha Rao",
    restaurant_name: str = "Annapurna",
) -> Letter:
    placed = Placed(
        restaurant_id=restaurant, restaurant_name=restaurant_name,
        items=(Item(dish_id="d", name=f"Thali of {name}", quantity=2, unit_price=amount // 2),),
        amount=amount, currency=currency, user_id="guest",
        contact=Contact(name=name, email="asha@example.com", phone="+919800000000"),
        address=Address(line1="12 MG Road", city="Bengaluru", postal_code="560001"), placed_at=AT,
    )  # fmt: skip
    notification = Notification(
        notification_id="notif_01abcdefgh", event_id="e", event_type=kind, channel=Channel.EMAIL,
        facts=facts or {"amount": amount, "currency": currency, "refunded_total": amount},
        occurred_at=AT, requested_at=AT,
    )  # fmt: skip
    return LETTERS.write(ORDER, notification, placed)


@pytest.mark.parametrize("kind", NOTIFIED)
def test_every_event_has_a_letter(kind: EventType) -> None:
    written = letter(kind)
    assert "\n" not in written.subject
    assert "\n" not in written.short_text
    assert written.text.startswith("Hello Asha Rao,")
    assert ORDER in written.text
    assert ORDER in written.html
    assert ORDER[-8:].upper() in written.short_text
    assert written.short_text.isascii(), "others are sent in half as many characters a message"
    assert len(written.short_text) <= 160
    assert "2,500.00" in written.text
    assert "2,500.00" in written.html


@pytest.mark.parametrize(
    ("currency", "restaurant", "amount", "shown", "plain"),
    [
        ("INR", "annapurna-bengaluru", 250_000, "₹2,500.00", "INR 2,500.00"),
        ("INR", "annapurna-bengaluru", 25_000_000, "₹2,50,000.00", "INR 250,000.00"),
        ("USD", "blue-door-brooklyn", 250_001, "$2,500.01", "USD 2,500.01"),
        ("JPY", "hinode-kyoto", 2_500, "¥2,500", "JPY 2,500"),
        ("JOD", "petra-amman", 2_500_010, "JOD\N{NO-BREAK SPACE}2,500.010", "JOD 2,500.010"),
        ("ISK", "elsewhere", 250_050, "ISK\N{NO-BREAK SPACE}2,500.50", "ISK 2,500.50"),
    ],
)
def test_amounts(currency: str, restaurant: str, amount: int, shown: str, plain: str) -> None:
    written = letter(E.PAYMENT_COMPLETED, amount=amount, currency=currency, restaurant=restaurant)
    assert " ".join(shown.split()) in written.subject
    assert f"Total: {shown}\n" in written.text
    assert plain in written.short_text
    assert plain.replace(",", "").endswith(decimal_text(amount, currency))


@settings(deadline=None)
@given(
    st.integers(0, MAXIMUM_CHARGE),
    st.sampled_from(sorted(CURRENCIES)),
    st.sampled_from(["en", "en_IN", "de", "de_CH", "fr", "ja", "hi", "pt_BR", "es_CL", "sv"]),
)
def test_no_digit_of_an_amount_is_lost(amount: int, currency: str, locale: str) -> None:
    region = Region(Locale.parse(locale), ZoneInfo("UTC"))
    digits = re.sub(r"\D", "", decimal_text(amount, currency))
    for layout in (None, PLAIN_FORMAT):
        assert re.sub(r"[^0-9]", "", region.money(amount, currency, layout)) == digits


@pytest.mark.parametrize(
    ("restaurant", "shown"),
    [
        ("annapurna-bengaluru", "15 November 2023, 3:43:20\N{NARROW NO-BREAK SPACE}am +0530"),
        ("blue-door-brooklyn", "November 14, 2023, 5:13:20\N{NARROW NO-BREAK SPACE}PM EST"),
        ("gone", "November 14, 2023, 10:13:20\N{NARROW NO-BREAK SPACE}PM UTC"),
    ],
)
def test_times_are_the_restaurants(restaurant: str, shown: str) -> None:
    text = letter(E.ORDER_DELIVERED, restaurant=restaurant).text
    assert " ".join(shown.split()) in text


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]


@pytest.mark.parametrize("kind", NOTIFIED)
def test_nothing_that_people_wrote_becomes_markup(kind: EventType) -> None:
    facts = {"amount": 50_000, "refunded_total": 50_000, "reason": f"RESTAURANT_REJECTED: {NASTY}"}
    plain, nasty = Tags(), Tags()
    plain.feed(letter(kind, facts | {"reason": "RESTAURANT_REJECTED: no dosa"}).html)
    written = letter(kind, facts, name=NASTY, restaurant_name=NASTY)
    nasty.feed(written.html)
    assert nasty.tags == plain.tags
    assert "script" not in nasty.tags
    assert NASTY in written.text, "in plain text it stands as it was written"
    assert "49" not in written.text.replace(ORDER, "")


@pytest.mark.parametrize(
    ("url", "links"),
    [
        ("https://stripe.example/r?a=1&b=2", ["https://stripe.example/r?a=1&b=2"]),
        ("javascript:alert(1)", []),
        ('https://x/"><b>', ['https://x/"><b>']),
    ],
)
def test_receipts(url: str, links: list[str]) -> None:
    tags = Tags()
    facts: dict[str, str | int] = {"amount": 250_000, "receipt_url": url}
    tags.feed(letter(E.PAYMENT_COMPLETED, facts).html)
    assert tags.links == links
    assert "b" not in tags.tags


def test_a_decline_is_explained_and_a_thief_learns_nothing() -> None:
    assert "has expired" in letter(E.PAYMENT_FAILED, {"failure_reason": "expired_card"}).text
    stolen = letter(E.PAYMENT_FAILED, {"failure_reason": "stolen_card"}).text
    assert "stolen" not in stolen
    assert "declined" in stolen


def test_a_refund_in_part_tells_what_went_back_and_what_remains() -> None:
    facts: dict[str, str | int] = {"amount": 30_000, "currency": "INR", "refunded_total": 50_000}
    told = letter(E.PAYMENT_REFUND_PARTIAL, facts)
    assert "₹300.00" in told.subject
    for form in (told.text, told.html):
        assert "₹300.00 of the ₹2,500.00" in form
        assert "₹500.00 have been given back in all; ₹2,000.00 remain paid" in form
    assert "INR 300.00 refunded, INR 2,000.00 remain paid" in told.short_text
    last = letter(E.PAYMENT_REFUNDED, facts | {"amount": 200_000, "refunded_total": 250_000})
    assert "₹2,000.00" in last.subject, "what goes back now, not what went before"
    assert "all of the ₹2,500.00" in last.text
    assert "INR 2,000.00 refunded" in last.short_text
    assert "last part" not in letter(E.PAYMENT_REFUNDED).text


def test_why_an_order_was_cancelled() -> None:
    assert "not paid in time" in letter(E.ORDER_CANCELLED, {"reason": "PAYMENT_EXPIRED"}).text
    told = letter(E.ORDER_CANCELLED, {"reason": "RESTAURANT_REJECTED: out of rice"}).text
    assert "it says: out of rice" in told
    assert "SOME_CODE" not in letter(E.ORDER_CANCELLED, {"reason": "SOME_CODE"}).text
