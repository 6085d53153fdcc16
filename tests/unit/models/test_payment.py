"""Rules about a payment that several services share."""

from __future__ import annotations

import pytest

from models.graphs import RefundStatus
from models.payment import Dispute, is_charge_of_attempt
from tests.support.records import record, refund


@pytest.mark.parametrize(
    ("charge", "attempt", "charges", "is_its"),
    [
        (None, 1, {}, False),
        ("ch_1", 1, {}, True),
        ("ch_1", 1, {1: "ch_1"}, True),
        ("ch_2", 2, {}, False),  # the first attempt's charge is not known
        ("ch_2", 2, {1: "ch_1"}, True),
        ("ch_1", 2, {1: "ch_1"}, False),
        ("ch_2", 2, {2: "ch_2"}, True),
        ("ch_3", 3, {1: "ch_1"}, False),
    ],
)
def test_a_charge_is_an_attempts_if_no_earlier_one_can_have_it(
    charge: str | None, attempt: int, charges: dict[int, str], is_its: bool
) -> None:
    assert is_charge_of_attempt(charge, attempt, charges) is is_its


@pytest.mark.parametrize(
    ("currency", "lost", "refundable"),
    [("INR", 301, 699), ("KWD", 301, 690), ("UGX", 301, 600), ("UGX", 901, 0), ("UGX", 0, 1000)],
)
def test_what_an_uneven_dispute_leaves_is_refunded_in_the_currencys_steps(
    currency: str, lost: int, refundable: int
) -> None:
    dispute = Dispute(dispute_id="du_1", amount=lost, status="lost", reason="general")
    given = {"du_1": dispute} if lost else {}
    assert record("order_1", currency=currency, disputes=given).refundable == refundable


def test_without_a_dispute_all_that_was_captured_can_be_refunded() -> None:
    given = {"re_1": refund("re_1", 301, RefundStatus.SUCCEEDED)}
    assert record("order_1", currency="KWD", refunds=given).refundable == 699
