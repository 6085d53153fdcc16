"""Whose receipt is known here: only that of the very charge of a payment that was captured."""

from __future__ import annotations

from typing import Any

import pytest

from agents.payments import payments_service
from app.stripe.known_receipts import KnownReceipts
from models import ids
from models.stripe_facts import IntentFacts
from tables import NotOwnerError, NotReadyError, StoredRecord

ORDER = ids.order_id("guest", "key")
SERVICE = payments_service()
PAYMENT = {
    "paymentId": ids.payment_id(ORDER), "orderId": ORDER, "stripeIntentId": "pi_1", "attempt": 1,
    "amount": 2500, "currency": "INR", "userId": "guest", "status": "COMPLETED", "captured": 2500,
    "stripeChargeId": "ch_1", "receiptUrl": "https://pay.example/r", "sequence": 3,
    "occurredAt": 1, "initiatedAt": 1,
}  # fmt: skip


def known(
    payment: dict[str, Any] | None, intent: str = "pi_1", charge: str | None = "ch_1"
) -> bool:
    state = SERVICE.load({"payment": payment} if payment else None)
    stored = StoredRecord(ORDER, 1, state, {}, {}, None)
    seen = IntentFacts(
        intent_id=intent, status="succeeded", amount=2500, amount_received=2500, currency="INR",
        charge_id=charge,
    )  # fmt: skip
    return KnownReceipts(lambda _: stored).has(ORDER, seen)


def test_the_receipt_of_a_captured_payment_is_known() -> None:
    assert known(PAYMENT)
    assert known(PAYMENT, charge=None), "older forms of the event do not name the charge"


@pytest.mark.parametrize(
    ("payment", "intent", "charge"),
    [
        (None, "pi_1", "ch_1"),
        ({**PAYMENT, "captured": 0, "status": "PROCESSING"}, "pi_1", "ch_1"),
        ({**PAYMENT, "receiptUrl": None}, "pi_1", "ch_1"),
        (PAYMENT, "pi_2", "ch_1"),
        (PAYMENT, "pi_1", "ch_2"),
    ],
)
def test_that_of_another_charge_is_not(
    payment: dict[str, Any] | None, intent: str, charge: str
) -> None:
    assert not known(payment, intent, charge)


@pytest.mark.parametrize("error", [NotOwnerError, NotReadyError])
def test_of_what_another_worker_owns_nothing_is_known(error: type[Exception]) -> None:
    def refuse(_: str) -> StoredRecord | None:
        raise error

    seen = IntentFacts(
        intent_id="pi_1", status="succeeded", amount=1, amount_received=1, currency="INR"
    )
    assert not KnownReceipts(refuse).has(ORDER, seen)
