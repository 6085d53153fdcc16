"""All dead letters, as every worker knows them: read from the dead-letter topic, values left in Kafka."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.dead_letters.log import DeadLetterLog
from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.metrics.families import single, values
from app.task_runner import Background
from models.dead_letter import DeadLetter, DeadLetterState, OriginalRecord, RecordLocation
from models.errors import KafkaUnavailableError
from models.topics import DEAD_LETTERS
from tables import DEAD_LETTER_HEADERS, DEAD_LETTER_ID_HEADER, DEAD_LETTER_PREFIX

log = structlog.stdlib.get_logger(__name__)

ADDED_HEADERS: Final = DEAD_LETTER_HEADERS | {DEAD_LETTER_ID_HEADER}
MAX_UNREADABLE_BATCHES: Final = 1000
CATCH_UP_TIMEOUT_S: Final = 5.0
PAUSE_S: Final = 1.0
DEAD_LETTER_PARTITION: Final = (DEAD_LETTERS, 0)


class DeadLetterReader(DeadLetterLog, Background, Collector):
    """The log, kept up to date in a task of its own; `web.http.deps.DeadLetters`.

    unread: offsets of batches in the topic that can't be read.
    """

    def __init__(
        self, kafka: KafkaReader, arrived: Callable[[DeadLetter, FetchedRecord], None]
    ) -> None:
        """arrived: is told once of each that comes after the first start, with its record."""
        DeadLetterLog.__init__(self)
        Background.__init__(self)
        self.unread: set[int] = set()
        self._kafka, self._arrived = kafka, arrived
        self._position = 0
        self._reported_end: int | None = None
        self._position_changed = asyncio.Condition()

    def collect(self) -> Iterator[Metric]:
        """All dead letters: every worker knows them."""
        counts = Counter(letter.state for letter in self.all())
        states = {state: counts[state] for state in DeadLetterState}
        yield values("tiffin_dead_letters", states)
        yield single("tiffin_dead_letter_batches_unread", len(self.unread))

    async def caught_up(self) -> None:
        """Return once everything that Kafka had at the call is known. Raises KafkaUnavailableError."""
        try:
            async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
                end = await self._kafka.end(DEAD_LETTER_PARTITION)
                async with self._position_changed:
                    await self._position_changed.wait_for(lambda: self._position >= end)
        except (TimeoutError, KafkaUnavailableError) as error:
            raise KafkaUnavailableError("the dead letters can't be read") from error

    async def original(self, letter: DeadLetter) -> OriginalRecord:
        """The record as it was sent. Raises KafkaUnavailableError."""
        return (await self.originals([letter]))[0]

    async def originals(self, letters: Sequence[DeadLetter]) -> list[OriginalRecord]:
        """The records as they were sent. Raises KafkaUnavailableError."""
        places = [
            each.origin if each.omitted_bytes else RecordLocation(DEAD_LETTERS, 0, each.offset)
            for each in letters
        ]
        found = await self._kafka.records(places)
        return [_original(found.get(place)) for place in places]

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, KafkaUnavailableError, OSError) as error:
                log.warning("the dead letters can't be read", error=type(error).__name__)
            except Exception:
                log.exception("unexpected error in the reader of dead letters")
            await asyncio.sleep(PAUSE_S)

    async def _read(self) -> None:
        reader = self._kafka.record_reader()
        try:
            await reader.assign({DEAD_LETTER_PARTITION: self._position})
            if self._reported_end is None:
                self._reported_end = await self._kafka.end(DEAD_LETTER_PARTITION)
            while True:
                for record in await reader.read(500, 0.5):
                    self._take_in(record, self._reported_end)
                async with self._position_changed:
                    self._position = await reader.position(DEAD_LETTER_PARTITION)
                    self._position_changed.notify_all()
                if self.can_load_more():
                    self.clear()
                    self._position = 0
                    await reader.assign({DEAD_LETTER_PARTITION: 0})
        finally:
            await reader.close()

    def _take_in(self, record: FetchedRecord, reported_end: int) -> None:
        if record.is_batch:  # its dead letters are in nobody's list
            if record.offset not in self.unread and len(self.unread) < MAX_UNREADABLE_BATCHES:
                self.unread.add(record.offset)
                log.error(
                    "dead letters can't be read", topic=DEAD_LETTERS, offset=record.offset,
                    error=record.error,
                )  # fmt: skip
        elif record.error is None:
            letter = self.take(
                record.offset, record.timestamp_ms, record.key, record.value, record.headers
            )
            if record.offset >= reported_end:
                self._reported_end = record.offset + 1
                if letter is not None:
                    self._arrived(letter, record)


def _original(record: FetchedRecord | None) -> OriginalRecord:
    if record is None:
        return OriginalRecord(None, ())
    headers = tuple(
        (name, value)
        for name, value in record.headers
        if not name.startswith(DEAD_LETTER_PREFIX) and name not in ADDED_HEADERS
    )
    return OriginalRecord(record.value, headers)
