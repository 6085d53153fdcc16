"""Counts how often a service's partition failed at one input, over restarts of this worker.

A record that ends the process would end the next one too, and every worker's after it. So the third
failure at one place leaves that partition of that service stopped (see stops.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from aiokafka import errors
from confluent_kafka import KafkaException

from tables.errors import WrongKafkaError

LOG = logging.getLogger("tiffin.engine")

FAILURES_FILE = "failures.json"
"""In the worker's data folder."""
MAX_FAILURES_AT_ONE_OFFSET = 3
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
class Failure:
    """How often a service's partition failed at an input, and with what.

    topic, offset: the first input in flight; last: topic -> offset of the last one in flight. One of
    them is what fails.
    """

    topic: str
    offset: int
    count: int
    error: str
    last: Mapping[str, int]

    def is_behind(self, durable_offsets: Mapping[str, int]) -> bool:
        """Whether a task with these durable offsets (by topic) got beyond what failed."""
        return all(durable_offsets.get(topic, -1) >= offset for topic, offset in self.last.items())


class FailureLog:
    """Counts a worker's failures by service and partition, over restarts.

    Only the last place of each is kept: a task that got beyond the one before did not fail there for good.
    """

    def __init__(self, path: Path) -> None:
        """path: the file, created at the first failure."""
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
        """Where this partition failed last, unless that was cleared."""
        return self._read().get(f"{service}/{partition}")

    def clear(self, service: str, partition: int) -> None:
        """Forget the failure: the task got beyond that place."""
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
    """False for Kafka's absence, a fence, and the disk, for which RocksDB raises a plain Exception."""
    if isinstance(error, CAUSED_BY_RECORDS):
        return True
    others = errors.KafkaError | KafkaException | WrongKafkaError | OSError | TimeoutError
    return type(error) is not Exception and not isinstance(error, others)
