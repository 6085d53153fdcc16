"""What the operators' routes show of Kafka, the audit and the workers; the workers' clocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.fields import Count, EpochMillis, Id, ShortText, Text, Timestamp
from models.messages import Message


@dataclass(frozen=True, slots=True)
class Offsets:
    """A topic-partition in Kafka. committed: of the workers' group; None while there is none."""

    end: int
    committed: int | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events; "" and None are all. by: a part of the operator's name. kind: the event's type."""

    by: str = ""
    kind: str | None = None
    order: str | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A part of the audit.

    events: envelopes as JSON values, the latest first. scanned: records looked at. before: where the
    next page ends in each topic-partition ("topic/0" -> offset); empty when that was all.
    """

    events: Sequence[Mapping[str, Any]]
    scanned: int
    before: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """State of one worker.

    started_ms: since the epoch. effects_pending: Stripe writes that have not ended. stripe_errors:
    class -> calls that had to be tried again, since the start. clock_trouble: what is wrong with the
    clocks, stripe_trouble: with the Stripe account or its endpoint; "" when nothing is.
    recovery_rows_left: of the changelogs that its tables are read from, standby replicas that are far
    behind with them. recovery_seconds_left: how long that will take; None while that can't be told.
    refused_share: of new orders, because there is too much to do; 0 to 1.
    """

    started_ms: int
    effects_pending: int = 0
    recovery_rows_left: int = 0
    recovery_seconds_left: int | None = None
    stripe_errors: Mapping[str, int] = field(default_factory=dict)
    clock_trouble: str = ""
    stripe_trouble: str = ""
    refused_share: float = 0.0


class WorkerClock(Message):
    """A worker's address and its own clock's time (RFC 3339), compared with Kafka's timestamp."""

    worker: str
    clock: str


class PlatformId(Message):
    """The id that tells this platform from others with the same app id on one Stripe account.

    Under the key `level` it says the platform's level too (models/levels.py), from a time of Kafka's on, in
    milliseconds since the epoch, and who raised it, and why. Under the key `staff-revoked` it says which tokens
    of staff are not taken any more (app/staff_revocations.py): of a subject, issued until `from_ms`, or the one
    with that SHA-256; until when that has a use; who revoked them, and why.
    """

    platform_id: Id
    created_at: Timestamp
    level: Count = 0
    from_ms: EpochMillis = 0
    by: ShortText = ""
    reason: Text = ""
    subject: ShortText = ""
    token_hash: ShortText = ""
    until_ms: EpochMillis = 0
