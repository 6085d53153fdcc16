"""The demo's verdict: right only if money moved as often as it should, and Stripe and Kafka say the same."""

from __future__ import annotations

import pytest

from sandbox.demo_screen import Expected, is_as_expected
from sandbox.outside_count import OrderCount

PAID = OrderCount(charges=1, refunds=0, webhooks=1, completed=1, refunded=0, copies=1)
REFUNDED = OrderCount(charges=1, refunds=1, webhooks=1, completed=1, refunded=1, copies=2)


def test_what_was_expected_is_right() -> None:
    assert is_as_expected(PAID, Expected())
    assert is_as_expected(REFUNDED, Expected(refunds=1))


@pytest.mark.parametrize(
    "count",
    [
        OrderCount(charges=2, refunds=0, webhooks=1, completed=2, refunded=0, copies=2),
        OrderCount(charges=2, refunds=0, webhooks=1, completed=1, refunded=0, copies=1),
        OrderCount(charges=1, refunds=0, webhooks=1, completed=0, refunded=0, copies=0),
        OrderCount(charges=1, refunds=0, webhooks=1, completed=2, refunded=0, copies=2),
        OrderCount(charges=1, refunds=0, webhooks=1, completed=1, refunded=0, copies=0),
        OrderCount(charges=1, refunds=0, webhooks=2, completed=1, refunded=0, copies=1),
        OrderCount(charges=0, refunds=0, webhooks=1, completed=0, refunded=0, copies=0),
        REFUNDED,
    ],
    ids=[
        "charged-twice", "charged-twice-and-unknown", "charge-unknown", "event-twice",
        "copy-missing", "webhook-not-as-planned", "not-charged", "refunded-unasked",
    ],
)  # fmt: skip
def test_anything_else_is_wrong(count: OrderCount) -> None:
    assert not is_as_expected(count, Expected())
