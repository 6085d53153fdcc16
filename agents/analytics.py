"""The analytics service: adds payment events up by minute, hour and day, per currency and restaurant."""

from typing import Final

from agents.dictionaries import dictionaries_of
from agents.service import GATHERED_S, Service, events
from models import analytics, topics
from models.analytics import CountedPayment
from models.cloudevents import cloudevent_headers
from models.events import Event, PaymentInitiated
from models.graphs import PaymentStatus
from models.levels import Level
from models.messages import encode
from models.payment import Payment
from models.payment_fold import evolve
from models.takings import change_of, restaurant_key
from models.tracing import TRACEPARENT
from models.transition import Decision, Input, Output, ReadRow, UnreadableError

TAKINGS_TYPE: Final = "TAKINGS_CHANGE"
TAKINGS_SOURCE: Final = "/tiffin/analytics"
ENDED_STATUSES: Final = frozenset(
    {PaymentStatus.COMPLETED, PaymentStatus.CANCELLED, PaymentStatus.REFUNDED}
)


def decide(state: CountedPayment | None, record: Input, read: ReadRow) -> Decision:
    """Count one event.

    A row keeps the last offset that it holds, so that an input which is decided again after a crash is
    left out of the rows that have it, and of those alone: this service reads one topic only. Raises
    UnreadableError for a payment without its beginning; what comes after it is counted.
    """
    event: Event = record.message
    if event.producer != "payments":
        return Decision(state)  # PAYMENT_REFUND_INITIATED of orders moves no money yet
    before = state.payment if state else None
    try:
        after = evolve(before, event)
    except ValueError as error:
        raise UnreadableError(f"eventType: {error}") from None
    restaurant_id = state.restaurant_id if state else ""
    if isinstance(event.data, PaymentInitiated):
        restaurant_id = event.data.restaurant_id
    rows = {}
    for key, added in analytics.additions(before, event, after, restaurant_id).items():
        offset, sums = analytics.load_row(read(key))
        if offset < record.offset:
            analytics.add(sums, added)
            rows[key] = analytics.dump_row(record.offset, sums)
    outputs = _takings(before, record, after, restaurant_id)
    return Decision(CountedPayment(payment=after, restaurant_id=restaurant_id), outputs, rows=rows)


def _takings(
    before: Payment | None, record: Input, after: Payment, restaurant_id: str
) -> tuple[Output, ...]:
    """What the restaurant is told; its key leads to the partition that sums it up."""
    event: Event = record.message
    change = change_of(before, event, after, record.offset)
    key = restaurant_key(restaurant_id)
    if change is None or key is None or record.level < Level.V0_2:
        return ()
    headers = cloudevent_headers(event.event_id, TAKINGS_TYPE, TAKINGS_SOURCE, event.occurred_at)
    trace = tuple(header for header in record.headers if header[0] == TRACEPARENT)
    return (Output(topics.RESTAURANT_TAKINGS, key, encode(change), (*headers, *trace)),)


def has_ended(state: CountedPayment | None) -> bool:
    """Whether the payment has: what still comes, as a refund, is rare."""
    return state is not None and state.payment.status in ENDED_STATUSES


ANALYTICS: Final[Service[CountedPayment | None]] = Service(
    name="analytics",
    about="Adds payment events up by minute, hour and day, per currency and restaurant; tells each "
    "restaurant's takings what changes.",
    inputs={topics.PAYMENT_EVENTS: events},
    state=CountedPayment | None,
    initial=None,
    decide=decide,
    has_ended=has_ended,
    dictionaries=dictionaries_of("analytics"),
    gather_s=GATHERED_S,
    sums=dict.fromkeys(map(str, analytics.BucketLength), analytics.restarted_row),
)
