"""The end of a worker's process by a fault; the supervisor starts it again.

Status 70: what only a restart resolves, being fenced included. Status 78: Kafka is not the one that the
tables were made with.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Mapping
from typing import NoReturn

from aiokafka.errors import KafkaError

from tables.errors import DeliveryGapError, RecoveryError, WrongKafkaError
from tables.failure_log import FailureLog

LOG = logging.getLogger("tiffin.engine")

EXIT_FAULT = 70
EXIT_WRONG_KAFKA = 78
LEAVE_TIMEOUT_S = 0.5
ERRORS_WITHOUT_VALUES = (
    WrongKafkaError,
    KafkaError,
    DeliveryGapError,
    RecoveryError,
    TimeoutError,
    OSError,
)
"""Their messages hold nothing of a record and may be logged."""


class WorkerExit:
    """Ends the process. leave_group: leaves the consumer group within so many seconds, never raises."""

    def __init__(self, failures: FailureLog, leave_group: Callable[[float], None]) -> None:
        self._failures = failures
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
        self,
        service: str,
        partition: int,
        inputs: tuple[tuple[str, int], Mapping[str, int]] | None,
        where: str,
        exc: BaseException,
    ) -> NoReturn:
        """End the process for a failure of one task; it is counted in the failure log.

        inputs: topic and offset of the first input in flight, and topic -> offset of the last; None
        when there was none, and then nothing is counted.
        """
        if inputs is not None:
            self._failures.note(service, partition, *inputs, exc)
        self.fail(where, exc)
