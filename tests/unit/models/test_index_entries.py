"""What records are found by: what has ended is left to nobody, and lists are in the order of time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.stripe.reconciler import _watch
from models.fraud import FraudWarning, Review
from models.graphs import PaymentStatus, RefundStatus
from models.index_entries import (
    RECEIPT_WAIT_MS,
    index_of_payment,
    latest_first,
    payment_has_ended,
    time_of,
)
from models.money_checks import money_of, violations
from models.payment import Dispute, Effect, EffectKind, Held, Initiation, PaymentRecord, PaymentWork
from models.stuck import waiting
from models.transition import until
from tests.support.records import record, refund

TIMES = st.integers(0, (1 << 44) - 1)
PAID_MS = 1_700_000_000_000


@given(TIMES, TIMES)
def test_later_times_come_first(one: int, other: int) -> None:
    assert (latest_first(one) < latest_first(other)) is (one > other)
    assert time_of(latest_first(one)) == one
    assert (until(one) < until(other)) is (one < other)


def test_times_that_no_clock_gives_stay_in_their_place() -> None:
    assert time_of(latest_first(-5)) == 0
    assert time_of(latest_first(1 << 60)) == (1 << 44) - 1


def some(value: Any) -> Any:
    """Now and then a mapping of one value, most often none: so that something can have ended."""
    return st.sampled_from([{}, {}, {}, {"x": value}])


WORK = st.builds(
    PaymentWork,
    effects=some(Effect(effect_id="e", kind=EffectKind.CONFIRM, body={}, requested_at=1)),
    refunds=some(refund("x", 5, RefundStatus.PENDING)),
    refund_wanted=st.sampled_from([None, None, "LATE"]),
    held=st.sampled_from([(), (), (Held(stripe_event_id="evt_1"),)]),
    in_doubt_since=st.sampled_from([None, None, 0, 7]),
    doubted_disputes=st.sampled_from([(), (), ("d",)]),
    unknown_since=st.sampled_from([None, None, 7]),
    initiation=st.sampled_from(
        [None, Initiation(amount=1, currency="INR", user_id="u"),
         Initiation(amount=1, currency="INR", user_id="u", error="refused")]
    ),
    cancel=st.sampled_from([None, "CUSTOMER"]),
)  # fmt: skip
PAYMENTS = st.builds(
    record,
    st.just("a"),
    status=st.sampled_from(PaymentStatus),
    captured=st.sampled_from([0, 900, 1000]),
    completed_at=st.sampled_from([None, PAID_MS]),
    receipt_url=st.sampled_from([None, "https://pay.stripe.com/receipt"]),
    next_action=st.sampled_from([None, None, "use_stripe_sdk"]),
    refunds=st.sampled_from(RefundStatus).flatmap(lambda status: some(refund("x", 300, status))),
    disputes=st.sampled_from(["won", "lost", "needs_response", "under_review"]).flatmap(
        lambda status: some(Dispute(dispute_id="d", amount=1000, status=status, reason="general"))
    ),
    reviews=st.booleans().flatmap(
        lambda is_open: some(
            Review(review_id="x", is_open=is_open, opened_reason="rule", opened_at=1, changed_at=1)
        )
    ),
    fraud_warnings=st.booleans().flatmap(
        lambda actionable: some(
            FraudWarning(
                warning_id="x",
                fraud_type="misc",
                is_actionable=actionable,
                warned_at=1,
                changed_at=1,
            )
        )
    ),
    work=WORK,
) | st.builds(PaymentRecord, work=WORK)


@given(PAYMENTS, st.integers(0, 2 * RECEIPT_WAIT_MS))
def test_nobody_has_to_act_upon_a_payment_that_has_ended(
    state: PaymentRecord, since_ms: int
) -> None:
    """Whoever looks for work among payments is given what has not ended, and those wanted until a time."""
    now_ms = PAID_MS + since_ms
    entries = index_of_payment(state).once_ended
    if not payment_has_ended(state):
        return
    assert not state.work.effects
    assert not waiting(state)
    money = money_of(state)
    assert money is None or not violations(money, None)
    is_fed = any(entry > until(now_ms) for entry in entries if entry.startswith("until/"))
    assert _watch(0, "a", state, now_ms) is None or is_fed or now_ms == PAID_MS + RECEIPT_WAIT_MS


@given(PAYMENTS)
def test_what_lists_of_ended_payments_show_is_in_them(state: PaymentRecord) -> None:
    entries = [entry.partition("/")[0] for entry in index_of_payment(state).once_ended]
    payment = state.payment
    assert ("refunds" in entries) is bool(payment and payment.refunds)
    assert ("disputes" in entries) is bool(payment and payment.disputes)


def test_an_ordinary_payment_has_ended_when_it_is_paid() -> None:
    paid = record("a", completed_at=PAID_MS, receipt_url="https://pay.stripe.com/receipt")
    assert payment_has_ended(paid)
    found_by, *others = index_of_payment(paid)
    assert all(entry.startswith("f/") for entry in found_by)
    assert others == [
        (), {"money/INR/payments": 1, "money/INR/authorised": 1000, "money/INR/captured": 1000},
    ]  # fmt: skip
    assert not payment_has_ended(record("a", status=PaymentStatus.PENDING, captured=0))
    assert payment_has_ended(record("a", status=PaymentStatus.CANCELLED, captured=0))
