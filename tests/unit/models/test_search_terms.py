"""What orders are found by: how a text is read, and the entries and rows that answer it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import ids, search_terms
from models.commands import Address, Contact, Item
from models.order import OrderRecord, Placed
from models.payment import PaymentRecord
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


def finds(text: str, record: OrderRecord) -> set[TermKind]:
    entries = search_terms.entries_of_order(record)
    return {
        kind
        for kind, terms in search_terms.parse_search_text(text).items()
        for term in terms
        for prefix in [search_terms.entry_prefix(search_terms.row_prefix(kind, term))]
        if any(f"{entry}/{ORDER}".startswith(prefix) for entry in entries)
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
def test_a_customer_has_few_entries_and_none_says_anything(
    name: str, email: str, phone: str
) -> None:
    entries = search_terms.entries_of_order(placed(name=name, email=email, phone=phone))
    assert len(entries) <= 20
    assert len(set(entries)) == len(entries)
    for entry in entries:
        assert entry.startswith(search_terms.ENTRY_PREFIX)
        assert len(entry) <= 24
        assert "asha" not in entry.lower()


def test_the_latest_order_comes_first() -> None:
    times = [1_600_000_000_000, 1_700_000_000_000, 1_800_000_000_000]
    found = {at: min(search_terms.entries_of_order(placed(at=at))) for at in times}
    assert sorted(found.values()) == [found[at] for at in reversed(times)]
    rows = [min(search_terms.search_rows([(TermKind.ID, "x")], ORDER, at)) for at in times]
    assert sorted(rows) == rows[::-1]


def test_an_order_that_is_not_placed_is_found_by_nothing() -> None:
    assert search_terms.entries_of_order(OrderRecord()) == ()
    assert search_terms.entries_of_payment(PaymentRecord()) == ()
