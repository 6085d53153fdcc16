"""Reading a partition by how keys begin, and past the many rows by which orders are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from rocksdict import Options, Rdict

from agents.orders import orders_service
from models import ids, search_terms
from models.search_terms import TermKind
from tables import NotOwnerError, views
from tables.views import StateTable

ORDERS = [ids.order_id("guest", str(number)) for number in range(40)]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[StateTable]:
    """One partition: records, rows of theirs, and rows that find them, before and behind them."""
    database = Rdict(str(tmp_path / "db"), Options(raw_mode=True))
    record = orjson.dumps({"version": 1, "epoch": 1, "state": {}, "offsets": {}})
    for order_id in [*ORDERS, "a-key", "find", "zebra"]:
        database[order_id.encode()] = record
        for key, value in search_terms.search_rows(
            [(TermKind.NAME, "asha"), (TermKind.ID, order_id)], order_id
        ).items():
            database[key.encode()] = value
    database[f"{ORDERS[0]}/000001".encode()] = b"{}"
    database[b"minute/1"] = b"{}"
    table = StateTable(orders_service(), 1, lambda _: None)
    table.open(0, database)
    yield table
    database.close()


def test_scans_and_rows_leap_over_what_finds_orders(table: StateTable) -> None:
    found: list[str] = []
    while slice_ := table.scan(0, found[-1] if found else "", 7):
        found += [record.key for record in slice_]
    assert found == sorted([*ORDERS, "a-key", "find", "zebra"])
    assert [key for key, _ in table.rows(f"{ORDERS[0]}/")] == [f"{ORDERS[0]}/000001"]
    assert [key for key, _ in table.rows("minute/", 0)] == ["minute/1"]


def test_keys_are_found_by_how_they_begin(table: StateTable) -> None:
    first = ORDERS[0]
    assert table.keys(0, first[:14]) == [first, f"{first}/000001"]
    assert table.keys(0, first[:14], 1) == [first]
    (row,) = table.keys(0, search_terms.row_prefix(TermKind.ID, first))
    assert search_terms.order_of_row(row) == first
    assert len(table.keys(0, search_terms.row_prefix(TermKind.NAME, "asha"), 21)) == 21
    assert table.keys(0, search_terms.row_prefix(TermKind.NAME, "ben")) == []
    assert table.keys(0, "zz") == []


def test_records_and_rows_are_read_a_slice_at_a_time(table: StateTable) -> None:
    database: Any = table._open[0]
    database[b"broken"] = b"{"
    found: list[tuple[str, Any]] = []
    while slice_ := table.items(0, "", found[-1][0] if found else "", 7):
        assert len(slice_) <= 7
        found += slice_
    rows = [f"{ORDERS[0]}/000001", "minute/1"]
    assert [key for key, _ in found] == sorted([*ORDERS, "a-key", "broken", "find", "zebra", *rows])
    assert dict(found)["minute/1"] == b"{}"
    assert dict(found)["broken"] is None
    assert [key for key, _ in table.items(0, ORDERS[0])] == [ORDERS[0], rows[0]]
    assert [key for key, _ in table.items(0, ORDERS[0], ORDERS[0])] == [rows[0]]
    assert table.items(0, "a-", "b") == []


def test_a_record_is_the_same_object_until_it_changes_or_leaves(
    table: StateTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MAX_CACHED_RECORDS", 3)
    first = table.get(ORDERS[0])
    assert table.get(ORDERS[0]) is first
    assert table.get("nobody") is None
    database: Any = table._open[0]
    database[ORDERS[0].encode()] = orjson.dumps(
        {"version": 2, "epoch": 1, "state": {}, "offsets": {}}
    )
    table.publish(0, [ORDERS[0].encode()], ())
    changed = table.get(ORDERS[0])
    assert changed
    assert changed.version == 2
    for order_id in ORDERS[1:9]:
        table.get(order_id)
        assert len(table._cached) <= 3
    assert table.get(ORDERS[0]) is not changed, "others were read since"
    table.close(0)
    with pytest.raises(NotOwnerError):
        table.get(ORDERS[0])
