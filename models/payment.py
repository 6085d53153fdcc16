"""Decide of the payments service: commands of customers, operators and orders, and what Stripe says."""

from collections.abc import Callable
from typing import Any, Final

from models import ids, payment_refunds
from models.commands import (
    CancelPayment,
    Command,
    CommandType,
    ConfirmPayment,
    InitiatePayment,
    ObservePayment,
    ResultKind,
    StripeResult,
    WebhookReceived,
)
from models.events import (
    EffectFinished,
    Event,
    EventType,
    PaymentRefundInitiated,
    WebhookNoted,
)
from models.graphs import PaymentStatus
from models.payment_facts import NOT_SUBMITTED, Origin, see_dispute, see_intent, see_refund
from models.payment_state import Effect, EffectKind, Held, Initiation, PaymentRecord
from models.payment_turn import EXPIRED, PaymentTurn
from models.transition import Decision, Input, Outcome

MOST_HELD: Final = 20
MOST_ATTEMPTS: Final = 20
"""Of one payment: whoever tries out stolen cards gets no further than a customer who mistypes."""
MOST_CANCEL_TRIES: Final = 20
"""Each is made after a longer pause than the one before; then an operator must look."""


def decide(state: PaymentRecord | None, record: Input) -> Decision:
    """Decide one input of the payments service. Pure; never raises on what the world can send."""
    turn = PaymentTurn(state or PaymentRecord(), record)
    outcome: Outcome | None = None
    match record.message:
        case Command() as command:
            outcome = _COMMANDS[command.command_type](turn, command)
        case WebhookReceived() as webhook:
            _see_webhook(turn, webhook)
        case Event(data=PaymentRefundInitiated() as data):
            turn.refund_all(data.reason, ids.refund_id(record.header.id), by="orders")
    _release_held(turn)
    return Decision(turn.finished(), turn.outputs, outcome=outcome)


def _initiate(turn: PaymentTurn, command: Command) -> None:
    data: InitiatePayment = command.data
    if turn.payment or turn.work.initiation:
        return
    turn.change(initiation=Initiation(**data.model_dump()))
    turn.start_effect(
        Effect(
            effect_id=f"pi:{turn.order_id}",
            kind=EffectKind.CREATE_INTENT,
            requested_at=turn.at_ms,
            body={
                "amount": data.amount,
                "currency": data.currency.lower(),
                "automatic_payment_methods": {"enabled": True},
                "metadata": {"orderId": turn.order_id, "paymentId": turn.payment_id},
            },
        )
    )


REFUSED_CONFIRM: Final = {
    PaymentStatus.PROCESSING: ("PAYMENT_UNDER_WAY", "This payment is being processed; wait for its result."),
    PaymentStatus.COMPLETED: ("ALREADY_PAID", "This order is paid."),
    PaymentStatus.REFUNDED: ("ALREADY_REFUNDED", "This payment has been refunded."),
    PaymentStatus.CANCELLED: ("PAYMENT_CANCELLED", "This payment was cancelled; place a new order."),
}  # fmt: skip


def _confirm(turn: PaymentTurn, command: Command) -> Outcome:
    data: ConfirmPayment = command.data
    payment = turn.payment
    if payment is None:
        return turn.refuse(command, "PAYMENT_NOT_READY", "Stripe has not opened this payment yet.")
    if turn.work.cancel:
        return turn.refuse(command, "CANCEL_UNDER_WAY", "This payment is being cancelled.")
    is_at_the_bank = payment.next_action and not turn.confirm_in_flight
    if payment.status in REFUSED_CONFIRM and not is_at_the_bank:
        return turn.refuse(command, *REFUSED_CONFIRM[payment.status])
    if payment.attempt >= MOST_ATTEMPTS:
        return turn.refuse(command, "TOO_MANY_ATTEMPTS", "Place a new order, or ask your bank.")
    if is_at_the_bank:
        # The customer left the bank's page and tries another card; a late success of the first one still wins.
        turn.fail("ACTION_ABANDONED", "authentication was not finished", None)
    turn.begin_attempt()
    turn.start_effect(_confirmation(turn, data))
    return turn.accept()


def _confirmation(turn: PaymentTurn, data: ConfirmPayment) -> Effect:
    payment = turn.known_payment
    body: dict[str, Any] = {"use_stripe_sdk": True, "expand": ["latest_charge"]}
    if data.confirmation_token:
        body["confirmation_token"] = data.confirmation_token
    else:
        body["payment_method"] = data.payment_method_id
    if data.return_url:
        body["return_url"] = data.return_url
    return Effect(
        effect_id=f"confirm:{payment.payment_id}:{payment.attempt}",
        kind=EffectKind.CONFIRM,
        intent_id=payment.stripe_intent_id,
        attempt=payment.attempt,
        requested_at=turn.at_ms,
        body=body,
    )


def _cancel(turn: PaymentTurn, command: Command) -> Outcome:
    data: CancelPayment = command.data
    payment = turn.payment
    if payment is None and turn.work.initiation is None:
        return turn.refuse(command, "PAYMENT_UNKNOWN", "There is no payment to cancel.")
    if payment and payment.status in {PaymentStatus.COMPLETED, PaymentStatus.REFUNDED}:
        return turn.refuse(
            command, "ALREADY_PAID", "This order is paid; cancel the order to be refunded."
        )
    if payment and payment.status is PaymentStatus.CANCELLED:
        return turn.refuse(command, "ALREADY_CANCELLED", "This payment is cancelled.")
    if turn.work.cancel in {None, EXPIRED}:  # a customer's wish outranks the deadline's
        turn.change(cancel=data.reason)
    turn.ask_to_cancel(command.issued_by)
    return turn.accept()


def _see_result(turn: PaymentTurn, command: Command) -> None:
    data: StripeResult = command.data
    effect = turn.work.effects.get(data.effect_id)
    is_current = effect is not None and effect.idempotency_key == data.idempotency_key
    if is_current and effect:
        turn.emit(
            EventType.EFFECT_FINISHED,
            EffectFinished(
                effect_id=effect.effect_id, kind=effect.kind, result=data.result, code=data.code,
                idempotency_key=effect.idempotency_key,
            ),
        )  # fmt: skip
        if data.result is ResultKind.TRY_AGAIN:
            turn.start_effect(
                effect.model_copy(update={"tries": effect.tries + 1, "requested_at": turn.at_ms})
            )
            return
        turn.settle(effect.effect_id)
    attempt = effect.attempt if effect and effect.kind is EffectKind.CONFIRM else 0
    if data.intent:
        see_intent(turn, data.intent, Origin.RESULT if is_current else Origin.STALE, attempt)
    if data.refund:
        see_refund(turn, data.refund)
    if is_current and effect:
        _give_up(turn, effect, data)


def _give_up(turn: PaymentTurn, effect: Effect, data: StripeResult) -> None:
    """End what waits for an effect that Stripe refused for good, or never got."""
    code = data.code or data.result.value
    is_charge_declined = data.result is ResultKind.DECLINED and effect.kind is EffectKind.CONFIRM
    if data.result is ResultKind.DONE or is_charge_declined:
        return
    match effect.kind:
        case EffectKind.CREATE_INTENT:
            if turn.work.initiation and not turn.payment:
                failed = turn.work.initiation.model_copy(update={"error": code})
                turn.change(initiation=failed)
        case EffectKind.CONFIRM:
            payment = turn.known_payment
            waits = payment.status is PaymentStatus.PROCESSING and not payment.next_action
            if (
                waits
                and payment.attempt == effect.attempt
                and data.result is not ResultKind.CONFLICT
            ):
                reason = (
                    NOT_SUBMITTED if data.result is ResultKind.NOT_SUBMITTED else "INVALID_REQUEST"
                )
                turn.fail(reason, code, None)
        case EffectKind.REFUND:
            turn.fail_refund(effect.effect_id.removeprefix("refund:"), code)
        case EffectKind.CANCEL:
            _cancel_again(turn, effect, data, code)


def _cancel_again(turn: PaymentTurn, effect: Effect, data: StripeResult, code: str) -> None:
    """Stripe did not cancel because the money was moving; if that came to nothing meanwhile, ask again.

    While the payment is PROCESSING its end decides: see PaymentTurn.fail and complete.
    """
    is_over = data.intent is not None and data.intent.status in {"succeeded", "canceled"}
    waits = turn.known_payment.status in {PaymentStatus.PENDING, PaymentStatus.FAILED}
    if data.result is not ResultKind.CONFLICT or effect.tries >= MOST_CANCEL_TRIES:
        turn.anomaly("CANCEL_REFUSED", f"Stripe refused to cancel: {code}")
    elif waits and not is_over and turn.work.cancel:
        turn.ask_to_cancel()


def _observe(turn: PaymentTurn, command: Command) -> None:
    data: ObservePayment = command.data
    turn.change(in_doubt_since=None)
    see_intent(turn, data.intent, Origin.LOOKUP, data.attempt)
    for refund in data.refunds:
        see_refund(turn, refund)


def _see_webhook(turn: PaymentTurn, webhook: WebhookReceived) -> None:
    known = len(turn.events)
    has_facts = webhook.intent or webhook.refund or webhook.dispute
    too_early = turn.payment is None or (
        not turn.payment.captured and (webhook.refund or webhook.dispute)
    )
    is_over = webhook.intent is not None and webhook.intent.status == "canceled"
    if turn.payment is None and turn.work.initiation is None and is_over:
        effect = "nothing new"  # no payment will ever begin with it
    elif has_facts and too_early and not (webhook.intent and turn.work.initiation):
        _hold(turn, webhook)
        effect = "held"
    else:
        doubted = turn.work.in_doubt_since
        _see_facts(turn, webhook)
        effect = "applied" if len(turn.events) > known else "nothing new"
        if turn.work.in_doubt_since != doubted:
            effect = "Stripe is asked"
    turn.emit(
        EventType.WEBHOOK_RECEIVED,
        WebhookNoted(
            stripe_event_id=webhook.stripe_event_id,
            stripe_event_type=webhook.stripe_event_type,
            effect=effect,
        ),
    )


def _hold(turn: PaymentTurn, webhook: WebhookReceived) -> None:
    if len(turn.work.held) >= MOST_HELD:
        turn.anomaly("TOO_MANY_HELD", "more facts than can be held came before their payment")
        return
    held = Held(
        stripe_event_id=webhook.stripe_event_id, intent=webhook.intent, refund=webhook.refund,
        dispute=webhook.dispute,
    )  # fmt: skip
    turn.change(held=(*turn.work.held, held))


def _release_held(turn: PaymentTurn) -> None:
    """Take in the facts that waited for the payment to begin, or for its money."""
    while turn.payment and turn.work.held:
        captured = turn.payment.captured
        due = next((held for held in turn.work.held if held.intent or captured), None)
        if due is None:
            return
        turn.change(held=tuple(held for held in turn.work.held if held is not due))
        _see_facts(turn, due)


def _see_facts(turn: PaymentTurn, facts: WebhookReceived | Held) -> None:
    """Take in what a webhook says."""
    if facts.intent:
        see_intent(turn, facts.intent, Origin.WEBHOOK, 0)
    if facts.refund:
        see_refund(turn, facts.refund)
    if facts.dispute:
        see_dispute(turn, facts.dispute)


_COMMANDS: Final[dict[CommandType, Callable[[PaymentTurn, Command], Outcome | None]]] = {
    CommandType.INITIATE_PAYMENT: _initiate,
    CommandType.CONFIRM_PAYMENT: _confirm,
    CommandType.CANCEL_PAYMENT: _cancel,
    CommandType.REFUND_PAYMENT: payment_refunds.refund,
    CommandType.RETRY_REFUND: payment_refunds.retry_refund,
    CommandType.STRIPE_RESULT: _see_result,
    CommandType.OBSERVE_PAYMENT: _observe,
}
