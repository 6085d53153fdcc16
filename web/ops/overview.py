"""Whether the platform is well, and what is of concern if not, for operators."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from models.dead_letter import DeadLetterState
from models.errors import KafkaUnavailableError
from models.levels import FIRST_RELEASE, LATEST, Build, LevelHistory
from models.money_checks import VIOLATION_DESCRIPTIONS, MoneyViolation
from models.operations import Offsets
from models.times import to_rfc3339
from models.wording import counted
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.context import ORDERS
from web.http.scatter_gather import Gather, Missing, Shares
from web.ops.dead_letters import counts_by_state
from web.ops.lag import LagShare, positions_of, topic_lags
from web.ops.reconciliation import RECONCILIATION_PARTITION
from web.ops.stopped import stops_of
from web.ops.stuck import StuckParams, stuck_in_partition

MAX_HEALTHY_LAG: Final = 1000
"""Inputs that may wait without anybody having to look."""

MIN_SHOWN_REFUSALS: Final = 0.01
"""Share of new orders that a worker refuses for having too much to do."""

RUNBOOKS_PATH: Final = "/ops/runbooks"
"""Where every worker serves docs/runbooks."""
RUNBOOK_NAMES: Final = {
    "KAFKA_UNAVAILABLE": "worker-not-ready",
    "PARTITIONS_UNSERVED": "worker-down",
    "PARTITIONS_STOPPED": "partition-stopped",
    "CLOCK": "clock-wrong",
    "STRIPE_ACCOUNT": "stripe-account-wrong",
    "OVERLOADED": "orders-refused",
    "LAG": "consumer-lag",
    "STUCK": "orders-stuck",
    "DEAD_LETTERS": "dead-letters",
    "DIFFERENCES": "reconciliation-differs",
    "RECONCILIATION_UNFINISHED": "reconciliation-old",
} | dict.fromkeys(map(str, MoneyViolation), "money-invariant-broken")
"""By the code of a concern."""


class WorkerView(ApiModel):
    """One worker and what it owns. recoveryRowsLeft: of changelogs; 0 once its tables are recovered.

    build: its version; "" where Kafka could not be asked, "0.1.0" of builds that do not say.
    """

    url: str
    partitions: tuple[int, ...]
    started_at: str
    effects_pending: int
    stripe_errors: dict[str, int]
    recovery_rows_left: int = 0
    recovery_seconds_left: int | None = None
    build: str = ""


class Concern(ApiModel):
    """Something that is not as it should be. where: the list that tells more. runbook: what to do."""

    code: str
    detail: str
    where: str
    runbook: str


class Overview(ApiModel):
    """healthy: nothing is of concern. brokenInvariants: code -> orders of which it does not hold.

    differences: objects whose money differs from Stripe's. level: the platform's; nextLevel: the one that this
    worker's build begins with once the upgrade is finished, None where it is.
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
    level: int
    next_level: int | None = None


class WorkerFacts(ApiModel):
    """Of the worker that answers for a partition; see models.operations.WorkerStatus."""

    url: str
    started_ms: int
    effects_pending: int
    stripe_errors: dict[str, int]
    clock_trouble: str
    stripe_trouble: str = ""
    recovery_rows_left: int = 0
    recovery_seconds_left: int | None = None
    refused_share: float = 0.0


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
    builds: Sequence[Build]

    async def prepare(self) -> None:
        """Ask Kafka where the topics end, and of which build the workers are, if it can be asked."""
        self.offsets, self.builds = None, ()
        operations = self.context.operations
        try:
            self.offsets, self.builds = await asyncio.gather(
                operations.offsets(), operations.level.builds()
            )
        except KafkaUnavailableError:
            return

    async def share(self, partition: int) -> OverviewShare:
        """Of an owned partition."""
        context, deps = self.context, self.context.deps
        stops = stops_of(context, partition)
        is_open = partition in context.tables[ORDERS].open_partitions()
        stuck = stuck_in_partition(context, partition, StuckParams(limit=0)) if is_open else None
        report = deps.reconciliation() if partition == RECONCILIATION_PARTITION else None
        return OverviewShare(
            differences=len(report.differences) if report else 0,
            problems=report.problems if report else (),
            stuck=stuck.by_actor if stuck else Counter(),
            broken=Counter(code for _, code, _ in deps.money.broken(partition)),
            positions=positions_of(context, partition),
            stopped=stops,
            worker=view_of(WorkerFacts, context.operations.worker(), url=str(deps.own_url or "")),
        )

    async def merged(self, shares: Shares[OverviewShare], missing: Missing) -> Overview:
        """Of all workers."""
        each, workers = shares.values(), _workers(shares, self.builds)
        levels: LevelHistory = self.context.operations.level.history
        level = levels.at(self.context.deps.now_ms())
        positions = {partition: share.positions for partition, share in shares.items()}
        stuck = sum((share.stuck for share in each), Counter[str]())
        broken = sum((share.broken for share in each), Counter[MoneyViolation]())
        found = Overview(
            healthy=True,
            concerns=(),
            at=to_rfc3339(self.context.deps.now_ms()),
            workers=workers,
            lag=sum(row.lag for row in topic_lags(self.offsets or {}, positions)),
            stuck=dict(sorted(stuck.items())),
            dead_letters=counts_by_state(self.context.operations.dead_letters.all()),
            effects_pending=sum(worker.effects_pending for worker in workers),
            stripe_errors=sum(sum(worker.stripe_errors.values()) for worker in workers),
            broken_invariants={str(code): count for code, count in sorted(broken.items())},
            differences=sum(share.differences for share in each),
            incomplete=missing,
            level=level,
            next_level=LATEST if levels.highest < LATEST else None,
        )
        concerns = tuple(_concerns(found, each, knows_lag=self.offsets is not None))
        return found.model_copy(update={"healthy": not concerns, "concerns": concerns})


def _concerns(
    found: Overview, shares: Collection[OverviewShare], *, knows_lag: bool
) -> Iterator[Concern]:
    stopped = "; ".join(
        f"{at.topic}/{at.partition} at offset {at.offset}{f' for {at.service}' if at.service else ''}"
        for share in shares
        for at in share.stopped
    )
    troubles = {share.worker.url: share.worker.clock_trouble for share in shares}
    clocks = "; ".join(f"{url}: {words}" for url, words in sorted(troubles.items()) if words)
    accounts = "; ".join(sorted({share.worker.stripe_trouble for share in shares} - {""}))
    problems = "; ".join(problem for share in shares for problem in share.problems)
    shares_refused = {share.worker.url: share.worker.refused_share for share in shares}
    refusing = "; ".join(
        f"{url}: {part:.0%} of new orders"
        for url, part in sorted(shares_refused.items())
        if part >= MIN_SHOWN_REFUSALS
    )
    names, is_one = ", ".join(map(str, found.incomplete)), len(found.incomplete) == 1
    unserved = (
        f"partition {names} does not answer" if is_one else f"partitions {names} do not answer"
    )
    stuck, is_open = sum(found.stuck.values()), found.dead_letters[DeadLetterState.OPEN]
    differing = counted(found.differences, "object", "objects")
    broken = {
        code: f"{VIOLATION_DESCRIPTIONS[MoneyViolation(code)]}: {counted(count, 'order', 'orders')}"
        for code, count in found.broken_invariants.items()
    }
    for is_so, code, detail, where in (
        (not knows_lag, "KAFKA_UNAVAILABLE", "Kafka can't be asked; lag is unknown", "lag"),
        (found.incomplete, "PARTITIONS_UNSERVED", unserved, "lag"),
        (stopped, "PARTITIONS_STOPPED", stopped, "lag"),
        (clocks, "CLOCK", clocks, "overview"),
        (accounts, "STRIPE_ACCOUNT", accounts, "overview"),
        (refusing, "OVERLOADED", refusing, "lag"),
        (found.lag > MAX_HEALTHY_LAG, "LAG", counted(found.lag, "record waits", "records wait"),
         "lag"),
        (stuck, "STUCK", counted(stuck, "wait is overdue", "waits are overdue"), "stuck"),
        (is_open, "DEAD_LETTERS", f"{is_open} to look at", "dead-letters"),
        (found.differences, "DIFFERENCES", f"of {differing}, by Stripe's word and ours",
         "reconciliation"),
        (problems, "RECONCILIATION_UNFINISHED", problems, "reconciliation"),
        *((words, code, words, "reconciliation") for code, words in broken.items()),
    ):  # fmt: skip
        if is_so:
            runbook = f"{RUNBOOKS_PATH}/{RUNBOOK_NAMES[code]}"
            yield Concern(code=code, detail=detail, where=f"/api/ops/{where}", runbook=runbook)


def _workers(
    shares: Mapping[int, OverviewShare], builds: Sequence[Build]
) -> tuple[WorkerView, ...]:
    build_of = {
        partition: build.version or FIRST_RELEASE
        for build in builds
        for partition in build.partitions
    }
    owned: dict[str, list[int]] = {}
    for partition, share in shares.items():
        owned.setdefault(share.worker.url, []).append(partition)
    facts = {share.worker.url: share.worker for share in shares.values()}
    return tuple(
        view_of(
            WorkerView,
            facts[url],
            partitions=tuple(sorted(partitions)),
            started_at=facts[url].started_ms,
            build=build_of.get(min(partitions), ""),
        )
        for url, partitions in sorted(owned.items())
    )
