"""The platform's own id: made once, kept in its Kafka for ever, the same for all its workers.

It is in the mark of what the platform makes at Stripe (app/stripe/owner_mark.py). Kafka's cluster id would not
do, for it changes when a platform moves to another cluster; its topics are copied along.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from typing import Final

import orjson
import structlog

from app.kafka.headers import record_headers
from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.task_runner import Background, Backoff
from models.errors import KafkaUnavailableError
from models.messages import convert, encode
from models.operations import PlatformId
from models.sender import CommandSender
from models.times import to_rfc3339
from models.topics import PLATFORM_IDENTITY

log = structlog.stdlib.get_logger(__name__)

EVENT_TYPE: Final = "PLATFORM_ID"
SOURCE: Final = "/tiffin/platform"
RETRY: Final = Backoff(0.5, 2.0)
AGAIN_S: Final = 60.0
"""The topic is read again so often: another worker may have put a lost id back, or the topic be gone."""
CAN_NOT_TELL: Final = (
    "UNKNOWN_TOPIC_OR_PART",
    "UnknownTopic",
    "TOPIC_AUTHORIZATION",
    "TopicAuthorization",
)
"""In the name of an error that waiting does not mend: there is no topic, or we may not use it."""


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
        self._problem = self._lost = ""
        self._can_not_tell, self._unusable = False, 0

    def problem(self) -> str:
        """Why the id is not known, or which ids had been lost; "" when nothing is wrong."""
        return self._lost or ("" if self.ids else self._problem)

    async def read(self) -> bool:
        """Take the ids from Kafka, make one where there is none, put back what it has lost.

        Gives whether an id is known.
        """
        try:
            found = await self._stored()
            if not found and not self.ids:
                await self._propose()
                # The first record counts, whichever worker's it is.
                found = await self._stored()
            lost = [id for id in self.ids if id not in found]
            if lost:
                log.error("ids of this platform are not in Kafka; they are put back", ids=lost)
            for id in lost:
                await self._put(id)
        except KafkaUnavailableError as error:
            why = f"{self._topic} can't be read or written ({error}): run `faust -A app topics`"
            if why != self._problem:
                log.warning("the platform's id is not known", reason=why)
            self._problem = why
            self._can_not_tell = any(name in str(error) for name in CAN_NOT_TELL)
            return False
        self.ids = (*found, *lost)
        if self.ids:
            self.known.set()
        return bool(self.ids)

    def was_asked(self) -> bool:
        """Whether the id is known, or Kafka can't tell it: the topic is missing, or not to be read."""
        return bool(self.ids or self._can_not_tell)

    async def take_back(self, lost: Collection[str]) -> None:
        """Take ids as ours that payments of ours bear, and put them into the topic, which had lost them."""
        new = [id for id in lost if id not in self.ids]
        self._lost = (
            f"payments of ours bear {', '.join(lost)}, which {self._topic} had lost; news of them was "
            "passed over until now (docs/money.md)"
        )
        log.error("the platform's id was lost and is taken back", ids=list(lost), topic=self._topic)
        self.ids = (*self.ids, *new)
        await self.read()

    async def _run(self) -> None:
        failures = 0
        while True:
            failures = 0 if await self._try() else failures + 1
            await (RETRY.pause(failures) if failures else asyncio.sleep(AGAIN_S))

    async def _try(self) -> bool:
        try:
            return await self.read()
        except Exception:
            log.exception("unexpected error in reading the platform's id")
            return False

    async def _stored(self) -> tuple[str, ...]:
        """The ids in the topic, the first one first: it is the mark, however many come later."""
        found: dict[str, None] = {}

        def take(record: FetchedRecord) -> None:
            found[_id_in(record.value or b"")] = None

        unusable = (await self._reader.onwards(self._topic, {}, take)).skipped
        if unusable > self._unusable:
            log.warning(
                "records of the platform's ids can't be used", topic=self._topic, records=unusable
            )
        self._unusable = unusable
        return tuple(found)

    async def _propose(self) -> None:
        await self._put(f"platform_{secrets.token_hex(8)}")
        log.warning(
            "this platform had no id in Kafka; it has one now. Had it payments before, the topic was lost",
            topic=self._topic,
        )

    async def _put(self, id: str) -> None:
        at = to_rfc3339(round(self._now_s() * 1000))
        headers = record_headers(id, EVENT_TYPE, SOURCE, at)
        made = PlatformId(platform_id=id, created_at=at)
        await self._sender.put(self._topic, b"platform", encode(made), headers)


def _id_in(value: bytes) -> str:
    """The id in a record; whatever else is in it may have been typed by hand. Raises ValueError."""
    told = orjson.loads(value)
    id = told.get("platformId") if isinstance(told, dict) else None
    known: PlatformId = convert(PlatformId, {"platformId": id, "createdAt": to_rfc3339(0)})
    return known.platform_id
