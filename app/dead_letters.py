"""All dead letters, as every worker knows them: read from the dead-letter topic, values left in Kafka."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError

from app.dead_letter_topic import DLT, MOST_KEPT, Letters
from app.kafka_reads import KafkaReads, headers_of
from app.kafka_security import OPEN, KafkaSecurity
from models.topics import DEAD_LETTERS
from tables import (
    DEAD_LETTER,
    HEADERS_OMITTED,
    KEY_OMITTED,
    OMITTED,
    QUARANTINE,
    REDRIVE,
    RELEASE,
    SERVICE,
    Consumed,
    UnreadableBatch,
)
from web.ops_ports import Letter, Origin, Original
from web.ports import KafkaUnavailableError

log = structlog.stdlib.get_logger(__name__)

LETTER_HEADERS: Final = frozenset(
    {
        DEAD_LETTER, HEADERS_OMITTED, KEY_OMITTED, OMITTED, QUARANTINE, REDRIVE, RELEASE, SERVICE
    }
)  # fmt: skip
MOST_UNREAD: Final = 1000
CAUGHT_UP_WITHIN_S: Final = 5.0
PAUSE_S: Final = 1.0
FETCH_WAIT_MS: Final = 100
"""The broker answers a connection's requests in turn: the question for the end waits for the fetch."""
PARTITION: Final = TopicPartition(DEAD_LETTERS, 0)


class DeadLetterReader:
    """Keeps `Letters` up to date, in a task of its own; `web.ops_ports.DeadLetters`.

    unread: offsets of batches in the topic that can't be read.
    """

    def __init__(
        self,
        bootstrap: str,
        reads: KafkaReads,
        *,
        security: KafkaSecurity = OPEN,
        most: int = MOST_KEPT,
        arrived: Callable[[Letter, Any], None] | None = None,
    ) -> None:
        """most: dead letters held at one time, about 1 KB each. Connects when it is started.

        arrived: is told once of each that comes after the first start, with its record's headers.
        """
        self._bootstrap = bootstrap
        self._security = security.aiokafka()
        self._reads = reads
        self.letters = Letters(most)
        self._consumer: AIOKafkaConsumer | None = None
        self._position = 0
        self.unread: set[int] = set()
        self._arrived = arrived
        self._told: int | None = None
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def left_out(self) -> int:
        """Open ones that there was no room for."""
        return self.letters.left_out

    def all(self) -> Iterable[Letter]:
        """In the order in which they came."""
        return self.letters.all()

    def get(self, name: str) -> Letter | None:
        """By name."""
        return self.letters.get(name)

    def open_of(self, service: str, key: bytes | None) -> list[Letter]:
        """The open ones of one key and service, in the order in which they are to be redriven."""
        return self.letters.open_of(service, key)

    def start(self) -> None:
        """Begin reading."""
        self._task = asyncio.create_task(self._run(), name="dead letters")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def caught_up(self) -> None:
        """Return once everything that Kafka had at the call is known. Raises KafkaUnavailableError."""
        try:
            async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
                async with self._moved:
                    await self._moved.wait_for(lambda: self._consumer is not None)
                    consumer = self._consumer
                assert consumer is not None
                end = (await consumer.end_offsets([PARTITION]))[PARTITION]
                async with self._moved:
                    await self._moved.wait_for(lambda: self._position >= end)
        except (TimeoutError, KafkaError, ConsumerStoppedError) as error:
            raise KafkaUnavailableError("the dead letters can't be read") from error

    async def original(self, letter: Letter) -> Original:
        """The record as it was sent. Raises KafkaUnavailableError."""
        return (await self.originals([letter]))[0]

    async def originals(self, letters: Sequence[Letter]) -> list[Original]:
        """The records as they were sent. Raises KafkaUnavailableError."""
        places = {
            letter.name: letter.origin
            if letter.omitted_bytes
            else Origin(DEAD_LETTERS, 0, letter.offset)
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
                log.exception("the reader of dead letters met a bug")
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
            consumer.assign([PARTITION])
            consumer.seek(PARTITION, self._position)
            if self._told is None:
                self._told = (await consumer.end_offsets([PARTITION]))[PARTITION]
            async with self._moved:
                self._consumer = consumer
                self._moved.notify_all()
            while True:
                found = await consumer.getmany(timeout_ms=500, max_records=500)
                for record in found.get(PARTITION, ()):
                    if type(record) is UnreadableBatch:
                        self._leave_unread(consumer, record)
                    if type(record) is not Consumed:
                        continue
                    letter = self.letters.take(
                        record.offset, record.timestamp, record.key, record.value, record.headers
                    )
                    if record.offset >= self._told:
                        self._told = record.offset + 1
                        if letter is not None and self._arrived is not None:
                            self._arrived(letter, record.headers)
                async with self._moved:
                    self._position = await consumer.position(PARTITION)
                    self._moved.notify_all()
                if self.letters.has_room():
                    self.letters.clear()
                    self._position = 0
                    consumer.seek(PARTITION, 0)
        finally:
            self._consumer = None
            await consumer.stop()

    def _leave_unread(self, consumer: AIOKafkaConsumer, batch: UnreadableBatch) -> None:
        """Go on behind a batch that can't be read: its dead letters are in nobody's list."""
        if batch.offset not in self.unread and len(self.unread) < MOST_UNREAD:
            self.unread.add(batch.offset)
            log.error(
                "dead letters can't be read", topic=DEAD_LETTERS, offset=batch.offset,
                error=batch.error,
            )  # fmt: skip
        consumer.seek(PARTITION, batch.next_offset)


def _original(message: Any) -> Original:
    if message is None:
        return Original(None, ())
    headers = tuple(
        (name, value)
        for name, value in headers_of(message)
        if not name.startswith(DLT) and name not in LETTER_HEADERS
    )
    return Original(message.value(), headers)
