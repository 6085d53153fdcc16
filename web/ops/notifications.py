"""The list of notifications, over all orders or of one, for operators: filtered, in pages."""

from collections import Counter
from collections.abc import Iterable
from heapq import nlargest
from typing import Any, ClassVar, Final

from models.notification import CHANNELS_BY_EVENT, Channel, NotificationStatus
from models.times import from_rfc3339
from tables import NotOwnerError
from web.api.notifications import NotificationView, entries_of, notification_view
from web.http.api_model import ApiModel
from web.http.commands import check_order_is_known
from web.http.context import NOTIFICATIONS
from web.http.params import Params, choice_param, cursor_param, limit_param, order_param
from web.http.route import Call, Owner, owner_of_order
from web.http.scatter_gather import Gather, Missing, Shares
from web.indexes.notifications import NotificationEntry

MAX_LISTED: Final = 500


class NotificationRows(ApiModel):
    """The latest first.

    total: how many the filters leave. counts: state -> how many there are, without filters but that of
    the order. isBounded: of orders whose messages have all ended only the latest are listed and in the total.
    next: the `before` of the next page. incomplete: partitions whose messages are missing here.
    """

    notifications: tuple[NotificationView, ...]
    total: int
    counts: dict[str, int]
    is_bounded: bool
    next: str | None = None
    incomplete: tuple[int, ...]


class NotificationsShare(ApiModel):
    """One more than is shown, so that it is known if there is more."""

    counts: Counter[str]
    total: int
    rows: tuple[NotificationView, ...]
    is_bounded: bool = False


class NotificationListParams(Params):
    """before: place of the last one of the page before."""

    is_strict: ClassVar[bool] = True

    state: str | None = choice_param(NotificationStatus)
    channel: str | None = choice_param(Channel)
    kind: str | None = choice_param(
        CHANNELS_BY_EVENT,
        "the type of event that it tells of, such as PAYMENT_REFUNDED; all by default",
    )
    order: str | None = order_param(
        "of one order, by its id; then all of that order's are listed, however old"
    )
    before: tuple[int, str] | None = cursor_param(r"(\d{1,15})-(notif_[0-9a-z]{26})")
    limit: int = limit_param(50, MAX_LISTED)

    def wants(self, entry: NotificationEntry) -> bool:
        """Whether a message belongs to the list."""
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


class _ListNotifications(Gather[NotificationsShare, NotificationRows]):
    service, open_services = NOTIFICATIONS, (NOTIFICATIONS,)
    share_type = NotificationsShare

    async def share(self, partition: int) -> NotificationsShare:
        """Of an owned partition."""
        index = self.context.notification_index
        if index is None:
            raise NotOwnerError(NOTIFICATIONS)
        share = self.share_of(index.entries(partition), index.counts(partition))
        return share.model_copy(update={"is_bounded": index.is_bounded(partition)})

    def share_of(
        self, entries: Iterable[NotificationEntry], counts: Counter[str]
    ) -> NotificationsShare:
        """Of some messages. counts: of all, by status."""
        params, total, page = self.call.params, 0, []
        for entry in entries:
            if params.wants(entry):
                total += 1
                if params.before is None or _place(entry) < params.before:
                    page.append(entry)
        rows = tuple(map(notification_view, nlargest(params.limit + 1, page, key=_place)))
        return NotificationsShare(counts=counts, total=total, rows=rows)

    async def merged(
        self, shares: Shares[NotificationsShare], missing: Missing
    ) -> NotificationRows:
        """The latest first."""
        counts = Counter(dict.fromkeys(map(str, NotificationStatus), 0))
        for share in shares.values():
            counts.update(share.counts)
        limit, rows = self.call.params.limit, [row for each in shares.values() for row in each.rows]
        rows.sort(key=lambda row: (row.occurred_at, row.notification_id), reverse=True)
        return NotificationRows(
            notifications=tuple(rows[:limit]),
            total=sum(share.total for share in shares.values()),
            counts=counts,
            is_bounded=any(share.is_bounded for share in shares.values()),
            next=_cursor_of(rows[limit - 1]) if len(rows) > limit else None,
            incomplete=missing,
        )


async def order_of(call: Call[NotificationListParams, None]) -> None:
    """Make the order of ?order= the one that the call is about."""
    call.order_id = call.params.order or ""


def owner_if_of_order(call: Call[NotificationListParams, None]) -> Owner | None:
    """The owner of the order of ?order=."""
    return owner_of_order(call) if call.order_id else None


async def list_notifications(call: Call[NotificationListParams, None]) -> Any:
    """What customers were told, is to be told, and could not be told; the latest first."""
    gather = _ListNotifications(call)
    if not call.order_id:
        return gather
    check_order_is_known(call.context, call.order_id)
    entries = tuple(entries_of(call.context, call.order_id))
    share = gather.share_of(entries, Counter(str(entry.status) for entry in entries))
    return await gather.merged({0: share}, ())
