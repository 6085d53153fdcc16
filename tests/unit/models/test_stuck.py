"""The table of what is stuck: an example of every row, when it is due, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from models.commands import CancelOrder, CheckDeadline, CommandType, ResultKind
from models.delivery import Delivery, DeliveryRecord
from models.events import EventType
from models.fraud import FraudWarning, Review
from models.graphs import DeliveryStatus, OrderStatus, PaymentStatus, RefundStatus
from models.notification import Channel, Notification, NotificationRecord, NotificationStatus
from models.order import (
    Order,
    OrderRecord,
    OrderWork,
    Placed,
)
from models.payment import (
    Dispute,
    Effect,
    EffectKind,
    Held,
    Initiation,
    Payment,
    PaymentRecord,
    PaymentWork,
    Refund,
)
from models.stuck import WAIT_RULE_BY_STATE, Subject, Waiting, quarantined, waiting
from tests.support.payment_flow import (
    AMOUNT,
    CURRENCY,
    ORDER,
    PLACE,
    PaymentFlowHarness,
)

T = 1_700_000_000_000
S = Subject
PLACED = Placed.of(PLACE, T)


def order(status: OrderStatus, **work: Any) -> OrderRecord:
    found = Order(
        order_id=ORDER, payment_id="pay_x", user_id="u", restaurant_id="r", amount=AMOUNT,
        currency=CURRENCY, status=status, sequence=1, occurred_at=T, reached={status: T},
    )  # fmt: skip
    return OrderRecord(order=found, placed=PLACED, work=OrderWork(**work))


def payment(
    status: PaymentStatus,
    *,
    disputes: Any = (),
    refunds: Any = (),
    warnings: Any = (),
    reviews: Any = (),
    action: str = "",
    **work: Any,
) -> PaymentRecord:
    found = Payment(
        order_id=ORDER, payment_id="pay_x", user_id="u", status=status, amount=AMOUNT,
        currency=CURRENCY, stripe_intent_id="pi_x", sequence=1, occurred_at=T, initiated_at=T,
        captured=AMOUNT if status is PaymentStatus.COMPLETED else 0, next_action=action or None,
        disputes={each.dispute_id: each for each in disputes},
        refunds={each.refund_id: each for each in refunds},
        fraud_warnings={each.warning_id: each for each in warnings},
        reviews={each.review_id: each for each in reviews},
    )  # fmt: skip
    return PaymentRecord(payment=found, work=PaymentWork(**work))


def refund(status: RefundStatus, name: str = "refund_1", **more: Any) -> Refund:
    times = {"requested_at": T} if status is RefundStatus.PENDING else {"ended_at": T}
    return Refund(
        refund_id=name, amount=100, reason="r", by="orders", status=status, **times, **more
    )


def dispute(status: str) -> Dispute:
    return Dispute(
        dispute_id="du_1", amount=AMOUNT, status=status, reason="r", opened_at=T, changed_at=T
    )


def warned(*, actionable: bool = True) -> FraudWarning:
    return FraudWarning(
        warning_id="issfr_1", fraud_type="misc", is_actionable=actionable, warned_at=T, changed_at=T
    )


def review(*, is_open: bool = True) -> Review:
    return Review(
        review_id="prv_1", is_open=is_open, opened_reason="rule", opened_at=T, changed_at=T
    )


def delivery(status: DeliveryStatus) -> DeliveryRecord:
    found = Delivery(order_id=ORDER, status=status, sequence=1, occurred_at=T, reached={status: T})
    return DeliveryRecord(delivery=found)


def effect(kind: EffectKind) -> PaymentRecord:
    pending = Effect(effect_id="e", kind=kind, body={}, requested_at=T)
    return PaymentRecord(work=PaymentWork(effects={"e": pending}))


def notification(status: NotificationStatus) -> NotificationRecord:
    each = Notification(
        notification_id="notif_1", event_id="ev", event_type=EventType.PAYMENT_COMPLETED,
        channel=Channel.SMS, status=status, occurred_at=T, requested_at=T,
    )  # fmt: skip
    return NotificationRecord(notifications={"notif_1": each})


P, ORD, R, D, N = PaymentStatus, OrderStatus, RefundStatus, DeliveryStatus, NotificationStatus
INITIATION = Initiation(amount=AMOUNT, currency=CURRENCY, user_id="u")
REFUSED = structs.replace(INITIATION, error="amount_too_small")
SINCE = {"DOUBTED_DISPUTES": T, "HELD": T, "INITIATION": T, "REFUND_WANTED": T}
PAID = payment(P.COMPLETED)
FAILED = refund(R.FAILED)

EXAMPLES: dict[tuple[Subject, str], tuple[Any, Any]] = {
    (S.ORDER, "PLACED"): (OrderRecord(placed=PLACED), order(ORD.PAYMENT_PENDING)),
    (S.ORDER, "PAYMENT_PENDING"): (order(ORD.PAYMENT_PENDING), order(ORD.PENDING)),
    (S.ORDER, "PAYMENT_FAILED"): (order(ORD.PAYMENT_FAILED), order(ORD.CANCELLED)),
    (S.ORDER, "EXPIRING"): (
        order(ORD.PAYMENT_FAILED, expiring=True, occurred_at=T), order(ORD.CANCELLED, expiring=True),
    ),
    (S.ORDER, "PENDING"): (order(ORD.PENDING), order(ORD.CONFIRMED)),
    (S.ORDER, "CONFIRMED"): (order(ORD.CONFIRMED), order(ORD.PREPARING)),
    (S.ORDER, "PREPARING"): (order(ORD.PREPARING), order(ORD.READY_FOR_PICKUP)),
    (S.ORDER, "READY_FOR_PICKUP"): (order(ORD.READY_FOR_PICKUP), order(ORD.OUT_FOR_DELIVERY)),
    (S.ORDER, "OUT_FOR_DELIVERY"): (order(ORD.OUT_FOR_DELIVERY), order(ORD.DELIVERED)),
    (S.ORDER, "CANCELLED"): (order(ORD.CANCELLED, captured=True), order(ORD.REFUNDED)),
    (S.PAYMENT, "OPENING"): (
        PaymentRecord(work=PaymentWork(initiation=INITIATION, waiting_since=SINCE)),
        payment(P.PENDING),
    ),
    (S.PAYMENT, "NOT_OPENED"): (
        PaymentRecord(work=PaymentWork(initiation=REFUSED, waiting_since=SINCE)),
        payment(P.PENDING),
    ),
    (S.PAYMENT, "PENDING"): (payment(P.PENDING), payment(P.PROCESSING)),
    (S.PAYMENT, "PROCESSING"): (payment(P.PROCESSING), PAID),
    (S.PAYMENT, "REQUIRES_ACTION"): (payment(P.PROCESSING, action="use_stripe_sdk"), PAID),
    (S.PAYMENT, "UNKNOWN_AT_STRIPE"): (
        payment(P.PROCESSING, unknown_since=T), payment(P.CANCELLED),
    ),
    (S.PAYMENT, "FAILED"): (payment(P.FAILED), payment(P.CANCELLED)),
    (S.REFUND, "PENDING"): (
        PaymentRecord(
            payment=PAID.payment, work=PaymentWork(refunds={"refund_1": refund(R.PENDING)})
        ),
        payment(P.COMPLETED, refunds=[refund(R.SUCCEEDED)]),
    ),
    (S.REFUND, "FAILED"): (
        payment(P.COMPLETED, refunds=[FAILED]),
        payment(P.COMPLETED, refunds=[FAILED, refund(R.SUCCEEDED, "refund_2", retry_of="refund_1")]),
    ),
    (S.REFUND, "CANCELLED"): (
        payment(P.COMPLETED, refunds=[refund(R.CANCELLED)]),
        payment(P.COMPLETED, refunds=[
            refund(R.CANCELLED), refund(R.SUCCEEDED, "refund_2", retry_of="refund_1"),
        ]),
    ),
    (S.REFUND, "BLOCKED"): (
        payment(P.COMPLETED, disputes=[dispute("under_review")], refund_wanted="CUSTOMER_REQUEST",
                waiting_since=SINCE),
        payment(P.COMPLETED, disputes=[dispute("won")]),
    ),
    (S.DISPUTE, "NEEDS_RESPONSE"): (
        payment(P.COMPLETED, disputes=[dispute("needs_response")]),
        payment(P.COMPLETED, disputes=[dispute("under_review")]),
    ),
    (S.DISPUTE, "UNDER_REVIEW"): (
        payment(P.COMPLETED, disputes=[dispute("under_review")]),
        payment(P.COMPLETED, disputes=[dispute("lost")]),
    ),
    (S.DISPUTE, "IN_DOUBT"): (
        payment(P.COMPLETED, disputes=[dispute("lost")], doubted_disputes=("du_1",), waiting_since=SINCE),
        payment(P.COMPLETED, disputes=[dispute("won")]),
    ),
    (S.FRAUD_WARNING, "ACTIONABLE"): (
        payment(P.COMPLETED, warnings=[warned()]), payment(P.COMPLETED, warnings=[warned(actionable=False)]),
    ),
    (S.REVIEW, "OPEN"): (
        payment(P.COMPLETED, reviews=[review()]), payment(P.COMPLETED, reviews=[review(is_open=False)]),
    ),
    (S.DELIVERY, "PENDING"): (delivery(D.PENDING), delivery(D.ASSIGNED)),
    (S.DELIVERY, "ASSIGNED"): (delivery(D.ASSIGNED), delivery(D.PICKED_UP)),
    (S.DELIVERY, "PICKED_UP"): (delivery(D.PICKED_UP), delivery(D.DELIVERED)),
    **{(S.EFFECT, kind.value): (effect(kind), PaymentRecord()) for kind in EffectKind},
    (S.DEADLINE, "PAYMENT"): (order(ORD.DELIVERED, deadlines={"PAYMENT": T}), order(ORD.DELIVERED)),
    (S.DEADLINE, "KITCHEN"): (order(ORD.DELIVERED, deadlines={"KITCHEN": T}), order(ORD.DELIVERED)),
    (S.WEBHOOK, "HELD"): (
        PaymentRecord(work=PaymentWork(held=(Held(stripe_event_id="evt_1"),), waiting_since=SINCE)),
        payment(P.PENDING),
    ),
    (S.NOTIFICATION, "PENDING"): (notification(N.PENDING), notification(N.SENT)),
    (S.NOTIFICATION, "HELD"): (notification(N.HELD), notification(N.SUPERSEDED)),
    (S.NOTIFICATION, "WAITING_FOR_OPERATOR"): (
        notification(N.WAITING_FOR_OPERATOR), notification(N.PENDING),
    ),
}  # fmt: skip
"""Row -> a record that waits so since T, and one after what was expected."""


def found(state: Any, subject: Subject, name: str) -> list[Waiting]:
    return [
        each for each in waiting(state) if (each.rule.subject, each.rule.state) == (subject, name)
    ]


def test_every_row_has_an_example() -> None:
    assert EXAMPLES.keys() == WAIT_RULE_BY_STATE.keys() - {(S.QUARANTINE, "QUARANTINED")}


@pytest.mark.parametrize(("subject", "state"), EXAMPLES)
def test_row(subject: Subject, state: str) -> None:
    waits, moved_on = EXAMPLES[subject, state]
    (only,) = found(waits, subject, state)
    assert only.rule is WAIT_RULE_BY_STATE[subject, state]
    assert only.since_ms == T
    assert only.due_ms == T + only.rule.allowed_ms
    assert only.rule.expects
    assert not found(moved_on, subject, state)


@pytest.mark.parametrize(
    "settled",
    [
        {
            "status": P.REFUNDED,
            "refunds": [structs.replace(refund(R.SUCCEEDED), amount=AMOUNT)],
        },
        {"status": P.COMPLETED, "disputes": [dispute("needs_response")]},
    ],
    ids=["refunded", "disputed"],
)
def test_a_refund_in_full_and_a_dispute_settle_warnings_and_reviews(settled: Any) -> None:
    """Before Stripe says so itself."""
    record = payment(warnings=[warned()], reviews=[review()], **settled)
    assert not found(record, S.FRAUD_WARNING, "ACTIONABLE")
    assert not found(record, S.REVIEW, "OPEN")


def test_a_warning_waits_for_no_operator_while_its_refund_is_under_way() -> None:
    whole = structs.replace(refund(R.PENDING), amount=AMOUNT)
    record = payment(P.COMPLETED, warnings=[warned()])
    assert found(record, S.FRAUD_WARNING, "ACTIONABLE")
    under_way = structs.replace(record, work=PaymentWork(refunds={"refund_1": whole}))
    assert not found(under_way, S.FRAUD_WARNING, "ACTIONABLE")


def test_quarantine_is_due_at_once_and_the_operators() -> None:
    waits = quarantined("payments", T)
    assert (waits.due_ms, waits.what, waits.rule.actor) == (T, "payments", "OPERATOR")


def unopened() -> PaymentFlowHarness:
    """An order whose payment Stripe refused to open."""
    world = PaymentFlowHarness()
    world.command(CommandType.PLACE_ORDER, PLACE)
    while not world.effects:
        world.deliver(next(topic for topic, queue in world.queues.items() if queue))
    world.report(world.effects[0], ResultKind.INVALID, {"code": "amount_too_large"})
    world.settle_all()
    return world


def waits(world: PaymentFlowHarness) -> list[tuple[str, str]]:
    found = [*waiting(world.orders.state), *waiting(world.payments.state)]
    return sorted((each.rule.subject.value, each.rule.state) for each in found)


def test_an_order_that_stripe_refused_to_open_is_the_operators_to_end() -> None:
    world = unopened()
    assert ("PAYMENT", "NOT_OPENED") in waits(world)
    world.command(CommandType.CANCEL_ORDER, CancelOrder(), by="operator:o")
    world.settle_all()
    assert waits(world) == [("DEADLINE", "PAYMENT")], "which is still to come, and ends the same"


def test_an_order_that_stripe_refused_to_open_expires() -> None:
    world = unopened()
    due_ms = world.orders.state.work.deadlines["PAYMENT"]
    world.now = due_ms
    check = CheckDeadline(deadline="PAYMENT", due_at=due_ms)
    world.command(CommandType.CHECK_DEADLINE, check, by="system:timers")
    world.settle_all()
    assert waits(world) == []


def test_one_that_stripe_has_not_answered_for_waits_though_it_was_given_up() -> None:
    world = PaymentFlowHarness()
    world.command(CommandType.PLACE_ORDER, PLACE)
    world.deliver("order-commands")
    world.command(CommandType.CANCEL_ORDER, CancelOrder())
    for topic in ("order-commands", "payment-commands", "payment-commands"):
        world.deliver(topic)
    assert ("PAYMENT", "OPENING") in waits(world)
    assert ("EFFECT", "CREATE_INTENT") in waits(world)


FINAL_STATES = frozenset(
    {
        (S.ORDER, ORD.DELIVERED), (S.ORDER, ORD.REFUNDED),
        (S.PAYMENT, P.COMPLETED), (S.PAYMENT, P.CANCELLED), (S.PAYMENT, P.REFUNDED),
        (S.REFUND, RefundStatus.SUCCEEDED),
        (S.DELIVERY, D.DELIVERED), (S.DELIVERY, D.CANCELLED),
        (S.NOTIFICATION, N.SENT), (S.NOTIFICATION, N.FAILED),
        (S.NOTIFICATION, N.SUPERSEDED),
    }
)  # fmt: skip
"""States that wait for nothing. A cancelled order is one of them unless its money is not refunded; a failed
refund waits for nothing once it was retried, or when nothing is left to refund."""


def test_every_state_is_a_row_or_final() -> None:
    enums = {
        S.ORDER: OrderStatus, S.PAYMENT: PaymentStatus, S.REFUND: RefundStatus,
        S.DELIVERY: DeliveryStatus, S.NOTIFICATION: NotificationStatus, S.EFFECT: EffectKind,
    }  # fmt: skip
    states = {(subject, str(state)) for subject, kind in enums.items() for state in kind}
    final = {(subject, str(state)) for subject, state in FINAL_STATES}
    assert states <= WAIT_RULE_BY_STATE.keys() | final
    assert not WAIT_RULE_BY_STATE.keys() & final


@pytest.mark.parametrize(
    "state",
    [
        order(ORD.DELIVERED), order(ORD.REFUNDED), order(ORD.CANCELLED), PAID, payment(P.CANCELLED),
        payment(P.REFUNDED), delivery(D.DELIVERED), delivery(D.CANCELLED), notification(N.SENT),
        notification(N.FAILED), payment(P.COMPLETED, disputes=[dispute("won")]), OrderRecord(),
        PaymentRecord(), DeliveryRecord(), NotificationRecord(), 7, None,
    ],
)  # fmt: skip
def test_what_has_ended_waits_for_nothing(state: Any) -> None:
    assert waiting(state) == ()
