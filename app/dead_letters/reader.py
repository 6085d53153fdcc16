"""All dead letters, as every worker knows them: read from the dead-letter topic, values left in Kafka."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.dead_letters.log import DLT_HEADER_PREFIX, MAX_DEAD_LETTERS, DeadLetterLog
from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.kafka.security import NO_SECURITY, KafkaSecurity
from app.task_runner import Background
from models.dead_letter import DeadLetter, DeadLetterState, OriginalRecord, RecordLocation
from models.errors import KafkaUnavailableError
from models.topics import DEAD_LETTERS
from tables import (
    DEAD_LETTER_ID_HEADER,
    OMITTED_HEADERS_HEADER,
    OMITTED_KEY_HEADER,
    OMITTED_VALUE_HEADER,
    QUARANTINE_HEADER,
    REDRIVE_HEADER,
    RELEASE_HEADER,
    SERVICE_HEADER,
    ConsumedRecord,
    UnreadableBatch,
)

log = structlog.stdlib.get_logger(__name__)

DEAD_LETTER_HEADERS: Final = frozenset(
    {
        DEAD_LETTER_ID_HEADER, OMITTED_HEADERS_HEADER, OMITTED_KEY_HEADER, OMITTED_VALUE_HEADER,
        QUARANTINE_HEADER, REDRIVE_HEADER, RELEASE_HEADER, SERVICE_HEADER,
    }
)  # fmt: skip
MAX_UNREADABLE_BATCHES: Final = 1000
CATCH_UP_TIMEOUT_S: Final = 5.0
PAUSE_S: Final = 1.0
FETCH_WAIT_MS: Final = 100
"""The broker answers a connection's requests in turn: the question for the end waits for the fetch."""
DEAD_LETTER_PARTITION: Final = TopicPartition(DEAD_LETTERS, 0)


class DeadLetterReader(Background, Collector):
    """Keeps `DeadLetterLog` up to date, in a task of its own; `web.http.deps.DeadLetters`.

    unread: offsets of batches in the topic that can't be read.
    """

    def __init__(
        self,
        bootstrap: str,
        reads: KafkaReader,
        *,
        security: KafkaSecurity = NO_SECURITY,
        most: int = MAX_DEAD_LETTERS,
        arrived: Callable[[DeadLetter, Any], None] | None = None,
    ) -> None:
        """most: dead letters held at one time, about 1 KB each. Connects when it is started.

        arrived: is told once of each that comes after the first start, with its record's headers.
        """
        super().__init__()
        self._bootstrap = bootstrap
        self._security = security.aiokafka()
        self._reads = reads
        self.letters = DeadLetterLog(most)
        self._consumer: AIOKafkaConsumer | None = None
        self._position = 0
        self.unread: set[int] = set()
        self._arrived = arrived
        self._reported_end: int | None = None
        self._position_changed = asyncio.Condition()

    def collect(self) -> Iterator[Metric]:
        """All dead letters: every worker knows them."""
        counts = Counter(letter.state for letter in self.all())
        letters = GaugeMetricFamily(
            "tiffin_dead_letters", "Dead letters by state", labels=["state"]
        )
        for state in DeadLetterState:
            letters.add_metric([state], counts[state])
        yield letters
        yield GaugeMetricFamily(
            "tiffin_dead_letter_batches_unread",
            "Batches of the dead-letter topic that can't be read",
            value=len(self.unread),
        )

    @property
    def left_out(self) -> int:
        """Open ones that there was no room for."""
        return self.letters.left_out

    def all(self) -> Iterable[DeadLetter]:
        """In the order in which they came."""
        return self.letters.all()

    def get(self, name: str) -> DeadLetter | None:
        """By name."""
        return self.letters.get(name)

    def open_for_key(self, service: str, key: bytes | None) -> list[DeadLetter]:
        """The open ones of one key and service, in the order in which they are to be redriven."""
        return self.letters.open_for_key(service, key)

    async def caught_up(self) -> None:
        """Return once everything that Kafka had at the call is known. Raises KafkaUnavailableError."""
        try:
            async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
                async with self._position_changed:
                    await self._position_changed.wait_for(lambda: self._consumer is not None)
                    consumer = self._consumer
                assert consumer is not None
                end = (await consumer.end_offsets([DEAD_LETTER_PARTITION]))[DEAD_LETTER_PARTITION]
                async with self._position_changed:
                    await self._position_changed.wait_for(lambda: self._position >= end)
        except (TimeoutError, KafkaError, ConsumerStoppedError) as error:
            raise KafkaUnavailableError("the dead letters can't be read") from error

    async def original(self, letter: DeadLetter) -> OriginalRecord:
        """The record as it was sent. Raises KafkaUnavailableError."""
        return (await self.originals([letter]))[0]

    async def originals(self, letters: Sequence[DeadLetter]) -> list[OriginalRecord]:
        """The records as they were sent. Raises KafkaUnavailableError."""
        places = {
            letter.name: letter.origin
            if letter.omitted_bytes
            else RecordLocation(DEAD_LETTERS, 0, letter.offset)
            for letter in letters
        }
        found = await self._reads.records(list(places.values()))
        return [_original(found.get(places[letter.name])) for letter in letters]

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, OSError) as error:
                log.warning("the dead letters can't be read", error=type(error).__name__)
            except Exception:
                log.exception("unexpected error in the reader of dead letters")
            await asyncio.sleep(PAUSE_S)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            **self._security,
        )
        await consumer.start()
        try:
            consumer.assign([DEAD_LETTER_PARTITION])
            consumer.seek(DEAD_LETTER_PARTITION, self._position)
            if self._reported_end is None:
                self._reported_end = (await consumer.end_offsets([DEAD_LETTER_PARTITION]))[
                    DEAD_LETTER_PARTITION
                ]
            async with self._position_changed:
                self._consumer = consumer
                self._position_changed.notify_all()
            while True:
                found = await consumer.getmany(timeout_ms=500, max_records=500)
                for record in found.get(DEAD_LETTER_PARTITION, ()):
                    if type(record) is UnreadableBatch:
                        self._leave_unread(consumer, record)
                    if type(record) is not ConsumedRecord:
                        continue
                    letter = self.letters.take(
                        record.offset, record.timestamp, record.key, record.value, record.headers
                    )
                    if record.offset >= self._reported_end:
                        self._reported_end = record.offset + 1
                        if letter is not None and self._arrived is not None:
                            self._arrived(letter, record.headers)
                async with self._position_changed:
                    self._position = await consumer.position(DEAD_LETTER_PARTITION)
                    self._position_changed.notify_all()
                if self.letters.can_load_more():
                    self.letters.clear()
                    self._position = 0
                    consumer.seek(DEAD_LETTER_PARTITION, 0)
        finally:
            self._consumer = None
            await consumer.stop()

    def _leave_unread(self, consumer: AIOKafkaConsumer, batch: UnreadableBatch) -> None:
        """Go on behind a batch that can't be read: its dead letters are in nobody's list."""
        if batch.offset not in self.unread and len(self.unread) < MAX_UNREADABLE_BATCHES:
            self.unread.add(batch.offset)
            log.error(
                "dead letters can't be read", topic=DEAD_LETTERS, offset=batch.offset,
                error=batch.error,
            )  # fmt: skip
        consumer.seek(DEAD_LETTER_PARTITION, batch.next_offset)


def _original(record: FetchedRecord | None) -> OriginalRecord:
    if record is None:
        return OriginalRecord(None, ())
    headers = tuple(
        (name, value)
        for name, value in record.headers
        if not name.startswith(DLT_HEADER_PREFIX) and name not in DEAD_LETTER_HEADERS
    )
    return OriginalRecord(record.value, headers)
