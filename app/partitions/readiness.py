"""How much the workers' tables of the next generation lack, as they say themselves (app/warming.py)."""

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.partitions.state import WORKER_PREFIX


class Found(NamedTuple):
    """silent: workers that have said nothing. rows: what one's tables lack at most. has_news: since before."""

    silent: int
    rows: int
    has_news: bool


class ReadinessReports:
    """Asks Kafka. topic: of the copying. group: of the workers that serve."""

    def __init__(self, kafka: KafkaReader, topic: str, group: str) -> None:
        self._kafka, self._topic, self._group = kafka, topic, group
        self._offsets: Mapping[int, int] = {}
        self._left: dict[str, int] = {}

    async def ask(self) -> Found:
        """What is known now. Raises KafkaUnavailableError."""
        before = dict(self._left)
        read = await self._kafka.onwards(self._topic, self._offsets, self._take)
        self._offsets = read.offsets
        members = await self._kafka.group_members(self._group)
        silent = len(members) - len(self._left)
        return Found(silent, max(self._left.values(), default=0), self._left != before)

    def _take(self, record: FetchedRecord) -> None:
        key = (record.key or b"").decode()
        if key.startswith(WORKER_PREFIX):
            self._left[key] = int(orjson.loads(record.value or b"")["left"])
