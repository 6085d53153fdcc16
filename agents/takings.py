"""The takings service: sums up what each restaurant takes a day, from what analytics tells of each payment."""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import partial
from typing import Final, NamedTuple

from agents.decision import MAX_TIMESTAMP_DEVIATION_MS
from agents.service import GATHERED_S, Service
from models import topics
from models.messages import decode_known, describe
from models.takings import DEFAULT_KEPT_DAYS, Takings, TakingsChange, added, restarted_record
from models.times import from_rfc3339
from models.transition import Decision, Input, InputIdentity, ReadRow, UnreadableError


class TakingsPolicy(NamedTuple):
    """zones: restaurant -> its time zone; UTC for others. kept_days: how long a day that is over is kept."""

    zones: Mapping[str, tzinfo] = {}
    kept_days: int = DEFAULT_KEPT_DAYS


DEFAULT_TAKINGS_POLICY: Final = TakingsPolicy()


def read_change(_topic: str, _key: bytes, value: bytes) -> tuple[InputIdentity, TakingsChange]:
    """Read what a payment changes. Raises UnreadableError."""
    try:
        change = decode_known(TakingsChange, value)
    except ValueError as error:
        raise UnreadableError(describe(error)) from None
    return InputIdentity(change.event_id), change


def decide(state: Takings, record: Input, _read: ReadRow, policy: TakingsPolicy) -> Decision:
    """Add a change to its day. The engine's number of it says which partition told it."""
    zone = policy.zones.get(record.key, UTC)
    told_by = record.identity.producer
    change: TakingsChange = record.message
    said_ms = from_rfc3339(change.occurred_at)
    is_a_time = abs(record.timestamp_ms - said_ms) <= MAX_TIMESTAMP_DEVIATION_MS
    at_ms = record.timestamp_ms if is_a_time else said_ms
    return Decision(added(state, change, told_by, at_ms, zone, policy.kept_days))


def takings_service(policy: TakingsPolicy = DEFAULT_TAKINGS_POLICY) -> Service[Takings]:
    """The service; its keys are restaurants."""
    return Service(
        name="takings",
        about="Sums up what each restaurant takes a day, in its time zone.",
        inputs={topics.RESTAURANT_TAKINGS: read_change},
        state=Takings,
        initial=Takings(),
        decide=partial(decide, policy=policy),
        gather_s=GATHERED_S,
        restarted=restarted_record,
    )
