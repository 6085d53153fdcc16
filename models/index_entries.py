"""What records are found by and summed up as: the entries and sums of each service's index. Pure.

Lists of what has ended are read from entries, the latest first; so nothing that has ended need be in memory.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from models.graphs import CAPTURED_STATUSES, PaymentStatus
from models.money_checks import money_of, violations
from models.notification import NotificationRecord, NotificationStatus
from models.order import OrderRecord
from models.payment import Payment, PaymentRecord
from models.search_terms import entries_of_order, entries_of_payment
from models.stuck import waiting
from models.times import HOUR_MS
from models.transition import IndexData, until

ENDED: Final = "ended/"
"""A list of what has ended in a state: `ended/<state>/<time>`, orders' with `/<restaurant>` behind."""
REFUNDS: Final = "refunds/"
"""Ended payments with refunds: `refunds/<time>`."""
DISPUTES: Final = "disputes/"
"""Ended payments with disputes: `disputes/<time>`."""
MONEY: Final = "money/"
"""Sums: `money/<currency>/<what>`, in minor units."""
AMOUNTS: Final = ("authorised", "captured", "refunded", "refund_pending", "disputed")
"""What is summed up by currency; with it `payments`, their number."""
TOTALS: Final = (*AMOUNTS, "net")
"""What `money_sums` gives of each currency; net: captured - refunded - disputed."""
REFUNDS_IN: Final = "refunds/"
"""Sums: `refunds/<state>`."""
BLOCKED: Final = "BLOCKED"
"""State of a refund that waits for a dispute to be closed, beside those of RefundStatus."""
FAILED_REFUNDS: Final = "failedRefunds"
"""Sum: payments with a refund that failed and can be retried."""
RECEIPT_WAIT_MS: Final = HOUR_MS
"""For so long after a payment its receipt is asked for: some charges have none."""
_LATEST_MS: Final = (1 << 44) - 1
"""Times have eleven hexadecimal digits."""


def latest_first(at_ms: int) -> str:
    """A time such that later ones come first in the order of text."""
    return f"{_LATEST_MS - min(max(at_ms, 0), _LATEST_MS):011x}"


def time_of(text: str) -> int:
    """What `latest_first` was given."""
    return _LATEST_MS - int(text, 16)


# -- orders


class EndedOrder(NamedTuple):
    """What the index says of an order that has ended. since_ms: since the epoch."""

    order_id: str
    status: str
    restaurant_id: str
    since_ms: int


def index_of_order(state: OrderRecord) -> IndexData:
    """An order by how it has ended, and how many there are in each status."""
    status = str(state.status_shown)
    sums = {status: 1} if state.order or state.placed else {}
    found_by = entries_of_order(state)
    if state.order is None:
        return IndexData(found_by, sums=sums)
    since_ms = state.order.reached[state.order.status]
    restaurant = state.order.restaurant_id or (state.placed.restaurant_id if state.placed else "")
    entry = f"{ENDED}{status}/{latest_first(since_ms)}/{quote(restaurant, safe='')}"
    return IndexData(found_by, once_ended=(entry,), sums=sums)


def ended_order(status: str, entry: str) -> EndedOrder:
    """Read what follows `ended/<status>/` in an order's entry, its key behind it."""
    time, restaurant, order_id = entry.split("/")
    return EndedOrder(order_id, status, unquote(restaurant), time_of(time))


# -- payments


SETTLED: Final = CAPTURED_STATUSES | {PaymentStatus.CANCELLED}


def payment_has_ended(record: PaymentRecord) -> bool:
    """Whether nothing is to be done for a payment: nothing waits, is in doubt or is asked of Stripe."""
    payment, work = record.payment, record.work
    if payment is not None and payment.status not in SETTLED:
        return False
    if work.effects or work.refunds or work.held or work.doubted_disputes or work.refund_wanted:
        return False
    if work.in_doubt_since is not None or work.repaired_at is not None or waiting(record):
        return False
    money = money_of(record)
    return money is None or not violations(money, None)


def index_of_payment(record: PaymentRecord) -> IndexData:
    """A payment's refunds and disputes once it has ended, and its money."""
    payment, work = record.payment, record.work
    if payment is None:
        return IndexData()
    of_currency = f"{MONEY}{payment.currency}/"
    sums = {f"{of_currency}payments": 1, f"{of_currency}authorised": payment.amount}
    if payment.captured:
        sums[f"{of_currency}captured"] = payment.captured
    if payment.refunds or payment.disputes or work.refunds or work.refund_wanted:
        sums |= _sums_of_refunds(record, of_currency)
    found_by, once_ended = entries_of_payment(record), tuple(_payment_entries(payment))
    return IndexData(found_by, once_ended=once_ended, sums=sums)


def _sums_of_refunds(record: PaymentRecord, of_currency: str) -> dict[str, int]:
    payment, money = record.payment, money_of(record)
    if payment is None or money is None:
        return {}
    sums = Counter(f"{REFUNDS_IN}{refund.status}" for refund in record.refunds().values())
    sums[f"{REFUNDS_IN}{BLOCKED}"] = int(
        record.work.refund_wanted is not None and payment.captured > 0
    )
    sums[FAILED_REFUNDS] = int(money.needs_operator)
    for what in ("refunded", "refund_pending", "disputed"):
        sums[of_currency + what] = getattr(money, what)
    return {name: value for name, value in sums.items() if value}


def _payment_entries(payment: Payment) -> Iterator[str]:
    if payment.refunds:
        yield f"{REFUNDS}{latest_first(payment.occurred_at)}"
    if payment.disputes:
        yield f"{DISPUTES}{latest_first(payment.occurred_at)}"
    if payment.completed_at is not None and payment.receipt_url is None:
        yield until(payment.completed_at + RECEIPT_WAIT_MS)


def money_sums(sums: Mapping[str, int]) -> dict[str, Counter[str]]:
    """Currency -> TOTALS and the number of payments."""
    found: dict[str, Counter[str]] = {}
    for name, value in sums.items():
        if name.startswith(MONEY):
            _, currency, what = name.split("/")
            found.setdefault(currency, Counter())[what] = value
    for of in found.values():
        of["net"] = of["captured"] - of["refunded"] - of["disputed"]
    return found


# -- notifications


def index_of_notifications(state: NotificationRecord) -> IndexData:
    """An order's messages once nothing is left to be sent, as FAILED where one was given up; their number."""
    messages = state.notifications.values()
    statuses = Counter(str(each.status) for each in messages)
    ended_as = NotificationStatus.FAILED
    if ended_as not in statuses:
        ended_as = NotificationStatus.SENT
    statuses.update({str(status): count for status, count in state.removed.items()})
    if not messages:
        return IndexData(sums=statuses)
    latest_ms = list(messages)[-1].occurred_at
    return IndexData(once_ended=(f"{ENDED}{ended_as}/{latest_first(latest_ms)}",), sums=statuses)
