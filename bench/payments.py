"""The cost of payments' decide: one whole payment, from its commands' bytes to its events' bytes."""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import Final

from msgspec.structs import replace

from agents import payments
from models import ids, topics
from models.commands import (
    Command,
    CommandType,
    ConfirmPayment,
    InitiatePayment,
    ResultKind,
    StripeResult,
    WebhookReceived,
    read_command,
    read_webhook,
)
from models.messages import Message, decode, encode
from models.payment import PaymentRecord
from models.stripe_facts import IntentFacts
from models.times import to_rfc3339
from models.transition import Input, InputIdentity

ROUNDS: Final = 300
AT_MS: Final = 1_700_000_000_000


def inputs_of(order: str) -> list[tuple[str, bytes]]:
    """Topic and value of each input of a payment that is paid at once."""
    pay = ids.payment_id(order)
    intent = IntentFacts(
        intent_id="pi_1",
        status="requires_payment_method",
        amount=2500,
        amount_received=0,
        currency="INR",
    )
    paid = replace(
        intent,
        status="succeeded",
        amount_received=2500,
        charge_id="ch_1",
        receipt_url="https://r",
    )
    steps: list[tuple[CommandType, Message]] = [
        (CommandType.INITIATE_PAYMENT, InitiatePayment(amount=2500, currency="INR", user_id="guest")),
        (CommandType.STRIPE_RESULT, StripeResult(
            effect_id=f"pi:{order}", idempotency_key=f"pi:{order}:1", result=ResultKind.DONE, intent=intent)),
        (CommandType.CONFIRM_PAYMENT, ConfirmPayment(confirmation_token="ctoken_1")),  # noqa: S106
        (CommandType.STRIPE_RESULT, StripeResult(
            effect_id=f"confirm:{pay}:1", idempotency_key=f"confirm:{pay}:1:1", result=ResultKind.DONE,
            intent=paid)),
    ]  # fmt: skip
    commands = [
        encode(Command(
            command_id=f"cmd_{n}", command_type=kind, issued_at=to_rfc3339(AT_MS), issued_by="customer:g",
            order_id=order, data=data))
        for n, (kind, data) in enumerate(steps)
    ]  # fmt: skip
    webhook = WebhookReceived(
        stripe_event_id="evt_1", stripe_event_type="payment_intent.succeeded", order_id=order,
        created=AT_MS // 1000, intent=paid,
    )  # fmt: skip
    return [*((topics.PAYMENT_COMMANDS, c) for c in commands), (topics.WEBHOOKS, encode(webhook))]


def play(order: str, inputs: list[tuple[str, bytes]]) -> int:
    """Read, decide and write each input, the state after each one too; gives the number of outputs."""
    state = payments.payments_service().initial
    outputs = 0
    for topic, value in inputs:
        if topic == topics.WEBHOOKS:
            hook = read_webhook(order.encode(), value)
            identity, message = InputIdentity(hook.stripe_event_id), hook
            record = Input(topic, order, identity, message, AT_MS)
        else:
            command = read_command(topic, order.encode(), value)
            record = Input(topic, order, InputIdentity(command.command_id), command, AT_MS)
        decision = payments.decide(state, record, lambda _: None)
        state = decode(PaymentRecord, encode(decision.state))
        outputs += len(decision.outputs)
    return outputs


def cost() -> tuple[float, int, int]:
    """The median time of one input in microseconds, and the numbers of inputs and outputs of a payment."""
    order = ids.order_id("guest", "bench")
    inputs = inputs_of(order)
    outputs = play(order, inputs)
    gc.collect()
    gc.freeze()  # as a worker does once it has started
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        play(order, inputs)
        took.append(time.perf_counter() - began)
    return median(took) / len(inputs) * 1e6, len(inputs), outputs
