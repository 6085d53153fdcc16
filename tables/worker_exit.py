"""Faults that end a worker's process, which the supervisor starts again, and how often at one input.

Status 70: what only a restart resolves, being fenced included. Status 78: Kafka is not the one that the
tables were made with. A record that ends the process would end the next one too, and every worker's
after it. So the third failure at one place leaves that partition of that service stopped (stops.py).
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import orjson
from aiokafka import errors
from confluent_kafka import KafkaException
from faust.types import TP

LOG = logging.getLogger("tiffin.engine")

FAILURES_FILE = "failures.json"
"""In the worker's data folder."""
MAX_FAILURES_AT_ONE_OFFSET = 3
EXIT_FAULT = 70
EXIT_WRONG_KAFKA = 78
LEAVE_TIMEOUT_S = 0.5
InFlight = tuple[tuple[str, int], Mapping[str, int]]
"""Topic and offset of the first input in flight, and topic -> offset of the last."""


class WrongKafkaError(Exception):
    """Kafka and the tables don't belong together; the message says what to do."""


class RecoveryError(Exception):
    """Faust declares a table recovered, but its database is not at the changelog's end."""


class DeliveryGapError(Exception):
    """An input never came to a service's task, although it was requested again and again."""

    def __init__(self, service: str, tp: TP, offset: int) -> None:
        super().__init__(f"offset {offset} of {tp} never came to {service}")


CAUSED_BY_RECORDS = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidMessageError,
    errors.CorruptRecordException,
    errors.InvalidTimestampError,
    errors.PolicyViolationError,
)
"""What Kafka refuses because of what is sent; its other errors pass, or are no record's fault."""
OTHER_CAUSES = (errors.KafkaError, KafkaException, WrongKafkaError, OSError, TimeoutError)
"""Kafka's absence, a fence, the disk: no record's fault."""
ERRORS_WITHOUT_VALUES = (
    WrongKafkaError,
    errors.KafkaError,
    DeliveryGapError,
    RecoveryError,
    TimeoutError,
    OSError,
)
"""Their messages hold nothing of a record and may be logged."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How often a service's partition failed at an input, and with what.

    topic, offset: the first input in flight, last: as in `InFlight`: one of them is what fails.
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

    def note(self, service: str, partition: int, inputs: InFlight, error: BaseException) -> None:
        """Count a failure, if a record can be its cause. Never raises: the process is ending."""
        # For the disk RocksDB raises a plain Exception.
        is_other_cause = type(error) is Exception or isinstance(error, OTHER_CAUSES)
        if is_other_cause and not isinstance(error, CAUSED_BY_RECORDS):
            return
        try:
            known, (first, last) = self._read(), inputs
            before = known.get(f"{service}/{partition}")
            is_again = before is not None and (before.topic, before.offset) == first
            count = before.count + 1 if before is not None and is_again else 1
            failure = Failure(*first, count, type(error).__qualname__, dict(last))
            self._write({**known, f"{service}/{partition}": failure})
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
            stored = orjson.loads(self._path.read_bytes())
            return {name: Failure(**fields) for name, fields in stored.items()}
        except (FileNotFoundError, orjson.JSONDecodeError, TypeError, AttributeError):
            return {}  # nothing failed yet, or the file was cut off by a crash: counted anew

    def _write(self, known: Mapping[str, Failure]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(orjson.dumps(known))


class WorkerExit:
    """Ends the process. leave_group: leaves the consumer group within so many seconds, never raises."""

    def __init__(self, failures_path: Path, leave_group: Callable[[float], None]) -> None:
        self.failures = FailureLog(failures_path)
        self._leave_group = leave_group

    def fail(self, where: str, exc: BaseException) -> NoReturn:
        """End the process at once: log without values, leave the group, exit."""
        frames = traceback.extract_tb(exc.__traceback__)
        trace = [f"{frame.filename}:{frame.lineno}" for frame in frames]
        name = type(exc).__qualname__
        text = f"{name} at {trace[-1] if trace else 'unknown'}"
        if isinstance(exc, ERRORS_WITHOUT_VALUES):
            text = f"{name}: {exc}"
        LOG.critical("%s: %s", where, text, extra={"trace": trace})
        try:
            self._leave_group(LEAVE_TIMEOUT_S)
            logging.shutdown()
        finally:
            os._exit(EXIT_WRONG_KAFKA if isinstance(exc, WrongKafkaError) else EXIT_FAULT)

    def fail_at(
        self, service: str, partition: int, inputs: InFlight | None, where: str, exc: BaseException
    ) -> NoReturn:
        """End the process for a failure of one task; it is counted, if there was an input in flight."""
        if inputs is not None:
            self.failures.note(service, partition, inputs, exc)
        self.fail(where, exc)
