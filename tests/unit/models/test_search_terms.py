"""What orders are found by: how a text is read, and the rows that answer it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import ids, search_terms
from models.commands import Address, Contact, Item
from models.order import OrderRecord, Placed
from models.search_terms import TermKind

ORDER = ids.order_id("guest", "lookup")


def placed(
    *, name: str = "Asha Rao", email: str = "asha@example.com", phone: str = "+91 98765 43210",
    amount: int = 250_000, currency: str = "INR", at: int = 1_700_000_000_000,
) -> OrderRecord:  # fmt: skip
    return OrderRecord(
        placed=Placed(
            restaurant_id="r", restaurant_name="R", amount=amount, currency=currency, user_id="guest",
            items=(Item(dish_id="d", name="D", quantity=1, unit_price=amount),), placed_at=at,
            contact=Contact(name=name, email=email, phone=phone),
            address=Address(line1="1", city="C", postal_code="1"),
        )
    )  # fmt: skip


def finds(text: str, record: OrderRecord, order_id: str = ORDER) -> set[TermKind]:
    rows = search_terms.rows_of_order(OrderRecord(), record, order_id)
    return {
        kind
        for kind, terms in search_terms.parse_search_text(text).items()
        for term in terms
        if any(key.startswith(search_terms.row_prefix(kind, term)) for key in rows)
    }


@pytest.mark.parametrize(
    ("text", "record", "kinds"),
    [
        ("07700 900123", placed(phone="+44 7700 900123"), {TermKind.PHONE}),
        ("+65 9123 4567", placed(phone="+65 9123 4567"), {TermKind.PHONE}),
        ("9123 4567", placed(phone="+65 9123 4567"), {TermKind.PHONE}),
        ("0151 23456789", placed(phone="+49 151 23456789"), {TermKind.PHONE}),
        ("3456789", placed(phone="+49 151 23456789"), set()),
        ("o'brien", placed(name="Maeve O'Brien"), {TermKind.NAME}),
        ("M\N{LATIN SMALL LETTER E WITH ACUTE}lanie", placed(name="Me\N{COMBINING ACUTE ACCENT}lanie"),
         {TermKind.NAME}),
        ("अशा", placed(name="अशा राव"), {TermKind.NAME}),
        ("ash", placed(), set()),
        ("asha ben", placed(), set()),
        ("STRASSE", placed(name="Anna Stra\N{LATIN SMALL LETTER SHARP S}e"), {TermKind.NAME}),
        ("5.124", placed(amount=5124, currency="JOD"), {TermKind.AMOUNT}),
        ("UGX 25,000", placed(amount=2_500_000, currency="UGX"), {TermKind.AMOUNT}),
        ("5,12", placed(amount=512, currency="EUR"), {TermKind.AMOUNT}),
        ("1.234,50", placed(amount=123450, currency="EUR"), {TermKind.AMOUNT}),
        ("1,234.50", placed(amount=123450, currency="EUR"), {TermKind.AMOUNT}),
        ("12'345.00", placed(amount=1234500, currency="CHF"), {TermKind.AMOUNT}),
        ("1,234", placed(amount=123400, currency="EUR"), {TermKind.AMOUNT}),
        ("980", placed(amount=980, currency="JPY"), {TermKind.AMOUNT}),
        ("0.45", placed(amount=45, currency="USD"), {TermKind.AMOUNT}),
        ("450", placed(amount=45000, currency="USD"), {TermKind.AMOUNT}),
        ("45", placed(amount=45000, currency="USD"), set()),
    ],
)  # fmt: skip
def test_what_people_say_and_what_was_written(
    text: str, record: OrderRecord, kinds: set[TermKind]
) -> None:
    assert finds(text, record) == kinds


PRINTED = st.characters(exclude_categories=["Cc", "Cs"])
"""What a contact may hold."""


@settings(deadline=None)
@given(st.text(max_size=100))
def test_any_text_can_be_asked_for(text: str) -> None:
    for kind, terms in search_terms.parse_search_text(text).items():
        for term in terms:
            assert search_terms.row_prefix(kind, term).isascii()
        assert len(terms) <= 2


@settings(deadline=None)
@given(*(st.text(PRINTED, max_size=size) for size in (200, 200, 40)))
def test_a_customer_has_few_rows_and_none_says_anything(name: str, email: str, phone: str) -> None:
    rows = search_terms.rows_of_order(
        OrderRecord(), placed(name=name, email=email, phone=phone), ORDER
    )
    assert len(rows) <= 20
    plain = set(
        search_terms.rows_of_order(OrderRecord(), placed(), ids.order_id("guest", "another"))
    )
    assert not plain & rows.keys()
    for key in rows:
        assert len(key) <= 70
        assert search_terms.order_of_row(key) == ORDER
        assert "asha" not in key.lower().replace(ORDER, "")


def test_the_latest_order_comes_first() -> None:
    times = [1_600_000_000_000, 1_700_000_000_000, 1_800_000_000_000]
    keys = {
        at: min(
            search_terms.search_rows([(TermKind.NAME, "asha")], ids.order_id("guest", str(at)), at)
        )
        for at in times
    }
    assert sorted(keys.values()) == [keys[at] for at in reversed(times)]


def test_rows_are_written_once() -> None:
    record = placed()
    assert search_terms.rows_of_order(OrderRecord(), record, ORDER)
    assert search_terms.rows_of_order(record, record, ORDER) == {}
