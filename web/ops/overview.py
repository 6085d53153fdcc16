"""How the platform is doing, for operators: lag, the overview and the audit."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from models import ids
from models.dead_letter import DeadLetterState
from models.errors import KafkaUnavailableError
from models.events import EventType
from models.money_checks import VIOLATION_DESCRIPTIONS
from models.operations import AuditFilter, Offsets
from models.times import to_rfc3339
from models.wording import counted
from tables import InputPosition, NotOwnerError
from web.http import auth
from web.http.commands import json_response
from web.http.context import CONTEXT, ORDERS, Context
from web.http.decoding import DecodingError, base64_json, whole_number
from web.http.operator_deps import OperatorDeps
from web.http.params import limit_of, one_of
from web.http.problems import ProblemError
from web.http.scatter_gather import PARTITIONS, scatter_gather
from web.http.tokens import Role
from web.ops.reconciliation import RECONCILIATION_PARTITION
from web.ops.schemas import (
    AuditView,
    Concern,
    LagRow,
    LagView,
    Overview,
    TopicLag,
    WorkerView,
)
from web.ops.stopped import StoppedPartition, stopped_view
from web.ops.stuck import stuck_in_partition

MAX_AUDIT_ENTRIES: Final = 500
MAX_ACTOR_CHARS: Final = 300
AUDIT_EVENT_TYPES: Final = (
    EventType.COMMAND_REFUSED, EventType.ORDER_CANCELLED, EventType.EFFECT_REQUESTED,
    EventType.NOTIFICATION_RETRIED, EventType.DEAD_LETTER_REDRIVEN, EventType.DEAD_LETTER_DISCARDED,
)  # fmt: skip
"""What the audit mostly holds."""
MAX_HEALTHY_LAG: Final = 1000
"""Inputs that may wait without anybody having to look."""
AUDIT_QUERY: Final = {
    "by": "only acts of those in whose name this is, such as operator:alice",
    "kind": "only events of this type, such as COMMAND_REFUSED",
    "order": "only of this order",
    "limit": f"at most so many, 1 to {MAX_AUDIT_ENTRIES}; 100 by default",
    "before": "`next` of the page before",
}


async def show_lag(request: web.Request) -> web.StreamResponse:
    """How far each service is behind, by topic and partition."""
    context, operations = await _operations(request)
    offsets = {} if PARTITIONS in request.headers else await operations.offsets()

    async def share(partition: int) -> Any:
        stops = _stops(context, operations, partition)
        return {"positions": _positions(operations, partition), "stopped": stops}

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        positions = {partition: each["positions"] for partition, each in shares.items()}
        rows = tuple(_topic_lag(place, at, positions) for place, at in sorted(offsets.items()))
        total = sum(row.lag for row in rows)
        stopped = tuple(_stopped_of(shares))
        return json_response(
            LagView(stopped=stopped, partitions=rows, total=total, incomplete=missing)
        )

    return await scatter_gather(request, ORDERS, share, merged)


async def show_overview(request: web.Request) -> web.StreamResponse:
    """Is everything all right, and if not, what."""
    context, operations = await _operations(request)
    try:
        offsets = {} if PARTITIONS in request.headers else await operations.offsets()
    except KafkaUnavailableError:
        offsets = None

    async def share(partition: int) -> Any:
        return _share_of_overview(context, operations, partition)

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        now_ms = context.deps.now_ms()
        return json_response(_overview(operations, offsets, shares, missing, now_ms))

    return await scatter_gather(request, ORDERS, share, merged)


async def list_audit(request: web.Request) -> web.Response:
    """What operators did and what was refused, the latest first."""
    _, operations = await _operations(request)
    limit, by = limit_of(request, 100, MAX_AUDIT_ENTRIES), request.query.get("by", "")
    kind = one_of(request, "kind", EventType)
    order = request.query.get("order")
    if len(by) > MAX_ACTOR_CHARS:
        accepted = f"accepted: at most {MAX_ACTOR_CHARS} characters"
        raise ProblemError("VALIDATION_FAILED", errors=[("by", accepted)])
    if order is not None and not ids.is_order_id(order):
        raise ProblemError("VALIDATION_FAILED", errors=[("order", "accepted: the id of an order")])
    page = await operations.audit(
        limit,
        read_audit_cursor(request.query.get("before", "")),
        AuditFilter(by=by, kind=kind, order=order),
    )
    answer = AuditView(
        entries=tuple(dict(event) for event in page.events),
        scanned=page.scanned,
        next=audit_cursor(page.before) if page.before else None,
    )
    return json_response(answer)


def audit_cursor(ends: Mapping[str, int]) -> str:
    """Where a page ended, as its readers send it back for the next one."""
    return base64.urlsafe_b64encode(orjson.dumps(ends)).decode()


def read_audit_cursor(before: str) -> dict[str, int]:
    """Where each partition's page ends. Raises ProblemError (400)."""
    if not before:
        return {}
    try:
        ends = base64_json(before)
        return {str(place): whole_number(str(end), 0, 2**63 - 1) for place, end in ends.items()}
    except (DecodingError, AttributeError):
        raise ProblemError(
            "VALIDATION_FAILED", errors=[("before", "accepted: `before` of the page before")]
        ) from None


async def _operations(request: web.Request) -> tuple[Context, OperatorDeps]:
    context = request.app[CONTEXT]
    await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    if context.deps.operations is None:
        raise ProblemError("NOT_FOUND")
    return context, context.deps.operations


def _stops(context: Context, operations: OperatorDeps, partition: int) -> list[Any]:
    """What is stopped in an owned partition. Raises NotOwnerError when it is not (yet) served here."""
    stops = [stop for stop in operations.stopped.all() if stop.partition == partition]
    if not stops and not _is_open(context, partition):
        raise NotOwnerError(ORDERS)
    return [stopped_view(stop).model_dump(mode="json", by_alias=True) for stop in stops]


def _is_open(context: Context, partition: int) -> bool:
    return partition in context.tables[ORDERS].open_partitions()


def _stopped_of(shares: Mapping[int, Any]) -> Iterator[StoppedPartition]:
    for each in shares.values():
        yield from map(StoppedPartition.model_validate, each["stopped"])


def _positions(operations: OperatorDeps, partition: int) -> list[Any]:
    """topic, service, next, backlog, paused of an owned partition."""
    return [_position(at) for at in operations.positions() if at.partition == partition]


def _position(at: InputPosition) -> list[Any]:
    return [at.topic, at.service, at.durable_offset + 1, at.waiting + at.in_flight, at.paused]


def _topic_lag(place: tuple[str, int], at: Offsets, shares: Mapping[int, Any]) -> TopicLag:
    topic, partition = place
    rows = tuple(
        LagRow(service=service, next=due, lag=max(0, at.end - due), backlog=backlog, paused=paused)
        for of_topic, service, due, backlog, paused in shares.get(partition, ())
        if of_topic == topic
    )
    lags = [row.lag for row in rows if row.lag is not None]
    return TopicLag(
        topic=topic,
        partition=partition,
        end=at.end,
        committed=at.committed,
        lag=max(lags, default=max(0, at.end - (at.committed or 0))),
        services=rows,
    )


def _share_of_overview(context: Context, operations: OperatorDeps, partition: int) -> Any:
    stops = _stops(context, operations, partition)
    is_open = _is_open(context, partition)
    stuck = stuck_in_partition(context, partition, None, None, 0) if is_open else {"byActor": {}}
    facts = operations.worker()
    report = context.deps.reconciliation() if partition == RECONCILIATION_PARTITION else None
    return {
        "differences": len(report.differences) if report else 0,
        "problems": report.problems if report else (),
        "stuck": stuck["byActor"],
        "broken": Counter(str(code) for _, code, _ in context.deps.money.broken(partition)),
        "positions": _positions(operations, partition),
        "stopped": stops,
        "worker": {
            "url": str(context.deps.own_url or ""),
            "startedMs": facts.started_ms,
            "effectsPending": facts.effects_pending,
            "stripeErrors": dict(facts.stripe_errors),
            "clockTrouble": facts.clock_trouble,
        },
    }


def _overview(
    operations: OperatorDeps,
    offsets: Mapping[tuple[str, int], Offsets] | None,
    shares: Mapping[int, Any],
    missing: tuple[int, ...],
    now_ms: int,
) -> Overview:
    workers = _workers(shares)
    positions = {partition: each["positions"] for partition, each in shares.items()}
    lag = sum(_topic_lag(place, at, positions).lag for place, at in (offsets or {}).items())
    stuck = sum((Counter(each["stuck"]) for each in shares.values()), Counter[str]())
    broken = sum((Counter(each["broken"]) for each in shares.values()), Counter[str]())
    differing = sum(each["differences"] for each in shares.values())
    problems = "; ".join(problem for each in shares.values() for problem in each["problems"])
    troubles = {each["worker"]["url"]: each["worker"]["clockTrouble"] for each in shares.values()}
    clocks = "; ".join(f"{url}: {words}" for url, words in sorted(troubles.items()) if words)
    letters = dict.fromkeys(map(str, DeadLetterState), 0)
    for letter in operations.dead_letters.all():
        letters[letter.state] += 1
    is_open = letters[DeadLetterState.OPEN]
    stopped = "; ".join(
        f"{at.topic}/{at.partition} at offset {at.offset}{f' for {at.service}' if at.service else ''}"
        for at in _stopped_of(shares)
    )
    concerns = [
        *_concern_if(offsets is None, "KAFKA_UNAVAILABLE", "Kafka can't be asked; lag is unknown", "lag"),
        *_concern_if(bool(missing), "PARTITIONS_UNSERVED", _unserved(missing), "lag"),
        *_concern_if(bool(stopped), "PARTITIONS_STOPPED", stopped, "lag"),
        *_concern_if(bool(clocks), "CLOCK", clocks, "overview"),
        *_concern_if(lag > MAX_HEALTHY_LAG, "LAG", counted(lag, "record waits", "records wait"), "lag"),
        *_concern_if(bool(stuck), "STUCK", counted(stuck.total(), "wait is overdue", "waits are overdue"),
             "stuck"),
        *_concern_if(is_open > 0, "DEAD_LETTERS", f"{is_open} to look at", "dead-letters"),
        *_concern_if(differing > 0, "DIFFERENCES",
             f"of {counted(differing, 'object', 'objects')}, by Stripe's word and ours", "reconciliation"),
        *_concern_if(bool(problems), "RECONCILIATION_UNFINISHED", problems, "reconciliation"),
        *(
            Concern(code=code, detail=f"{VIOLATION_DESCRIPTIONS.get(code, code)}: {counted(count, 'order', 'orders')}",
                    where="/api/ops/reconciliation")
            for code, count in sorted(broken.items())
        ),
    ]  # fmt: skip
    return Overview(
        healthy=not concerns,
        concerns=tuple(concerns),
        at=to_rfc3339(now_ms),
        workers=workers,
        lag=lag,
        stuck=dict(sorted(stuck.items())),
        dead_letters=letters,
        effects_pending=sum(worker.effects_pending for worker in workers),
        stripe_errors=sum(sum(worker.stripe_errors.values()) for worker in workers),
        broken_invariants=dict(sorted(broken.items())),
        differences=differing,
        incomplete=missing,
    )


def _unserved(missing: tuple[int, ...]) -> str:
    verb = "does not answer" if len(missing) == 1 else "do not answer"
    return f"partition{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} {verb}"


def _workers(shares: Mapping[int, Any]) -> tuple[WorkerView, ...]:
    owned: dict[str, list[int]] = {}
    for partition, each in shares.items():
        owned.setdefault(each["worker"]["url"], []).append(partition)
    facts = {each["worker"]["url"]: each["worker"] for each in shares.values()}
    return tuple(
        WorkerView(
            url=url,
            partitions=tuple(sorted(partitions)),
            started_at=to_rfc3339(facts[url]["startedMs"]),
            effects_pending=facts[url]["effectsPending"],
            stripe_errors=facts[url]["stripeErrors"],
        )
        for url, partitions in sorted(owned.items())
    )


def _concern_if(is_so: bool, code: str, detail: str, where: str) -> list[Concern]:  # noqa: FBT001
    return [Concern(code=code, detail=detail, where=f"/api/ops/{where}")] if is_so else []
