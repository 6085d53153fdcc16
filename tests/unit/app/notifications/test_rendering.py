"""What customers read: amounts and times as their region writes them, nothing taken for markup."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st

from app.notifications.channels import CustomerMessage
from app.notifications.rendering import PLAIN_FORMAT, MessageRenderer, RegionFormat, order_link
from models import ids
from models.commands import Address, Contact, Item
from models.events import EventType
from models.money import CURRENCIES, MAXIMUM_CHARGE, decimal_text
from models.notification import CHANNELS_BY_EVENT, Channel, Notification
from models.order import Placed
from web.catalogue import load_catalogue
from web.http.tokens import LINK_DAYS, BadTokenError, OrderTokens

E = EventType
ORDER = ids.order_id("guest", "letters")
NASTY = '<script>alert("x")</script> & {{ 7 * 7 }}'
LINKED = re.compile(r"https://eat\.example/o/([A-Za-z0-9_-]{48})(/pay)?(?![A-Za-z0-9_-])")
AT = 1_700_000_000_000
TOKENS = OrderTokens("k" * 32)
LETTERS = MessageRenderer(
    load_catalogue().restaurants.values(), order_link(TOKENS.link, "https://eat.example")
)


def letter(
    kind: EventType,
    facts: dict[str, str | int] | None = None,
    *,
    amount: int = 250_000,
    currency: str = "INR",
    restaurant: str = "annapurna-bengaluru",
    name: str = "Asha Rao",
    restaurant_name: str = "Annapurna",
    named: str = "notif_01abcdefgh",
    at: int = AT,
) -> CustomerMessage:
    placed = Placed(
        restaurant_id=restaurant, restaurant_name=restaurant_name,
        items=(Item(dish_id="d", name=f"Thali of {name}", quantity=2, unit_price=amount // 2),),
        amount=amount, currency=currency, user_id="guest",
        contact=Contact(name=name, email="asha@example.com", phone="+919800000000"),
        address=Address(line1="12 MG Road", city="Bengaluru", postal_code="560001"), placed_at=AT,
    )  # fmt: skip
    notification = Notification(
        notification_id=named, event_id="e", event_type=kind, channel=Channel.EMAIL,
        facts=facts or {"amount": amount, "currency": currency, "refunded_total": amount},
        occurred_at=at, requested_at=at,
    )  # fmt: skip
    return LETTERS.write(ORDER, notification, placed)


@pytest.mark.parametrize("kind", CHANNELS_BY_EVENT)
def test_every_event_has_a_letter(kind: EventType) -> None:
    written = letter(kind)
    assert "\n" not in written.subject
    assert "\n" not in written.short_text
    assert written.text.startswith("Hello Asha Rao,")
    for form in (written.text, written.html, written.short_text):
        assert ids.reference(ORDER) in form, "one reference, the same everywhere"
        assert ORDER not in form
        assert ORDER[-6:].upper() not in form.replace(ids.reference(ORDER), "")
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
        ("ISK", "elsewhere", 250_000, "ISK\N{NO-BREAK SPACE}2,500", "ISK 2,500"),
        ("ISK", "elsewhere", 250_050, "ISK\N{NO-BREAK SPACE}2,500.50", "ISK 2,500.50"),
        ("UGX", "elsewhere", 2_500_000, "UGX\N{NO-BREAK SPACE}25,000", "UGX 25,000"),
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
    region = RegionFormat(Locale.parse(locale), ZoneInfo("UTC"))
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


@pytest.mark.parametrize("kind", CHANNELS_BY_EVENT)
def test_nothing_that_people_wrote_becomes_markup(kind: EventType) -> None:
    facts = {"amount": 50_000, "refunded_total": 50_000, "reason": f"RESTAURANT_REJECTED: {NASTY}"}
    plain, nasty = Tags(), Tags()
    plain.feed(letter(kind, facts | {"reason": "RESTAURANT_REJECTED: no dosa"}).html)
    written = letter(kind, facts, name=NASTY, restaurant_name=NASTY)
    nasty.feed(written.html)
    assert nasty.tags == plain.tags
    assert "script" not in nasty.tags
    assert NASTY in written.text, "in plain text it stands as it was written"
    assert "49" not in LINKED.sub("", written.text)


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
    assert [link for link in tags.links if not LINKED.fullmatch(link or "")] == links
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
        assert "In total, ₹500.00 has been refunded; ₹2,000.00 remains paid" in form
    assert "INR 300.00 refunded, INR 2,000.00 remains paid" in told.short_text
    last = letter(E.PAYMENT_REFUNDED, facts | {"amount": 200_000, "refunded_total": 250_000})
    assert "₹2,000.00" in last.subject, "what goes back now, not what went before"
    assert "all of the ₹2,500.00" in last.text
    assert "INR 2,000.00 refunded" in last.short_text
    assert "last part" not in letter(E.PAYMENT_REFUNDED).text


def test_why_an_order_was_cancelled() -> None:
    assert "not paid in time" in letter(E.ORDER_CANCELLED, {"reason": "PAYMENT_EXPIRED"}).text
    told = letter(E.ORDER_CANCELLED, {"reason": "RESTAURANT_REJECTED: out of rice"}).text
    assert "They say: out of rice" in told
    assert "SOME_CODE" not in letter(E.ORDER_CANCELLED, {"reason": "SOME_CODE"}).text


def test_money_that_came_too_late_goes_back_and_no_restaurant_has_the_order() -> None:
    facts: dict[str, str | int] = {"amount": 250_000, "cancel_requested": "PAID_TOO_LATE"}
    told = letter(E.PAYMENT_COMPLETED, facts)
    assert "is being refunded" in told.subject
    for form in (told.text, told.html):
        assert "We are refunding all of it" in form
        assert "has your order now" not in form
    assert "being refunded" in told.short_text
    usual = letter(E.PAYMENT_COMPLETED)
    assert "has your order now" in usual.text
    assert "refund" not in usual.text + usual.short_text + usual.subject


@pytest.mark.parametrize("reason", ["PAID_TOO_LATE", "CHANGED_MIND", "TOO_MANY_ATTEMPTS"])
def test_no_customer_is_told_that_they_were_late_when_they_were_not(reason: str) -> None:
    told = letter(E.PAYMENT_COMPLETED, {"amount": 250_000, "cancel_requested": reason})
    for form in (told.text, told.short_text):
        assert "had ended" in form
        assert "too late" not in form
    told = letter(E.PAYMENT_COMPLETED, {"amount": 250_000, "cancel_requested": "HEARD_TOO_LATE"})
    for form in (told.text, told.short_text):
        assert "we found out" in form
        assert "had ended" not in form
    assert "our fault" in letter(E.ORDER_CANCELLED, {"reason": "HEARD_TOO_LATE"}).text


@pytest.mark.parametrize("kind", CHANNELS_BY_EVENT)
def test_every_form_links_to_the_orders_own_page(kind: EventType) -> None:
    written = letter(kind, at=int(time.time() * 1000))
    page = "/pay" if kind is E.PAYMENT_FAILED else ""
    for form in (written.text, written.html, written.short_text):
        (link,) = LINKED.finditer(form)
        assert (link[2] or "") == page, "where paying again works"
        assert TOKENS.order_of_link(link[1])[0] == ORDER
    assert ("Pay again: https" in written.text) == (kind is E.PAYMENT_FAILED)


@settings(deadline=None, max_examples=30)
@given(st.text(min_size=1))
def test_no_two_short_messages_are_the_same_and_a_second_try_is(named: str) -> None:
    one, again = letter(E.PAYMENT_FAILED), letter(E.PAYMENT_FAILED)
    assert one == again, "how a message that may have left is recognised"
    another = letter(E.PAYMENT_FAILED, named=named)
    assert another.short_text != one.short_text
    link = LINKED.search(letter(E.ORDER_DELIVERED, named=named).short_text)
    assert link is not None
    assert link[1][-1].isalnum(), "programs leave a dash at the end of an address out"


def test_a_link_opens_its_order_alone_and_ends() -> None:
    now = int(time.time())
    link = TOKENS.link(ORDER, "notif_1", now)
    assert TOKENS.order_of_link(link) == (ORDER, now + LINK_DAYS * 24 * 3600)
    with pytest.raises(BadTokenError, match="expired"):
        TOKENS.order_of_link(TOKENS.link(ORDER, "notif_1", now - (LINK_DAYS * 24 + 1) * 3600))
    with pytest.raises(BadTokenError, match="not valid"):
        OrderTokens("another key of thirty-two bytes!!").order_of_link(link)
    for at in range(0, len(link), 3):
        other = "A" if link[at] != "A" else "B"
        with pytest.raises(BadTokenError):
            TOKENS.order_of_link(link[:at] + other + link[at + 1 :])
    for text in ("", "x", link[:-1], link + "A", TOKENS.issue("guest", ORDER)):
        with pytest.raises(BadTokenError):
            TOKENS.order_of_link(text)
    with pytest.raises(BadTokenError):
        TOKENS.read(link)
    with pytest.raises(ValueError, match="order"):
        TOKENS.link("order_1", "notif_1", now)
