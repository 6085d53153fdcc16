"""The engine with the real payments: their inputs come in one topic, their outputs go to topics of this run."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from agents.payments import payments_service
from bench.engine_worker import worker
from bench.payments_load import sink_of
from models import topics

if TYPE_CHECKING:
    from models.payment import PaymentRecord
    from models.transition import Decision, Input, InputIdentity, ReadRow

WEBHOOK_FIELD = b'"stripeEventId"'
payments = payments_service()
sink = cache(lambda topic: sink_of(os.environ["BENCH_SINK"], topic))


def parse(_: str, key: bytes, value: bytes) -> tuple[InputIdentity, Any]:
    """Read what would have come in one of two topics; in one, a payment's inputs keep their order."""
    topic = topics.WEBHOOKS if WEBHOOK_FIELD in value else topics.PAYMENT_COMMANDS
    return payments.parse(topic, key, value)


def decide(state: PaymentRecord, record: Input, read: ReadRow) -> Decision:
    """Decide as payments do."""
    decision = payments.decide(state, record, read)
    outputs = [output._replace(topic=sink(output.topic)) for output in decision.outputs]
    return decision._replace(outputs=outputs)


app, runtime = worker(replace(payments, inputs={os.environ["BENCH_INPUT"]: parse}, decide=decide))
