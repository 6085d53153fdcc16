"""What operators are shown of one record or row of a table, without what names a customer."""

from typing import Any

import orjson
from pydantic import Field

from models.notification import NotificationRecord
from models.order import OrderRecord
from models.times import to_rfc3339
from tables import StateTable, StoredRecord
from web.http.api_model import ApiModel
from web.http.redaction import redacted_state, shown

Stored = StoredRecord | bytes | None
"""A record, the value of a row, or None for a record that can't be read."""


class TableItem(ApiModel):
    """One record or row.

    kind: "record"; "row", of which only partition and value are known; or "broken", which can't be read.
    statuses: what the parameter `state` compares. version: commit batches that changed it. hasEnded: nothing is
    left to be done for it. quarantine: why its inputs are turned away. sequences: "topic/producer" -> the last
    one decided. outcomes: command -> its code, "ACCEPTED" without one; of the last 24 hours. value: the state,
    or the row. masked: something in the value is hidden.
    """

    key: str
    kind: str
    partition: int
    statuses: tuple[str, ...] = ()
    version: int | None = None
    has_ended: bool | None = None
    quarantine: str | None = None
    quarantined_since: str | None = None
    sequences: dict[str, int] = Field(default_factory=dict)
    outcomes: dict[str, str] = Field(default_factory=dict)
    value: Any = None
    masked: bool = False


def item_of_record(
    table: StateTable, partition: int, stored: StoredRecord, *, hides_people: bool
) -> TableItem:
    """Show a record. hides_people: without contact and address."""
    state = orjson.loads(orjson.dumps(table.service.dump(stored.state)))
    value = redacted_state(state, hides_people=hides_people)
    quarantine = stored.quarantine
    return TableItem(
        key=stored.key,
        kind="record",
        partition=partition,
        statuses=statuses_of(stored.state),
        version=stored.version,
        has_ended=has_ended(table, stored),
        quarantine=quarantine.reason if quarantine else None,
        quarantined_since=to_rfc3339(quarantine.since_ms) if quarantine else None,
        sequences=dict(stored.sequences),
        outcomes={
            command: kept.outcome.code or ("ACCEPTED" if kept.outcome.accepted else "REFUSED")
            for command, kept in stored.outcomes.items()
        },
        value=value.value,
        masked=value.is_masked,
    )


def has_ended(table: StateTable, stored: StoredRecord) -> bool:
    """Whether nothing is left to be done for a record; a quarantined one waits for an operator."""
    return stored.quarantine is None and table.service.has_ended(stored.state)


def item_of_row(partition: int, key: str, raw: bytes | None) -> TableItem:
    """Show a row, which names nobody. raw: None of a record that can't be read."""
    if raw is None:
        return TableItem(key=key, kind="broken", partition=partition)
    value = shown(raw, hides_people=False)
    return TableItem(
        key=key, kind="row", partition=partition, value=value.value, masked=value.is_masked
    )


def statuses_of(state: Any) -> tuple[str, ...]:
    """The statuses of a record's state: of an order, a payment, a delivery, or of each message."""
    if isinstance(state, OrderRecord):
        return (str(state.status_shown),)
    if isinstance(state, NotificationRecord):
        return tuple(sorted({str(each.status) for each in state.notifications.values()}))
    parts = (getattr(state, name, None) for name in ("payment", "delivery"))
    return tuple(str(part.status) for part in parts if part is not None)
