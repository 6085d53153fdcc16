"""A webhook that may tell of an earlier attempt changes nothing, and has Stripe asked at once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from models.commands import CommandType, ConfirmPayment, ResultKind, StripeResult
from models.graphs import PaymentStatus
from models.payment import EffectKind, PaymentWork
from models.stripe_facts import parse_intent
from models.topics import PAYMENT_COMMANDS
from tests.support.payment_flow import PaymentFlowHarness

NOT_AUTHENTICATED = {"code": "payment_intent_authentication_failure", "message": "no"}


def confirm(opened: PaymentFlowHarness, card: str, *, report: bool = True) -> None:
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.deliver_all(PAYMENT_COMMANDS)
    effect = next(each for each in opened.effects if each.kind is EffectKind.CONFIRM)
    opened.perform(effect, card, report=report)
    opened.deliver_all(PAYMENT_COMMANDS)


def refuse_authentication(opened: PaymentFlowHarness) -> None:
    """The customer fails 3-D Secure: there is no charge, so the webhook names none."""
    intent = opened.stripe.intent
    assert intent
    intent.update(
        status="requires_payment_method", next_action=None, last_payment_error=NOT_AUTHENTICATED
    )
    opened.stripe._emit("payment_intent.payment_failed", intent)


def work_of(opened: PaymentFlowHarness) -> PaymentWork:
    assert opened.state
    return opened.state.work


def noted(opened: PaymentFlowHarness) -> list[Any]:
    return [event.data.effect for event in opened.audit if event.event_type == "WEBHOOK_RECEIVED"]


def test_a_failed_3d_secure_is_in_doubt_until_the_look_up(opened: PaymentFlowHarness) -> None:
    confirm(opened, "3ds")
    opened.deliver_webhooks()
    assert work_of(opened).in_doubt_since is None, "that it waits for the bank is no news"
    refuse_authentication(opened)
    opened.deliver_webhooks()
    assert opened.status() is PaymentStatus.PROCESSING
    assert work_of(opened).in_doubt_since
    assert noted(opened)[-1] == "Stripe is asked"
    opened.look_up()
    opened.deliver_all(PAYMENT_COMMANDS)
    assert opened.status() is PaymentStatus.FAILED
    assert work_of(opened).in_doubt_since is None


def test_old_news_is_in_doubt_once_and_the_look_up_dispels_it(opened: PaymentFlowHarness) -> None:
    """The first attempt's decline comes after the second one's 3-D Secure has begun."""
    confirm(opened, "3ds")
    refuse_authentication(opened)
    opened.look_up()
    opened.deliver_all(PAYMENT_COMMANDS)
    assert opened.status() is PaymentStatus.FAILED
    confirm(opened, "3ds")
    opened.deliver_webhooks()
    assert opened.status() is PaymentStatus.PROCESSING
    assert work_of(opened).in_doubt_since
    opened.look_up()
    opened.deliver_all(PAYMENT_COMMANDS)
    assert opened.status() is PaymentStatus.PROCESSING, "the second one still waits for the bank"
    assert work_of(opened).in_doubt_since is None


def test_a_webhook_that_overtakes_the_confirms_answer_is_asked_about_after_it(
    opened: PaymentFlowHarness,
) -> None:
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.deliver_all(PAYMENT_COMMANDS)
    (effect,) = opened.effects
    answer = opened.stripe.call(effect, "3ds")
    refuse_authentication(opened)
    opened.deliver_webhooks()
    assert opened.status() is PaymentStatus.PROCESSING
    opened.report(effect, answer["result"], answer)
    opened.deliver_all(PAYMENT_COMMANDS)
    assert opened.status() is PaymentStatus.PROCESSING
    assert work_of(opened).in_doubt_since


def test_what_is_certain_leaves_no_doubt(opened: PaymentFlowHarness) -> None:
    confirm(opened, "decline")
    opened.deliver_webhooks()
    assert opened.status() is PaymentStatus.FAILED
    assert work_of(opened).in_doubt_since is None
    assert set(noted(opened)) == {"nothing new"}


def test_a_webhook_that_ends_a_doubt_is_noted_as_applied(opened: PaymentFlowHarness) -> None:
    confirm(opened, "3ds")
    opened.deliver_webhooks()
    refuse_authentication(opened)
    opened.deliver_webhooks()
    assert noted(opened)[-1] == "Stripe is asked"
    intent = opened.stripe.intent
    assert intent
    opened.now += 2000
    intent["last_payment_error"] = {"code": "card_declined", "charge": "ch_of_this_attempt"}
    opened.stripe._emit("payment_intent.payment_failed", intent)
    opened.deliver_webhooks()
    assert opened.status() is PaymentStatus.FAILED
    assert work_of(opened).in_doubt_since is None
    assert noted(opened)[-1] == "applied"


def test_a_webhook_that_is_in_doubt_again_has_stripe_asked(opened: PaymentFlowHarness) -> None:
    confirm(opened, "3ds")
    opened.deliver_webhooks()
    for _ in range(2):
        opened.now += 2000
        refuse_authentication(opened)
        opened.deliver_webhooks()
    assert noted(opened)[-2:] == ["Stripe is asked"] * 2


def not_submitted(opened: PaymentFlowHarness, as_of: int | None) -> PaymentStatus:
    """A confirm whose answer was lost, and that a look-up finds undone; as_of: of the look-up."""
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.deliver_all(PAYMENT_COMMANDS)
    (effect,) = opened.effects
    opened.stripe.call(effect, "3ds")
    opened.deliver_webhooks()
    intent = opened.stripe.intent
    assert intent
    intent.update(
        status="requires_payment_method", next_action=None, last_payment_error=NOT_AUTHENTICATED
    )
    # The gateway's answers have a time, those of this harness have none.
    dated = structs.replace(work_of(opened), seen_at={intent["id"]: opened.now // 1000})
    opened.payments.state = structs.replace(opened.payments.state, work=dated)
    result = StripeResult(
        effect_id=effect.effect_id, idempotency_key=effect.idempotency_key, code="no_charge_in_time",
        result=ResultKind.NOT_SUBMITTED, intent=parse_intent(intent, as_of=as_of),
    )  # fmt: skip
    opened.command(CommandType.STRIPE_RESULT, result, by="system:effects")
    opened.deliver_all(PAYMENT_COMMANDS)
    return opened.status()


@pytest.mark.parametrize("status", ["requires_action", "processing"])
def test_what_was_told_before_a_confirm_was_found_undone_begins_no_attempt(
    opened: PaymentFlowHarness, status: str
) -> None:
    """Told late, or by an event of another id: the engine knows repetitions of the same event alone."""
    begun_s = opened.now // 1000
    assert not_submitted(opened, begun_s + 90) is PaymentStatus.FAILED
    assert opened.state
    assert opened.state.payment
    assert opened.state.payment.failure_code == "no_charge_in_time"
    intent = dict(opened.stripe.intent or {}, status=status, next_action={"type": "use_stripe_sdk"})
    opened.stripe._emit(f"payment_intent.{status}", intent, begun_s + 5)
    opened.deliver_webhooks()
    assert opened.status() is PaymentStatus.FAILED
    assert opened.state.payment.attempt == 1
    opened.stripe._emit(f"payment_intent.{status}", intent, begun_s + 120)
    opened.deliver_webhooks()
    assert opened.status() is PaymentStatus.PROCESSING, "with the client secret, past our confirm"
