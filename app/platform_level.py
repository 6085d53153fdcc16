"""The platform's level in Kafka: what is there at a worker's start, what comes later, and how it is raised.

The records are in the topic of the platform's id, and bear it, so that release 0.1.0 takes them for that id
said once more. A worker that does not understand the level ends with status 78, at its start before it joins
the group. models/levels.py says what a level is.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from app.audit import operator_event, publish_event
from app.kafka.headers import record_headers
from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.platform_identity import SOURCE, PlatformIdentity
from app.task_runner import Background
from models.errors import KafkaUnavailableError
from models.events import EventType, UpgradeFinished
from models.levels import LATEST, Build, LevelHistory, build_of
from models.messages import decode_known, encode
from models.operations import PlatformId
from models.sender import CommandSender
from models.times import to_rfc3339
from models.topics import ORDER_COMMANDS, PAYMENT_COMMANDS, PLATFORM_IDENTITY, TOPICS
from tables.worker_exit import WrongKafkaError

log = structlog.stdlib.get_logger(__name__)

KEY: Final = b"level"
EVENT_TYPE: Final = "PLATFORM_LEVEL"
READ_EVERY_S: Final = 2.0
BEGINS_AFTER_MS: Final = 10_000
"""Between the record of a new level and its beginning: in this time every worker reads it, and one that does
not understand it ends, before anything is written that it would misread."""
PLACE: Final = (PLATFORM_IDENTITY, 0)


def said_by(record: FetchedRecord) -> PlatformId | None:
    """What a record of PLACE says of the level, if it does. Raises ValueError for one that is none of ours."""
    return decode_known(PlatformId, record.value or b"") if record.key == KEY else None


class PlatformLevel(Background):
    """One a worker. history: the levels as known now; empty while Kafka has told none, which is the oldest."""

    def __init__(
        self,
        sender: CommandSender,
        kafka: KafkaReader,
        identity: PlatformIdentity,
        *,
        group: str,
        partitions: int,
        now_ms: Callable[[], int],
        end_worker: Callable[[WrongKafkaError], None],
    ) -> None:
        """group: the workers'. now_ms: Kafka's clock. end_worker: is told that this build must not go on."""
        super().__init__()
        self.history = LevelHistory()
        self._sender, self._kafka, self._identity = sender, kafka, identity
        self._group, self._partitions = group, partitions
        self._now_ms, self._end_worker = now_ms, end_worker
        self._offset = 0
        self._unaudited: set[int] = set()

    def active(self, level: int) -> bool:
        """Whether what begins with a level may be written now, by what is no decision (those have theirs)."""
        return self.history.at(self._now_ms()) >= level

    async def prepare(self) -> None:
        """Before the worker joins the group: learn the level, or give a new platform the latest.

        Raises KafkaUnavailableError; WrongKafkaError where topics are missing, or this build does not
        understand the level.
        """
        if missing := await self._kafka.missing(TOPICS):
            raise WrongKafkaError(
                f"Kafka has no topic {', '.join(missing)}: run `faust -A app topics` of this build, which "
                "makes what it needs, and start the worker again."
            )
        await self._read()
        if not self.history and await self._is_new_platform():
            await self._identity.read()
            if self._identity.ids:
                await self._put(LATEST, 0, by="system:start", reason="a new platform")
                await self._read()
        self._check()

    async def builds(self) -> Sequence[Build]:
        """What each live worker runs, as Kafka's group has it. Raises KafkaUnavailableError."""
        return [build_of(*member) for member in await self._kafka.group_members(self._group)]

    async def finish(self, level: int, *, by: str, reason: str) -> None:
        """Raise the level; returns once Kafka has it and the audit of it. Raises KafkaUnavailableError.

        The record says itself who did it, so that a level never stands in Kafka without. The event of the audit
        comes behind it: before it, no worker need understand that event. A level that is the platform's already
        is left as it is.
        """
        if level > self.history.highest:
            from_ms = self._now_ms() + BEGINS_AFTER_MS
            await self._put(level, from_ms, by=by, reason=reason)
            self._unaudited.add(level)
            await self._read()
        if level not in self._unaudited:
            return
        change = next(each for each in self.history if each.level == level)
        data = UpgradeFinished(
            level=level, begins_at=to_rfc3339(change.from_ms), reason=reason, by=by
        )
        act = f"level/{level}"
        event = operator_event(EventType.UPGRADE_FINISHED, act, act, data, self._now_ms())
        await publish_event(self._sender, event)
        self._unaudited.discard(level)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(READ_EVERY_S)
            try:
                await self._read()
            except KafkaUnavailableError as error:
                log.debug("the platform's level can't be read", reason=str(error))
            except Exception:
                log.exception("unexpected error in reading the platform's level")
            try:
                self._check()
            except WrongKafkaError as error:
                self._end_worker(error)

    async def _read(self) -> None:
        """Take what has come. What is there is never taken back, so a topic that lost it changes nothing."""
        if self._offset and await self._kafka.end(PLACE) == self._offset:
            return
        found = await self._kafka.onwards(PLATFORM_IDENTITY, {0: self._offset}, self._take)
        self._offset = found.offsets[0]

    def _take(self, record: FetchedRecord) -> None:
        """Take a record of the topic. Raises ValueError for one that is none of ours."""
        said = said_by(record)
        if said is None:
            return
        before = self.history
        self.history = before.raised(said.level, said.from_ms)
        if before is not self.history:
            begins = to_rfc3339(said.from_ms)
            log.warning(
                "the platform's level", platform_level=said.level, begins=begins, by=said.by
            )

    def _check(self) -> None:
        """Raise WrongKafkaError where this build does not understand the level."""
        highest = self.history.highest
        if highest > LATEST:
            raise WrongKafkaError(
                f"this platform is at level {highest}, and this build understands level {LATEST:d} at most: an "
                "upgrade was finished (`faust -A app level finish`), and there is no way back behind it. Start "
                "this worker with a build that understands it; `faust -A app level show` of another worker "
                "names those that run."
            )

    async def _is_new_platform(self) -> bool:
        """Whether no order was ever sent to it, and no worker of it ever committed anything."""
        topics = (ORDER_COMMANDS, PAYMENT_COMMANDS)
        offsets = await self._kafka.offsets(self._group, topics, self._partitions)
        is_unused = all(not each.end and each.committed is None for each in offsets.values())
        return is_unused and not await self._kafka.end(PLACE)

    async def _put(self, level: int, from_ms: int, *, by: str, reason: str) -> None:
        at = to_rfc3339(self._now_ms())
        said = PlatformId(
            platform_id=self._identity.ids[0], created_at=at, level=level, from_ms=from_ms, by=by,
            reason=reason,
        )  # fmt: skip
        headers = record_headers(f"level_{secrets.token_hex(8)}", EVENT_TYPE, SOURCE, at)
        await self._sender.put(PLATFORM_IDENTITY, KEY, encode(said), headers)
