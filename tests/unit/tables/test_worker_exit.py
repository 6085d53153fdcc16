"""Failures are counted by place, over restarts, and only those that a record can cause."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError, ProducerFenced

from tables.worker_exit import MAX_FAILURES_AT_ONE_OFFSET, Failure, FailureLog

PLACE = ("payment-commands", 7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker" / "failures.json"


def fail(path: Path, error: BaseException, place: tuple[str, int] = PLACE) -> Failure | None:
    inputs = (place, {place[0]: place[1] + 2})
    FailureLog(path).note("payments", 1, inputs, error)  # as the next process does: read anew
    return FailureLog(path).of("payments", 1)


def test_failures_at_one_place_add_up_and_elsewhere_begin_anew(path: Path) -> None:
    for count in range(1, MAX_FAILURES_AT_ONE_OFFSET + 1):
        assert fail(path, ValueError("x")) == Failure(*PLACE, count, "ValueError", {PLACE[0]: 9})
    assert fail(path, ValueError(), ("payment-commands", 8)).count == 1
    assert FailureLog(path).of("payments", 2) is None
    FailureLog(path).clear("payments", 1)
    assert FailureLog(path).of("payments", 1) is None


@pytest.mark.parametrize(
    "error",
    [
        ProducerFenced(),
        KafkaConnectionError(),
        TimeoutError(),
        OSError(28, "full"),
        Exception("IO"),
    ],
    ids=repr,
)
def test_what_is_no_records_fault_is_not_counted(path: Path, error: BaseException) -> None:
    assert fail(path, error) is None


@pytest.mark.parametrize(
    "error", [MessageSizeTooLargeError(), MemoryError(), KeyError("k")], ids=repr
)
def test_what_a_record_can_cause_is_counted(path: Path, error: BaseException) -> None:
    assert fail(path, error).count == 1


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"payments/1":{"x":1}}', b'{"payments/1":3}'])
def test_a_file_that_was_cut_off_is_begun_anew(path: Path, raw: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(raw)
    assert FailureLog(path).of("payments", 1) is None
    assert fail(path, ValueError()).count == 1


def test_a_failure_is_passed_once_all_that_was_in_flight_is_done(path: Path) -> None:
    failure = fail(path, ValueError())
    assert not failure.is_behind({PLACE[0]: 8})
    assert not failure.is_behind({})
    assert failure.is_behind({PLACE[0]: 9})
