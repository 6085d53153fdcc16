"""Writes a table's changelog anew where it was lost: by the fence, as the partition's owner would.

No worker opens a partition whose table is lost (identity.py), and its progress row comes last: so one that was
not written to its end stays closed, and is written once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tables.changelog import FENCE_KEY, PROGRESS_KEY, TableProgress
from tables.commit_batch import Batches
from tables.faust_internals import make_fenced_producer
from tables.fence import BROKER_ANSWER_MS
from tables.limits import Limits
from tables.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import faust
    from aiokafka import AIOKafkaProducer

    from models.transition import Output, TransitionService
    from tables.cluster import ClusterIds

BATCH_RECORDS: Final = 500
OFFLINE_GENERATION: Final = -1
"""In the fence record: no worker of the group's wrote it."""


class LostTable:
    """A partition of a lost table, being written. Methods raise KafkaError, also once another has fenced it."""

    def __init__(
        self,
        service: TransitionService,
        changelog: str,
        partition: int,
        limits: Limits,
        *,
        topic_name: Callable[[str], str] = str,
    ) -> None:
        """topic_name: of an output's topic in Kafka."""
        self._service, self._changelog, self._partition = service, changelog, partition
        self._limits, self._topic_name = limits, topic_name
        self._rows: list[tuple[bytes, bytes]] = []
        self._outputs: list[Output] = []
        self._producer: AIOKafkaProducer
        self._epoch = -1

    async def fence(self, app: faust.App) -> None:
        """Shut out every writer before."""
        name = f"{self._changelog}-{self._partition}"
        self._producer, id_, epoch = await make_fenced_producer(app, name, BROKER_ANSWER_MS)
        self._epoch = id_ << 16 | epoch
        await self._producer.start()
        value = {"producerId": id_, "epoch": epoch, "generation": OFFLINE_GENERATION}
        await self._send([(FENCE_KEY, orjson.dumps(value))])

    async def add(
        self,
        key: str,
        state: Any,
        outputs: Sequence[Output],
        *,
        sequences: Mapping[str, int],
        tokens: Mapping[str, Sequence[str]],
    ) -> None:
        """Write a key's record. sequences, tokens: what it knows of its inputs, as `Record` has them.

        Outputs leave once the record is durable.
        """
        record = Record(key, None, self._service)
        record.state, record.version, record.epoch = state, 1, self._epoch
        record.sequences = dict(sequences)
        for topic, known in tokens.items():
            for token in known:
                record.keep_id(topic, token, self._limits.ids_per_topic)
        self._rows.append((key.encode(), record.dump(self._service, self._limits)))
        self._outputs += outputs
        if len(self._rows) >= BATCH_RECORDS:
            await self._flush()

    async def finish(self, ids: ClusterIds, offsets: Mapping[str, int]) -> None:
        """Write what is left and the progress row: from now on a worker may open the partition.

        offsets: input topic -> last offset that is in the table.
        """
        await self._flush()
        row = TableProgress(ids.cluster, ids.topics, offsets).dump()
        await self._send([(PROGRESS_KEY, row)])

    async def close(self) -> None:
        """Stop the producer."""
        await self._producer.stop()

    async def _flush(self) -> None:
        rows, self._rows = self._rows, []
        outputs, self._outputs = self._outputs, []
        await self._send(rows)
        batches = Batches(self._producer, topic_name=self._topic_name)
        for output in outputs:
            batches.append(output)
        await batches.send(lambda _: self._partition)

    async def _send(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        batches = Batches(self._producer, is_compressed=True)
        for key, value in rows:
            batches.append((self._changelog, key, value, ()))
        await batches.send(lambda _: self._partition)
