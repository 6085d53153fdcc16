"""A worker's next tables, filled beside it: what is left to read does not grow with history."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import agents
from app.kafka.reader import KafkaReader
from app.partitions.readiness import ReadinessReports
from app.partitions.state import progress_topic
from app.settings import Settings
from app.warming import TableWarmer
from models.errors import KafkaUnavailableError
from models.generations import Generation
from sandbox.kafka import KafkaBroker
from sandbox.processes import MAX_WAIT_S, wait_until
from tests.support.waiting import until

NEXT = Generation(2, 4)
SERVICES = [service.name for service in agents.services()]


@pytest.fixture
def made(settings: Settings) -> Iterator[Callable[[], TableWarmer]]:
    """Makes warmers, one a process of a worker."""
    with ExitStack() as stack:

        def make() -> TableWarmer:
            return stack.enter_context(closing(TableWarmer(settings, NEXT)))

        yield make


@pytest.fixture
def settings(kafka: KafkaBroker, tmp_path: Path) -> Settings:
    """Of a platform of its own, with empty changelogs of the next generation."""
    app_id = f"warm{uuid.uuid4().hex[:8]}"
    made = Settings(kafka_bootstrap=kafka.bootstrap, sandbox=True, app_id=app_id, data_dir=tmp_path)
    names = {NEXT.changelog(app_id, service): NEXT.partitions for service in SERVICES}
    names[progress_topic(app_id, NEXT)] = 1
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for future in admin.create_topics(
        [NewTopic(n, count, 1) for n, count in names.items()]
    ).values():
        future.result(timeout=MAX_WAIT_S)
    wait_until(
        lambda: names.keys() <= admin.list_topics(timeout=MAX_WAIT_S).topics.keys(),
        "the topics",
        timeout_s=MAX_WAIT_S,
    )
    return made


def fill(settings: Settings, first: int, count: int) -> None:
    """Records of this many orders, each with a row, and one record that no engine wrote."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    topic = NEXT.changelog(settings.app_id, "timeline")
    for number in range(first, first + count):
        key, partition = f"order_{number:06}", number % NEXT.partitions
        row = orjson.dumps({"number": number})
        producer.produce(topic, row, f"{key}/000001", partition)
        record = b'{"schemaVersion":1,"version":1,"epoch":-1,"state":null,"offsets":{}}'
        producer.produce(topic, record, key, partition)
        producer.poll(0)
    producer.produce(topic, b"foreign", b"order_foreign", 0)
    assert producer.flush(MAX_WAIT_S) == 0


def rows_left(warmer: TableWarmer) -> int:
    """What a worker would have to read, by what the RocksDBs say of themselves."""
    left = 0
    for (topic, partition), (_, end) in warmer._bounds().items():
        table = warmer._tables[topic, partition]
        database = table.database(partition)
        stored = database.get(table.offset_key)
        left += end - (0 if stored is None else int(stored) + 1)
        table.close_database(partition)
    return left


@pytest.mark.parametrize("orders", [50, 5_000])
def test_what_is_left_is_what_came_since(
    settings: Settings, made: Callable[[], TableWarmer], orders: int
) -> None:
    fill(settings, 0, orders)
    warmer = made()
    assert rows_left(warmer) == 2 * orders + 1
    assert warmer.round() == 0
    assert rows_left(warmer) == 0
    fill(settings, orders, 20)
    assert rows_left(warmer) == 41, "whatever the history"
    assert warmer.round() == 0
    again = made()  # after a crash it goes on where it was
    assert rows_left(again) == 0
    table, partition = again._tables[NEXT.changelog(settings.app_id, "timeline"), 1], 1
    database = table.database(partition)
    assert json.loads(database.get(b"order_000001/000001")) == {"number": 1}
    assert database.get(b"order_foreign") is None


async def test_the_command_hears_what_workers_lack(
    settings: Settings, made: Callable[[], TableWarmer]
) -> None:
    kafka = KafkaReader(settings.kafka_bootstrap)
    reports = ReadinessReports(kafka, progress_topic(settings.app_id, NEXT), settings.app_id)

    async def answers() -> (
        bool
    ):  # of a broker that has just started, groups can't be asked for at once
        with suppress(KafkaUnavailableError):
            return (await reports.ask()).rows == 0
        return False

    await until(answers, "an answer about the group")
    warmer = made()
    for left in (70_000, 12):
        warmer.report(left)
        found = await reports.ask()
        assert (found.rows, found.has_news) == (left, True)
    assert not (await reports.ask()).has_news
