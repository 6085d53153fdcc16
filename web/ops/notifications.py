"""The list of what customers were told, over all orders or of one, for operators: filtered, in pages."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, Final, Self

from aiohttp import web

from models import ids
from models.messages import Message
from models.notification import CHANNELS_BY_EVENT, Channel, NotificationStatus
from models.times import from_rfc3339
from tables import NotOwnerError
from web.api.notifications import NotificationView, entries_of
from web.http import auth, consistency
from web.http.commands import check_order_is_known, forwarded_to_owner, json_response
from web.http.context import CONTEXT, NOTIFICATIONS, Context
from web.http.params import limit_of
from web.http.problems import ProblemError
from web.http.scatter_gather import scatter_gather
from web.http.tokens import Role
from web.indexes.notifications import NotificationEntry
from web.ops.orders import ENDED_READ_SHARE

MAX_LISTED: Final = 500
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "state": tuple(NotificationStatus), "channel": tuple(Channel), "kind": tuple(CHANNELS_BY_EVENT)
}  # fmt: skip
"""Filter -> what it may be."""
QUERY: Final = {
    "state": f"one of {', '.join(CHOICES['state'])}; all by default",
    "channel": f"one of {', '.join(CHOICES['channel'])}; all by default",
    "kind": "the type of event that it tells of, such as PAYMENT_REFUNDED; all by default",
    "order": "of one order, by its id; then all of that order's are listed, however old",
    "limit": f"at most so many, 1 to {MAX_LISTED}; 50 by default",
    "before": "`next` of the page before",
}
_CURSOR: Final = re.compile(r"(\d{1,15})-(notif_[0-9a-z]{26})")


class NotificationRows(Message):
    """The latest first.

    total: how many the filters leave. counts: state -> how many there are, without filters but that of
    the order. isBounded: of orders whose messages have all ended only the latest are listed and counted.
    next: the `before` of the next page. incomplete: partitions whose messages are missing here.
    """

    notifications: tuple[NotificationView, ...]
    total: int
    counts: dict[str, int]
    is_bounded: bool
    next: str | None = None
    incomplete: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NotificationListQuery:
    """What a list is to show. before: place of the last one of the page before."""

    state: str | None
    channel: str | None
    kind: str | None
    order_id: str | None
    limit: int
    before: tuple[int, str] | None

    @classmethod
    def of(cls, request: web.Request) -> Self:
        """Read the query. Raises ProblemError (400) that names each wrong parameter."""
        query, wrong = request.query, []
        wrong += [(n, f"accepted: {', '.join(QUERY)}") for n in sorted({*query} - {*QUERY})]
        wrong += [(name, "accepted: once") for name in QUERY if len(query.getall(name, ())) > 1]
        for name, choices in CHOICES.items():
            if query.get(name, choices[0]) not in choices:
                wrong.append((name, f"accepted: {', '.join(choices)}"))
        order_id, before = query.get("order"), query.get("before")
        if order_id is not None and not ids.is_order_id(order_id):
            wrong.append(("order", "accepted: an id of ours, order_..."))
        cursor = _CURSOR.fullmatch(before or "")
        if before is not None and cursor is None:
            wrong.append(("before", f"accepted: {QUERY['before']}"))
        try:
            limit = limit_of(request, 50, MAX_LISTED)
        except ProblemError as problem:
            wrong += problem.errors
        if wrong:
            raise ProblemError("VALIDATION_FAILED", errors=wrong)
        return cls(
            state=query.get("state"), channel=query.get("channel"), kind=query.get("kind"),
            order_id=order_id, limit=limit,
            before=(int(cursor[1]), cursor[2]) if cursor else None,
        )  # fmt: skip

    def share(self, entries: Iterable[NotificationEntry]) -> dict[str, Any]:
        """What is left of some entries: one more than is shown, so that it is known if there is more."""
        counts, total, page = Counter[str](), 0, []
        for entry in entries:
            counts[str(entry.status)] += 1
            if self._wants(entry):
                total += 1
                if self.before is None or _place(entry) < self.before:
                    page.append(entry)
        rows = map(NotificationView.of, nlargest(self.limit + 1, page, key=_place))
        shown = [row.model_dump(mode="json", by_alias=True) for row in rows]
        return {"counts": counts, "total": total, "rows": shown}

    def merged(
        self, shares: Iterable[Mapping[str, Any]], *, is_bounded: bool, incomplete: tuple[int, ...]
    ) -> NotificationRows:
        """The client's answer."""
        counts, total = Counter(dict.fromkeys(map(str, NotificationStatus), 0)), 0
        rows: list[NotificationView] = []
        for share in shares:
            counts.update(share["counts"])
            total += share["total"]
            rows += map(NotificationView.model_validate, share["rows"])
        rows.sort(key=lambda row: (row.occurred_at, row.notification_id), reverse=True)
        page = rows[: self.limit]
        return NotificationRows(
            notifications=tuple(page),
            total=total,
            counts=counts,
            is_bounded=is_bounded,
            next=_cursor_of(page[-1]) if len(rows) > self.limit else None,
            incomplete=incomplete,
        )

    def _wants(self, entry: NotificationEntry) -> bool:
        return (
            self.state in {None, entry.status}
            and self.channel in {None, entry.channel}
            and self.kind in {None, entry.event_type}
        )


def _place(entry: NotificationEntry) -> tuple[int, str]:
    """In the list: by the event's time; a retry moves nothing."""
    return entry.occurred_ms, entry.notification_id


def _cursor_of(row: NotificationView) -> str:
    return f"{from_rfc3339(row.occurred_at)}-{row.notification_id}"


async def list_notifications(request: web.Request) -> web.StreamResponse:
    """What customers were told, is to be told, and could not be told; the latest first."""
    context = request.app[CONTEXT]
    await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    asked = NotificationListQuery.of(request)
    if asked.order_id is not None:
        return await _list_of_order(request, context, asked, asked.order_id)

    async def share(partition: int) -> Any:
        index = context.notification_index
        if index is None or partition not in context.tables[NOTIFICATIONS].open_partitions():
            raise NotOwnerError(NOTIFICATIONS)
        # Also for those that have not ended: the counts are of all.
        await index.read_ended(partition, context.deps.bounds.gather_s * ENDED_READ_SHARE)
        found = asked.share(index.entries(partition))
        return {**found, "isBounded": index.is_bounded(partition)}

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        is_bounded = any(each["isBounded"] for each in shares.values())
        answer = asked.merged(shares.values(), is_bounded=is_bounded, incomplete=missing)
        return json_response(answer)

    return await scatter_gather(request, NOTIFICATIONS, share, merged)


async def _list_of_order(
    request: web.Request, context: Context, asked: NotificationListQuery, order_id: str
) -> web.StreamResponse:
    token = consistency.token_of_request(request, order_id)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    await consistency.hold(context, order_id, token, [NOTIFICATIONS])
    check_order_is_known(context, order_id)
    share = asked.share(entries_of(context, order_id))
    return json_response(asked.merged([share], is_bounded=False, incomplete=()))
