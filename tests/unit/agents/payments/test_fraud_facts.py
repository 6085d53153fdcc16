"""Early fraud warnings and reviews of a payment: kept with it, whenever they come, until they are settled."""

from __future__ import annotations

from typing import Any

from models import topics
from models.commands import CommandType, InitiatePayment, WebhookReceived
from models.events import EventType
from models.messages import encode
from models.payment import Held, Payment
from models.payment_fold import evolve
from models.stripe_facts import parse_fraud_warning, parse_review
from models.stuck import Subject, waiting
from tests.support.payment_flow import AMOUNT, CURRENCY, ORDER, PaymentFlowHarness

AT = 1_700_000_100


def send(flow: PaymentFlowHarness, kind: str, created: int = AT, **thing: Any) -> None:
    """One webhook of a warning or a review of this payment."""
    intent = flow.stripe.intent["id"] if flow.stripe.intent else "pi_1"
    made: dict[str, Any] = {"payment_intent": intent, **thing}
    facts: dict[str, Any] = (
        {"review": parse_review({"id": "prv_1", "opened_reason": "rule", **made})}
        if kind.startswith("review")
        else {"fraud_warning": parse_fraud_warning({"id": "issfr_1", "fraud_type": "misc", **made})}
    )
    hook = WebhookReceived(
        order_id=ORDER, stripe_event_id=f"evt_{next(flow.number)}", created=created,
        stripe_event_type=kind, **facts,
    )  # fmt: skip
    flow.queues[topics.WEBHOOKS].append(encode(hook))
    flow.settle_all()


def warn(
    flow: PaymentFlowHarness, created: int = AT, *, actionable: bool = True, **more: Any
) -> None:
    kind = f"radar.early_fraud_warning.{'created' if actionable else 'updated'}"
    send(flow, kind, created, actionable=actionable, **more)


def review(flow: PaymentFlowHarness, created: int = AT, *, is_open: bool = True) -> None:
    closed = None if is_open else "approved"
    kind = f"review.{'opened' if is_open else 'closed'}"
    send(flow, kind, created, open=is_open, closed_reason=closed)


def payment_of(flow: PaymentFlowHarness) -> Payment:
    assert flow.state
    assert flow.state.payment
    return flow.state.payment


def held_of(flow: PaymentFlowHarness) -> tuple[Held, ...]:
    assert flow.state
    return flow.state.work.held


def listed(flow: PaymentFlowHarness) -> set[Subject]:
    subjects = {each.rule.subject for each in waiting(flow.state)}
    return subjects & {Subject.FRAUD_WARNING, Subject.REVIEW}


def test_a_warning_is_kept_and_listed_until_its_payment_is_refunded(
    paid: PaymentFlowHarness,
) -> None:
    warn(paid)
    (warning,) = payment_of(paid).fraud_warnings.values()
    assert (warning.warning_id, warning.fraud_type, warning.is_actionable) == (
        "issfr_1",
        "misc",
        True,
    )
    (wait,) = (each for each in waiting(paid.state) if each.rule.subject is Subject.FRAUD_WARNING)
    assert (wait.what, wait.rule.actor, wait.due_ms) == ("issfr_1", "OPERATOR", warning.warned_at)
    paid.refund(AMOUNT - 100)
    assert listed(paid) == {Subject.FRAUD_WARNING}, "a part of it is left"
    paid.refund(100)
    assert not listed(paid)


def test_a_dispute_settles_it(paid: PaymentFlowHarness) -> None:
    warn(paid)
    paid.stripe.dispute()
    paid.settle_all()
    assert not listed(paid)


def test_a_refund_that_failed_brings_it_back(paid: PaymentFlowHarness) -> None:
    warn(paid)
    refund = paid.stripe.refund(AMOUNT, None, "ok")
    assert refund
    paid.settle_all()
    assert not listed(paid)
    paid.stripe.end_refund(refund, succeed=False)
    paid.settle_all()
    assert listed(paid) == {Subject.FRAUD_WARNING}


def test_stripes_own_word_settles_it_in_whatever_order_it_comes(paid: PaymentFlowHarness) -> None:
    warn(paid, AT + 5, actionable=False)
    warn(paid, AT)
    assert not listed(paid)
    warn(paid, AT + 5)
    assert not listed(paid), "within a second it was actionable first"
    warn(paid, AT + 6)
    assert listed(paid) == {Subject.FRAUD_WARNING}


def test_a_warning_again_emits_nothing(paid: PaymentFlowHarness) -> None:
    warn(paid)
    sequence = payment_of(paid).sequence
    warn(paid)
    warn(paid, AT + 60)
    assert payment_of(paid).sequence == sequence


def test_a_review_is_listed_until_it_is_closed(paid: PaymentFlowHarness) -> None:
    review(paid)
    assert listed(paid) == {Subject.REVIEW}
    review(paid, AT + 1, is_open=False)
    review(paid)
    assert not listed(paid)
    (known,) = payment_of(paid).reviews.values()
    assert (known.opened_reason, known.closed_reason) == ("rule", "approved")


def test_a_review_of_a_payment_under_way_is_not_held_until_the_money_is_there(
    opened: PaymentFlowHarness,
) -> None:
    review(opened)
    assert not held_of(opened)
    assert listed(opened) == {Subject.REVIEW}


def test_a_warning_before_its_payment_is_held_and_applied_once_there_is_one() -> None:
    flow = PaymentFlowHarness()
    warn(flow)
    review(flow)
    assert len(held_of(flow)) == 2
    asked = InitiatePayment(amount=AMOUNT, currency=CURRENCY, user_id="guest")
    flow.command(CommandType.INITIATE_PAYMENT, asked, by="system:orders")
    flow.settle_all()
    assert not held_of(flow)
    assert set(payment_of(flow).fraud_warnings) == {"issfr_1"}
    assert set(payment_of(flow).reviews) == {"prv_1"}


def test_a_warning_of_another_intent_is_reported(paid: PaymentFlowHarness) -> None:
    warn(paid, payment_intent="pi_other")
    assert not payment_of(paid).fraud_warnings
    codes = [getattr(event.data, "code", "") for event in paid.audit]
    assert "WRONG_FRAUD_WARNING" in codes


def test_the_events_fold_to_the_payment(paid: PaymentFlowHarness) -> None:
    warn(paid)
    review(paid)
    review(paid, AT + 1, is_open=False)
    warn(paid, AT + 1, actionable=False)
    folded: Payment | None = None
    for event in paid.log:
        if event.producer == "payments":
            folded = evolve(folded, event)
    assert folded == payment_of(paid)
    kinds = [event.event_type for event in paid.log][-4:]
    assert kinds == [
        EventType.PAYMENT_FRAUD_WARNING, EventType.PAYMENT_REVIEW_OPENED,
        EventType.PAYMENT_REVIEW_CLOSED, EventType.PAYMENT_FRAUD_WARNING,
    ]  # fmt: skip
