"""Stripe's word, in any order, at any repetition, from any API version: the same true history ends the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agents.payments import fact_rules
from agents.payments.fact_rules import (
    DISPUTE_RULES,
    FRAUD_RULES,
    INTENT_RULES,
    REFUND_RULES,
    Age,
    Rule,
    age_of,
)
from agents.payments.transitions import MAX_PAYMENT_ATTEMPTS
from models import topics
from models.commands import (
    CommandType,
    ConfirmPayment,
    ObservePayment,
    ResultKind,
    StripeResult,
    WebhookReceived,
)
from models.events import EventType
from models.graphs import PaymentStatus
from models.messages import encode
from models.payment import EffectKind, Payment, PaymentWork
from models.reconciliation import (
    MONEY_EVENTS,
    MoneyMovement,
    MovementKind,
    add_movements,
    movement_of_event,
)
from models.stripe_facts import (
    parse_dispute,
    parse_fraud_warning,
    parse_intent,
    parse_refund,
    parse_review,
)
from tests.support import fact_tables
from tests.support.payment_flow import AMOUNT, ORDER, PLACE, PaymentFlowHarness

S = PaymentStatus
BEGIN = 1_700_000_000
RECEIPT = "https://pay.stripe.com/receipts/1"
DUE_BY = 1_800_000_000

Snapshot = dict[str, Any]


@dataclass
class History:
    """What happened at Stripe: webhook's type, object and time, in order; the objects as they are now."""

    intent: Snapshot
    at_s: int = BEGIN
    events: list[tuple[str, Snapshot, int]] = field(default_factory=list)
    refunds: dict[str, Snapshot] = field(default_factory=dict)
    disputes: dict[str, Snapshot] = field(default_factory=dict)
    warnings: dict[str, Snapshot] = field(default_factory=dict)
    reviews: dict[str, Snapshot] = field(default_factory=dict)

    def tell(self, kind: str, thing: Snapshot, later_s: int) -> None:
        self.at_s += later_s
        self.events.append((kind, dict(thing), self.at_s))

    def intent_is(self, kind: str, later_s: int, **changes: Any) -> None:
        self.intent = {**self.intent, **changes}
        self.tell(f"payment_intent.{kind}", self.intent, later_s)

    def refund_is(self, id: str, kind: str, later_s: int, **changes: Any) -> None:
        self.refunds[id] = {**self.refunds.get(id, {"id": id}), **changes}
        self.tell(f"refund.{kind}", self.refunds[id], later_s)

    def dispute_is(self, id: str, kind: str, later_s: int, **changes: Any) -> None:
        self.disputes[id] = {**self.disputes.get(id, {"id": id}), **changes}
        self.tell(f"charge.dispute.{kind}", self.disputes[id], later_s)

    def warning_is(self, id: str, kind: str, later_s: int, **changes: Any) -> None:
        known = {"id": id, "payment_intent": self.intent["id"], "fraud_type": "misc"}
        self.warnings[id] = {**self.warnings.get(id, known), **changes}
        self.tell(f"radar.early_fraud_warning.{kind}", self.warnings[id], later_s)

    def review_is(self, id: str, kind: str, later_s: int, **changes: Any) -> None:
        known = {"id": id, "payment_intent": self.intent["id"], "opened_reason": "rule"}
        self.reviews[id] = {**self.reviews.get(id, known), **changes}
        self.tell(f"review.{kind}", self.reviews[id], later_s)


def opened() -> PaymentFlowHarness:
    flow = PaymentFlowHarness()
    flow.now = BEGIN * 1000
    flow.command(CommandType.PLACE_ORDER, PLACE)
    flow.settle_all()
    assert flow.status() is S.PENDING
    return flow


def history_of(flow: PaymentFlowHarness) -> History:
    assert flow.stripe.intent
    return History(dict(flow.stripe.intent))


def payment_of(flow: PaymentFlowHarness) -> Payment:
    assert flow.state
    assert flow.state.payment
    return flow.state.payment


def work_of(flow: PaymentFlowHarness) -> PaymentWork:
    assert flow.state
    return flow.state.work


def deliver(
    flow: PaymentFlowHarness, kind: str, thing: Snapshot, created: int, *, version: int = 0
) -> None:
    """One webhook; version: 1 shows the charge as old API versions do, 2 leaves it out."""
    facts: dict[str, Any] = {}
    if kind.startswith("payment_intent"):
        charge = thing["latest_charge"]
        if charge and version:
            old = {"charges": {"data": [{"id": charge}] if version == 1 else []}}
            thing = {**thing, "latest_charge": None, **old}
        facts["intent"] = parse_intent(thing)
    elif kind.startswith("refund"):
        facts["refund"] = parse_refund(thing)
    elif kind.startswith("radar"):
        facts["fraud_warning"] = parse_fraud_warning(thing)
    elif kind.startswith("review"):
        facts["review"] = parse_review(thing)
    else:
        facts["dispute"] = parse_dispute(thing, is_closed=kind == "charge.dispute.closed")
    hook = WebhookReceived(
        stripe_event_id=f"evt_{next(flow.number)}", stripe_event_type=kind, order_id=ORDER,
        created=created, **facts,
    )  # fmt: skip
    flow.queues[topics.WEBHOOKS].append(encode(hook))
    flow.deliver_all(topics.WEBHOOKS)


def look_up(flow: PaymentFlowHarness, truth: History) -> None:
    """What the reconciler is told; the charge comes along, with its receipt."""
    now_s = truth.at_s + 1
    charge = truth.intent["latest_charge"]
    expanded = {"id": charge, "receipt_url": RECEIPT} if charge else None
    observed = ObservePayment(
        attempt=payment_of(flow).attempt,
        sequence=payment_of(flow).sequence,
        audit_sequence=work_of(flow).audit_sequence,
        intent=parse_intent({**truth.intent, "latest_charge": expanded}, as_of=now_s),
        refunds=tuple(parse_refund(refund, as_of=now_s) for refund in truth.refunds.values()),
        disputes=tuple(
            parse_dispute(truth.disputes[id], as_of=now_s, is_closed=truth.disputes[id]["closed"])
            for id in work_of(flow).doubted_disputes
        ),
    )
    flow.command(CommandType.OBSERVE_PAYMENT, observed, by="system:reconciler")
    flow.deliver_all(topics.PAYMENT_COMMANDS)


def must_ask(flow: PaymentFlowHarness) -> bool:
    """As app/stripe/reconciler.py decides it."""
    payment, work = payment_of(flow), work_of(flow)
    lacks_receipt = payment.completed_at is not None and payment.receipt_url is None
    waits = work.refunds or work.held or work.doubted_disputes or work.in_doubt_since
    return bool(payment.status is S.PROCESSING or waits or lacks_receipt)


def confirm(flow: PaymentFlowHarness, status: str, as_of: int, **more: Any) -> None:
    """A confirm of ours that Stripe answers so."""
    flow.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    flow.deliver_all(topics.PAYMENT_COMMANDS)
    effect = next(each for each in flow.effects if each.kind is EffectKind.CONFIRM)
    assert flow.stripe.intent
    flow.stripe.intent.update(status=status, **more)
    result = StripeResult(
        effect_id=effect.effect_id, idempotency_key=effect.idempotency_key, result=ResultKind.DONE,
        intent=parse_intent(flow.stripe.intent, as_of=as_of),
    )  # fmt: skip
    flow.command(CommandType.STRIPE_RESULT, result, by="system:effects")
    flow.deliver_all(topics.PAYMENT_COMMANDS)


def outcome_of(flow: PaymentFlowHarness, confirm_id: str) -> Any:
    return flow.payments.outcomes[confirm_id]


ACTION = {"next_action": {"type": "use_stripe_sdk"}}
NO_ACTION: dict[str, Any] = {"next_action": None}


# -- the table


def test_every_pair_of_state_and_news_has_a_rule() -> None:
    tables: list[tuple[Any, type[StrEnum], type[StrEnum]]] = [
        (INTENT_RULES, fact_rules.IntentState, fact_rules.IntentNews),
        (REFUND_RULES, fact_rules.RefundState, fact_rules.RefundNews),
        (DISPUTE_RULES, fact_rules.DisputeState, fact_rules.DisputeNews),
        (FRAUD_RULES, fact_rules.FraudState, fact_rules.FraudNews),
    ]
    for rules, states, news in tables:
        assert list(rules) == list(states)
        for row in rules.values():
            assert set(row) == set(news)
            assert all(
                isinstance(rule, Rule) for rules_by_age in row.values() for rule in rules_by_age
            )


def test_the_page_of_the_rules_is_printed_from_them() -> None:
    assert fact_tables.PAGE.read_text() == fact_tables.page(), "python -m tests.support.fact_tables"


@pytest.mark.parametrize(
    ("as_of", "known", "is_answer", "age"),
    [
        (5, 4, False, Age.NEWER), (4, 4, False, Age.SAME), (3, 4, False, Age.OLDER),
        (None, 4, False, Age.SAME), (4, None, False, Age.SAME), (None, None, False, Age.SAME),
        (5, 4, True, Age.ANSWER), (4, 4, True, Age.ANSWER), (3, 4, True, Age.ANSWER),
        (None, 4, True, Age.ANSWER),
    ],
)  # fmt: skip
def test_age(as_of: int | None, known: int | None, is_answer: bool, age: Age) -> None:
    assert age_of(as_of, known, is_answer=is_answer) is age


# -- actions of the customer's bank


def test_an_action_that_is_over_is_cleared_and_no_other_card_is_taken() -> None:
    flow = opened()
    confirm(flow, "requires_action", BEGIN + 10, **ACTION)
    assert payment_of(flow).next_action
    truth = history_of(flow)
    truth.at_s = BEGIN + 10
    truth.intent_is("processing", 5, status="processing", **NO_ACTION)
    deliver(flow, *truth.events[-1])
    assert payment_of(flow).next_action is None
    assert payment_of(flow).attempt == 1
    second = flow.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm2"))
    flow.deliver_all(topics.PAYMENT_COMMANDS)
    assert outcome_of(flow, second).code == "PAYMENT_UNDER_WAY"
    assert not [event for event in flow.log if event.event_type is EventType.PAYMENT_FAILED]


def test_an_action_over_within_the_second_has_stripe_asked_before_another_card_is_taken() -> None:
    flow = opened()
    confirm(flow, "requires_action", BEGIN + 10, **ACTION)
    truth = history_of(flow)
    truth.at_s = BEGIN + 10
    truth.intent_is("processing", 0, status="processing", **NO_ACTION)
    deliver(flow, *truth.events[-1])
    assert payment_of(flow).next_action, "nothing tells which was later"
    assert work_of(flow).in_doubt_since
    second = flow.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm2"))
    flow.deliver_all(topics.PAYMENT_COMMANDS)
    assert outcome_of(flow, second).code == "PAYMENT_UNDER_WAY"
    look_up(flow, truth)
    assert payment_of(flow).next_action is None
    assert work_of(flow).in_doubt_since is None


def test_an_action_of_the_past_changes_nothing() -> None:
    flow = opened()
    confirm(flow, "processing", BEGIN + 10, **NO_ACTION)
    before = payment_of(flow)
    late = {**history_of(flow).intent, "status": "requires_action", **ACTION}
    deliver(flow, "payment_intent.requires_action", late, BEGIN + 8)
    assert payment_of(flow) == before
    assert work_of(flow).in_doubt_since is None


def test_the_first_attempts_action_again_does_not_touch_the_second() -> None:
    flow = opened()
    confirm(flow, "requires_action", BEGIN + 10, **ACTION)
    first = dict(history_of(flow).intent)
    failed = {
        **first, "status": "requires_payment_method", **NO_ACTION,
        "last_payment_error": {"code": "card_declined", "charge": "ch_first"},
    }  # fmt: skip
    deliver(flow, "payment_intent.payment_failed", failed, BEGIN + 15)
    assert payment_of(flow).status is S.FAILED
    confirm(flow, "processing", BEGIN + 20, **NO_ACTION)
    deliver(flow, "payment_intent.requires_action", first, BEGIN + 10)
    assert payment_of(flow).attempt == 2
    assert payment_of(flow).next_action is None


# -- charges that are not told, and receipts that come late


@pytest.mark.parametrize("version", [1, 2])
def test_a_success_of_an_old_api_version_gets_its_charge_and_receipt(version: int) -> None:
    flow = opened()
    truth = history_of(flow)
    truth.intent_is(
        "succeeded", 5, status="succeeded", amount_received=AMOUNT, latest_charge="ch_1"
    )
    deliver(flow, *truth.events[-1], version=version)
    payment = payment_of(flow)
    assert payment.status is S.COMPLETED
    assert payment.stripe_charge_id == ("ch_1" if version == 1 else None)
    look_up(flow, truth)
    payment = payment_of(flow)
    assert (payment.stripe_charge_id, payment.receipt_url) == ("ch_1", RECEIPT)
    look_up(flow, truth)
    added = [event for event in flow.log if event.event_type is EventType.PAYMENT_DETAILS_ADDED]
    assert len(added) == 1, "what is known is not added again"
    account: dict[tuple[MovementKind, str], MoneyMovement] = {}
    read = [event for event in flow.log if event.event_type in MONEY_EVENTS]
    add_movements(account, filter(None, map(movement_of_event, read)))
    amounts = {key: moved.amount for key, moved in account.items()}
    assert amounts == {(MovementKind.CHARGE, "ch_1"): AMOUNT}, "the reconciliation knows the charge"


# -- cards tried with the client secret


def failures(flow: PaymentFlowHarness, count: int) -> None:
    truth = history_of(flow)
    for number in range(count):
        error = {"code": "card_declined", "charge": f"ch_tried_{number}"}
        truth.intent_is(
            "payment_failed", 1, status="requires_payment_method", last_payment_error=error
        )
        deliver(flow, *truth.events[-1])


def test_cards_tried_past_our_confirm_have_the_same_limit() -> None:
    flow = opened()
    failures(flow, MAX_PAYMENT_ATTEMPTS)
    cancels = [effect for effect in flow.effects if effect.kind is EffectKind.CANCEL]
    assert len(cancels) == 1, "the payment is cancelled at Stripe"
    confirmed = flow.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    flow.deliver_all(topics.PAYMENT_COMMANDS)
    assert not outcome_of(flow, confirmed).accepted
    flow.settle_all()
    assert payment_of(flow).status is S.CANCELLED
    assert payment_of(flow).cancel_reason == "TOO_MANY_ATTEMPTS"


def test_news_without_end_leave_an_audit_that_can_be_shown() -> None:
    flow = opened()
    failures(flow, 1500)
    assert len(flow.audit) < 600
    assert len([event for event in flow.log if event.event_type is EventType.PAYMENT_FAILED]) == 1


def test_fewer_tries_than_the_limit_leave_the_payment_open() -> None:
    flow = opened()
    failures(flow, MAX_PAYMENT_ATTEMPTS - 1)
    assert payment_of(flow).status is S.FAILED
    assert not flow.effects


# -- disputes


def paid() -> tuple[PaymentFlowHarness, History]:
    flow = opened()
    truth = history_of(flow)
    succeeded = {"status": "succeeded", "amount_received": AMOUNT, "latest_charge": "ch_1"}
    truth.intent_is("succeeded", 5, **succeeded)
    deliver(flow, *truth.events[-1])
    look_up(flow, truth)
    return flow, truth


def dispute_in(truth: History, status: str, **changes: Any) -> dict[str, Any]:
    return {
        "payment_intent": truth.intent["id"], "charge": "ch_1", "amount": AMOUNT, "currency": "inr",
        "status": status, "reason": "fraudulent", "is_charge_refundable": False,
        "evidence_details": {"due_by": DUE_BY}, "closed": False, **changes,
    }  # fmt: skip


@pytest.fixture
def disputed() -> tuple[PaymentFlowHarness, History]:
    flow, truth = paid()
    truth.dispute_is("du_1", "created", 10, **dispute_in(truth, "needs_response"))
    deliver(flow, *truth.events[-1])
    return flow, truth


def test_a_dispute_that_was_lost_may_be_won_a_day_later(
    disputed: tuple[PaymentFlowHarness, History],
) -> None:
    flow, truth = disputed
    truth.dispute_is("du_1", "closed", 3600, status="lost", closed=True)
    deliver(flow, *truth.events[-1])
    assert payment_of(flow).net == 0
    truth.dispute_is("du_1", "closed", 86400, status="won")
    deliver(flow, *truth.events[-1])
    assert payment_of(flow).disputes["du_1"].status == "won"
    assert payment_of(flow).net == AMOUNT
    deliver(flow, *truth.events[-2])  # the loss, delivered again
    assert payment_of(flow).disputes["du_1"].status == "won"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": AMOUNT - 100}, {"amount": AMOUNT - 100}),
        ({"evidence_details": {"due_by": DUE_BY + 86400}}, {}),
        ({"is_charge_refundable": True}, {"is_charge_refundable": True}),
    ],
)
def test_an_update_with_the_same_status_counts(
    disputed: tuple[PaymentFlowHarness, History],
    changes: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    flow, truth = disputed
    before = payment_of(flow).disputes["du_1"]
    truth.dispute_is("du_1", "updated", 60, **changes)
    deliver(flow, *truth.events[-1])
    after = payment_of(flow).disputes["du_1"]
    assert structs.replace(after, changed_at=before.changed_at) != before
    for name, value in expected.items():
        assert getattr(after, name) == value


def test_a_closing_event_of_a_status_that_is_not_known_closes(
    disputed: tuple[PaymentFlowHarness, History],
) -> None:
    flow, truth = disputed
    truth.dispute_is("du_1", "closed", 60, status="settled_elsewhere", closed=True)
    deliver(flow, *truth.events[-1])
    assert not payment_of(flow).disputes["du_1"].is_open
    assert not payment_of(flow).is_refund_blocked
    assert "UNKNOWN_DISPUTE_STATUS" in [getattr(event.data, "code", "") for event in flow.audit]


def test_two_decisions_of_one_second_have_stripe_asked(
    disputed: tuple[PaymentFlowHarness, History],
) -> None:
    flow, truth = disputed
    truth.dispute_is("du_1", "closed", 60, status="lost", closed=True)
    deliver(flow, *truth.events[-1])
    truth.dispute_is("du_1", "closed", 0, status="won")
    deliver(flow, *truth.events[-1])
    assert work_of(flow).doubted_disputes == ("du_1",)
    look_up(flow, truth)
    assert payment_of(flow).disputes["du_1"].status == "won"
    assert work_of(flow).doubted_disputes == ()


# -- look-ups that were overtaken


def asked(flow: PaymentFlowHarness, truth: History, **more: Any) -> ObservePayment:
    """A look-up's result that shows how things are now, and is decided later."""
    return ObservePayment(
        attempt=payment_of(flow).attempt, sequence=payment_of(flow).sequence,
        audit_sequence=work_of(flow).audit_sequence,
        intent=parse_intent(truth.intent, as_of=truth.at_s), **more,
    )  # fmt: skip


def decide_look_up(flow: PaymentFlowHarness, observed: ObservePayment) -> None:
    flow.command(CommandType.OBSERVE_PAYMENT, observed, by="system:reconciler")
    flow.deliver_all(topics.PAYMENT_COMMANDS)


def test_a_look_up_from_before_the_action_was_over_does_not_bring_it_back() -> None:
    flow = opened()
    confirm(flow, "requires_action", BEGIN + 10, **ACTION)
    truth = history_of(flow)
    truth.at_s = BEGIN + 59
    before = asked(flow, truth)
    truth.intent_is("processing", 1, status="processing", **NO_ACTION)
    deliver(flow, *truth.events[-1])
    decide_look_up(flow, before)
    assert payment_of(flow).next_action is None
    second = flow.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm2"))
    flow.deliver_all(topics.PAYMENT_COMMANDS)
    assert outcome_of(flow, second).code == "PAYMENT_UNDER_WAY"


def test_a_look_up_from_before_a_doubt_does_not_dispel_it() -> None:
    flow = opened()
    confirm(flow, "requires_action", BEGIN + 10, **ACTION)
    truth = history_of(flow)
    truth.at_s = BEGIN + 10
    before = asked(flow, truth)
    truth.intent_is("processing", 0, status="processing", **NO_ACTION)
    deliver(flow, *truth.events[-1])
    decide_look_up(flow, before)
    assert work_of(flow).in_doubt_since


def test_a_look_up_from_before_a_dispute_was_closed_does_not_open_it(
    disputed: tuple[PaymentFlowHarness, History],
) -> None:
    flow, truth = disputed
    truth.dispute_is("du_1", "updated", 0, amount=AMOUNT - 100)
    deliver(flow, *truth.events[-1])
    assert work_of(flow).doubted_disputes == ("du_1",)
    before = asked(flow, truth, disputes=(parse_dispute(truth.disputes["du_1"], as_of=truth.at_s),))
    truth.dispute_is("du_1", "closed", 1, status="lost", closed=True)
    deliver(flow, *truth.events[-1])
    decide_look_up(flow, before)
    assert payment_of(flow).disputes["du_1"].status == "lost"
    assert work_of(flow).doubted_disputes == ("du_1",), "it is asked again"
    look_up(flow, truth)
    assert payment_of(flow).disputes["du_1"].status == "lost"
    assert not work_of(flow).doubted_disputes


def test_a_dispute_that_stripe_does_not_know_is_not_asked_about_for_ever(
    disputed: tuple[PaymentFlowHarness, History],
) -> None:
    flow, truth = disputed
    truth.dispute_is("du_1", "updated", 0, amount=AMOUNT - 100)
    deliver(flow, *truth.events[-1])
    decide_look_up(flow, asked(flow, truth, unknown_disputes=("du_1",)))
    assert not work_of(flow).doubted_disputes
    assert "UNKNOWN_DISPUTE" in [getattr(event.data, "code", "") for event in flow.audit]


def test_a_dispute_closed_with_an_unknown_status_stays_closed_when_it_changes(
    disputed: tuple[PaymentFlowHarness, History],
) -> None:
    flow, truth = disputed
    truth.dispute_is("du_1", "closed", 60, status="settled_elsewhere", closed=True)
    deliver(flow, *truth.events[-1])
    truth.dispute_is("du_1", "updated", 60, amount=AMOUNT - 100)
    deliver(flow, *truth.events[-1])
    assert not payment_of(flow).disputes["du_1"].is_open
    assert payment_of(flow).disputes["du_1"].amount == AMOUNT - 100


def test_a_look_up_decides_on_a_failed_payment_without_a_time() -> None:
    """As earlier versions stored it."""
    flow = opened()
    truth = history_of(flow)
    error = {"code": "card_declined", "charge": "ch_1"}
    truth.intent_is("payment_failed", 5, status="requires_payment_method", last_payment_error=error)
    deliver(flow, *truth.events[-1])
    work = structs.replace(work_of(flow), seen_at={})
    assert flow.state
    flow.payments.state = structs.replace(flow.state, work=work)
    truth.intent_is("processing", 0, status="processing")
    deliver(flow, *truth.events[-1])
    assert work_of(flow).in_doubt_since
    look_up(flow, truth)
    assert payment_of(flow).status is S.PROCESSING


def test_the_limit_holds_for_cards_that_the_bank_asks_about() -> None:
    flow = opened()
    truth = history_of(flow)
    for number in range(3 * MAX_PAYMENT_ATTEMPTS):
        error = {"code": "card_declined", "charge": f"ch_{number}"}
        truth.intent_is("requires_action", 2, status="requires_action", **ACTION)
        deliver(flow, *truth.events[-1])
        truth.intent_is(
            "payment_failed", 2, status="requires_payment_method", last_payment_error=error,
            **NO_ACTION,
        )  # fmt: skip
        deliver(flow, *truth.events[-1])
    assert payment_of(flow).attempt == MAX_PAYMENT_ATTEMPTS
    assert [effect.kind for effect in flow.effects] == [EffectKind.CANCEL]


# -- any true history


def seconds() -> st.SearchStrategy[int]:
    return st.sampled_from([0, 0, 1, 2, 3600])


def fail(draw: Any, truth: History, charges: Iterator[int]) -> None:
    charge = draw(st.sampled_from([None, f"ch_{next(charges)}"]))
    error = {"code": "card_declined", "charge": charge}
    truth.intent_is(
        "payment_failed", draw(seconds()), status="requires_payment_method",
        last_payment_error=error, **NO_ACTION,
    )  # fmt: skip


@st.composite
def histories(draw: Any, truth: History) -> History:
    """What may happen at Stripe after an intent has been created, all of it with the client secret."""
    charges = itertools.count(1)
    for _ in range(draw(st.integers(1, 3))):
        truth.at_s += 1  # nobody tries another card within a second
        if draw(st.booleans()):
            truth.intent_is("requires_action", draw(seconds()), status="requires_action", **ACTION)
            if draw(st.booleans()):
                fail(draw, truth, charges)
                continue
        if draw(st.booleans()):
            truth.intent_is("processing", draw(seconds()), status="processing", **NO_ACTION)
        fail(draw, truth, charges)
    truth.at_s += 1
    match draw(st.sampled_from(["failed", "canceled", "action", "processing", *["succeeded"] * 4])):
        case "canceled":
            truth.intent_is("canceled", draw(seconds()), status="canceled", **NO_ACTION)
        case "action":
            truth.intent_is("requires_action", draw(seconds()), status="requires_action", **ACTION)
        case "processing":
            truth.intent_is("processing", draw(seconds()), status="processing", **NO_ACTION)
        case "succeeded":
            succeeded = {
                "status": "succeeded",
                "amount_received": AMOUNT,
                "latest_charge": "ch_paid",
            }
            truth.intent_is(
                "succeeded", draw(seconds()), last_payment_error=None, **NO_ACTION, **succeeded
            )
            draw_refunds(draw, truth)
            draw_disputes(draw, truth)
            draw_warnings(draw, truth)
    draw_reviews(draw, truth)
    return truth


REFUND_PATHS = (
    ("succeeded",), ("pending", "succeeded"), ("pending", "failed"), ("succeeded", "failed"),
    ("pending", "requires_action", "pending", "succeeded"), ("requires_action", "canceled"),
    ("pending", "succeeded", "failed"),
)  # fmt: skip
DISPUTE_PATHS = (
    ("needs_response",), ("needs_response", "under_review", "won"), ("needs_response", "lost"),
    ("warning_needs_response", "warning_under_review", "warning_closed"), ("needs_response", "lost", "won"),
    ("warning_needs_response", "needs_response", "under_review", "lost", "won"),
    ("needs_response", "under_review", "needs_response"),
)  # fmt: skip


def draw_refunds(draw: Any, truth: History) -> None:
    for number in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(REFUND_PATHS))
        made = {
            "payment_intent": truth.intent["id"], "amount": 100, "currency": "inr", "metadata": {},
            "reason": None,
        }  # fmt: skip
        for step, status in enumerate(path):
            kind = "updated" if step else "created"
            truth.refund_is(f"re_{number}", kind, draw(seconds()), status=status, **made)


def draw_disputes(draw: Any, truth: History) -> None:
    for number in range(draw(st.integers(0, 2))):
        for step, status in enumerate(draw(st.sampled_from(DISPUTE_PATHS))):
            is_closed = status in {"won", "lost", "warning_closed"}
            kind = "closed" if is_closed else "updated" if step else "created"
            changes = dispute_in(truth, status, closed=is_closed)
            changes["amount"] = draw(st.sampled_from([AMOUNT // 2, AMOUNT // 4]))
            truth.dispute_is(f"du_{number}", kind, draw(seconds()), **changes)


def draw_warnings(draw: Any, truth: History) -> None:
    """A warning may be of use again, when a refund has failed."""
    for number in range(draw(st.integers(0, 2))):
        for step, actionable in enumerate(
            draw(st.sampled_from([(True,), (False,), (True, False), (True, False, True)]))
        ):
            kind = "updated" if step else "created"
            later_s = draw(seconds()) + (1 if step == 2 else 0)
            truth.warning_is(f"issfr_{number}", kind, later_s, actionable=actionable)


def draw_reviews(draw: Any, truth: History) -> None:
    for number in range(draw(st.integers(0, 2))):
        truth.review_is(f"prv_{number}", "opened", draw(seconds()), open=True)
        if draw(st.booleans()):
            closed = {
                "open": False,
                "closed_reason": draw(st.sampled_from(["approved", "disputed"])),
            }
            truth.review_is(f"prv_{number}", "closed", draw(seconds()), **closed)


def summary(flow: PaymentFlowHarness) -> dict[str, Any]:
    """All that a customer or an operator is told of the payment's end."""
    payment = payment_of(flow)
    return {
        "status": payment.status, "action": payment.next_action is not None,
        "captured": payment.captured, "charge": payment.stripe_charge_id,
        "receipt": payment.receipt_url,
        "refunds": {r.stripe_refund_id: r.status for r in flow.state.refunds().values()}
        if flow.state else {},
        "disputes": {d.dispute_id: (d.status, d.amount) for d in payment.disputes.values()},
        "warnings": {id: warning.is_actionable for id, warning in payment.fraud_warnings.items()},
        "reviews": {id: (r.is_open, r.closed_reason) for id, r in payment.reviews.items()},
    }  # fmt: skip


def truth_of(truth: History) -> dict[str, Any]:
    status = truth.intent["status"]
    is_paid = status == "succeeded"
    statuses = {
        "succeeded": S.COMPLETED, "canceled": S.CANCELLED, "requires_payment_method": S.FAILED,
        "processing": S.PROCESSING, "requires_action": S.PROCESSING,
    }  # fmt: skip
    refunds = {"requires_action": "PENDING", "canceled": "CANCELLED"}
    return {
        "status": statuses[status], "action": status == "requires_action",
        "captured": AMOUNT if is_paid else 0, "charge": "ch_paid" if is_paid else None,
        "receipt": RECEIPT if is_paid else None,
        "refunds": {
            id: refunds.get(r["status"], r["status"].upper()) for id, r in truth.refunds.items()
        },
        "disputes": {id: (d["status"], d["amount"]) for id, d in truth.disputes.items()},
        "warnings": {id: warning["actionable"] for id, warning in truth.warnings.items()},
        "reviews": {id: (r["open"], r.get("closed_reason")) for id, r in truth.reviews.items()},
    }  # fmt: skip


@given(st.data())
def test_any_order_and_repetition_of_a_true_history_ends_in_the_truth(data: st.DataObject) -> None:
    flow = opened()
    truth = data.draw(histories(history_of(flow)))
    told = data.draw(st.permutations(truth.events + truth.events[: data.draw(st.integers(0, 4))]))
    for kind, thing, created in told:
        deliver(flow, kind, thing, created, version=data.draw(st.sampled_from([0, 0, 1, 2])))
        if must_ask(flow) and data.draw(st.booleans()):
            look_up(flow, truth)
    for _ in range(3):
        if must_ask(flow):
            look_up(flow, truth)
    assert summary(flow) == truth_of(truth)
    assert not work_of(flow).doubted_disputes
