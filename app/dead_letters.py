"""All dead letters, as every worker knows them: read from the dead-letter topic, values left in Kafka."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from app.dead_letter_topic import DLT, MOST_KEPT, Letters
from app.kafka_reads import KafkaReads, bounds, headers_of
from app.kafka_security import OPEN, KafkaSecurity
from models.topics import DEAD_LETTERS
from tables import DEAD_LETTER, OMITTED, QUARANTINE, REDRIVE, RELEASE, SERVICE
from web.ops_ports import Letter, Origin, Original
from web.ports import KafkaUnavailableError

log = structlog.stdlib.get_logger(__name__)

LETTER_HEADERS: Final = frozenset({DEAD_LETTER, OMITTED, QUARANTINE, REDRIVE, RELEASE, SERVICE})
CAUGHT_UP_WITHIN_S: Final = 5.0
PAUSE_S: Final = 1.0
POLL_S: Final = 0.25
AT_ONCE: Final = 500
FETCH_WAIT_MS: Final = 100
"""The broker answers a connection's requests in turn: the question for the end waits for the fetch."""
NO_RECORD: Final = frozenset(
    {
        KafkaError._PARTITION_EOF,  # noqa: SLF001 -- librdkafka's own codes begin so
        KafkaError._BAD_MSG,  # noqa: SLF001
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    }
)
"""What is told in place of a record: the end, a batch that can't be read, a broker that went."""


class DeadLetterReader:
    """Keeps `Letters` up to date, in a task of its own; `web.ops_ports.DeadLetters`.

    By librdkafka, in a thread: it reads records whose headers have names that are no text.
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
        self._settings = {
            "bootstrap.servers": bootstrap,
            "group.id": "tiffin-dead-letters",  # needed by librdkafka, never joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            # No engine writes in transactions: one that somebody left open must not hide what follows.
            "isolation.level": "read_uncommitted",
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            "log_level": 0,
            **security.librdkafka(),
        }
        self._thread = ThreadPoolExecutor(1, "dead letters")
        self._reads = reads
        self.letters = Letters(most)
        self._consumer: Any = None
        self._position = 0
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
                end = await asyncio.to_thread(_end, consumer)
                async with self._moved:
                    await self._moved.wait_for(lambda: self._position >= end)
        except (TimeoutError, KafkaException, RuntimeError) as error:
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
            except (KafkaException, OSError) as error:
                log.warning("the dead letters can't be read", error=type(error).__name__)
            except Exception:
                log.exception("the reader of dead letters met a bug")
            await asyncio.sleep(PAUSE_S)

    async def _read(self) -> None:
        loop, consumer = asyncio.get_running_loop(), Consumer(dict(self._settings))
        reading: asyncio.Future[Any] = loop.create_future()
        reading.set_result(None)
        try:
            consumer.assign([TopicPartition(DEAD_LETTERS, 0, self._position)])
            if self._told is None:
                self._told = await loop.run_in_executor(self._thread, _end, consumer)
            async with self._moved:
                self._consumer = consumer
                self._moved.notify_all()
            while True:
                reading = loop.run_in_executor(self._thread, _some, consumer)
                for message in await asyncio.shield(reading):
                    self._take(message)
                async with self._moved:
                    self._moved.notify_all()
                if self.letters.has_room():
                    self.letters.clear()
                    self._position = 0
                    consumer.assign([TopicPartition(DEAD_LETTERS, 0, 0)])
        finally:
            self._consumer = None
            await asyncio.wait([reading])  # a consumer must not be closed while it is asked
            await loop.run_in_executor(self._thread, consumer.close)

    def _take(self, message: Any) -> None:
        error, offset = message.error(), message.offset()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._position = max(self._position, offset)
        if error is not None:
            if error.code() not in NO_RECORD:
                raise KafkaException(error)
            return
        try:
            headers = headers_of(message)
        except ValueError:
            headers = ()  # a foreign record: it is listed by its place here, and can be discarded
        self._position = offset + 1
        letter = self.letters.take(
            offset, message.timestamp()[1], message.key(), message.value(), headers
        )
        if self._told is not None and offset >= self._told:
            self._told = offset + 1
            if letter is not None and self._arrived is not None:
                self._arrived(letter, headers)


def _some(consumer: Any) -> list[Any]:
    """What comes next, as soon as something does. Blocks for `POLL_S` at most."""
    first = consumer.poll(POLL_S)
    return [] if first is None else [first, *consumer.consume(AT_ONCE, 0)]


def _end(consumer: Any) -> int:
    """Where the topic ends. Blocks; raises KafkaException, RuntimeError from a closed consumer."""
    return bounds(consumer, TopicPartition(DEAD_LETTERS, 0), CAUGHT_UP_WITHIN_S)[1]


def _original(message: Any) -> Original:
    if message is None:
        return Original(None, ())
    try:
        found = headers_of(message)
    except ValueError:
        found = ()  # a foreign record's: its value can be looked at all the same
    headers = tuple(
        (name, value)
        for name, value in found
        if not name.startswith(DLT) and name not in LETTER_HEADERS
    )
    return Original(message.value(), headers)
