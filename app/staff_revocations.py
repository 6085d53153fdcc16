"""Revoked tokens of staff in Kafka: read by every worker at its start and every two seconds, and written here.

The records are in the topic of the platform's id, and bear it, as those of its level do: release 0.1.0 takes
them for that id said once more. An operator writes some in a year, so the topic stays small.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from app.audit import publish_audit_event
from app.kafka.headers import record_headers
from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.platform_identity import SOURCE, PlatformIdentity
from app.task_runner import Background
from models.errors import KafkaUnavailableError
from models.events import EventType, StaffRevoked
from models.levels import Level
from models.messages import decode_known, encode
from models.operations import PlatformId
from models.sender import CommandSender
from models.times import to_rfc3339
from models.topics import PLATFORM_IDENTITY
from web.http.revoked_tokens import Revocation, RevokedTokens

log = structlog.stdlib.get_logger(__name__)

KEY: Final = b"staff-revoked"
EVENT_TYPE: Final = "STAFF_REVOKED"
READ_EVERY_S: Final = 2.0


class StaffRevocations(Background):
    """One a worker; `web.http.deps.Revocations`. revoked: as known now."""

    def __init__(
        self,
        sender: CommandSender,
        kafka: KafkaReader,
        identity: PlatformIdentity,
        *,
        active: Callable[[int], bool],
        now_ms: Callable[[], int],
        topic: str = PLATFORM_IDENTITY,
    ) -> None:
        """active: whether a level has begun. now_ms: Kafka's clock."""
        super().__init__()
        self.revoked = RevokedTokens(now_ms)
        self._sender, self._kafka, self._identity = sender, kafka, identity
        self._active, self._now_ms, self._topic = active, now_ms, topic
        self._offset = 0

    def all(self) -> Iterator[Revocation]:
        """Those that count, the latest first."""
        return self.revoked.all()

    async def revoke(self, revocation: Revocation) -> None:
        """Revoke; returns once Kafka has it, and the audit. Other workers know within seconds.

        Raises KafkaUnavailableError; the same again does no harm. The audit has it from level V0_2 on; the
        record itself says who did it, and why, at any level.
        """
        if not self._identity.ids:
            raise KafkaUnavailableError("the platform's id is not known yet")
        at = to_rfc3339(revocation.at_ms)
        said = PlatformId(
            platform_id=self._identity.ids[0], created_at=at, from_ms=revocation.at_ms,
            until_ms=revocation.until_ms, subject=revocation.subject,
            token_hash=revocation.token_hash, by=revocation.by, reason=revocation.reason,
        )  # fmt: skip
        name = f"revoked_{secrets.token_hex(8)}"
        headers = record_headers(name, EVENT_TYPE, SOURCE, at)
        await self._sender.put(self._topic, KEY, encode(said), headers)
        await self.read()
        if self._active(Level.V0_2):
            data = StaffRevoked(
                subject=revocation.subject, is_single=bool(revocation.token_hash), issued_before=at,
                reason=revocation.reason, by=revocation.by,
            )  # fmt: skip
            await publish_audit_event(self._sender, EventType.STAFF_REVOKED, name, data)

    async def read(self) -> None:
        """Take what has come. Raises KafkaUnavailableError."""
        try:
            # First the read that tells of a topic that is not there, for a question for its end does not.
            is_known = self.revoked.is_known
            if not is_known or await self._kafka.end((self._topic, 0)) != self._offset:
                found = await self._kafka.onwards(self._topic, {0: self._offset}, self._take)
                self._offset = found.offsets[0]
        except KafkaUnavailableError as error:
            if "UNKNOWN_TOPIC" not in str(error):
                raise
        self.revoked.is_known = True  # without the topic nothing was ever revoked

    async def _run(self) -> None:
        while True:
            try:
                await self.read()
            except KafkaUnavailableError as error:
                log.debug("revoked tokens can't be read", reason=str(error))
            except Exception:
                log.exception("unexpected error in reading revoked tokens")
            await asyncio.sleep(READ_EVERY_S)

    def _take(self, record: FetchedRecord) -> None:
        """Take a record of the topic. Raises ValueError for one that is none of ours."""
        if record.key != KEY:
            return
        said = decode_known(PlatformId, record.value or b"")
        found = Revocation(
            said.subject, said.token_hash, said.from_ms, said.until_ms, said.by, said.reason
        )
        self.revoked.add(found)
        log.warning("tokens of staff are revoked", by=said.by, is_single=bool(said.token_hash))
