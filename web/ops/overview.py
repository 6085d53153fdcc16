"""Whether the platform is well, and what is of concern if not, for operators."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from models.dead_letter import DeadLetterState
from models.errors import KafkaUnavailableError
from models.messages import Message
from models.money_checks import VIOLATION_DESCRIPTIONS, MoneyViolation
from models.operations import Offsets
from models.times import to_rfc3339
from models.wording import counted
from web.http.context import ORDERS
from web.http.scatter_gather import Gather, Missing, Shares
from web.ops.dead_letters import counts_by_state
from web.ops.lag import LagShare, positions_of, topic_lags
from web.ops.reconciliation import RECONCILIATION_PARTITION
from web.ops.stopped import stops_of
from web.ops.stuck import StuckParams, stuck_in_partition

MAX_HEALTHY_LAG: Final = 1000
"""Inputs that may wait without anybody having to look."""


class WorkerView(Message):
    """One worker and what it owns."""

    url: str
    partitions: tuple[int, ...]
    started_at: str
    effects_pending: int
    stripe_errors: dict[str, int]


class Concern(Message):
    """Something that is not as it should be. where: the list that tells more."""

    code: str
    detail: str
    where: str


class Overview(Message):
    """healthy: nothing is of concern. brokenInvariants: code -> orders of which it does not hold.

    differences: objects whose money differs from Stripe's.
    """

    healthy: bool
    concerns: tuple[Concern, ...]
    at: str
    workers: tuple[WorkerView, ...]
    lag: int
    stuck: dict[str, int]
    dead_letters: dict[str, int]
    effects_pending: int
    stripe_errors: int
    broken_invariants: dict[str, int]
    differences: int
    incomplete: tuple[int, ...]


class WorkerFacts(Message):
    """Of the worker that answers for a partition; see models.operations.WorkerStatus."""

    url: str
    started_ms: int
    effects_pending: int
    stripe_errors: dict[str, int]
    clock_trouble: str


class OverviewShare(LagShare):
    """stuck: by who must act. broken: by violation."""

    differences: int
    problems: tuple[str, ...]
    stuck: Counter[str]
    broken: Counter[MoneyViolation]
    worker: WorkerFacts


class ShowOverview(Gather[OverviewShare, Overview]):
    """Is everything all right, and if not, what."""

    service, share_type = ORDERS, OverviewShare
    offsets: Mapping[tuple[str, int], Offsets] | None

    async def prepare(self) -> None:
        """Ask Kafka where the topics end, if it can be asked."""
        try:
            self.offsets = await self.context.operations.offsets()
        except KafkaUnavailableError:
            self.offsets = None

    async def share(self, partition: int) -> OverviewShare:
        """Of an owned partition."""
        context, deps = self.context, self.context.deps
        stops = stops_of(context, partition)
        is_open = partition in context.tables[ORDERS].open_partitions()
        stuck = stuck_in_partition(context, partition, StuckParams(limit=0)) if is_open else None
        facts = context.operations.worker()
        report = deps.reconciliation() if partition == RECONCILIATION_PARTITION else None
        return OverviewShare(
            differences=len(report.differences) if report else 0,
            problems=report.problems if report else (),
            stuck=stuck.by_actor if stuck else Counter(),
            broken=Counter(code for _, code, _ in deps.money.broken(partition)),
            positions=positions_of(context, partition),
            stopped=stops,
            worker=WorkerFacts(
                url=str(deps.own_url or ""),
                started_ms=facts.started_ms,
                effects_pending=facts.effects_pending,
                stripe_errors=dict(facts.stripe_errors),
                clock_trouble=facts.clock_trouble,
            ),
        )

    async def merged(self, shares: Shares[OverviewShare], missing: Missing) -> Overview:
        """Of all workers."""
        letters = counts_by_state(self.context.operations.dead_letters.all())
        now_ms = self.context.deps.now_ms()
        return overview_of(self.offsets, shares, missing, letters, now_ms)


def overview_of(
    offsets: Mapping[tuple[str, int], Offsets] | None,
    shares: Mapping[int, OverviewShare],
    missing: tuple[int, ...],
    letters: Mapping[str, int],
    now_ms: int,
) -> Overview:
    """Add up the partitions' shares. offsets: None when Kafka can't be asked. letters: by state."""
    each, workers = shares.values(), _workers(shares)
    positions = {partition: share.positions for partition, share in shares.items()}
    lag = sum(row.lag for row in topic_lags(offsets or {}, positions))
    stuck = sum((share.stuck for share in each), Counter[str]())
    broken = sum((share.broken for share in each), Counter[MoneyViolation]())
    differing = sum(share.differences for share in each)
    concerns = [
        *_concern_if(offsets is None, "KAFKA_UNAVAILABLE", "Kafka can't be asked; lag is unknown", "lag"),
        *_concern_if(bool(missing), "PARTITIONS_UNSERVED", _unserved(missing), "lag"),
        *_stopped_and_clocks(each),
        *_concern_if(lag > MAX_HEALTHY_LAG, "LAG", counted(lag, "record waits", "records wait"), "lag"),
        *_concern_if(bool(stuck), "STUCK", counted(stuck.total(), "wait is overdue", "waits are overdue"),
             "stuck"),
        *_dead_letters_and_money(letters, each, broken, differing),
    ]  # fmt: skip
    return Overview(
        healthy=not concerns,
        concerns=tuple(concerns),
        at=to_rfc3339(now_ms),
        workers=workers,
        lag=lag,
        stuck=dict(sorted(stuck.items())),
        dead_letters=dict(letters),
        effects_pending=sum(worker.effects_pending for worker in workers),
        stripe_errors=sum(sum(worker.stripe_errors.values()) for worker in workers),
        broken_invariants={str(code): count for code, count in sorted(broken.items())},
        differences=differing,
        incomplete=missing,
    )


def _stopped_and_clocks(shares: Collection[OverviewShare]) -> list[Concern]:
    stopped = "; ".join(
        f"{at.topic}/{at.partition} at offset {at.offset}{f' for {at.service}' if at.service else ''}"
        for share in shares
        for at in share.stopped
    )
    troubles = {share.worker.url: share.worker.clock_trouble for share in shares}
    clocks = "; ".join(f"{url}: {words}" for url, words in sorted(troubles.items()) if words)
    return [
        *_concern_if(bool(stopped), "PARTITIONS_STOPPED", stopped, "lag"),
        *_concern_if(bool(clocks), "CLOCK", clocks, "overview"),
    ]


def _dead_letters_and_money(
    letters: Mapping[str, int],
    shares: Collection[OverviewShare],
    broken: Counter[MoneyViolation],
    differing: int,
) -> list[Concern]:
    is_open = letters[DeadLetterState.OPEN]
    problems = "; ".join(problem for share in shares for problem in share.problems)
    return [
        *_concern_if(is_open > 0, "DEAD_LETTERS", f"{is_open} to look at", "dead-letters"),
        *_concern_if(differing > 0, "DIFFERENCES",
             f"of {counted(differing, 'object', 'objects')}, by Stripe's word and ours", "reconciliation"),
        *_concern_if(bool(problems), "RECONCILIATION_UNFINISHED", problems, "reconciliation"),
        *(Concern(code=code, detail=f"{VIOLATION_DESCRIPTIONS[code]}: "
             f"{counted(count, 'order', 'orders')}", where="/api/ops/reconciliation")
          for code, count in sorted(broken.items())),
    ]  # fmt: skip


def _unserved(missing: tuple[int, ...]) -> str:
    verb = "does not answer" if len(missing) == 1 else "do not answer"
    return f"partition{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} {verb}"


def _workers(shares: Mapping[int, OverviewShare]) -> tuple[WorkerView, ...]:
    owned: dict[str, list[int]] = {}
    for partition, share in shares.items():
        owned.setdefault(share.worker.url, []).append(partition)
    facts = {share.worker.url: share.worker for share in shares.values()}
    return tuple(
        WorkerView(
            url=url,
            partitions=tuple(sorted(partitions)),
            started_at=to_rfc3339(facts[url].started_ms),
            effects_pending=facts[url].effects_pending,
            stripe_errors=facts[url].stripe_errors,
        )
        for url, partitions in sorted(owned.items())
    )


def _concern_if(is_so: bool, code: str, detail: str, where: str) -> list[Concern]:  # noqa: FBT001
    return [Concern(code=code, detail=detail, where=f"/api/ops/{where}")] if is_so else []
