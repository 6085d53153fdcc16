"""The worker's part: it takes no writes while the next generation is finished, and goes over to it."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
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
WARM_AGAIN_S: Final = 5.0
RETRY: Final = Backoff(0.5, 5.0)
PAUSED: Final = (
    "the number of partitions is being raised; writes are taken again in some seconds. If that lasts, run "
    "`faust -A app partitions show`"
)


class GenerationFollower(Background):
    """Follows `platform-partitions`. sender: is held while writes are paused. data_dir: of the tables.

    While a generation is copied a process beside this one makes its tables ready (app/warming.py).
    """

    def __init__(
        self, kafka: KafkaReader, generation: Generation, sender: KafkaCommandSender, data_dir: Path
    ) -> None:
        super().__init__()
        self._kafka, self._generation, self._sender = kafka, generation, sender
        self._data_dir = data_dir
        self._copied: PartitionsState | None = None
        self._warmer: asyncio.subprocess.Process | None = None
        self._warm_at_s = 0.0

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
        await self._take(states)

    async def stop(self) -> None:
        """End what runs beside."""
        await super().stop()
        await self._end_warmer()

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
                records = await reader.read(500, 1.0)
                await self._take([told for each in records if (told := load(each))])
                await self._warm()
        finally:
            await reader.close()

    async def _take(self, states: Sequence[PartitionsState]) -> None:
        states = [told for told in states if told.generation > self._generation.number]
        for told in states:
            if told.state is RaiseState.SERVING:
                await self._end_warmer()
                log.warning(
                    "going over to more partitions",
                    generation=told.generation, partitions=told.partitions,
                )  # fmt: skip
                begin_anew()
        if states:
            last = states[-1]
            self._sender.held = PAUSED if last.state is RaiseState.PAUSED else ""
            self._copied = last if last.state is RaiseState.COPYING else None
            if self._copied is None:
                await self._end_warmer()
            if last.state is RaiseState.ABANDONED:
                folder = Generation(last.generation, last.partitions).folder(self._data_dir)
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _warm(self) -> None:
        """Have the next generation's tables made ready, if there is one."""
        told, warmer = self._copied, self._warmer
        if told is None or (warmer is not None and warmer.returncode is None):
            return
        if warmer is not None:
            if time.monotonic() < self._warm_at_s:
                return
            log.warning("tables of more partitions are begun again", status=warmer.returncode)
        self._warm_at_s = time.monotonic() + WARM_AGAIN_S
        argv = ("-m", "app.warming", str(told.generation), str(told.partitions))
        self._warmer = await asyncio.create_subprocess_exec(
            sys.executable, *argv, stdin=asyncio.subprocess.PIPE
        )

    async def _end_warmer(self) -> None:
        warmer, self._warmer = self._warmer, None
        if warmer is None:
            return
        with suppress(ProcessLookupError):
            warmer.kill()
        await warmer.wait()


def begin_anew() -> None:
    """Begin this process anew, as it was started: what is durable is all that the next one needs."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- the same program
