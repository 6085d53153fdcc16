"""The worker's part: it takes no writes while the next generation is finished, and goes over to it."""

import os
import sys
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.kafka.sender import KafkaCommandSender
from app.partitions.state import load
from app.task_runner import Background, Backoff
from models.errors import KafkaUnavailableError
from models.generations import Generation, PartitionsState, RaiseState
from models.topics import PARTITIONS

log = structlog.stdlib.get_logger(__name__)

PLACE: Final = (PARTITIONS, 0)
RETRY: Final = Backoff(0.5, 5.0)
PAUSED: Final = (
    "the number of partitions is being raised; writes are taken again in some seconds. If that lasts, run "
    "`faust -A app partitions show`"
)


class GenerationFollower(Background):
    """Follows `platform-partitions`. sender: is held while writes are paused."""

    def __init__(
        self, kafka: KafkaReader, generation: Generation, sender: KafkaCommandSender
    ) -> None:
        super().__init__()
        self._kafka, self._generation, self._sender = kafka, generation, sender

    async def prepare(self) -> None:
        """Before the worker joins its group: go over now, if Kafka could not be asked when it was wired.

        Raises KafkaUnavailableError.
        """
        states: list[PartitionsState] = []

        def take(record: FetchedRecord) -> None:
            if told := load(record):
                states.append(told)

        try:
            await self._kafka.onwards(PARTITIONS, {}, take)
        except KafkaUnavailableError as error:
            if "UNKNOWN_TOPIC" not in str(error):
                raise
        for told in states:
            self._take(told)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._follow()
            except (KafkaError, KafkaUnavailableError, OSError) as error:
                failures += 1
                if failures == 1:
                    why = f"{PARTITIONS} can't be read: run `faust -A app topics`"
                    log.warning(why, error=type(error).__name__)
            except Exception:
                failures += 1
                log.exception("unexpected error in following the platform's generation")
            await RETRY.pause(failures)

    async def _follow(self) -> None:
        # The topic may be missing: the reader would wait for it in silence.
        await self._kafka.end(PLACE)
        reader = self._kafka.record_reader()
        try:
            await reader.assign({PLACE: 0})
            while True:
                for record in await reader.read(500, 1.0):
                    if told := load(record):
                        self._take(told)
        finally:
            await reader.close()

    def _take(self, told: PartitionsState) -> None:
        if told.generation <= self._generation.number:
            return
        if told.state is RaiseState.SERVING:
            log.warning(
                "going over to more partitions",
                generation=told.generation, partitions=told.partitions,
            )  # fmt: skip
            begin_anew()
        self._sender.held = PAUSED if told.state is RaiseState.PAUSED else ""


def begin_anew() -> None:
    """Begin this process anew, as it was started: what is durable is all that the next one needs."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- the same program
