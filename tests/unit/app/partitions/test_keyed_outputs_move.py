"""Outputs with keys of their own before and after a raise: each is decided once, and no number falls."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

import agents
from app.partitions.copying import partition_of
from app.partitions.plan import record_change, row_change
from tables import keyed_outputs
from tables.keyed_outputs import SOURCE_HEADER, KeyedOutput, read_source
from tests.support.engine_services import EchoService, body
from tests.unit.tables.test_keyed_outputs import ForwardingService, Partition

OLD, NEW, SUFFIX = 2, 5, ".g2"
SENDS = st.lists(st.tuples(st.sampled_from("klmnop"), st.sampled_from(["", "u", "v", "uv"])))
ANY_SERVICE = agents.services()[0]
"""Moving a row asks a service for its sums alone; this one has none."""


class Forwarding:
    """A service of some partitions, and the service that reads what it forwards, of as many."""

    def __init__(self, count: int, suffix: str = "") -> None:
        self.sources = [Partition(ForwardingService(), n, suffix) for n in range(count)]
        self.targets = [Partition(EchoService(), n, suffix) for n in range(count)]

    def run(self, sends: Sequence[tuple[str, str]], first: int, *, crashes: bool) -> None:
        """Send numbered messages; all is decided, delivered and decided there."""
        for number, (key, to) in enumerate(sends, first):
            source = self.sources[partition_of(key.encode(), len(self.sources))]
            source.send("in-a", key, body(f"{number}", to=to))
            source.round(0 if crashes and number % 3 == 0 else None)
        for source in self.sources:
            source.finish()
            for output in source.emitted:
                if type(output) is KeyedOutput:
                    target = self.targets[partition_of(output.key.encode(), len(self.targets))]
                    target.send(output.topic, output.key, output.value, *output.headers)
            source.emitted = []
        for target in self.targets:
            target.finish()

    def raised(self) -> Forwarding:
        """As `partitions raise` moves it: rows, and records that are decided already."""
        new = Forwarding(NEW, SUFFIX)
        for olds, news in ((self.sources, new.sources), (self.targets, new.targets)):
            for old in olds:
                _move(old, news)
            for part in news:
                part.recorded = {topic: len(log) - 1 for topic, log in part.log.items()}
                part.crash()
        return new


def _move(old: Partition, news: Sequence[Partition]) -> None:
    change = row_change(ANY_SERVICE, len(news))
    for key, value in old.store.items():
        if (row := change(old.number, key, value)) is not None:
            assert row[1] is not None
            news[row[0]].store[key] = row[1]
    for topic, log in old.log.items():
        for each in log:
            moved = record_change(len(news))(old.number, each.key, each.value)
            assert moved is not None
            assert each.key is not None
            assert each.value is not None
            news[moved[0]].send(topic, each.key.decode(), each.value, *each.headers)


def numbers(parts: Sequence[Partition]) -> dict[str, list[int]]:
    """Source -> numbers of what it sent, in the order of their arrival."""
    found = defaultdict(list)
    for part in parts:
        for log in part.log.values():
            for each in log:
                source = read_source(dict(each.headers)[SOURCE_HEADER].decode())
                found[f"{source.producer} to {each.key!r}"].append(source.number)
    return found


@settings(max_examples=150, deadline=None)
@given(SENDS, SENDS, st.booleans())
def test_each_is_decided_once_before_and_after_a_raise(
    before: list[tuple[str, str]], after: list[tuple[str, str]], crashes: bool
) -> None:
    old = Forwarding(OLD)
    old.run(before, 0, crashes=crashes)
    new = old.raised()
    # A machine whose clock is far behind.
    with mock.patch.object(keyed_outputs, "machine_now_ms", return_value=1):
        new.run(after, len(before), crashes=crashes)
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for number, (key, to) in enumerate([*before, *after]):
        for target in to:
            wanted[target].append(f"{key}-{number}")
    for target, ids in wanted.items():
        part = new.targets[partition_of(target.encode(), NEW)]
        assert Counter(part.state(target)) == Counter(ids)
    for source, sent in numbers(new.targets).items():
        first = list(dict.fromkeys(sent))
        assert first == sorted(first), source
