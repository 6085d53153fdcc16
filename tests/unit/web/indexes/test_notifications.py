"""The list of messages to customers: nothing that is open is ever left out, what has ended is bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app.notifications.mail
import app.notifications.notifier
import app.notifications.sms
from models.events import EventType
from models.notification import Channel, Notification, NotificationRecord, NotificationStatus
from tables import NotOwnerError, StoredRecord
from web.api.notifications import WORDS, send_error_text
from web.indexes import entries
from web.indexes.notifications import NotificationEntry, NotificationIndex

S = NotificationStatus
ENDED = {S.SENT, S.FAILED, S.SUPERSEDED}
KEYS = [f"order_{number}" for number in range(6)]


def stored(key: str, statuses: list[NotificationStatus], at_ms: int = 0) -> StoredRecord:
    messages = {
        f"{key}-{number}": Notification(
            notification_id=f"{key}-{number}", event_id="e", event_type=EventType.ORDER_DELIVERED,
            channel=Channel.SMS, status=status, occurred_at=at_ms, requested_at=at_ms,
        )
        for number, status in enumerate(statuses)
    }  # fmt: skip
    return StoredRecord(
        key=key, version=1, state=NotificationRecord(notifications=messages), sequences={},
        outcomes={}, quarantine=None,
    )  # fmt: skip


class Table:
    """What is stored of one partition."""

    name = "notifications"

    def __init__(self) -> None:
        self.records: dict[str, StoredRecord] = {}
        self.is_ours = True

    def scan(self, partition: int, after: str = "", limit: int = 2) -> list[StoredRecord]:
        assert partition == 0
        if not self.is_ours:
            raise NotOwnerError(self.name)
        return [self.records[key] for key in sorted(self.records) if key > after][:limit]


def index_of(table: Table) -> NotificationIndex:
    made: Any = table
    return NotificationIndex(made)


def entries_of(records: Iterator[StoredRecord]) -> set[NotificationEntry]:
    return {
        NotificationEntry.of(record.key, message)
        for record in records
        for message in record.state.notifications.values()
    }


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.lists(st.sampled_from(S), max_size=3))),
    st.integers(1, 2),
)
def test_open_ones_are_all_there_and_of_ended_ones_the_latest(
    changes: list[tuple[str, list[NotificationStatus]]], kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "MAX_ENDED_KEPT", kept)
        index, truth = index_of(Table()), {}
        ever_ended: dict[bool, list[tuple[int, str]]] = {True: [], False: []}
        for at_ms, (key, statuses) in enumerate(changes):
            if not statuses and key in truth:
                continue  # an order's messages change, none is ever taken away
            truth[key] = stored(key, statuses, at_ms)
            index.updated(0, key, truth[key])
            if statuses and set(statuses) <= ENDED:
                ever_ended[S.FAILED in statuses].append((at_ms, key))
        found = set(index.entries(0))
    assert found <= entries_of(iter(truth.values()))
    for key, record in truth.items():
        if entries_of(iter([record])) <= found:
            continue
        became = {message.status for message in record.state.notifications.values()}
        assert became <= ENDED, "something is left to be sent"
        # Dropped for later ones, some of which may have been tried again since.
        group = ever_ended[S.FAILED in became]
        at_ms = max(at_ms for at_ms, ended in group if ended == key)
        assert len({ended for later_ms, ended in group if later_ms > at_ms}) >= kept
    if found < entries_of(iter(truth.values())):
        assert index.left_out(0)


async def test_what_ended_before_is_read_once_and_dropped_with_the_partition() -> None:
    table = Table()
    for key in KEYS:
        table.records[key] = stored(key, [S.SENT])
    index = index_of(table)
    await index.read_ended(0, 60)
    assert {entry.order_id for entry in index.entries(0)} == set(KEYS)
    assert not index.left_out(0)
    index.closed(0)
    assert not list(index.entries(0))
    table.is_ours = False
    with pytest.raises(NotOwnerError):
        await index.read_ended(0, 60)


def test_every_code_that_a_channel_gives_is_explained_by_itself() -> None:
    sources = "".join(
        Path(str(module.__file__)).read_text()
        for module in (app.notifications.mail, app.notifications.sms, app.notifications.notifier)
    )
    codes = set(re.findall(r'(?:Refused|Deferred)Error\("(\w+)"\)', sources))
    assert len(codes) >= 8
    assert codes <= WORDS.keys()
    assert send_error_text("SMTP_457") == "The mail server refused it for now."
    assert send_error_text("TWILIO_503") == "The SMS provider had a fault of its own."
    assert send_error_text("TWILIO_60001") == "The SMS provider refused it."
    assert send_error_text("BUG_KeyError") != send_error_text("SOMETHING")
    assert send_error_text(None) is None
