"""The platform's own id: made once, kept in its Kafka for ever, the same for all its workers.

It is in the mark of what the platform makes at Stripe (app/stripe/owner_mark.py). Kafka's cluster id would not
do, for it changes when a platform moves to another cluster; its topics are copied along.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog
from pydantic import ValidationError

from app.kafka.headers import record_headers
from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.task_runner import Background, Backoff
from models.errors import KafkaUnavailableError
from models.messages import encode
from models.operations import PlatformId
from models.sender import CommandSender
from models.times import to_rfc3339
from models.topics import PLATFORM_IDENTITY

log = structlog.stdlib.get_logger(__name__)

EVENT_TYPE: Final = "PLATFORM_ID"
SOURCE: Final = "/tiffin/platform"
RETRY: Final = Backoff(0.5, 30.0)


class PlatformIdentity(Background):
    """One a worker. ids: the platform's, then others that are its as well; none until Kafka has told them.

    known: is set then, a moment after the start.
    """

    def __init__(
        self,
        sender: CommandSender,
        reader: KafkaReader,
        *,
        topic: str = PLATFORM_IDENTITY,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.ids: tuple[str, ...] = ()
        self.known = asyncio.Event()
        self._sender, self._reader, self._topic, self._now_s = sender, reader, topic, now_s
        self._problem = ""

    def problem(self) -> str:
        """Why the id is not known; "" when it is."""
        return "" if self.ids else self._problem

    async def read(self) -> bool:
        """Take the id from Kafka, and make it where there is none; gives whether it is known."""
        try:
            found = await self._stored()
            if not found:
                await self._propose()
                # The first record counts, whichever worker's it is.
                found = await self._stored()
        except KafkaUnavailableError as error:
            why = f"{self._topic} can't be read or written ({error}): run `faust -A app topics`"
            if why != self._problem:
                log.warning("the platform's id is not known", reason=why)
            self._problem = why
            return False
        self.ids = found
        if found:
            self.known.set()
        return bool(found)

    def was_asked(self) -> bool:
        """Whether the id is known, or Kafka could not tell it."""
        return bool(self.ids or self._problem)

    async def _run(self) -> None:
        failures = 0
        while not await self._try():
            failures += 1
            await RETRY.pause(failures)

    async def _try(self) -> bool:
        try:
            return await self.read()
        except Exception:
            log.exception("unexpected error in reading the platform's id")
            return False

    async def _stored(self) -> tuple[str, ...]:
        """The ids in the topic, the first one first: it is the mark, however many come later."""
        found: list[str] = []

        def take(record: FetchedRecord) -> None:
            try:
                told = PlatformId.model_validate_json(record.value or b"")
            except ValidationError as error:
                raise ValueError(str(error)) from None
            found.append(told.platform_id)

        await self._reader.onwards(self._topic, {}, take)
        return tuple(found)

    async def _propose(self) -> None:
        at = to_rfc3339(round(self._now_s() * 1000))
        made = PlatformId(platform_id=f"platform_{secrets.token_hex(8)}", created_at=at)
        headers = record_headers(made.platform_id, EVENT_TYPE, SOURCE, at)
        await self._sender.put(self._topic, b"platform", encode(made), headers)
        log.info("this platform had no id in Kafka; it has one now", topic=self._topic)
