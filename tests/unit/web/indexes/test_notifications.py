"""The list of messages to customers: nothing that is open is ever left out, what has ended is bounded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app.notifications.mail
import app.notifications.notifier
import app.notifications.sms
from agents.notifications import notifications_service
from models.events import EventType
from models.notification import Channel, Notification, NotificationRecord, NotificationStatus
from tables import StoredRecord
from tests.support.in_memory_backend import InMemoryTable
from web.api.notifications import WORDS, send_error_text
from web.indexes import notifications
from web.indexes.notifications import NotificationEntry, NotificationIndex

S = NotificationStatus
KEYS = [f"order_{number}" for number in range(6)]


def state_of(key: str, statuses: list[NotificationStatus], at_ms: int) -> NotificationRecord:
    messages = {
        f"{key}-{number}": Notification(
            notification_id=f"{key}-{number}", event_id="e", event_type=EventType.ORDER_DELIVERED,
            channel=Channel.SMS, status=status, occurred_at=at_ms, requested_at=at_ms,
        )
        for number, status in enumerate(statuses)
    }  # fmt: skip
    return NotificationRecord(notifications=messages)


def entries_of(records: Iterable[StoredRecord]) -> set[NotificationEntry]:
    return {
        NotificationEntry.of(record.key, message)
        for record in records
        for message in record.state.notifications.values()
    }


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.lists(st.sampled_from(S), max_size=3))),
    st.integers(1, 2),
    st.booleans(),
)
def test_open_ones_are_all_there_and_of_ended_ones_the_latest(
    changes: list[tuple[str, list[NotificationStatus]]], kept: int, moves: bool
) -> None:
    table = InMemoryTable(notifications_service(), "notifications")
    index = NotificationIndex(table)
    for at_ms, (key, statuses) in enumerate(changes):
        if (
            statuses or key not in table.records
        ):  # an order's messages change, none is ever taken away
            index.updated(0, key, table.put(key, state_of(key, statuses, at_ms)))
    if moves:  # to a worker that is given what has not ended
        index = NotificationIndex(table)
        for key, record in table.records.items():
            if not record.state.has_ended:
                index.updated(0, key, record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notifications, "MAX_ENDED_LISTED", kept)
        found = list(index.entries(0))
        is_bounded = index.is_bounded(0)
    assert len(found) == len(set(found))
    wanted, left_out = set(), False
    records = sorted(table.records.values(), key=latest_ms, reverse=True)
    for has_failed in (True, False):
        ended = [each for each in records if of_kind(each, has_failed=has_failed)]
        wanted |= entries_of(ended[:kept])
        left_out |= len(ended) > kept
    wanted |= entries_of([each for each in records if not each.state.has_ended])
    assert set(found) == wanted
    assert is_bounded is left_out
    assert index.counts(0) == Counter(str(each.status) for each in entries_of(records))


def latest_ms(record: StoredRecord) -> int:
    return max((each.occurred_at for each in record.state.notifications.values()), default=0)


def of_kind(record: StoredRecord, *, has_failed: bool) -> bool:
    statuses = {each.status for each in record.state.notifications.values()}
    return bool(statuses) and record.state.has_ended and (S.FAILED in statuses) is has_failed


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
