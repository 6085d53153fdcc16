"""Fencing: only one worker can write a table's changelog partition, and Kafka sees to it.

InitProducerId with the transactional id "<changelog>-<partition>" raises the producer epoch; an
idempotent producer is then given that epoch without using transactions, so that no markers come
into the log (Faust's recovery would wait for them). Its first record, the claim, makes the broker
refuse every older epoch in that partition: a worker that was stopped past its session and wakes up
can't write after its successor.

Leans on aiokafka's inside: `AIOKafkaProducer._txn_manager`, `AIOKafkaClient._request_timeout_ms`; on
Faust's: `Producer._settings_default` and `_settings_auth`, RocksDB store's `_db_for_partition` and
`offset_key`. See tests/unit/tables/test_faust_internals.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import rocksdict
from aiokafka import AIOKafkaProducer
from faust.types import TP

if TYPE_CHECKING:
    import faust

FENCE_KEY = b"\0claim"
BROKER_ANSWER_MS = 10_000
"""How long one broker is waited for before the one that leads now gets the batch."""


@dataclass(frozen=True, slots=True)
class ProducerFence:
    """The right to write one changelog partition until somebody claims it anew."""

    producer: AIOKafkaProducer
    epoch: int
    """Rises from claim to claim: (producer id, epoch) as one number."""
    offset: int
    """Of the claim record."""

    def is_recovered(self, database: rocksdict.Rdict, offset_key: bytes) -> bool:
        """Whether the database holds the changelog up to this claim, its last record.

        Faust's recovery may be cut off by a rebalance; its word alone is not taken, for a table that
        lacks its last changes would decide inputs anew.
        """
        have = database.get(offset_key)
        return have is not None and int(have) >= self.offset


def database(table: faust.Table[Any, Any], partition: int) -> rocksdict.Rdict:
    """The RocksDB of a partition, opened if need be."""
    opened: rocksdict.Rdict = table.data._db_for_partition(partition)  # type: ignore[attr-defined]
    return opened


def offset_key(table: faust.Table[Any, Any]) -> bytes:
    """Under which Faust keeps the last changelog offset that RocksDB holds, as decimal text."""
    key: bytes = table.data.offset_key  # type: ignore[attr-defined]
    return key


async def claim(table: faust.Table[Any, Any], partition: int, *, generation: int) -> ProducerFence:
    """ProducerFence a changelog partition; from its return on no older claim can write there.

    Waits for several answers of the broker: bound it. Raises KafkaError.
    """
    changelog: str = table.changelog_topic.get_topic_name()
    faust_producer: Any = table.app.producer
    settings = {
        **faust_producer._settings_default(),
        **faust_producer._settings_auth(),
        "acks": -1,
    }
    initial = AIOKafkaProducer(**settings, transactional_id=f"{changelog}-{partition}")
    await initial.start()
    manager = initial._txn_manager
    producer_id, epoch = manager.producer_id, manager.producer_epoch
    await initial.stop()
    producer = AIOKafkaProducer(**settings, enable_idempotence=True)
    producer._txn_manager.set_pid_and_epoch(producer_id, epoch)
    # A batch has the producer's whole time-out; a broker that hangs must not use it up.
    producer.client._request_timeout_ms = BROKER_ANSWER_MS
    await producer.start()
    value = orjson.dumps({"producerId": producer_id, "epoch": epoch, "generation": generation})
    sent = await producer.send_and_wait(changelog, key=FENCE_KEY, value=value, partition=partition)
    _skip_recovery(table, TP(changelog, partition), sent.offset, value)
    # An epoch starts at 0 again under a new, higher id after 32767 claims.
    return ProducerFence(producer, producer_id << 16 | epoch, sent.offset)


def _skip_recovery(table: faust.Table[Any, Any], tp: TP, offset: int, value: bytes) -> None:
    """When RocksDB has everything up to the claim, give it the claim too: nothing to recover."""
    have = table.data.persisted_offset(tp)
    if offset == (-1 if have is None else have) + 1:
        batch = rocksdict.WriteBatch(raw_mode=True)
        batch.put(FENCE_KEY, value)
        batch.put(offset_key(table), str(offset).encode())
        database(table, tp.partition).write(batch)
