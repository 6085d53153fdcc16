"""The reader of dead letters on real Kafka: whatever lies in its topic, all else is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from app.dead_letters.reader import DeadLetterReader
from app.kafka.reader import KafkaReader
from models.dead_letter import DeadLetter
from models.topics import DEAD_LETTERS
from sandbox.kafka import KafkaBroker
from tables import SERVICE_HEADER
from tests.support.kafka_topics import put_odd_header_name

WITHIN_S = 120.0
ORIGIN = [
    ("kafka_dlt-original-topic", b"payment-commands"), ("kafka_dlt-original-partition", b"0"),
    (SERVICE_HEADER, b"payments"),
]  # fmt: skip


def put(kafka: KafkaBroker, value: bytes | None, headers: Any, key: bytes | None = b"k") -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    producer.produce(DEAD_LETTERS, value, key, partition=0, headers=headers)
    assert producer.flush(60) == 0


def letter_of(number: int) -> list[tuple[str, bytes]]:
    return [*ORIGIN, ("kafka_dlt-original-offset", b"%d" % number)]


async def caught_up(reader: DeadLetterReader) -> None:
    """At the latest when the machine has time for it."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                return await reader.caught_up()
            except Exception:  # noqa: BLE001 -- busy: its own bound is short
                await asyncio.sleep(0.1)


@pytest.fixture
async def reader(kafka: KafkaBroker) -> AsyncIterator[tuple[DeadLetterReader, list[DeadLetter]]]:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    try:
        admin.create_topics([NewTopic(DEAD_LETTERS, 1, 1)])[DEAD_LETTERS].result(timeout=60)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    arrived: list[DeadLetter] = []
    made = DeadLetterReader(KafkaReader(kafka.bootstrap), lambda letter, _: arrived.append(letter))
    made.start()
    try:
        await caught_up(made)
        yield made, arrived
    finally:
        await made.stop()


async def test_foreign_records_among_dead_letters_hide_none_of_them(
    reader: tuple[DeadLetterReader, list[DeadLetter]],
    kafka: KafkaBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, arrived = reader
    before = len(list(made.all()))
    put(kafka, b"{}", letter_of(1))
    await put_odd_header_name(kafka.bootstrap, DEAD_LETTERS, monkeypatch)
    put(kafka, b"[" * 900 + b"]" * 900, letter_of(2))
    put(kafka, None, [("tiffin-quarantine", "²:1".encode()), ("x", None)], key=None)
    put(kafka, b"x" * 1000, letter_of(3))
    await caught_up(made)
    found = list(made.all())[before:]
    names = [letter.name for letter in found]
    assert [name for name in names if name.startswith("payments:")] == [
        f"payments:payment-commands:0:{number}" for number in (1, 2, 3)
    ]
    assert len(found) == 5
    assert arrived == found
    odd = found[1]
    assert (await made.original(odd)).value == b"odd"
    assert dict((await made.original(odd)).headers)["\\xff\\xfe"] == b"1"


async def test_a_transactions_marker_at_the_end_is_no_record_to_wait_for(
    reader: tuple[DeadLetterReader, list[DeadLetter]], kafka: KafkaBroker
) -> None:
    made, _ = reader
    sender = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": "foreign", "log_level": 0}
    )
    sender.init_transactions(60)
    sender.begin_transaction()
    sender.produce(DEAD_LETTERS, b"{}", headers=letter_of(7))
    sender.flush(60)
    await caught_up(made)  # while it is open
    sender.abort_transaction(60)
    await caught_up(made)
    put(kafka, b"{}", letter_of(8))
    await caught_up(made)
    assert made.get("payments:payment-commands:0:8") is not None
