"""A table's index is what its records say, whatever was written in whichever batches, and by which build."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import Options, Rdict

from models.transition import until
from tables import table_index
from tables.changelog import write_rows
from tables.record import Quarantine, Record
from tables.table_index import INDEX_PREFIX, TableIndex, index_keys, is_whole, read_sums
from tables.views import StateTable
from tests.support.engine_services import PLAIN

OFFSET = b"__faust\0offset"
INDEX = TableIndex(PLAIN)
KEYS = [f"order-{number}" for number in range(5)]
STATES = st.fixed_dictionaries(
    {
        "in": st.lists(st.sampled_from(["a/1", "a/2", "b"]), unique=True, max_size=2),
        "sums": st.dictionaries(st.sampled_from(["paid", "back"]), st.integers(-5, 5), max_size=2),
        "done": st.booleans(),
        # What a customer may write: it looks like the field that ends a record.
        "note": st.sampled_from(["", ',"index":[', '","index":[["x"],{}]}']),
    }
)
WRITES = st.lists(st.tuples(st.sampled_from(KEYS), STATES, st.booleans()), min_size=1, max_size=6)


class WithoutIndex:
    """The same service in a build that keeps no index."""

    is_indexed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(PLAIN, name)


def stored(key: str, state: Any, *, quarantined: bool = False, by: Any = PLAIN) -> bytes:
    record = Record(key, None, by)
    record.state = state
    record.quarantine = Quarantine("ValueError", 0, "x", 1) if quarantined else None
    return record.dump(by)


@contextmanager
def opened() -> Iterator[Rdict]:
    with tempfile.TemporaryDirectory() as folder:
        database = Rdict(str(Path(folder) / "db"), Options(raw_mode=True))
        yield database
        database.close()


def wanted(records: dict[str, tuple[Any, bool]]) -> tuple[set[bytes], Counter[str]]:
    """The index's keys and the sums, as the records are."""
    keys, sums = set(), Counter[str]()
    for key, (state, quarantined) in records.items():
        has_ended = state["done"] and not quarantined
        names = [*state["in"], *(f"ended/{name}" for name in state["in"] if has_ended)]
        names += [] if has_ended else ["open"]
        keys |= {INDEX_PREFIX + f"{name}/{key}".encode() for name in names}
        sums.update(state["sums"])
    return keys, Counter({name: value for name, value in sums.items() if value})


def found(database: Any) -> tuple[set[bytes], Counter[str]]:
    keys = {key for key, _ in database.items() if key.startswith(INDEX_PREFIX)}
    return keys, Counter(dict(read_sums(database)))


def make_whole(database: Rdict) -> bool:
    return asyncio.run(INDEX.make_whole(lambda: database, OFFSET))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(WRITES, st.sampled_from(["ours", "of before"])), max_size=6))
def test_entries_and_sums_are_those_of_the_records(batches: list[tuple[Any, str]]) -> None:
    """Of before: by a build that keeps no index, after which it is made anew."""
    records: dict[str, tuple[Any, bool]] = {}
    with opened() as database:
        for offset, (writes, build) in enumerate(batches):
            by = PLAIN if build == "ours" else WithoutIndex()
            rows = [
                (key.encode(), stored(key, state, quarantined=quarantined, by=by))
                for key, state, quarantined in writes
            ]
            rows.insert(0, (b"order-0/000001", b"a row"))
            records |= {key: (state, quarantined) for key, state, quarantined in writes}
            write_rows(database, rows, OFFSET, offset, INDEX if build == "ours" else None)
            assert is_whole(database, OFFSET) is not any(
                each == "of before" for _, each in batches[: offset + 1]
            ) or make_whole(database)
            if is_whole(database, OFFSET):
                assert found(database) == wanted(records)
        assert make_whole(database)
        assert is_whole(database, OFFSET)
        assert found(database) == wanted(records)


def test_what_was_written_after_another_build_is_not_taken_for_the_whole() -> None:
    state = {"in": [], "sums": {"paid": 1}, "done": False, "note": ""}
    with opened() as database:
        write_rows(database, [(b"a", stored("a", state, by=WithoutIndex()))], OFFSET, 0)
        write_rows(database, [(b"b", stored("b", state))], OFFSET, 1, INDEX)
        assert not is_whole(database, OFFSET)
        assert list(index_keys(database, "open/")) == ["b"]
        assert make_whole(database)
        assert list(index_keys(database, "open/")) == ["a", "b"]
        assert read_sums(database) == {"paid": 2}


@pytest.mark.parametrize(
    "value", [b"{", b'{"version":"x"}', b'{},"index":[7', b'{"a":1,"index":[[1],{"b":"c"}]}']
)
def test_what_can_not_be_read_counts_as_open_and_holds_nothing_up(value: bytes) -> None:
    with opened() as database:
        write_rows(database, [(b"a", value)], OFFSET, 0, INDEX)
        assert list(index_keys(database, "open/")) == ["a"]
        write_rows(database, [(b"a", stored("a", {"done": True}))], OFFSET, 1, INDEX)
        assert found(database) == (set(), Counter())


def test_it_is_made_anew_in_slices_and_only_as_long_as_the_partition_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_index, "SLICE_KEYS", 2)
    with opened() as database:
        for number in range(7):
            write_rows(
                database, [(b"%d" % number, stored("k", {}, by=WithoutIndex()))], OFFSET, number
            )
        looks = iter([database, database, None])
        assert not asyncio.run(INDEX.make_whole(lambda: next(looks), OFFSET))
        assert not is_whole(database, OFFSET)
        assert make_whole(database)
        assert len(list(index_keys(database, "open/"))) == 7


class Listening:
    def __init__(self) -> None:
        self.keys: list[str] = []

    def updated(self, _: int, key: str, record: Any) -> None:
        self.keys.append(key)

    def closed(self, _: int) -> None:
        """Nothing."""


async def test_listeners_are_given_what_is_open_and_what_is_wanted_a_while_longer() -> None:
    table, listener = StateTable(PLAIN, 1, lambda _: None), Listening()
    table.add_listener(listener)
    far, past = until(2**43), until(1_600_000_000_000)
    states = {
        "open": {"in": [], "done": False}, "ended": {"in": [], "done": True},
        "wanted": {"in": [far], "done": True}, "past": {"in": [past], "done": True},
    }  # fmt: skip
    with opened() as database:
        rows = [(key.encode(), stored(key, state)) for key, state in states.items()]
        write_rows(database, rows, OFFSET, 0, INDEX)
        assert await table.build_indexes(0, lambda: database)
        assert sorted(listener.keys) == ["open", "wanted"]
        assert not await table.build_indexes(0, lambda: None)


def test_a_table_without_an_index_takes_no_listener() -> None:
    table: StateTable = StateTable(WithoutIndex(), 1, lambda _: None)
    with pytest.raises(ValueError, match="plain has no index"):
        table.add_listener(Listening())


def test_the_field_is_the_records_last() -> None:
    raw = stored("a", {"in": ["b"], "sums": {"paid": 2}, "done": False})
    assert list(orjson.loads(raw))[-1] == "index"
    assert orjson.loads(raw)["index"] == [["b"], {"paid": 2}]


def test_another_version_of_the_entries_makes_them_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened() as database:
        write_rows(database, [(b"a", stored("a", {}, by=WithoutIndex()))], OFFSET, 0)
        assert make_whole(database)
        assert is_whole(database, OFFSET)
        monkeypatch.setattr(table_index, "VERSION", 2)
        assert not is_whole(database, OFFSET)
        assert make_whole(database)
        assert is_whole(database, OFFSET)
