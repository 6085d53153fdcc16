"""What Kafka holds, read by an outside consumer, and the invariants of it: no code of ours in here."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from sandbox.processes import MAX_WAIT_S
from tests.support import cloudevents

COMMANDS = ("order-commands", "payment-commands", "delivery-commands", "notification-commands")
WEBHOOKS = "payment-webhook-received"
FAMILIES = ("payment-events", "order-events", "delivery-events")
INPUTS = (*COMMANDS, WEBHOOKS)
"""Topics that the world writes to."""
AUDIT = "order-audit"
DEAD_LETTERS = "payment-events-dlq"
TOPIC_OF_TYPE = {
    "PAYMENT_INITIATED": "payment-initiated",
    "PAYMENT_PROCESSING": "payment-processing",
    "PAYMENT_COMPLETED": "payment-completed",
    "PAYMENT_FAILED": "payment-failed",
    "PAYMENT_CANCELLED": "payment-cancelled",
    "PAYMENT_REFUNDED": "payment-refunded",
    "PAYMENT_REFUND_PARTIAL": "payment-refund-partial",
    "PAYMENT_REFUND_INITIATED": "payment-refund-initiated",
}
"""Event type -> the topic that holds the same event again."""

ENVELOPE = {
    "eventId", "eventType", "schemaVersion", "occurredAt", "orderId", "paymentId", "sequence",
    "causationId", "correlationId", "producer", "data",
}  # fmt: skip
PAYMENT_STATUS = {
    "PAYMENT_INITIATED": "PENDING",
    "PAYMENT_PROCESSING": "PROCESSING",
    "PAYMENT_COMPLETED": "COMPLETED",
    "PAYMENT_FAILED": "FAILED",
    "PAYMENT_CANCELLED": "CANCELLED",
    "PAYMENT_REFUNDED": "REFUNDED",
}
ORDER_STATUS = {
    "ORDER_PAYMENT_PENDING": "PAYMENT_PENDING",
    "ORDER_PAYMENT_FAILED": "PAYMENT_FAILED",
    "ORDER_CREATED": "PENDING",
    "ORDER_CANCELLED": "CANCELLED",
    "ORDER_REFUNDED": "REFUNDED",
    "ORDER_REFUND_REVERSED": "CANCELLED",
}
CHANGELOG = "-changelog"
PUT_BY_TEST = "put-by-test"
"""Header of records that a test put into a topic by itself; they break the rules on purpose."""

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_CAMEL = re.compile(r"[a-z][a-zA-Z0-9]*")
POLL_S = 0.2
WITHIN_S = MAX_WAIT_S


class Record(NamedTuple):
    """One record of Kafka; headers' values as text."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes | None
    headers: dict[str, str]

    @property
    def body(self) -> dict[str, Any]:
        """The value's JSON."""
        assert self.value is not None
        body: dict[str, Any] = json.loads(self.value)
        return body


class Topics:
    """Reads all topics of a broker from their beginnings; each read goes on where the last ended."""

    def __init__(self, bootstrap: str) -> None:
        # Of its own: on the consumer's connection a question waits for the fetch before it.
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"outside-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "enable.partition.eof": False,
                "auto.offset.reset": "earliest",
            }
        )
        self._next: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()
        self.records: list[Record] = []

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def read(self) -> list[Record]:
        """All records up to what the topics held when this was called. Blocks."""
        with self._lock:
            ends = self._ends()
            until = time.monotonic() + WITHIN_S
            while left := {at: end for at, end in ends.items() if self._next[at] < end}:
                assert time.monotonic() < until, f"can't be read: {left}, read so far {self._next}"
                for message in self._consumer.consume(500, POLL_S):
                    if message.error() is None:  # else a broker went: librdkafka asks the next
                        self._keep(message)
            return list(self.records)

    def of(self, *orders: str) -> list[Record]:
        """Records of these orders, without changelogs and without what a test put there."""
        return [
            record
            for record in self.read()
            if record.key in orders
            and not record.topic.endswith(CHANGELOG)
            and PUT_BY_TEST not in record.headers
        ]

    def _ends(self) -> dict[tuple[str, int], int]:
        topics = self._admin.list_topics(timeout=WITHIN_S).topics
        found = [
            TopicPartition(name, partition)
            for name, topic in topics.items()
            for partition in topic.partitions
            if not name.startswith("__")
        ]
        new = {(tp.topic, tp.partition) for tp in found} - self._next.keys()
        if new:
            self._next.update(dict.fromkeys(new, 0))
            self._consumer.assign(
                [TopicPartition(*at, offset) for at, offset in self._next.items()]
            )
        ends: dict[tuple[str, int], int] = {}
        until = time.monotonic() + WITHIN_S
        while left := [tp for tp in found if ends.get((tp.topic, tp.partition), -1) < 0]:
            assert time.monotonic() < until, f"no end is told of {left}"
            asked = dict.fromkeys(left, OffsetSpec.latest())
            for tp, answer in self._admin.list_offsets(asked, request_timeout=20).items():
                with suppress(KafkaException):  # a broker went
                    ends[tp.topic, tp.partition] = answer.result().offset
            self._admin.list_topics(timeout=WITHIN_S)  # who leads them now
        return ends

    def _keep(self, message: Any) -> None:
        at = (message.topic(), message.partition())
        self._next[at] = message.offset() + 1
        self.records.append(
            Record(
                *at,
                message.offset(),
                None if message.key() is None else message.key().decode(errors="replace"),
                message.value(),
                {name: (value or b"").decode() for name, value in message.headers() or []},
            )
        )


def events(records: Iterable[Record], *topics: str) -> list[dict[str, Any]]:
    """First occurrences of the events in these topics (by default the families'), as they came."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.topic in (topics or FAMILIES):
            body = record.body
            found.setdefault(body["eventId"], body)
    return list(found.values())


def payment_events(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The payments service's own events, first occurrences."""
    return [e for e in events(records, "payment-events") if e["producer"] == "payments"]


def types(found: Iterable[dict[str, Any]]) -> list[str]:
    """Event types, as they came."""
    return [event["eventType"] for event in found]


def statuses(records: Iterable[Record]) -> tuple[str | None, str | None]:
    """Order's and payment's status, as whoever reads the topics would know them."""
    records = list(records)
    order = payment = None
    for event in events(records, "order-events"):
        order = ORDER_STATUS.get(event["eventType"], order)
    for event in payment_events(records):
        kind = event["eventType"]
        if kind == "PAYMENT_REFUND_FAILED" and payment == "REFUNDED":
            payment = "COMPLETED"
        payment = PAYMENT_STATUS.get(kind, payment)
    return order, payment


def money(records: Iterable[Record]) -> tuple[int, int]:
    """Captured and refunded minor units, as whoever reads the topics would add them up."""
    captured = refunded = 0
    for event in payment_events(records):
        if event["eventType"] == "PAYMENT_COMPLETED":
            captured = event["data"]["amount"]
        elif "refundedTotal" in event["data"]:
            refunded = event["data"]["refundedTotal"]
    return captured, refunded


def check(records: list[Record]) -> None:
    """Raise AssertionError where the records of some orders break PRODUCT.md's rules."""
    partitions = defaultdict(set)
    for record in records:
        if record.topic in {*FAMILIES, *TOPIC_OF_TYPE.values(), AUDIT, *COMMANDS, WEBHOOKS}:
            _check_record(record)
            partitions[record.key].add(record.partition)
    scattered = {key for key, where in partitions.items() if len(where) > 1}
    assert not scattered, f"an order's records are all in one partition: {scattered}"
    _check_duplicates(records)
    _check_sequences(records)
    _check_second_copies(records)
    for order, found in _by_order(payment_events(records)).items():
        completed = {e["eventId"] for e in found if e["eventType"] == "PAYMENT_COMPLETED"}
        assert len(completed) <= 1, f"{order} was completed {len(completed)} times"


def _check_record(record: Record) -> None:
    body, headers = record.body, record.headers
    where = f"{record.topic}/{record.partition}@{record.offset}"
    assert record.key == body["orderId"], f"{where}: key {record.key}"
    assert _TRACEPARENT.fullmatch(headers.get("traceparent", "")), f"{where}: {headers}"
    assert headers.keys() >= {"ce_id", "ce_type", "ce_source", "ce_time"}, f"{where}: {headers}"
    id_ = body.get("eventId") or body.get("commandId") or body.get("stripeEventId")
    type_ = body.get("eventType") or body.get("commandType") or body.get("stripeEventType")
    assert (headers["ce_id"], headers["ce_type"]) == (id_, type_), where
    assert _TIME.fullmatch(headers["ce_time"]), f"{where}: {headers['ce_time']}"
    _check_json(body, where)
    if record.topic in {*FAMILIES, *TOPIC_OF_TYPE.values(), AUDIT}:
        assert body.keys() == ENVELOPE, f"{where}: {body.keys() ^ ENVELOPE}"
        assert _TIME.fullmatch(body["occurredAt"]), f"{where}: {body['occurredAt']}"
        assert headers["ce_time"] == body["occurredAt"], where
        assert headers["ce_source"] == f"/tiffin/{body['producer']}", where
        assert body["causationId"], where
        assert body["correlationId"], where
    check_cloudevent(record)


def check_cloudevent(record: Record) -> None:
    """Raise AssertionError unless a record of any topic of ours is what its headers and its schema say."""
    try:
        cloudevents.check(record.topic, record.headers, record.key, record.value)
    except AssertionError as error:
        where = f"{record.topic}/{record.partition}@{record.offset}"
        raise AssertionError(f"{where}: {error}") from error


def _check_json(value: Any, where: str) -> None:
    """Names in camelCase, and no float anywhere."""
    if isinstance(value, dict):
        for name, inner in value.items():
            assert _CAMEL.fullmatch(name), f"{where}: the name {name}"
            _check_json(inner, where)
    elif isinstance(value, list):
        for inner in value:
            _check_json(inner, where)
    else:
        assert not isinstance(value, float), f"{where}: the float {value}"


def _check_duplicates(records: list[Record]) -> None:
    """What was sent again after a crash is the same, byte for byte."""
    first: dict[tuple[str, str], bytes | None] = {}
    for record in records:
        if record.topic in {*FAMILIES, AUDIT, *TOPIC_OF_TYPE.values()}:
            known = first.setdefault((record.topic, record.body["eventId"]), record.value)
            assert known == record.value, f"{record.topic}: {record.headers['ce_id']} differs"


def _check_sequences(records: list[Record]) -> None:
    """Gapless per producer and order (the audit has its own count); in order within each topic."""
    for topic in (*FAMILIES, AUDIT):
        for name, found in _by_producer(events(records, topic)).items():
            numbers = [event["sequence"] for event in found]
            assert numbers == sorted(set(numbers)), f"{topic}: {name} came as {numbers}"
    for found_in in (FAMILIES, (AUDIT,)):
        for name, found in _by_producer(events(records, *found_in)).items():
            found.sort(key=lambda event: event["sequence"])
            numbers = [event["sequence"] for event in found]
            assert numbers == list(range(1, len(found) + 1)), f"{name} has {numbers}"
            times = [datetime.fromisoformat(event["occurredAt"]) for event in found]
            assert times == sorted(times), f"{name}: time went back"


def has_second_copies(records: list[Record]) -> bool:
    """Whether topics of one type hold as many events as they must; each topic is written by itself."""
    return all(len(there) == len(here) for _, there, here in _second_copies(records))


def _check_second_copies(records: list[Record]) -> None:
    """Topics of one type hold the same events again, the same way round."""
    for topic, there, here in _second_copies(records):
        assert _by_order(there) == _by_order(here), (
            f"{topic} does not hold what payment-events does"
        )


def _second_copies(records: list[Record]) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Each topic of one type, its events, and those of that type in payment-events."""
    known = events(records, "payment-events")
    for type_, topic in TOPIC_OF_TYPE.items():
        here = [event for event in known if event["eventType"] == type_]
        yield topic, events(records, topic), here


def _by_order(found: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    orders = defaultdict(list)
    for event in found:
        orders[event["orderId"]].append(event)
    return dict(orders)


def _by_producer(found: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    producers = defaultdict(list)
    for event in found:
        producers[event["orderId"], event["producer"]].append(event)
    return dict(producers)
