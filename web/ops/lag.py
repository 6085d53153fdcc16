"""How far each service is behind, by topic and partition, for operators."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from models.operations import Offsets
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.context import ORDERS, Context
from web.http.scatter_gather import Gather, Missing, Shares
from web.ops.stopped import StoppedPartition, stops_of


class LagRow(ApiModel):
    """A service's way through one partition of one topic. end: Kafka's; next: what it takes next.

    lag: records that are not durable yet. backlog: of them, those fetched, over all topics of the
    service. next, lag and backlog are not known of partitions that are `incomplete`.
    """

    service: str
    next: int | None = None
    lag: int | None = None
    backlog: int | None = None
    paused: bool = False


class TopicLag(ApiModel):
    """One partition of an input topic. committed: of the workers' group, at the slowest service's."""

    topic: str
    partition: int
    end: int
    committed: int | None = None
    lag: int
    services: tuple[LagRow, ...]


class ServiceLag(ApiModel):
    """All that one service reads. partitions: of its topics; behind: those of them with a lag.

    lag: the sum; not of partitions that are `incomplete`. paused: it has as much in memory as it may.
    furthest: topic and partition with the greatest lag, if there is any.
    """

    service: str
    lag: int
    partitions: int
    behind: int
    paused: bool
    furthest: str | None = None


class LagView(ApiModel):
    """services: a summary. total: the sum of the slowest services' lags.

    incomplete: partitions that nobody answered for. stopped: those that are read no further until an
    operator acts.
    """

    stopped: tuple[StoppedPartition, ...] = ()
    services: tuple[ServiceLag, ...]
    partitions: tuple[TopicLag, ...]
    total: int
    incomplete: tuple[int, ...]


class Position(NamedTuple):
    """How far a service is with a topic's partition. next: offset. backlog: records fetched, not durable."""

    topic: str
    service: str
    next: int
    backlog: int
    paused: bool


class LagShare(ApiModel):
    """Of one partition."""

    positions: tuple[Position, ...]
    stopped: tuple[StoppedPartition, ...]


class ShowLag(Gather[LagShare, LagView]):
    """How far each service is behind, by topic and partition."""

    service, share_type = ORDERS, LagShare
    offsets: Mapping[tuple[str, int], Offsets]

    async def prepare(self) -> None:
        """Ask Kafka where the topics end. Raises KafkaUnavailableError."""
        self.offsets = await self.context.operations.offsets()

    async def share(self, partition: int) -> LagShare:
        """Of an owned partition."""
        stops = stops_of(self.context, partition)
        return LagShare(positions=positions_of(self.context, partition), stopped=stops)

    async def merged(self, shares: Shares[LagShare], missing: Missing) -> LagView:
        """By topic and partition."""
        rows = topic_lags(self.offsets, {p: share.positions for p, share in shares.items()})
        return LagView(
            stopped=tuple(stop for share in shares.values() for stop in share.stopped),
            services=service_lags(rows),
            partitions=rows,
            total=sum(row.lag for row in rows),
            incomplete=missing,
        )


def positions_of(context: Context, partition: int) -> tuple[Position, ...]:
    """Of this worker's services in an owned partition."""
    return tuple(
        Position(at.topic, at.service, at.durable_offset + 1, at.waiting + at.in_flight, at.paused)
        for at in context.operations.positions()
        if at.partition == partition
    )


def service_lags(rows: Iterable[TopicLag]) -> tuple[ServiceLag, ...]:
    """The same by service, the one that is furthest behind first."""
    known: dict[str, list[tuple[int, str, LagRow]]] = {}
    for row in rows:
        for each in row.services:
            place = f"{row.topic}/{row.partition}"
            known.setdefault(each.service, []).append((each.lag or 0, place, each))
    found = []
    for service, places in known.items():
        most, where, _ = max(places, key=lambda place: place[0])
        found.append(
            ServiceLag(
                service=service, lag=sum(lag for lag, *_ in places), partitions=len(places),
                behind=sum(lag > 0 for lag, *_ in places),
                paused=any(each.paused for *_, each in places), furthest=where if most else None,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda each: (-each.lag, each.service)))


def topic_lags(
    offsets: Mapping[tuple[str, int], Offsets], positions: Mapping[int, tuple[Position, ...]]
) -> tuple[TopicLag, ...]:
    """The lag of each topic's partitions. offsets: Kafka's. positions: the services', by partition."""
    found = []
    for (topic, partition), at in sorted(offsets.items()):
        rows = tuple(
            view_of(LagRow, row, lag=max(0, at.end - row.next))
            for row in positions.get(partition, ())
            if row.topic == topic
        )
        lag = max((row.lag or 0 for row in rows), default=max(0, at.end - (at.committed or 0)))
        found.append(
            view_of(TopicLag, at, topic=topic, partition=partition, lag=lag, services=rows)
        )
    return tuple(found)
