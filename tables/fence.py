"""Fencing: only one worker can write a table's changelog partition, and Kafka enforces it.

InitProducerId with the transactional id "<changelog>-<partition>" raises the producer epoch; an
idempotent producer is then given that epoch without using transactions, so that no markers come
into the log (Faust's recovery would wait for them). Its first record, the fence record, makes the
broker refuse every older epoch in that partition: a worker that was stopped past its session and
wakes up can't write after its successor.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from faust.types import TP

from tables.changelog import FENCE_KEY, write_rows
from tables.faust_internals import make_fenced_producer

if TYPE_CHECKING:
    import rocksdict
    from aiokafka import AIOKafkaProducer

    from tables.fenced_table import FencedTable

LOG = logging.getLogger("tiffin.engine")

PRODUCER_STOP_TIMEOUT_S = 5.0
BROKER_ANSWER_MS = 10_000
"""How long to wait for one broker before the batch goes to the partition's leader of then."""


@dataclass(frozen=True, slots=True)
class ProducerFence:
    """The right to write one changelog partition, until another worker fences it anew."""

    producer: AIOKafkaProducer
    epoch: int
    """Rises from fence to fence: (producer id, epoch) as one number."""
    offset: int
    """Of the fence record."""

    def is_recovered(self, database: rocksdict.Rdict, offset_key: bytes) -> bool:
        """Whether the database holds the changelog up to the fence record, its last, else inputs are redone.

        Faust may declare a recovery complete that a rebalance cut off.
        """
        have = database.get(offset_key)
        return have is not None and int(have) >= self.offset

    async def release(self) -> None:
        """Stop the producer; never raises. The fence stands until somebody fences anew."""
        try:
            async with asyncio.timeout(PRODUCER_STOP_TIMEOUT_S):
                await self.producer.stop()
        except Exception as exc:  # noqa: BLE001 -- fenced or cut off: nothing of it is waited for
            LOG.debug("producer did not stop in order: %s", type(exc).__name__)


async def acquire(table: FencedTable, partition: int, *, generation: int) -> ProducerFence:
    """Fence a changelog partition: from its return on no older producer can write there.

    Waits for several answers of the broker: bound it. Raises KafkaError.
    """
    changelog: str = table.changelog_topic.get_topic_name()
    producer, producer_id, epoch = await make_fenced_producer(
        table.app, f"{changelog}-{partition}", BROKER_ANSWER_MS
    )
    await producer.start()
    value = orjson.dumps({"producerId": producer_id, "epoch": epoch, "generation": generation})
    sent = await producer.send_and_wait(changelog, key=FENCE_KEY, value=value, partition=partition)
    have = table.data.persisted_offset(TP(changelog, partition))
    # Where RocksDB has all before the fence record, write that too: there is nothing to recover.
    if sent.offset == (-1 if have is None else have) + 1:
        rows = [(FENCE_KEY, value)]
        write_rows(table.database(partition), rows, table.offset_key, sent.offset, table.index)
    # An epoch starts at 0 again under a new, higher id after 32767 fences.
    return ProducerFence(producer, producer_id << 16 | epoch, sent.offset)
