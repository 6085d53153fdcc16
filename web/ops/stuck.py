"""What is stuck, over all orders and of one: where, since when, who must act. For operators."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from aiohttp import web

from models.dead_letter import DeadLetter, DeadLetterState
from models.messages import Message
from models.stuck import Actor, Subject, Waiting, quarantined
from models.times import to_rfc3339
from tables import NotOwnerError
from web.http import auth
from web.http.commands import check_order_is_known, forwarded_to_owner, json_response
from web.http.context import CONTEXT, ORDERS, Context
from web.http.params import limit_of, one_of, order_id_of
from web.http.scatter_gather import scatter_gather
from web.http.tokens import Role
from web.indexes.waiting import WAITING_SERVICES, waiting_of

MAX_LISTED: Final = 1000
QUERY: Final = {
    "actor": f"who must act: {', '.join(Actor)}",
    "subject": f"what is stuck: {', '.join(Subject)}",
    "limit": f"at most so many, 1 to {MAX_LISTED}; 100 by default",
}


class WaitView(Message):
    """Something that an order waits for.

    what: the id of the refund, dispute, effect, webhook or notification, or the service of a quarantine.
    expected: events, any of which ends it. actor: who must act. due: from then on it is stuck.
    """

    order_id: str
    service: str
    subject: str
    state: str
    what: str | None = None
    since: str
    expected: tuple[str, ...]
    actor: str
    due: str
    stuck: bool


class StuckList(Message):
    """What is stuck, the longest overdue first.

    total: before the limit. byActor: who has how much to do, likewise. incomplete: partitions whose orders
    are missing here.
    """

    stuck: tuple[WaitView, ...]
    total: int
    by_actor: dict[str, int]
    incomplete: tuple[int, ...]


class OrderWaiting(Message):
    """All that one order waits for, stuck or not; nothing when it has ended."""

    order_id: str
    waiting: tuple[WaitView, ...]


async def list_stuck(request: web.Request) -> web.StreamResponse:
    """What is stuck: where, since when, and who must act."""
    context = request.app[CONTEXT]
    await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    limit = limit_of(request, 100, MAX_LISTED)
    actor, subject = one_of(request, "actor", Actor), one_of(request, "subject", Subject)

    async def share(partition: int) -> Any:
        return stuck_in_partition(context, partition, actor, subject, limit)

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        rows = sorted((row for each in shares.values() for row in each["rows"]), key=_due)
        by_actor = sum((Counter(each["byActor"]) for each in shares.values()), Counter[str]())
        answer = StuckList(
            stuck=tuple(WaitView.model_validate(row) for row in rows[:limit]),
            total=by_actor.total(),
            by_actor=dict(sorted(by_actor.items())),
            incomplete=missing,
        )
        return json_response(answer)

    return await scatter_gather(request, ORDERS, share, merged)


def stuck_in_partition(
    context: Context, partition: int, actor: str | None, subject: str | None, limit: int
) -> dict[str, Any]:
    """What is stuck in an owned partition. Raises NotOwnerError."""
    if partition not in context.tables[ORDERS].open_partitions():
        raise NotOwnerError(ORDERS)
    now_ms = context.deps.now_ms()
    found = [
        (order_id, service, each)
        for order_id, service, each in _stuck(context, partition, now_ms)
        if actor in {None, each.rule.actor} and subject in {None, each.rule.subject}
    ]
    found.sort(key=lambda entry: entry[2].due_ms)
    return {
        "rows": [_shown(*entry, now_ms).model_dump(by_alias=True) for entry in found[:limit]],
        "byActor": Counter(str(each.rule.actor) for _, _, each in found),
    }


def quarantined_orders(context: Context, partition: int) -> Iterator[tuple[str, str, int]]:
    """Orders of an owned partition whose inputs a service turns away: order, service, since when (ms)."""
    for order_id, service, each in _stuck(context, partition, context.deps.now_ms()):
        if each.rule.subject is Subject.QUARANTINE:
            yield order_id, service, each.since_ms


async def show_order_waiting(request: web.Request) -> web.StreamResponse:
    """Where one order is, since when, and who must act."""
    context, order_id = request.app[CONTEXT], order_id_of(request)
    await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, order_id)
    now_ms = context.deps.now_ms()
    found = [
        (order_id, service, each)
        for service in context.tables
        if (record := context.record(service, order_id)) is not None
        for each in waiting_of(service, record)
    ]
    # A deadline to come is nothing that anybody waits for yet.
    shown = [_shown(*entry, now_ms) for entry in found if entry[2].since_ms <= now_ms]
    shown.sort(key=lambda each: each.due)
    return json_response(OrderWaiting(order_id=order_id, waiting=tuple(shown)))


def _stuck(context: Context, partition: int, now_ms: int) -> Iterator[tuple[str, str, Waiting]]:
    """Order, service, and what is due by now."""
    yield from context.deps.waiting.stuck(partition, now_ms)
    if context.deps.operations is not None:
        yield from _without_index(context, context.deps.operations.dead_letters.all(), partition)


def _without_index(
    context: Context, letters: Iterable[DeadLetter], partition: int
) -> Iterator[tuple[str, str, Waiting]]:
    """Orders quarantined in services that have no index here: each has an open dead letter."""
    seen = set()
    for letter in letters:
        key, table = letter.order_key, context.tables.get(letter.service)
        if (
            letter.state is not DeadLetterState.OPEN
            or not letter.number
            or letter.service in WAITING_SERVICES
        ):
            continue
        if key is None or table is None or table.partition_of(key) != partition:
            continue
        if (letter.service, key) not in seen:
            seen.add((letter.service, key))
            yield key, letter.service, quarantined(letter.service, letter.since_ms)


def _shown(order_id: str, service: str, each: Waiting, now_ms: int) -> WaitView:
    return WaitView(
        order_id=order_id,
        service=service,
        subject=each.rule.subject,
        state=each.rule.state,
        what=each.what or None,
        since=to_rfc3339(each.since_ms),
        expected=each.rule.expects,
        actor=each.rule.actor,
        due=to_rfc3339(each.due_ms),
        stuck=each.due_ms <= now_ms,
    )


def _due(row: Mapping[str, Any]) -> str:
    return str(row["due"])
