"""What is stuck, over all orders and of one: where, since when, who must act. For operators."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from models.dead_letter import DeadLetterState
from models.stuck import Actor, Subject, Waiting, quarantined
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.context import ORDERS, Context
from web.http.params import Params, choice_param, limit_param
from web.http.route import Call
from web.http.scatter_gather import Gather, Missing, Shares
from web.indexes.waiting import WAITING_SERVICES, waiting_of

MAX_LISTED: Final = 1000


class WaitView(ApiModel):
    """Something that an order waits for.

    what: the id of the refund, dispute, warning, review, effect, webhook or notification, or the service of a
    quarantine. expected: events, any of which ends it. actor: who must act. advice: what can be done, where the
    state does not say it. due: from then on it is stuck.
    """

    order_id: str
    service: str
    subject: str
    state: str
    what: str | None = None
    since: str
    expected: tuple[str, ...]
    actor: str
    advice: str | None = None
    due: str
    stuck: bool


class StuckList(ApiModel):
    """What is stuck, the longest overdue first.

    total: before the limit. byActor: who has how much to do, likewise. incomplete: partitions whose orders
    are missing here.
    """

    stuck: tuple[WaitView, ...]
    total: int
    by_actor: dict[str, int]
    incomplete: tuple[int, ...]


class OrderWaiting(ApiModel):
    """All that one order waits for, stuck or not; nothing when it has ended."""

    order_id: str
    waiting: tuple[WaitView, ...]


class StuckShare(ApiModel):
    """by_actor: before the limit."""

    rows: tuple[WaitView, ...] = ()
    by_actor: Counter[str]


class StuckParams(Params):
    """Of the list."""

    actor: str | None = choice_param(Actor, f"who must act: {', '.join(Actor)}")
    subject: str | None = choice_param(Subject, f"what is stuck: {', '.join(Subject)}")
    limit: int = limit_param(100, MAX_LISTED)


class ListStuck(Gather[StuckShare, StuckList]):
    """What is stuck: where, since when, and who must act."""

    service, open_services, share_type = ORDERS, (ORDERS,), StuckShare

    async def share(self, partition: int) -> StuckShare:
        """Of an owned partition."""
        return stuck_in_partition(self.context, partition, self.call.params)

    async def merged(self, shares: Shares[StuckShare], missing: Missing) -> StuckList:
        """The longest overdue first."""
        rows = [row for share in shares.values() for row in share.rows]
        rows.sort(key=lambda row: row.due)
        by_actor = sum((share.by_actor for share in shares.values()), Counter[str]())
        return StuckList(
            stuck=tuple(rows[: self.call.params.limit]),
            total=by_actor.total(),
            by_actor=dict(sorted(by_actor.items())),
            incomplete=missing,
        )


def stuck_in_partition(context: Context, partition: int, params: StuckParams) -> StuckShare:
    """What is stuck in an owned partition."""
    now_ms = context.deps.now_ms()
    found = [
        (order_id, service, each)
        for order_id, service, each in _stuck(context, partition, now_ms)
        if params.actor in {None, each.rule.actor} and params.subject in {None, each.rule.subject}
    ]
    found.sort(key=lambda entry: entry[2].due_ms)
    return StuckShare(
        rows=tuple(_shown(*entry, now_ms) for entry in found[: params.limit]),
        by_actor=Counter(str(each.rule.actor) for _, _, each in found),
    )


def quarantined_orders(context: Context, partition: int) -> Iterator[tuple[str, str, int]]:
    """Orders of an owned partition whose inputs a service turns away: order, service, since when (ms)."""
    for order_id, service, each in _stuck(context, partition, context.deps.now_ms()):
        if each.rule.subject is Subject.QUARANTINE:
            yield order_id, service, each.since_ms


def show_order_waiting(call: Call[Params, None]) -> OrderWaiting:
    """Where one order is, since when, and who must act."""
    context, order_id = call.context, call.order_id
    now_ms = context.deps.now_ms()
    shown = [
        _shown(order_id, service, each, now_ms)
        for service in context.tables
        if (record := context.record(service, order_id)) is not None
        for each in waiting_of(service, record)
        # A deadline to come is nothing that anybody waits for yet.
        if each.since_ms <= now_ms and not each.is_over(now_ms)
    ]
    shown.sort(key=lambda each: each.due)
    return OrderWaiting(order_id=order_id, waiting=tuple(shown))


def _stuck(context: Context, partition: int, now_ms: int) -> Iterator[tuple[str, str, Waiting]]:
    """Order, service, and what is due by now."""
    yield from context.deps.waiting.stuck(partition, now_ms)
    operations, seen = context.deps.operations, set()
    # Orders quarantined in services that have no index here: each has an open dead letter.
    for letter in operations.dead_letters.all() if operations is not None else ():
        key, table = letter.order_key, context.tables.get(letter.service)
        is_open = letter.state is DeadLetterState.OPEN and letter.number > 0
        if not is_open or letter.service in WAITING_SERVICES or key is None or table is None:
            continue
        if table.partition_of(key) == partition and (letter.service, key) not in seen:
            seen.add((letter.service, key))
            yield key, letter.service, quarantined(letter.service, letter.since_ms)


def _shown(order_id: str, service: str, each: Waiting, now_ms: int) -> WaitView:
    return view_of(
        WaitView,
        each,
        each.rule,
        order_id=order_id,
        service=service,
        what=each.what or None,
        expected=each.rule.expects,
        advice=each.rule.advice or None,
        stuck=each.due_ms <= now_ms,
    )
