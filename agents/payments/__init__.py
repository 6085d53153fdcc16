"""The payments service: decides commands of customers, operators and orders, and what Stripe says."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from agents.dictionaries import dictionaries_of
from agents.payments import refunds
from agents.payments.dispute_facts import apply_dispute
from agents.payments.fact_rules import FactSource
from agents.payments.intent_facts import NOT_SUBMITTED, apply_intent
from agents.payments.refund_facts import apply_refund
from agents.payments.repair import repair
from agents.payments.transitions import (
    DEFAULT_PAYMENT_POLICY,
    PaymentDecisionBuilder,
    PaymentPolicy,
)
from agents.payments.webhooks import apply_webhook, release_held
from agents.service import Service, commands, events, webhooks
from models import ids, topics
from models.cancel_reasons import PAYMENT_EXPIRED
from models.commands import (
    CancelPayment,
    Command,
    CommandType,
    ConfirmPayment,
    InitiatePayment,
    NoData,
    ObservePayment,
    ResultKind,
    StripeResult,
    WebhookReceived,
)
from models.events import EffectFinished, Event, EventType, PaymentRefundInitiated
from models.graphs import PaymentStatus
from models.index_entries import index_of_payment, payment_has_ended
from models.messages import fields_of
from models.payment import Effect, EffectKind, Initiation, PaymentRecord
from models.payment_methods import OfferedMethods
from models.stripe_facts import UNKNOWN_OBJECT
from models.transition import Decision, Input, Outcome, ReadRow

MAX_CANCEL_TRIES: Final = 20
"""With growing pauses between them; after that an operator must look."""


def decide(
    state: PaymentRecord,
    record: Input,
    _read: ReadRow,
    policy: PaymentPolicy = DEFAULT_PAYMENT_POLICY,
) -> Decision:
    """Decide one input of an order's payment."""
    builder = PaymentDecisionBuilder(state, record, policy)
    outcome: Outcome | None = None
    match record.message:
        case Command() as command:
            outcome = _COMMANDS[command.command_type](builder, command.data)
        case WebhookReceived() as webhook:
            apply_webhook(builder, webhook)
        case Event(data=PaymentRefundInitiated() as data):
            refunds.refund_all(builder, data.reason, ids.refund_id(record.identity.id), by="orders")
    release_held(builder)
    if state.work.unknown_since is not None:
        builder.ask_for_wanted_cancel()
    return Decision(builder.next_state(), builder.outputs, outcome=outcome)


def _initiate(builder: PaymentDecisionBuilder, data: InitiatePayment) -> None:
    if builder.payment or builder.work.initiation:
        return
    asked = Initiation(**fields_of(data, but={"due_at"}))
    builder.change(initiation=asked, due_at=data.due_at)
    builder.start_effect(
        Effect(
            effect_id=f"pi:{builder.order_id}",
            kind=EffectKind.CREATE_INTENT,
            requested_at=builder.at_ms,
            body={
                "amount": data.amount,
                "currency": data.currency.lower(),
                **_offer(builder.policy.methods),
                "metadata": {"orderId": builder.order_id, "paymentId": builder.payment_id},
            },
        )
    )


def _offer(methods: OfferedMethods) -> dict[str, Any]:
    """What Stripe's Payment Element may offer; of a list, Stripe leaves out what the currency excludes.

    Source: https://docs.stripe.com/changelog/dahlia/2026-07-29/allowed-payment-method-types-parameter
    """
    if methods is None:
        return {"automatic_payment_methods": {"enabled": True}}
    return {"allowed_payment_method_types": list(methods)}


CONFIRM_REFUSALS: Final = {
    PaymentStatus.PROCESSING: ("PAYMENT_UNDER_WAY", "This payment is being processed; wait for its result."),
    PaymentStatus.COMPLETED: ("ALREADY_PAID", "This order is paid."),
    PaymentStatus.REFUNDED: ("ALREADY_REFUNDED", "This payment has been refunded."),
    PaymentStatus.CANCELLED: ("PAYMENT_CANCELLED", "This payment was cancelled; place a new order."),
}  # fmt: skip


def _confirm(builder: PaymentDecisionBuilder, data: ConfirmPayment) -> Outcome:
    payment = builder.payment
    if payment is None:
        return builder.refuse("PAYMENT_NOT_READY", "Stripe has not opened this payment yet.")
    if builder.work.cancel:
        return builder.refuse("CANCEL_UNDER_WAY", "This payment is being cancelled.")
    in_doubt = builder.work.in_doubt_since is not None  # the bank may have its answer already
    is_at_the_bank = payment.next_action and not builder.state.is_confirm_pending and not in_doubt
    if payment.status in CONFIRM_REFUSALS and not is_at_the_bank:
        return builder.refuse(*CONFIRM_REFUSALS[payment.status])
    if builder.at_ms > builder.bound_ms:
        return builder.refuse(PAYMENT_EXPIRED, "Its time to be paid has passed; place a new order.")
    if builder.attempts_left <= 0:
        return builder.refuse("TOO_MANY_ATTEMPTS", "Place a new order, or ask your bank.")
    if is_at_the_bank:
        # The customer left the bank's page and tries another card; should the first succeed later, it counts.
        builder.fail("ACTION_ABANDONED", "authentication was not finished", None)
    builder.begin_attempt()
    builder.start_effect(_confirmation(builder, data))
    return builder.accept()


def _confirmation(builder: PaymentDecisionBuilder, data: ConfirmPayment) -> Effect:
    payment = builder.known_payment
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
        requested_at=builder.at_ms,
        body=body,
    )


def _cancel(builder: PaymentDecisionBuilder, data: CancelPayment) -> Outcome:
    payment = builder.payment
    if payment is None and builder.work.initiation is None:
        return builder.refuse("PAYMENT_UNKNOWN", "There is no payment to cancel.")
    if payment and payment.status in {PaymentStatus.COMPLETED, PaymentStatus.REFUNDED}:
        return builder.refuse(
            "ALREADY_PAID", "This order is paid; cancel the order to be refunded."
        )
    if payment and payment.status is PaymentStatus.CANCELLED:
        return builder.refuse("ALREADY_CANCELLED", "This payment is cancelled.")
    if payment and builder.work.unknown_since is not None and builder.is_operator:
        builder.close(data.reason)
        return builder.accept()
    if builder.work.cancel in {
        None,
        PAYMENT_EXPIRED,
    }:  # a customer's reason replaces the deadline's
        builder.change(cancel=data.reason)
    builder.request_cancel(builder.command.issued_by)
    return builder.accept()


def _apply_effect_result(builder: PaymentDecisionBuilder, data: StripeResult) -> None:
    effect = builder.work.effects.get(data.effect_id)
    is_current = effect is not None and effect.idempotency_key == data.idempotency_key
    if is_current and effect:
        builder.emit(
            EventType.EFFECT_FINISHED,
            EffectFinished(
                effect_id=effect.effect_id, kind=effect.kind, result=data.result, code=data.code,
                idempotency_key=effect.idempotency_key,
            ),
        )  # fmt: skip
        if data.result is ResultKind.TRY_AGAIN:
            builder.start_effect(
                replace(effect, tries=effect.tries + 1, requested_at=builder.at_ms)
            )
            return
        builder.finish_effect(effect.effect_id)
    attempt = effect.attempt if effect and effect.kind is EffectKind.CONFIRM else 0
    source = FactSource.RESULT if is_current else FactSource.STALE
    if data.intent and data.result is not ResultKind.NOT_SUBMITTED:
        apply_intent(builder, data.intent, source, attempt)
    elif data.intent and is_current:
        # What was told of the attempt before that look-up must not begin it anew.
        builder.known_again()
        builder.record_seen(data.intent.intent_id, data.intent.as_of)
    if data.refund:
        apply_refund(builder, data.refund, source)
    if is_current and effect:
        _apply_failed_effect(builder, effect, data)


def _apply_failed_effect(
    builder: PaymentDecisionBuilder, effect: Effect, data: StripeResult
) -> None:
    """End what waits for an effect that Stripe refused permanently, or never received."""
    code = data.code or data.result.value
    is_charge_declined = data.result is ResultKind.DECLINED and effect.kind is EffectKind.CONFIRM
    if data.result is ResultKind.DONE or is_charge_declined:
        return
    match effect.kind:
        case EffectKind.CREATE_INTENT:
            if builder.work.initiation and not builder.payment:
                failed = replace(builder.work.initiation, error=code)
                builder.change(initiation=failed)
        case EffectKind.CONFIRM:
            _fail_confirm(builder, effect, data, code)
        case EffectKind.REFUND:
            refunds.fail_refund(builder, effect.refund_id, code)
        case EffectKind.CANCEL:
            _cancel_again(builder, effect, data, code)


def _fail_confirm(
    builder: PaymentDecisionBuilder, effect: Effect, data: StripeResult, code: str
) -> None:
    """End the attempt, unless Stripe's state of the intent (CONFLICT) or the customer's bank decides."""
    payment = builder.known_payment
    if code == UNKNOWN_OBJECT and data.result is ResultKind.CONFLICT and data.intent is None:
        builder.unknown_at_stripe()  # it may have been made
        return
    is_open = payment.status is PaymentStatus.PROCESSING and not payment.next_action
    is_its = payment.attempt == effect.attempt and data.result is not ResultKind.CONFLICT
    if is_open and is_its:
        is_unsent = data.result is ResultKind.NOT_SUBMITTED
        builder.fail(NOT_SUBMITTED if is_unsent else "INVALID_REQUEST", code, None)
        if is_unsent and data.intent is None:
            # The intent waits for the customer's bank, for this attempt or an earlier one: a look-up decides.
            builder.change(in_doubt_since=builder.at_ms)


def _cancel_again(
    builder: PaymentDecisionBuilder, effect: Effect, data: StripeResult, code: str
) -> None:
    """Stripe did not cancel while a charge was in progress; if the charge failed meanwhile, ask again.

    While the payment is PROCESSING its end decides: see PaymentDecisionBuilder.fail and complete.
    """
    is_over = data.intent is not None and data.intent.status in {"succeeded", "canceled"}
    waits = builder.known_payment.status in {PaymentStatus.PENDING, PaymentStatus.FAILED}
    if code == UNKNOWN_OBJECT and data.intent is None:
        builder.unknown_at_stripe()
    elif data.result is not ResultKind.CONFLICT or effect.tries >= MAX_CANCEL_TRIES:
        builder.report_anomaly("CANCEL_REFUSED", f"Stripe refused to cancel: {code}")
    elif waits and not is_over and builder.work.cancel:
        builder.request_cancel()


def _apply_lookup(builder: PaymentDecisionBuilder, data: ObservePayment) -> None:
    at = (data.sequence, data.audit_sequence)
    builder.is_unchanged = None in at or at == (builder.sequence, builder.audit_sequence)
    if builder.is_unchanged:
        builder.change(in_doubt_since=None, repaired_at=None)
    if data.intent is None:
        if builder.payment and builder.is_unchanged:
            builder.unknown_at_stripe()
        return
    apply_intent(builder, data.intent, FactSource.LOOKUP, data.attempt)
    for refund in data.refunds:
        apply_refund(builder, refund, FactSource.LOOKUP)
    for dispute in data.disputes:
        apply_dispute(builder, dispute, FactSource.LOOKUP)
    for dispute_id in data.unknown_disputes:
        builder.report_anomaly("UNKNOWN_DISPUTE", f"Stripe does not know {dispute_id}")
        left = tuple(id for id in builder.work.doubted_disputes if id != dispute_id)
        builder.change(doubted_disputes=left)


def _ask_again(builder: PaymentDecisionBuilder, _: NoData) -> Outcome:
    """An operator has mended what kept Stripe from knowing the payment: ask about it, or cancel it, again."""
    if builder.payment is None or builder.work.unknown_since is None:
        return builder.refuse(
            "NOTHING_TO_ASK", "Stripe has not said that it does not know this payment."
        )
    builder.change(unknown_since=None, in_doubt_since=builder.at_ms)
    if builder.work.cancel:
        builder.request_cancel(builder.command.issued_by)
    return builder.accept()


_COMMANDS: Final[dict[CommandType, Callable[[PaymentDecisionBuilder, Any], Outcome | None]]] = {
    CommandType.INITIATE_PAYMENT: _initiate,
    CommandType.CONFIRM_PAYMENT: _confirm,
    CommandType.CANCEL_PAYMENT: _cancel,
    CommandType.REFUND_PAYMENT: refunds.refund,
    CommandType.RETRY_REFUND: refunds.retry_refund,
    CommandType.STRIPE_RESULT: _apply_effect_result,
    CommandType.OBSERVE_PAYMENT: _apply_lookup,
    CommandType.ASK_STRIPE_AGAIN: _ask_again,
    CommandType.REPAIR_PAYMENT: repair,
}


def payments_service(policy: PaymentPolicy = DEFAULT_PAYMENT_POLICY) -> Service[PaymentRecord]:
    """The service; policy: what may be paid with, and how late."""
    return Service(
        name="payments",
        about="Opens, confirms, cancels and refunds each order's payment at Stripe, and follows what Stripe "
        "says.",
        inputs={
            topics.PAYMENT_COMMANDS: commands,
            topics.WEBHOOKS: webhooks,
            topics.REFUND_INITIATED: events,
        },
        state=PaymentRecord,
        initial=PaymentRecord(),
        decide=partial(decide, policy=policy),
        has_ended=payment_has_ended,
        index_of=index_of_payment,
        dictionaries=dictionaries_of("payments"),
    )
