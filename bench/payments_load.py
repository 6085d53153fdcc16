"""Whole payments as a workload: commands and webhooks of a few thousand at once, each paid at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench import workload
from bench.payments import inputs_of
from models import ids, topics

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUTS: Final = 5
"""Of a payment."""
EVENTS: Final = ("PAYMENT_INITIATED", "PAYMENT_PROCESSING", "PAYMENT_COMPLETED")
"""Of a payment, in the topic that is watched."""
WATCHED: Final = topics.PAYMENT_EVENTS
OTHERS: Final = (
    topics.PAYMENT_INITIATED,
    topics.PAYMENT_PROCESSING,
    topics.PAYMENT_COMPLETED,
    topics.ORDER_AUDIT,
)
"""Further topics that are written to."""


def sink_of(sink: str, topic: str) -> str:
    """Where a run's outputs for a topic go."""
    return sink if topic == WATCHED else f"{sink}-{topic}"


def prepare(bootstrap: str, topic: str, records: int) -> workload.Load:
    """Write an input topic of about so many records."""
    payments = max(workload.OPEN_ORDERS, records // INPUTS)
    workload.make_topic(bootstrap, topic)
    workload.write(bootstrap, topic, _stream(payments))
    size = max(len(value) for _, value in inputs_of(ids.order_id("guest", "0")))
    return workload.Load(topic, payments * INPUTS, payments * len(EVENTS), size)


def _stream(payments: int) -> Iterator[tuple[str, bytes]]:
    for first in range(0, payments, workload.OPEN_ORDERS):
        numbers = range(first, min(first + workload.OPEN_ORDERS, payments))
        orders = [ids.order_id("guest", str(number)) for number in numbers]
        inputs = [inputs_of(order) for order in orders]
        for step in range(INPUTS):
            for order, steps in zip(orders, inputs, strict=True):
                yield order, steps[step][1]


def check(bootstrap: str, sink: str, outputs: int) -> None:
    """Read the events: each payment has each of EVENTS once, in order. Raises WrongOutputError."""
    seen: dict[bytes, list[str]] = {}
    for key, event in workload.events(bootstrap, sink):
        seen.setdefault(key, []).append(event["eventType"])
    wrong = {key: types for key, types in seen.items() if types != list(EVENTS)}
    if wrong or len(seen) * len(EVENTS) != outputs:
        raise workload.WrongOutputError(
            f"{sink}: {len(seen):,} payments; {list(wrong.items())[:3]}"
        )
