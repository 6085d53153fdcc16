"""Today's worker on what an earlier build left in Kafka: it recovers all tables, serves all orders, goes on.

The recordings are of real runs (tests/compatibility). This knows of the product what a client and an operator
know: topics, settings, HTTP.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any

import pytest
from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Producer,
    TopicCollection,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from sandbox.api_client import RefusedError, until
from sandbox.card_numbers import VISA
from sandbox.customer import Customer
from sandbox.platform import Platform
from sandbox.processes import MAX_WAIT_S, Supervised, wait_until
from sandbox.staff import Staff
from tests.compatibility import stored
from tests.compatibility.stored import CHANGELOG, PROGRESS, Recording

PARTITIONS = 3
AGES_S = "2000000000"
SETTINGS = {
    "TIFFIN_PAYMENT_DEADLINE_S": AGES_S,
    "TIFFIN_KITCHEN_DEADLINE_S": AGES_S,
    "TIFFIN_NOTIFICATION_MAX_AGE_S": AGES_S,
    "TIFFIN_NOTIFICATION_REPEAT_AFTER_S": AGES_S,
    # The stand-in is new, and knows nothing of the payments of then.
    "TIFFIN_RECONCILIATION_INTERVAL_S": AGES_S,
    "TIFFIN_RECONCILE_AFTER_S": AGES_S,
    # Nor is anything of them due, whenever this runs.
    "TIFFIN_DETAILS_KEPT_DAYS": "36500",
    "TIFFIN_CONTACT_KEPT_DAYS": "36500",
    "TIFFIN_COMMAND_WAIT_S": "60",
    "TIFFIN_CONSISTENCY_WAIT_S": "60",
    "TIFFIN_CONFIRM_WAIT_S": "60",
}
OF_NOW = {"/api/ops/stuck"}
"""Answers that change with time although nothing happens."""
PROBE = "restored-probe"
"""A topic that tells whether Kafka has taken what all topics were told with it."""
SHOWN_LINES = 30
NOT_YET = (404, 409, 503)


class RestoredPlatform(Platform):
    """Its Kafka holds a recording before its first worker starts."""

    recording: Recording

    def _make_worker(self, number: int) -> Supervised:
        if not number:
            restore(self.bootstrap, self.recording)
        return super()._make_worker(number)


def restore(bootstrap: str, recording: Recording) -> None:
    """Put all records back at their offsets, with their times, changelogs too."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    changelogs = [topic for topic in recording.topics if topic.endswith(CHANGELOG)]
    compact = {"cleanup.policy": "compact", "max.message.bytes": str(4 * 1024 * 1024)}
    new = [NewTopic(topic, PARTITIONS, 1, config=compact) for topic in changelogs]
    new.append(NewTopic(PROBE, 1, 1, config={"message.timestamp.type": "LogAppendTime"}))
    for future in admin.create_topics(new).values():
        future.result(MAX_WAIT_S)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    stamp(admin, producer, [*recording.topics, PROBE], "CreateTime", TIMESTAMP_CREATE_TIME)
    whose = cluster(admin, list(recording.topics))
    places: dict[tuple[str, int, int], tuple[str, int, int]] = {}

    def put(record: stored.Stored, value: bytes | None) -> None:
        wanted = (record.topic, record.partition, record.offset)

        def note(error: Any, message: Any) -> None:
            assert error is None
            assert message.timestamp() == (TIMESTAMP_CREATE_TIME, record.timestamp_ms)
            places[wanted] = (message.topic(), message.partition(), message.offset())

        producer.produce(
            record.topic, value, record.key, record.partition, on_delivery=note,
            timestamp=record.timestamp_ms, headers=list(record.headers),
        )  # fmt: skip

    for records in recording.topics.values():
        for record in records:
            value = record.value
            if record.topic in changelogs and record.key == PROGRESS:
                value = in_cluster(value or b"", whose)
            put(record, value)
            producer.poll(0)
    assert producer.flush(MAX_WAIT_S) == 0
    assert all(wanted == got for wanted, got in places.items())
    stamp(admin, producer, [*recording.topics, PROBE], "LogAppendTime", TIMESTAMP_LOG_APPEND_TIME)


def stamp(
    admin: AdminClient, producer: Producer, topics: list[str], kind: str, wanted: int
) -> None:
    """Have Kafka take the times that senders give, or its own, and wait until it does."""
    entry = ConfigEntry("message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET)
    resources = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in topics
    ]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(MAX_WAIT_S)

    def does() -> bool:
        seen: list[int] = []
        producer.produce(PROBE, b"", on_delivery=lambda _, m: seen.append(m.timestamp()[0]))
        assert producer.flush(MAX_WAIT_S) == 0
        return seen == [wanted]

    wait_until(does, f"Kafka to stamp records by {kind}", timeout_s=MAX_WAIT_S)


def cluster(admin: AdminClient, topics: list[str]) -> dict[str, str]:
    """Topic -> its id, and "" -> the cluster's."""
    described = admin.describe_topics(TopicCollection(topics))
    ids = {name: str(future.result(MAX_WAIT_S).topic_id) for name, future in described.items()}
    return {"": admin.describe_cluster().result(MAX_WAIT_S).cluster_id, **ids}


def in_cluster(value: bytes, whose: dict[str, str]) -> bytes:
    """A table's progress as it would be in this cluster: nothing else in a recording names its own."""
    told = json.loads(value)
    told["cluster"] = whose[""]
    told["topics"] = {topic: whose[topic] for topic in told["topics"]}
    return json.dumps(told, separators=(",", ":")).encode()


@pytest.fixture(scope="module", params=stored.names())
def recording(request: pytest.FixtureRequest) -> Recording:
    return stored.load(request.param)


@pytest.fixture(scope="module")
def platform(
    recording: Recording, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RestoredPlatform]:
    folder = tmp_path_factory.mktemp("restored")
    platform = RestoredPlatform(folder, workers=2, settings=SETTINGS)
    platform.recording = recording
    with platform:
        yield platform


@pytest.fixture
async def stack() -> Any:
    async with AsyncExitStack() as opened:
        yield opened


async def staff(platform: Platform, stack: AsyncExitStack, *who: str) -> Staff:
    return await stack.enter_async_context(Staff(platform.endpoints.workers[0], *who))


async def answer(operator: Staff, path: str) -> Any:
    """What the API says, waited for while a worker is not ready."""
    try:
        return await until(lambda: operator.get(path), path, MAX_WAIT_S, (503,))
    except RefusedError as error:
        return {"refused": error.status, "code": error.code}


def difference(was: Any, now: Any) -> str:
    """The first lines that differ."""
    before, after = (json.dumps(each, indent=1).splitlines() for each in (was, now))
    lines = difflib.unified_diff(before, after, "was", "now", n=1, lineterm="")
    return "\n".join(islice(lines, SHOWN_LINES))


async def test_every_order_of_then_is_served_as_it_was(
    platform: RestoredPlatform, recording: Recording, stack: AsyncExitStack
) -> None:
    operator = await staff(platform, stack, "operator", "olga")
    differing = {}
    for path, was in recording.answers.items():
        if path in OF_NOW:
            continue
        now = await answer(operator, path)
        if now != was:
            differing[path] = difference(was, now)
    assert not differing, "\n".join(f"{path}\n{lines}" for path, lines in differing.items())
    assert len(recording.answers) > 80


async def test_orders_of_then_go_on(
    platform: RestoredPlatform, recording: Recording, stack: AsyncExitStack
) -> None:
    """The kitchen takes one from paid to ready, a courier one to its door, and it is all told."""
    operator = await staff(platform, stack, "operator", "olga")
    courier = await staff(platform, stack, "courier", "carl")
    paid, ready = recording.orders["to be accepted"], recording.orders["ready"]

    async def act(who: Staff, path: str) -> None:
        key = str(uuid.uuid4())

        async def done() -> Any:
            return await who.call("POST", path, {}, key)

        await until(done, path, MAX_WAIT_S, NOT_YET)

    for step in ("accept", "start-preparing", "ready"):
        await act(operator, f"/api/orders/{paid}/{step}")
    for step in ("assign", "pick-up", "deliver"):
        await act(courier, f"/api/deliveries/{ready}/{step}")
    for order_id, status, event in (
        (paid, "READY_FOR_PICKUP", "ORDER_READY_FOR_PICKUP"), (ready, "DELIVERED", "ORDER_DELIVERED"),
    ):  # fmt: skip

        async def is_told(
            order_id: str = order_id, status: str = status, event: str = event
        ) -> bool | None:
            order = await operator.get(f"/api/orders/{order_id}")
            rows = await operator.get(f"/api/orders/{order_id}/timeline")
            told = [row["eventType"] for row in rows["entries"]]
            return (order["status"] == status and told.count(event) == 1) or None

        await until(is_told, f"{order_id} to be {status}", MAX_WAIT_S, NOT_YET)
        was = recording.answers[f"/api/orders/{order_id}/timeline"]["entries"]
        now = (await operator.get(f"/api/orders/{order_id}/timeline"))["entries"]
        known = {row["eventId"] for row in was}
        assert [row for row in now if row["eventId"] in known] == was
    audit = await asyncio.to_thread(platform.run_cli, "audit", "rebuild")
    assert audit


async def test_new_orders_are_paid_beside_them(
    platform: RestoredPlatform, stack: AsyncExitStack
) -> None:
    ends = platform.endpoints
    customer = await stack.enter_async_context(Customer(ends.workers[1], ends.stripe))
    await customer.open_payment()
    assert (await customer.confirm(VISA))["status"] == "COMPLETED"
    await customer.wait_status("PENDING")
