"""Where each record goes when there are more partitions."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import agents
from app.partitions.copying import CopyProgress, is_drained
from app.partitions.plan import copies, moving_topics, record_change, row_change
from models import analytics
from models.generations import Generation, base_topic
from models.operations import Offsets
from models.takings import DayTakings, Takings
from models.topics import TOPICS
from tables.changelog import FENCE_KEY, PROGRESS_KEY
from tables.views import StateTable

NAMES = st.sampled_from(sorted(TOPICS))
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=40)
COUNTS = st.integers(1, 200)
OFFSETS = st.integers(0, 2**63 - 1)
BY_NAME = {service.name: service for service in agents.services()}
ORDERS, ANALYTICS = BY_NAME["orders"], BY_NAME["analytics"]
ROW = b'{"x":1}'


@given(NAMES, st.integers(1, 50))
def test_a_topic_has_its_own_name_again(name: str, number: int) -> None:
    assert base_topic(Generation(number, 3).topic(name)) == name


def test_the_first_generation_has_the_topics_own_names() -> None:
    first = Generation(1, 3)
    assert [first.topic(name) for name in TOPICS] == list(TOPICS)
    assert first.group("tiffin") == "tiffin"
    assert Generation(2, 5).changelog("tiffin", "orders") == "tiffin.g2-orders-changelog"


def test_topics_with_a_count_of_their_own_do_not_move() -> None:
    second = Generation(2, 12)
    stay = {name for name, topic in TOPICS.items() if topic.partitions}
    assert {name for name in TOPICS if second.topic(name) == name} == stay
    assert set(moving_topics()) == set(TOPICS) - stay


def test_all_that_moves_is_copied() -> None:
    services = agents.services()
    found = copies(services, "tiffin", Generation(1, 3), Generation(2, 12))
    changelogs = {f"tiffin-{service.name}-changelog" for service in services}
    assert {copy.old for copy in found} == set(moving_topics()) - {"worker-clocks"} | changelogs
    assert len({copy.new for copy in found} | {copy.old for copy in found}) == 2 * len(found)
    assert {copy.old for copy in found if copy.is_changelog} == changelogs


@given(KEYS, COUNTS, st.integers(0, 10))
def test_a_record_goes_where_workers_look_for_it(key: str, partitions: int, now: int) -> None:
    wanted = StateTable(ORDERS, partitions, lambda _: None).partition_of(key)
    assert record_change(partitions)(now, key.encode(), b"v") == (wanted, b"v")


@given(COUNTS, st.integers(0, 10))
def test_a_record_without_a_key_stays(partitions: int, now: int) -> None:
    assert record_change(partitions)(now, None, None) == (now, None)


@given(KEYS.filter(lambda key: not key.startswith("__faust")), COUNTS, st.integers(0, 10))
def test_rows_of_a_key_go_with_its_record(key: str, partitions: int, now: int) -> None:
    wanted = StateTable(ORDERS, partitions, lambda _: None).partition_of(key)
    record = b'{"schemaVersion":1,"version":1,"epoch":3,"state":{}}'
    change = row_change(ORDERS, partitions)
    assert change(now, key.encode(), record) == (wanted, record)
    if key not in ORDERS.sums and key != "find":
        assert change(now, f"{key}/001".encode(), ROW) == (wanted, ROW)


def test_a_sum_stays_and_begins_anew() -> None:
    """Else what comes at lower offsets of the new topic would count as counted."""
    row = analytics.dump_row(5000, analytics.Sums({"completed": 7}))
    moved = row_change(ANALYTICS, 12)(2, b"minute/202611230700/INR/spice", row)
    assert moved is not None
    partition, value = moved
    assert partition == 2
    assert analytics.load_row(value) == (-1, analytics.Sums({"completed": 7}))


def test_a_record_that_knows_offsets_begins_anew() -> None:
    """Takings keep their sums, and the sequences by which the engine knows what came."""
    state = Takings(days={"2026-11-27": {"INR": DayTakings(orders=2)}}, taken={"analytics/0": 5000})
    service = BY_NAME["takings"]
    fields = {"schemaVersion": 1, "version": 2, "epoch": 3, "state": service.dump(state)}
    record = orjson.dumps(fields | {"sequences": {"restaurant-takings/analytics/0": 7}})
    moved = row_change(service, 12)(2, b"hinode-kyoto", record)
    assert moved is not None
    found = orjson.loads(moved[1] or b"")
    assert service.load(found["state"]) == replace(state, taken={})
    assert found["sequences"] == {"restaurant-takings/analytics/0": 7}


def test_the_engines_own_rows_and_foreign_ones_do_not_move() -> None:
    change = row_change(ORDERS, 12)
    for key in (FENCE_KEY, PROGRESS_KEY, b"\0retained", b"\0accepted", b"__faust\0offset", None):
        assert change(0, key, b"{}") is None
    assert change(0, b"order_1", b"no record") is None
    assert change(0, b"order_1", None) is None


@given(st.lists(OFFSETS), st.lists(OFFSETS), OFFSETS, st.booleans())
def test_progress_is_read_as_it_was_written(
    next_: list[int], ends: list[int], left_out: int, has_chunk: bool
) -> None:
    given_ = CopyProgress(next_, ends, (1, 2, 3) if has_chunk else None, left_out)
    assert CopyProgress.load(given_.dump()) == given_


def test_drained_is_what_is_committed_to_its_end() -> None:
    assert is_drained({("a", 0): Offsets(5, 5), ("a", 1): Offsets(0, None)})
    assert not is_drained({("a", 0): Offsets(5, 5), ("a", 1): Offsets(1, None)})
    assert not is_drained({("a", 0): Offsets(6, 5)})
