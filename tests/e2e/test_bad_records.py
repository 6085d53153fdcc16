"""Records that nobody can act on, put straight into every input topic: dead letters, and on it goes."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer

from models import ids
from sandbox.card_numbers import VISA
from tests.e2e.expected_topics import PARTITIONS, READERS
from tests.e2e.shop import PAID, Shop
from tests.support import kafka_invariants
from tests.support.kafka_invariants import Record
from tests.support.waiting import until

ORIGIN = "kafka_dlt-original-"
KEY = ids.derive_id("order", "of bad records")


@dataclass(frozen=True)
class Bad:
    """A record that breaks a rule, and what its dead letter must say of it."""

    key: str | None
    value: bytes | None
    says: str


def _command(**changes: object) -> bytes:
    envelope = {
        "orderId": KEY, "commandId": str(uuid.uuid4()), "commandType": "INITIATE_PAYMENT",
        "issuedAt": "2026-01-01T00:00:00.000Z", "issuedBy": "system:orders",
        "data": {"amount": 2500, "currency": "INR", "userId": "guest"},
    }  # fmt: skip
    return json.dumps({**envelope, **changes}).encode()


ANYWHERE = [
    Bad(KEY, b"no JSON at all", "JSON"),
    Bad(KEY, b"[1, 2", "object"),
    Bad(KEY, b'"just a text"', "object"),
    Bad(KEY, b"\xff\xfe", "JSON"),
    Bad(KEY, None, "no value"),
    Bad(KEY, b"{}", "field required"),
    Bad(None, b"{}", "no key"),
    Bad(f"{KEY}/1", b"{}", "the key has a slash"),
]
COMMANDS = [
    Bad(KEY, _command(commandType="MAKE_COFFEE"), "commandType"),
    Bad(KEY, _command(commandType="PLACE_ORDER"), "commandType"),
    Bad(KEY, _command(schemaVersion=99), "schemaVersion"),
    Bad(KEY, _command(data={"amount": -1, "currency": "INR", "userId": "guest"}), "amount"),
    Bad(KEY, _command(data={"amount": 2.5, "currency": "INR", "userId": "guest"}), "amount"),
    Bad(KEY, _command(data={"amount": 1, "currency": "rupees", "userId": "guest"}), "currency"),
    Bad(ids.derive_id("order", "another"), _command(), "differs from the record's key"),
]


async def put(shop: Shop, topic: str, bad: list[Bad]) -> dict[tuple[int, int], Bad]:
    """Put records into every partition of a topic; gives them by (partition, offset)."""
    put_at = {}
    producer = Producer({"bootstrap.servers": shop.platform.bootstrap})

    def noted(record: Bad) -> object:
        def note(error: object, message: object) -> None:
            assert error is None
            put_at[message.partition(), message.offset()] = record  # type: ignore[attr-defined]

        return note

    for record in bad:
        for partition in range(PARTITIONS):
            producer.produce(
                topic, record.value, record.key, partition=partition,
                headers={kafka_invariants.PUT_BY_TEST: b"1"}, on_delivery=noted(record),
            )  # fmt: skip
    assert await asyncio.to_thread(producer.flush, 60) == 0
    return put_at


async def dead_letters(shop: Shop, topic: str, wanted: int) -> list[Record]:
    """Wait for so many dead letters of what tests put into a topic."""

    def are_of(record: Record) -> bool:
        return (
            record.topic == kafka_invariants.DEAD_LETTERS
            and record.headers[f"{ORIGIN}topic"] == topic
            and kafka_invariants.PUT_BY_TEST in record.headers
        )

    async def found() -> list[Record] | None:
        letters = [r for r in await asyncio.to_thread(shop.topics.read) if are_of(r)]
        return letters if len(letters) >= wanted else None

    return await until(found, f"{wanted} dead letters of {topic}")


@pytest.mark.parametrize("topic", READERS)
async def test_bad_records_become_dead_letters_and_the_stream_goes_on(
    shop: Shop, topic: str
) -> None:
    bad = [*ANYWHERE, *COMMANDS] if topic == "payment-commands" else ANYWHERE
    put_at = await put(shop, topic, bad)
    assert len(put_at) == PARTITIONS * len(bad)
    letters = await dead_letters(shop, topic, len(put_at) * len(READERS[topic]))
    told = set()
    for letter in letters:
        headers = letter.headers
        at = (int(headers[f"{ORIGIN}partition"]), int(headers[f"{ORIGIN}offset"]))
        original = put_at[at]
        assert (letter.key, letter.value) == (original.key, original.value)
        assert headers[f"{ORIGIN}timestamp"].isdecimal()
        assert headers["kafka_dlt-exception-fqcn"].endswith("UnreadableError")
        assert original.says in headers["kafka_dlt-exception-message"], headers
        told.add((at, headers["tiffin-service"]))
    wanted = {(at, service) for at in put_at for service in READERS[topic]}
    assert told == wanted
    assert len(letters) == len(wanted)

    buyers = await asyncio.gather(*(shop.buyer().place() for _ in range(3)))
    await asyncio.gather(*(buyer.pay(VISA) for buyer in buyers))
    for buyer in buyers:
        await shop.ends(buyer, PAID)
