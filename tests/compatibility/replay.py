"""A recording's inputs, decided again by today's code: its outputs and what it stores."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.compatibility.adapter import WORDED_HEADERS, Replay, ended_records
from tests.compatibility.stored import Group, Recording, Sent


@dataclass
class Replayed:
    """What one service did in one partition. writes: of each group, to the changelog."""

    groups: list[Group] = field(default_factory=list)
    writes: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    stored: dict[bytes, bytes] = field(default_factory=dict)


def replay(
    recording: Recording, service: str, sweep_ms: int | None = None
) -> Iterator[tuple[int, Replayed]]:
    """Decide all that a service was given, partition by partition.

    sweep_ms: after each group, what is due then goes from all ended records; milliseconds since the epoch.
    """
    of_partition: defaultdict[int, list[Group]] = defaultdict(list)
    for group in recording.groups:
        if group.service == service:
            of_partition[group.partition].append(group)
    for partition, groups in sorted(of_partition.items()):
        yield partition, _replay(recording, service, partition, groups, sweep_ms)


def _replay(
    recording: Recording, service: str, partition: int, groups: list[Group], sweep_ms: int | None
) -> Replayed:
    inputs = {
        topic: recording.at(topic, partition) for topic in {t for g in groups for t, _ in g.inputs}
    }
    done = Replayed(groups)
    lane, epoch = None, None
    for group in groups:
        if lane is None or group.epoch != epoch:
            epoch = group.epoch
            lane = Replay(
                service, recording.runs[group.run], done.stored, epoch=epoch, done=group.done,
                failing=failing(recording, service, partition),
            )  # fmt: skip
        writes, sent = lane.sent([inputs[topic][offset] for topic, offset in group.inputs])
        done.writes.append(writes)
        done.sent += sent
        if sweep_ms is not None:
            lane.pack_ended()
            for key in ended_records(done.stored):
                lane.retain(key, sweep_ms)
    return done


def failing(recording: Recording, service: str, partition: int) -> set[tuple[str, int]]:
    """Topic and offset of the inputs at which a service was made to fail."""
    return {(t, o) for name, t, p, o in recording.failing if (name, p) == (service, partition)}


def check_sent(recording: Recording, service: str, partition: int, replayed: Replayed) -> None:
    """Raise AssertionError unless a service sent what is recorded, byte for byte and in this order.

    What a worker that died may have sent is sent again: each record counts once. Dead letters of one
    input topic come in order.
    """
    recorded = [
        _without_wording(record.sent)
        for topic in recording.inputs
        for record in recording.topics[topic]
        if record.by == (service, partition)
    ]
    sent = [_without_wording(each) for each in replayed.sent]
    wanted, got = _streams(recorded), _streams(sent)
    assert wanted.keys() == got.keys(), f"{service}/{partition} sends to other topics"
    for stream, records in wanted.items():
        for number, (was, now) in enumerate(zip(records, got[stream], strict=False)):
            assert now == was, f"{service}/{partition}, record {number} to {stream[0]}"
        assert len(got[stream]) == len(records), f"{service}/{partition} to {stream[0]}"
    unknown = Counter(recorded) - Counter(sent)
    assert not unknown, f"{service}/{partition} sent these more often: {unknown}"


def _without_wording(sent: Sent) -> Sent:
    headers = tuple(header for header in sent.headers if header[0] not in WORDED_HEADERS)
    return sent._replace(headers=headers)


def _streams(sent: Iterable[Sent]) -> dict[tuple[str, bytes | None], list[Sent]]:
    """What keeps its order, each record once: by topic, and by topic of origin."""
    streams: defaultdict[tuple[str, bytes | None], dict[Sent, None]] = defaultdict(dict)
    for each in sent:
        origin = dict(each.headers).get("kafka_dlt-original-topic")
        streams[each.topic, origin].setdefault(each)
    return {stream: list(records) for stream, records in streams.items()}
