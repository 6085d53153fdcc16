"""A webhook that may tell of an earlier attempt changes nothing, and has Stripe asked at once."""

from __future__ import annotations

from typing import Any

import pytest

from models.commands import CommandType, ConfirmPayment
from models.graphs import PaymentStatus
from models.payment import EffectKind, PaymentWork
from models.topics import PAYMENT_COMMANDS, WEBHOOKS
from tests.support.payment_flow import PLACE, PaymentFlowHarness

NOT_AUTHENTICATED = {"code": "payment_intent_authentication_failure", "message": "no"}


@pytest.fixture
def world() -> PaymentFlowHarness:
    """A payment that is open."""
    made = PaymentFlowHarness()
    made.command(CommandType.PLACE_ORDER, PLACE)
    made.settle_all()
    return made


def confirm(world: PaymentFlowHarness, card: str, *, report: bool = True) -> None:
    world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    deliver(world, PAYMENT_COMMANDS)
    effect = next(each for each in world.effects if each.kind is EffectKind.CONFIRM)
    world.perform(effect, card, report=report)
    deliver(world, PAYMENT_COMMANDS)


def deliver(world: PaymentFlowHarness, topic: str) -> None:
    while world.queues[topic]:
        world.deliver(topic)


def refuse_authentication(world: PaymentFlowHarness) -> None:
    """The customer fails 3-D Secure: there is no charge, so the webhook names none."""
    intent = world.stripe.intent
    assert intent
    intent.update(
        status="requires_payment_method", next_action=None, last_payment_error=NOT_AUTHENTICATED
    )
    world.stripe._emit("payment_intent.payment_failed", intent)


def webhooks_come(world: PaymentFlowHarness) -> None:
    world.collect_webhooks()
    world.queues[WEBHOOKS] += world.webhooks
    world.webhooks = []
    deliver(world, WEBHOOKS)


def status_of(world: PaymentFlowHarness) -> PaymentStatus:
    assert world.state
    assert world.state.payment
    return world.state.payment.status


def work_of(world: PaymentFlowHarness) -> PaymentWork:
    assert world.state
    return world.state.work


def noted(world: PaymentFlowHarness) -> list[Any]:
    return [event.data.effect for event in world.audit if event.event_type == "WEBHOOK_RECEIVED"]


def test_a_failed_3d_secure_is_in_doubt_until_the_look_up(world: PaymentFlowHarness) -> None:
    confirm(world, "3ds")
    webhooks_come(world)
    assert work_of(world).in_doubt_since is None, "that it waits for the bank is no news"
    refuse_authentication(world)
    webhooks_come(world)
    assert status_of(world) is PaymentStatus.PROCESSING
    assert work_of(world).in_doubt_since
    assert noted(world)[-1] == "Stripe is asked"
    world.look_up()
    deliver(world, PAYMENT_COMMANDS)
    assert status_of(world) is PaymentStatus.FAILED
    assert work_of(world).in_doubt_since is None


def test_old_news_is_in_doubt_once_and_the_look_up_dispels_it(world: PaymentFlowHarness) -> None:
    """The first attempt's decline comes after the second one's 3-D Secure has begun."""
    confirm(world, "3ds")
    refuse_authentication(world)
    world.look_up()
    deliver(world, PAYMENT_COMMANDS)
    assert status_of(world) is PaymentStatus.FAILED
    confirm(world, "3ds")
    webhooks_come(world)
    assert status_of(world) is PaymentStatus.PROCESSING
    assert work_of(world).in_doubt_since
    world.look_up()
    deliver(world, PAYMENT_COMMANDS)
    assert status_of(world) is PaymentStatus.PROCESSING, "the second one still waits for the bank"
    assert work_of(world).in_doubt_since is None


def test_a_webhook_that_overtakes_the_confirms_answer_is_asked_about_after_it(
    world: PaymentFlowHarness,
) -> None:
    world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    deliver(world, PAYMENT_COMMANDS)
    (effect,) = world.effects
    answer = world.stripe.call(effect, "3ds")
    refuse_authentication(world)
    webhooks_come(world)
    assert status_of(world) is PaymentStatus.PROCESSING
    world.report(effect, answer["result"], answer)
    deliver(world, PAYMENT_COMMANDS)
    assert status_of(world) is PaymentStatus.PROCESSING
    assert work_of(world).in_doubt_since


def test_what_is_certain_leaves_no_doubt(world: PaymentFlowHarness) -> None:
    confirm(world, "decline")
    webhooks_come(world)
    assert status_of(world) is PaymentStatus.FAILED
    assert work_of(world).in_doubt_since is None
    assert set(noted(world)) == {"nothing new"}
