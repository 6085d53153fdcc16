"""What a swept record keeps: all that any later input, the proof, the money and the lists need of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.dictionaries import dictionaries_of
from models import ids
from models.rebuild import EVENT_FOLDS, digest
from models.times import DAY_MS
from tables import Limits
from tables.packing import unpack
from tables.record import Record
from tests.compatibility import stored
from tests.compatibility.adapter import SERVICES, ended_records, make_service
from tests.compatibility.replay import replay
from tests.support.ended_order import LAST_MS

RECORDING = stored.load(stored.names()[-1])
LATE_MS = LAST_MS + 1000 * DAY_MS
ENDED = {
    (service, key): raw
    for service in SERVICES
    for _, done in replay(RECORDING, service)
    for key, raw in done.stored.items()
    if key in ended_records(done.stored)
}
"""Of all that a platform does: paid, cancelled, refunded, disputed, quarantined and released."""
PERSONAL = ("asha", "Asha", "MG Road", "9800000000", "560001")
LIMITS = Limits()


def service_of(name: str) -> Any:
    return make_service(name, RECORDING.runs[-1])


def removed(name: str, key: bytes, *times_ms: int) -> tuple[Record, Record]:
    """An ended record, and what is left of it after sweeps at these times."""
    service = service_of(name)
    before, after = (Record(key.decode(), ENDED[name, key], service) for _ in range(2))
    for at_ms in times_ms:
        after.remove_due(service, LIMITS, at_ms)
    return before, after


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"notifications"}))
def test_whatever_was_swept_the_same_inputs_lead_to_the_same_bytes(service: str) -> None:
    """Each ended record is swept of all that may ever go, after each commit batch: far sooner than by settings.

    What a worker that died sent again is there once.
    """
    swept, shrunk = dict(replay(RECORDING, service, LATE_MS)), 0
    for partition, done in replay(RECORDING, service):
        assert set(swept[partition].sent) == set(done.sent)
        stored_now = swept[partition].stored
        assert stored_now.keys() == done.stored.keys()
        shrunk += sum(len(stored_now[key]) < len(raw) - 20 for key, raw in done.stored.items())
    assert bool(shrunk) is (service != "analytics"), "which keeps the same for ever"


@given(st.sampled_from(sorted(ENDED)), st.lists(st.integers(0, 400), max_size=4).map(sorted))
@settings(deadline=None, max_examples=300)
def test_what_was_decided_stays_known_and_what_counts_stays(
    place: tuple[str, bytes], days: list[int]
) -> None:
    name, key = place
    before, after = removed(name, key, *(LAST_MS + each * DAY_MS for each in days))
    service = service_of(name)
    assert (after.version, after.offsets, after.sequences, after.ids) == (
        before.version, before.offsets, before.sequences, before.ids,
    )  # fmt: skip
    assert after.has_ended(service)
    snapshot = after.snapshot()
    by_clients = [
        c for c in before.outcomes if any(ids.token(c) in kept for kept in before.ids.values())
    ]
    assert all(snapshot.has_decided(command) for command in by_clients)
    assert not snapshot.has_decided("cmd_of_another")
    assert after.index(service, has_ended=True)[1] == before.index(service, has_ended=True)[1]
    if name in EVENT_FOLDS:
        derived = [EVENT_FOLDS[name].derived(record.state) for record in (before, after)]
        assert derived[0] == derived[1]
        assert derived[0] is None or digest(derived[0]) == digest(derived[1])


@given(st.sampled_from(sorted(ENDED)), st.integers(-1, 400))
@settings(deadline=None, max_examples=200)
def test_each_time_is_kept_once_and_the_next_is_told(place: tuple[str, bytes], days: int) -> None:
    name, key = place
    at_ms = LAST_MS + days * DAY_MS
    service = service_of(name)
    before, after = removed(name, key, at_ms)
    due_ms = before.due_ms(service, LIMITS)
    assert not after.remove_due(service, LIMITS, at_ms), "a second time"
    left_ms = after.due_ms(service, LIMITS)
    assert left_ms is None or left_ms > at_ms
    if due_ms is None or due_ms > at_ms:
        assert after.dump(service) == before.dump(service)
    again = Record(key.decode(), after.dump(service), service)
    assert again.dump(service) == after.dump(service)


@pytest.mark.parametrize("service", SERVICES)
def test_in_the_end_there_is_no_outcome_and_nothing_personal(service: str) -> None:
    count = 0
    for name, key in ENDED:
        if name == service:
            made = service_of(name)
            _, after = removed(name, key, LATE_MS)
            assert after.due_ms(made, LIMITS) is None
            assert not after.outcomes
            text = unpack(after.dump(made), dictionaries_of(name)).decode()
            assert not [word for word in PERSONAL if word in text]
            count += 1
    assert count
