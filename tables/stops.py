"""Where reading stopped, and how often a task failed at one place: a worker must not fail for ever.

A record that ends the process would end the next one too, and every worker's after it. So the third
failure at one place leaves that one partition of that one service stopped, until an operator skips
the record; everything else goes on. FailureLog are counted in a file of the worker's data folder.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import orjson
from aiokafka import errors
from confluent_kafka import KafkaException

from tables.errors import WrongKafkaError

if TYPE_CHECKING:
    from pathlib import Path

LOG = logging.getLogger("tiffin.engine")

MAX_FAILURES_AT_ONE_OFFSET = 3
MAX_ERROR_CHARS = 500
CAUSED_BY_RECORDS = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidMessageError,
    errors.CorruptRecordException,
    errors.InvalidTimestampError,
    errors.PolicyViolationError,
)
"""What Kafka refuses because of what is sent; its other errors pass, or are no record's fault."""


@dataclass(frozen=True, slots=True)
class PartitionStop:
    """A partition that is read no further, for one service or, where that is "", for all its readers.

    offset: of the record or batch that can't be read or processed; next_offset: where reading would
    go on without it; error: what it does, without values; since_ms: when this worker stopped there.
    """

    topic: str
    partition: int
    offset: int
    next_offset: int
    service: str
    error: str
    since_ms: int


class NotStoppedError(Exception):
    """Nothing is stopped there (any more), on this worker."""


def make_stop(
    topic: str, partition: int, offset: int, *, next_offset: int, service: str, error: str
) -> PartitionStop:
    """Make a stop as of now, and log it."""
    LOG.error(
        "a partition is stopped; see `faust -A app skip --help`",
        extra={
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "service": service,
            "error": error,
        },
    )
    now_ms = int(time.time() * 1000)
    return PartitionStop(
        topic, partition, offset, next_offset, service, error[:MAX_ERROR_CHARS], now_ms
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """How often a service's partition failed at an input, and with what; see `FailureLog`.

    last: topic -> last offset that was in flight: one of those up to it may be what fails.
    """

    topic: str
    offset: int
    count: int
    error: str
    last: Mapping[str, int]

    def is_behind(self, done: Mapping[str, int]) -> bool:
        """Whether a task that has done so much, topic -> offset, got beyond what failed."""
        return all(done.get(topic, -1) >= offset for topic, offset in self.last.items())


class FailureLog:
    """Counts a worker's failures by service and partition, over restarts.

    Only the last place is kept: a task that got beyond it has not failed there for good.
    """

    def __init__(self, path: Path) -> None:
        """`path`: the file, made when something fails first."""
        self._path = path

    def note(
        self,
        service: str,
        partition: int,
        first: tuple[str, int],
        last: Mapping[str, int],
        error: BaseException,
    ) -> None:
        """Count a failure, if a record can be its cause. Never raises: the process is ending.

        first: topic and offset of the first input in flight; last: as in `Failure`.
        """
        if not _may_be_caused_by_record(error):
            return
        try:
            known = self._read()
            name = f"{service}/{partition}"
            before = known.get(name)
            is_again = before is not None and (before.topic, before.offset) == first
            count = before.count + 1 if before is not None and is_again else 1
            known[name] = Failure(*first, count, type(error).__qualname__, dict(last))
            self._write(known)
        except OSError as exc:
            LOG.warning("a failure could not be counted", extra={"error": type(exc).__name__})

    def of(self, service: str, partition: int) -> Failure | None:
        """Where this partition failed last, if it has not got beyond that since."""
        return self._read().get(f"{service}/{partition}")

    def clear(self, service: str, partition: int) -> None:
        """Forget it: the task got beyond that place."""
        known = self._read()
        if known.pop(f"{service}/{partition}", None) is not None:
            self._write(known)

    def _read(self) -> dict[str, Failure]:
        try:
            return dict(_load(orjson.loads(self._path.read_bytes())))
        except (FileNotFoundError, orjson.JSONDecodeError, TypeError, AttributeError):
            return {}  # nothing failed yet, or the file was cut off by a crash: counted anew

    def _write(self, known: Mapping[str, Failure]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(orjson.dumps({name: asdict(item) for name, item in known.items()}))


def _load(raw: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, Failure]]:
    for name, fields in raw.items():
        yield name, Failure(**fields)  # type: ignore[arg-type]


def _may_be_caused_by_record(error: BaseException) -> bool:
    """Not Kafka that is away or not ours, a fence or the disk, for which RocksDB raises a plain Exception."""
    if isinstance(error, CAUSED_BY_RECORDS):
        return True
    others = errors.KafkaError | KafkaException | WrongKafkaError | OSError | TimeoutError
    return type(error) is not Exception and not isinstance(error, others)
