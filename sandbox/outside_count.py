"""Counts charges and refunds from outside: Stripe's own ledger, and the raw records of Kafka's topics.

Nothing of the platform's is asked, neither its API nor its tables, so that it can't answer for itself.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from confluent_kafka import Consumer, TopicPartition

from sandbox.processes import MAX_WAIT_S

COMPLETED, REFUNDED = "PAYMENT_COMPLETED", "PAYMENT_REFUNDED"
FAMILY: Final = "payment-events"
PARTITIONS: Final = "platform-partitions"
COPIES: Final = {"payment-completed": COMPLETED, "payment-refunded": REFUNDED}
"""Topic -> the one type of event that it repeats."""
INPUTS: Final = (
    "order-commands", "payment-commands", "payment-webhook-received", "payment-refund-initiated",
    FAMILY, "order-events",
)  # fmt: skip
"""What the platform reads on an order's way to a paid or refunded one."""
PAID_WEBHOOK: Final = "payment_intent.succeeded"
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class OrderCount:
    """How often Stripe moved money for one order, and how often Kafka says so.

    charges, refunds: at Stripe, those that succeeded. webhooks: how often the platform accepted
    Stripe's "payment succeeded". completed, refunded: events in `payment-events`. copies: the same
    events again in the topics of their types.
    """

    charges: int
    refunds: int
    webhooks: int
    completed: int
    refunded: int
    copies: int

    @property
    def agrees(self) -> bool:
        """Whether Stripe and Kafka tell the same story, with no event twice."""
        return (
            self.charges == self.completed
            and self.refunds == self.refunded
            and self.copies == self.completed + self.refunded
        )


async def count_orders(
    control: str, bootstrap: str, orders: Iterable[str]
) -> dict[str, OrderCount]:
    """Order id -> its count. control: the stand-in's control API. Raises TimeoutError, ClientError."""
    events: Counter[tuple[str, str, str]] = Counter()
    for topic, value in await asyncio.to_thread(read_topics, bootstrap, (FAMILY, *COPIES)):
        events[topic, value["orderId"], value["eventType"]] += 1
    counts = {}
    async with aiohttp.ClientSession() as session:
        ledger = await _get(session, f"{control}/ledger")
        intents = {
            entry["metadata"].get("orderId"): (intent, entry)
            for intent, entry in ledger["payment_intents"].items()
        }
        for order in orders:
            intent, entry = intents[order]
            sent = await _get(session, f"{control}/webhooks/deliveries/{intent}")
            counts[order] = OrderCount(
                charges=entry["charges"]["succeeded"],
                refunds=entry["refunds"]["succeeded"],
                webhooks=sum(each["accepted"] for each in sent if each["type"] == PAID_WEBHOOK),
                completed=events[FAMILY, order, COMPLETED],
                refunded=events[FAMILY, order, REFUNDED],
                copies=sum(events[topic, order, kind] for topic, kind in COPIES.items()),
            )
    return counts


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url, raise_for_status=True) as answer:
        return await answer.json()


def wait_until_read(bootstrap: str, group: str) -> None:
    """Wait until a consumer group has committed all that its inputs hold. Raises TimeoutError."""
    suffix = serving_suffix(bootstrap)
    group = f"{group}{suffix}"
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    deadline = time.monotonic() + MAX_WAIT_S
    try:
        known = consumer.list_topics(timeout=MAX_WAIT_S).topics
        names = [f"{topic}{suffix}" for topic in INPUTS]
        places = [TopicPartition(name, p) for name in names for p in known[name].partitions]
        while any(
            _end(consumer, place)[1] > max(place.offset, 0)
            for place in consumer.committed(places, timeout=MAX_WAIT_S)
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{group} has not read its inputs to their ends")
            time.sleep(POLL_S)
    finally:
        consumer.close()


def serving_suffix(bootstrap: str) -> str:
    """What the names of topics and group end with since the last raise of the number of partitions, if any."""
    told = [value for _, value in _read_all(bootstrap, [PARTITIONS])]
    served = [value["generation"] for value in told if value["state"] == "SERVING"]
    return f".g{served[-1]}" if served else ""


def read_topics(bootstrap: str, topics: Iterable[str]) -> list[tuple[str, dict[str, Any]]]:
    """Topic, by its own name, and JSON value of every record that the topics hold at the call.

    Raises TimeoutError.
    """
    suffix = serving_suffix(bootstrap)
    found = _read_all(bootstrap, [f"{topic}{suffix}" for topic in topics])
    return [(name.removesuffix(suffix), value) for name, value in found]


def _read_all(bootstrap: str, topics: Iterable[str]) -> list[tuple[str, dict[str, Any]]]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex})
    try:
        known = consumer.list_topics(timeout=MAX_WAIT_S).topics
        ends: dict[tuple[str, int], int] = {}
        starts = []
        for topic in topics:
            for partition in known[topic].partitions if topic in known else ():
                low, high = _end(consumer, TopicPartition(topic, partition))
                if high > low:
                    ends[topic, partition] = high
                    starts.append(TopicPartition(topic, partition, low))
        consumer.assign(starts)
        return _read(consumer, ends)
    finally:
        consumer.close()


def _end(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """The first offset of a partition, and the one that its next record gets."""
    low, high = consumer.get_watermark_offsets(place, timeout=MAX_WAIT_S)
    return low, high


def _read(consumer: Consumer, ends: dict[tuple[str, int], int]) -> list[tuple[str, dict[str, Any]]]:
    records = []
    deadline = time.monotonic() + MAX_WAIT_S
    while ends:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Kafka gives no more records of {sorted(ends)}")
        for message in consumer.consume(1_000, 0.2):
            topic, partition = message.topic() or "", message.partition() or 0
            value, offset = message.value(), message.offset() or 0
            if value is not None:
                records.append((topic, json.loads(value)))
            if offset + 1 >= ends.get((topic, partition), offset + 2):
                del ends[topic, partition]
    return records
