"""Pages of the audit, one after the other, show every act once, whatever lies between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit import audit_page
from app.kafka.reader import RecordWindow
from app.kafka.records import FetchedRecord
from models import ids, topics
from models.operations import AuditFilter
from web.http.problems import ProblemError
from web.ops.audit import audit_cursor, read_audit_cursor

ORDER = ids.order_id("guest", "audit")
T = 1_795_417_200_000


def record(offset: int, at_ms: int, raw: bytes) -> FetchedRecord:
    return FetchedRecord(topics.ORDER_AUDIT, 0, offset, at_ms, ORDER.encode(), raw, ())


def refused(event_id: str, by: str = "operator:alice") -> bytes:
    data = {"commandId": "c", "commandType": "CANCEL_ORDER", "code": "X", "detail": "d", "by": by}
    return orjson.dumps(
        {"eventId": event_id, "eventType": "COMMAND_REFUSED", "occurredAt": "2026-11-23T07:00:00.000Z",
         "orderId": ORDER, "paymentId": None, "sequence": 1, "causationId": "c",
         "correlationId": "c", "producer": "orders", "data": data}
    )  # fmt: skip


def pages(
    log: dict[str, list[FetchedRecord]], asked: AuditFilter, size: int, limit: int
) -> list[str]:
    """Ids of the acts of all pages, as an operator goes through them."""
    before: Mapping[str, int] = {}
    found: list[str] = []
    for _ in range(sum(map(len, log.values())) + 2):
        ends = read_audit_cursor(audit_cursor(before) if before else "")
        windows = []
        for place, messages in log.items():
            end = ends.get(place, len(messages))
            start = max(0, end - size)
            windows.append(RecordWindow(place, start, start == 0, messages[start:end]))
        page = audit_page(windows, limit, asked)
        assert page.scanned <= size * len(log)
        found += [event["eventId"] for event in page.events]
        before = page.before
        if not before:
            return found
    raise AssertionError("the pages come to no end")


FOREIGN = [b"", b"[" * 900, b"{}", b"\\xff", b'{"eventType":"COMMAND_REFUSED","data":{"by":7}}']
TIMES = st.sampled_from([-1, 0, T, T + 1, T + 5, 4_070_908_800_000, 2**62])


@given(
    st.lists(st.lists(st.tuples(TIMES, st.booleans()), max_size=12), min_size=1, max_size=3),
    st.integers(1, 4), st.integers(1, 4),
)  # fmt: skip
def test_every_act_is_shown_once(logs: Any, size: int, limit: int) -> None:
    log = {
        f"t/{number}": [
            record(
                at, at_ms,
                refused(f"{number}.{at}") if is_act else FOREIGN[at % len(FOREIGN)],
            )
            for at, (at_ms, is_act) in enumerate(entries)
        ]
        for number, entries in enumerate(logs)
    }  # fmt: skip
    wanted = [
        f"{number}.{at}" for number, e in enumerate(logs) for at, (_, act) in enumerate(e) if act
    ]
    assert sorted(pages(log, AuditFilter(), size, limit)) == sorted(wanted)


def test_the_audit_is_filtered_by_whom_kind_and_order() -> None:
    log = {
        "t/0": [
            record(0, T, refused("a")),
            record(1, T, refused("b", "customer:x")),
        ]
    }
    for asked, wanted in (
        (AuditFilter(), {"a", "b"}), (AuditFilter(by="ALICE"), {"a"}), (AuditFilter(by="nobody"), set()),
        (AuditFilter(kind="COMMAND_REFUSED"), {"a", "b"}), (AuditFilter(kind="ORDER_CANCELLED"), set()),
        (AuditFilter(order=ORDER), {"a", "b"}), (AuditFilter(order="order_x"), set()),
    ):  # fmt: skip
        assert set(pages(log, asked, 5, 5)) == wanted


@pytest.mark.parametrize("before", ["x", "bnVsbA==", "eyJhIjoxZTQwMH0=", "eyJhIjoieCJ9", "\udcff"])
def test_a_cursor_that_is_none_is_refused(before: str) -> None:
    with pytest.raises(ProblemError) as refusal:
        read_audit_cursor(before)
    assert refusal.value.status == 400
