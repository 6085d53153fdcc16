"""Money that comes long after the meal, or whose news does: it goes back, and no kitchen sees the order."""

from __future__ import annotations

import pytest

from agents.orders import orders_service
from agents.orders.transitions import Deadlines
from agents.payments import payments_service
from agents.payments.transitions import LATE_NEWS_MS, PaymentPolicy
from models.cancel_reasons import HEARD_TOO_LATE, PAID_TOO_LATE
from models.commands import (
    CancelOrder,
    CancelPayment,
    CheckDeadline,
    CommandType,
    ConfirmPayment,
)
from models.events import EventType, OrderCancelled
from models.graphs import OrderStatus, PaymentStatus
from models.order import Order
from models.times import DAY_MS, HOUR_MS, MINUTE_MS, to_rfc3339
from models.topics import PAYMENT_COMMANDS
from tests.support.payment_flow import PLACE, PaymentFlowHarness

E, S, O = EventType, PaymentStatus, OrderStatus  # noqa: E741 -- as in the product
POLICY = PaymentPolicy()


def types(world: PaymentFlowHarness) -> list[EventType]:
    return [event.event_type for event in world.log]


def order_of(world: PaymentFlowHarness) -> Order:
    assert world.orders.state.order is not None
    order: Order = world.orders.state.order
    return order


def due_ms(world: PaymentFlowHarness) -> int:
    assert world.state
    assert world.state.work.due_at
    return world.state.work.due_at


def debit(world: PaymentFlowHarness) -> None:
    """The customer pays from a bank account: Stripe says processing."""
    world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    world.deliver_all(PAYMENT_COMMANDS)
    world.perform(world.effects[0], "bank")
    world.deliver_all(PAYMENT_COMMANDS)
    world.deliver_webhooks()
    assert world.status() is S.PROCESSING


def expire(world: PaymentFlowHarness) -> None:
    """The deadline fires; Stripe can't cancel what the bank is doing."""
    (due,) = world.orders.state.work.deadlines.values()
    world.now = max(world.now, due)
    check = CheckDeadline(deadline="PAYMENT", due_at=due)
    world.command(CommandType.CHECK_DEADLINE, check, by="system:timers")
    while any(world.queues.values()) or world.effects:
        if world.effects:
            world.perform(world.effects[0], "ok")
        world.deliver(next(topic for topic, queue in world.queues.items() if queue))
    assert world.status() is S.PROCESSING
    assert world.orders.state.work.expiring


def succeed(world: PaymentFlowHarness, *, at_ms: int, told_at_ms: int | None = None) -> None:
    """Stripe has the money at a time, and its webhook comes then, or later."""
    world.now = at_ms
    world.stripe.settle(succeed=True)
    world.collect_webhooks()
    world.now = max(at_ms, told_at_ms or at_ms)
    world.settle_all()


def assert_goes_back(world: PaymentFlowHarness, reason: str = PAID_TOO_LATE) -> None:
    assert E.ORDER_CREATED not in types(world), "no kitchen saw it"
    assert world.orders.state.work.deadlines == {}
    assert (world.status(), order_of(world).status) == (S.REFUNDED, O.REFUNDED)
    assert world.stripe.refunded == world.stripe.received
    assert types(world).count(E.PAYMENT_REFUND_INITIATED) <= 1
    cancelled = [e.data for e in world.log if isinstance(e.data, OrderCancelled)]
    assert [data.reason for data in cancelled] == [reason]


@pytest.mark.parametrize("fires", [True, False], ids=["deadline fired", "everything was down"])
def test_a_debit_that_succeeds_days_later_goes_back(
    opened: PaymentFlowHarness, *, fires: bool
) -> None:
    debit(opened)
    if fires:
        expire(opened)
    succeed(opened, at_ms=due_ms(opened) + 4 * DAY_MS)
    assert_goes_back(opened)
    assert [e.data.code for e in opened.audit if e.event_type is E.ANOMALY_SEEN] == [PAID_TOO_LATE]
    (completed,) = (e.data for e in opened.log if e.event_type is E.PAYMENT_COMPLETED)
    assert completed.cancel_requested == PAID_TOO_LATE


@pytest.mark.parametrize("late_ms", [0, POLICY.late_ms, 7 * DAY_MS])
@pytest.mark.parametrize("beyond_ms", [0, 1000], ids=["in time", "too late"])
def test_the_bound_is_the_settings_by_stripes_time(
    opened: PaymentFlowHarness, late_ms: int, beyond_ms: int
) -> None:
    opened.payments.service = payments_service(PaymentPolicy(late_ms=late_ms))
    debit(opened)
    expire(opened)
    bound_s = (due_ms(opened) + late_ms) // 1000
    succeed(opened, at_ms=bound_s * 1000 + beyond_ms)
    if beyond_ms:
        assert_goes_back(opened)
    else:
        assert order_of(opened).status is O.PENDING
        assert list(opened.orders.state.work.deadlines) == ["KITCHEN"]


def test_paid_in_time_and_told_late_is_cooked_while_somebody_waits_for_it(
    opened: PaymentFlowHarness,
) -> None:
    opened.payments.service = payments_service(PaymentPolicy(late_ms=0))
    debit(opened)
    in_time = due_ms(opened) - MINUTE_MS
    expire(opened)
    succeed(opened, at_ms=in_time, told_at_ms=due_ms(opened) + LATE_NEWS_MS - MINUTE_MS)
    assert order_of(opened).status is O.PENDING


def test_paid_in_time_and_told_when_nobody_waits_any_more_goes_back(
    opened: PaymentFlowHarness,
) -> None:
    debit(opened)
    in_time = due_ms(opened) - MINUTE_MS
    expire(opened)
    succeed(opened, at_ms=in_time, told_at_ms=due_ms(opened) + POLICY.late_ms + LATE_NEWS_MS)
    assert_goes_back(opened, HEARD_TOO_LATE)
    (anomaly,) = (e.data for e in opened.audit if e.event_type is E.ANOMALY_SEEN)
    assert anomaly.code == HEARD_TOO_LATE
    assert f"paid {to_rfc3339(in_time // 1000 * 1000)} by Stripe's time" in anomaly.detail


def test_a_look_up_long_after_an_outage_goes_by_when_the_card_was_charged(
    opened: PaymentFlowHarness,
) -> None:
    """Its own time tells only that it had succeeded by then."""
    debit(opened)
    expire(opened)
    opened.stripe.settle(succeed=True)
    assert opened.stripe.intent
    charged_s = (due_ms(opened) - MINUTE_MS) // 1000
    opened.stripe.intent["latest_charge"] = {
        "id": "ch_1", "created": charged_s, "payment_method_details": {"type": "card"},
    }  # fmt: skip
    opened.now = due_ms(opened) + POLICY.late_ms + 10 * MINUTE_MS
    opened.look_up()
    opened.deliver_all(PAYMENT_COMMANDS)
    opened.settle_all()
    assert order_of(opened).status is O.PENDING


def test_a_debit_that_fails_days_later_ends_the_order_and_asks_nobody_to_pay_again(
    opened: PaymentFlowHarness,
) -> None:
    debit(opened)
    expire(opened)
    opened.now += 4 * DAY_MS
    opened.stripe.settle(succeed=False)
    opened.settle_all()
    assert (opened.status(), order_of(opened).status) == (S.CANCELLED, O.CANCELLED)
    (failed,) = (e.data for e in opened.log if e.event_type is E.PAYMENT_FAILED)
    assert failed.cancel_requested == "PAYMENT_EXPIRED"


@pytest.mark.parametrize("by_order", [True, False], ids=["the order", "the payment"])
def test_a_success_after_the_customer_cancelled_is_never_shown_to_a_kitchen(
    opened: PaymentFlowHarness, *, by_order: bool
) -> None:
    debit(opened)
    if by_order:
        opened.command(CommandType.CANCEL_ORDER, CancelOrder(reason="CHANGED_MIND"))
    else:
        opened.command(CommandType.CANCEL_PAYMENT, CancelPayment(reason="CHANGED_MIND"))
    opened.deliver_all("order-commands")
    opened.deliver_all(PAYMENT_COMMANDS)
    succeed(opened, at_ms=opened.now + MINUTE_MS)
    assert_goes_back(opened, "CHANGED_MIND")
    (completed,) = (e.data for e in opened.log if e.event_type is E.PAYMENT_COMPLETED)
    assert completed.cancel_requested == "CHANGED_MIND"


def test_money_of_a_payment_that_stripe_had_cancelled_goes_back(
    opened: PaymentFlowHarness,
) -> None:
    """Stripe says canceled, then succeeded: what was captured counts."""
    opened.command(CommandType.CANCEL_ORDER, CancelOrder(reason="CHANGED_MIND"))
    opened.settle_all()
    assert opened.status() is S.CANCELLED
    assert opened.stripe.intent
    opened.stripe.intent["status"] = "requires_payment_method"
    opened.stripe._charge("ok")
    opened.settle_all()
    assert_goes_back(opened, "CHANGED_MIND")
    (completed,) = (e.data for e in opened.log if e.event_type is E.PAYMENT_COMPLETED)
    assert completed.cancel_requested == "CHANGED_MIND"


@pytest.mark.parametrize("setting_ms", [10 * MINUTE_MS, 8 * HOUR_MS])
def test_an_order_keeps_its_own_deadline_when_the_setting_changes(setting_ms: int) -> None:
    own_ms = 4 * HOUR_MS
    world = PaymentFlowHarness()
    world.orders.service = orders_service(Deadlines(payment_ms=own_ms))
    world.payments.service = payments_service(PaymentPolicy(expires_ms=own_ms))
    world.command(CommandType.PLACE_ORDER, PLACE)
    world.settle_all()
    (due,) = world.orders.state.work.deadlines.values()
    assert due_ms(world) == due
    world.payments.service = payments_service(PaymentPolicy(expires_ms=setting_ms))
    debit(world)
    succeed(world, at_ms=due + POLICY.late_ms - MINUTE_MS)
    assert order_of(world).status is O.PENDING


def test_nothing_is_charged_that_would_go_back(opened: PaymentFlowHarness) -> None:
    """The deadline has not fired, as when the timers are behind."""
    opened.now = due_ms(opened) + POLICY.late_ms
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.deliver_all(PAYMENT_COMMANDS)
    assert (opened.status(), opened.effects) == (S.PENDING, [])
    (refused,) = (e.data for e in opened.audit if e.event_type is E.COMMAND_REFUSED)
    assert refused.code == "PAYMENT_EXPIRED"


@pytest.mark.parametrize(
    ("reason", "by"), [("OPERATOR_REQUEST", "operator"), ("TOO_SLOW", "customer")]
)
def test_the_order_names_who_cancelled(opened: PaymentFlowHarness, reason: str, by: str) -> None:
    debit(opened)
    opened.command(CommandType.CANCEL_PAYMENT, CancelPayment(reason=reason), by="operator:olga")
    opened.deliver_all(PAYMENT_COMMANDS)
    succeed(opened, at_ms=opened.now + MINUTE_MS)
    (cancelled,) = (e.data for e in opened.log if isinstance(e.data, OrderCancelled))
    assert (cancelled.reason, cancelled.by) == (reason, by)
