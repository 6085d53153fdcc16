"""The rules that an order's money must keep, and how each can be broken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from models.graphs import OrderStatus, PaymentStatus, RefundStatus
from models.money_checks import (
    VIOLATION_DESCRIPTIONS,
    MoneyViolation,
    OrderMoney,
    money_of,
    violations,
)
from models.payment import (
    Effect,
    EffectKind,
    PaymentWork,
    Refund,
)
from tests.support.records import record, refund

S, P, R, B = OrderStatus, PaymentStatus, RefundStatus, MoneyViolation
PAID = OrderMoney(
    currency="INR", status=P.COMPLETED, authorised=1000, captured=1000, refunded=0,
    refund_pending=0, disputed=0, is_wanted=False, needs_operator=False, is_unattended=False,
)  # fmt: skip
UNPAID = replace(PAID, status=P.PENDING, captured=0)


@pytest.mark.parametrize(
    ("money", "status", "wanted"),
    [
        (replace(PAID, captured=1001), S.PENDING, B.CAPTURED_EXCEEDS_AUTHORISED),
        (replace(PAID, status=P.REFUNDED, refunded=1001), S.REFUNDED, B.REFUNDED_EXCEEDS_CAPTURED),
        (replace(PAID, refunded=600, disputed=600), S.DELIVERED, B.GIVEN_BACK_TWICE),
        (replace(PAID, status=P.CANCELLED), S.PENDING, B.STATUS_AGAINST_MONEY),
        (replace(PAID, status=P.REFUNDED), S.DELIVERED, B.STATUS_AGAINST_MONEY),
        (replace(PAID, refunded=1000), S.DELIVERED, B.STATUS_AGAINST_MONEY),
        (PAID, S.PAYMENT_PENDING, B.MONEY_WITHOUT_ORDER),
        (UNPAID, S.PREPARING, B.ORDER_WITHOUT_MONEY),
        (PAID, S.CANCELLED, B.CANCELLED_KEEPS_MONEY),
        (replace(PAID, refunded=999), S.CANCELLED, B.CANCELLED_KEEPS_MONEY),
        (replace(PAID, currency="UGX", refunded=900), S.CANCELLED, B.CANCELLED_KEEPS_MONEY),
        (PAID, S.REFUNDED, B.CANCELLED_KEEPS_MONEY),
        (replace(PAID, refund_pending=5, is_unattended=True), S.DELIVERED, B.REFUND_UNATTENDED),
    ],
)
def test_each_invariant_can_break(
    money: OrderMoney, status: OrderStatus, wanted: MoneyViolation
) -> None:
    assert violations(money, status) == [wanted]


@pytest.mark.parametrize(
    ("money", "status"),
    [
        (PAID, S.PENDING),
        (PAID, S.DELIVERED),
        (PAID, None),
        (UNPAID, S.PAYMENT_PENDING),
        (replace(UNPAID, status=P.FAILED), S.PAYMENT_FAILED),
        (replace(UNPAID, status=P.CANCELLED), S.CANCELLED),
        (replace(PAID, refund_pending=1000), S.CANCELLED),
        (replace(PAID, refunded=400, refund_pending=600), S.CANCELLED),
        (replace(PAID, is_wanted=True), S.CANCELLED),
        (replace(PAID, needs_operator=True), S.CANCELLED),
        (replace(PAID, disputed=1000), S.CANCELLED),
        (replace(PAID, currency="UGX", refunded=600, disputed=301), S.CANCELLED),
        (replace(PAID, status=P.REFUNDED, refunded=1000), S.REFUNDED),
        (replace(PAID, status=P.REFUNDED, refunded=1000), S.DELIVERED),
        (replace(PAID, refunded=400, disputed=600), S.DELIVERED),
    ],
)
def test_what_is_right_or_under_way_is_not_broken(
    money: OrderMoney, status: OrderStatus | None
) -> None:
    assert violations(money, status) == []


def test_every_code_has_its_meaning() -> None:
    assert VIOLATION_DESCRIPTIONS.keys() == set(MoneyViolation)


def test_an_unattended_refund_is_one_that_neither_stripe_nor_an_effect_knows() -> None:
    def of(pending: Refund, *effects: Effect) -> bool:
        work = PaymentWork(
            refunds={pending.refund_id: pending}, effects={e.effect_id: e for e in effects}
        )
        money = money_of(record("o", work=work))
        assert money
        return money.is_unattended

    pending = refund("r", 5, R.PENDING)
    asked = Effect(effect_id="refund:r", kind=EffectKind.REFUND, body={}, requested_at=1)
    assert of(pending)
    assert not of(pending, asked)
    assert not of(structs.replace(pending, stripe_refund_id="re"))
