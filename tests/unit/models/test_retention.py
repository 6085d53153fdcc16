"""What remains of an ended order once its contact's time is over: nothing that is the customer's own."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from models.commands import Address, Contact
from models.graphs import OrderStatus
from models.order import Placed
from models.retention import DEFAULT_RETENTION, retained_order
from tests.support.records import order

KEPT: Final = {
    "restaurant_id", "restaurant_name", "items", "amount", "currency", "user_id", "placed_at", "language",
}  # fmt: skip
"""Fields of what was ordered that stay: a new one is named here, or goes with the contact."""


PLACED: Final = Placed(
    restaurant_id="r", restaurant_name="R", items=(), amount=1000, currency="INR", user_id="u", placed_at=1,
    contact=Contact(name="Asha", email="asha@example.com", phone="+919800000000"),
    address=Address(line1="12 MG Road", city="Bengaluru", postal_code="560001"),
    language="de", notes="ring twice", allergies="peanuts",
)  # fmt: skip


def test_notes_and_allergies_go_with_the_contact() -> None:
    record = replace(order("a", OrderStatus.DELIVERED), placed=PLACED)
    end_ms = 1 + DEFAULT_RETENTION.contact_ms
    assert retained_order(record, end_ms - 1, DEFAULT_RETENTION).state is record
    left = retained_order(record, end_ms, DEFAULT_RETENTION).state.placed
    assert {name for name in Placed.__struct_fields__ if getattr(left, name) is not None} == KEPT
    assert all(getattr(left, name) == getattr(PLACED, name) for name in KEPT)
