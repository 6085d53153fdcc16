"""The state of an order at any past moment, folded from the rows of its timeline.

Pure. The timeline is made of the topics kept for ever alone, so this reaches back to an order's first
event, however old it is. What is in no event (deadlines) is not part of it.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final

import orjson
from msgspec import structs

from models import topics
from models.delivery import Delivery
from models.events import AUDIT_TYPES, EVENTS, Event, EventType
from models.graphs import RefundStatus
from models.json_depth import is_shallow
from models.messages import convert, convert_known, full_values
from models.order import Order
from models.payment import EffectKind, PaymentRecord, PaymentWork, Refund, refund_id_of
from models.rebuild import EVENT_FOLDS
from models.times import from_rfc3339

Row = Mapping[str, Any]
MAX_DETAIL_DEPTH: Final = 32
"""Of a row's detail: no event of ours is nested so deep."""
_TYPES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("occurredAt", "service", "eventType", "eventId"), str),
    "causationId": str | NoneType,
    "sequence": int | NoneType,
}


class IncompleteError(Exception):
    """The timeline lacks events, or has some that can't be read; the text names the first one."""


class BrokenRowError(ValueError):
    """A row of the timeline can't be read; the text says why.

    is_audit: it surely is none of an order's events.
    """

    def __init__(self, why: str, *, is_audit: bool = False) -> None:
        super().__init__(why)
        self.is_audit = is_audit


def read_row(raw: bytes) -> Row:
    """A row of the timeline as it is stored. Raises BrokenRowError for one that can't be shown."""
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BrokenRowError("it is not JSON") from None
    if not isinstance(row, dict):
        raise BrokenRowError("it is not an object")
    is_audit = row.setdefault("topic", None) == topics.ORDER_AUDIT
    wrong = [name for name, kind in _TYPES.items() if not isinstance(row.get(name), kind)]
    detail = row.setdefault("detail", {})
    if not isinstance(detail, dict) or not is_shallow(detail, MAX_DETAIL_DEPTH):
        wrong.append("detail")
    if "occurredAt" not in wrong:
        try:
            from_rfc3339(row["occurredAt"])
        except (ValueError, OverflowError):
            wrong.append("occurredAt")
    if wrong:
        raise BrokenRowError(f"{', '.join(wrong)} can't be read", is_audit=is_audit)
    return row


@dataclass(frozen=True, slots=True)
class OrderAsOf:
    """The parts of an order at a moment; None: not begun. payment: with the refunds under way then."""

    order: Order | None
    payment: PaymentRecord | None
    delivery: Delivery | None


def as_of(order_id: str, raw: Iterable[bytes], at_ms: int, live: PaymentRecord | None) -> OrderAsOf:
    """Fold all events up to that moment, inclusive.

    raw: the order's rows as they are stored. live: the payment as it is now, which knows the refunds that
    are under way still. Raises IncompleteError.
    """
    rows = []
    for number, each in enumerate(raw, 1):
        try:
            rows.append(read_row(each))
        except BrokenRowError as error:
            if not error.is_audit:
                raise IncompleteError(f"row {number} of its timeline: {error}") from None
    known = [row for row in rows if from_rfc3339(row["occurredAt"]) <= at_ms]
    payment = _fold("payments", order_id, known)
    record = None
    if payment is not None:
        refunds = _pending(rows, known, live)
        record = PaymentRecord(payment=payment, work=PaymentWork(refunds=refunds))
    order, delivery = (_fold(service, order_id, known) for service in ("orders", "deliveries"))
    return OrderAsOf(order, record, delivery)


def _fold(service: str, order_id: str, rows: Iterable[Row]) -> Any:
    part = EVENT_FOLDS[service]
    mine = [
        row for row in rows if row["service"] == service and row["eventType"] not in AUDIT_TYPES
    ]
    state = None
    for number, row in enumerate(sorted(mine, key=lambda row: row["sequence"] or 0), 1):
        if row["sequence"] != number:
            raise IncompleteError(f"{service}: {number}")
        if row["topic"] == part.topic:
            try:
                state = part.evolve(state, event_of(order_id, row))
            except (ValueError, KeyError, TypeError):
                raise IncompleteError(f"{service}: {number}, which can't be read") from None
    return state


def event_of(order_id: str, row: Row) -> Event:
    """The event of a timeline's row, as it was emitted. Raises ValueError for a row that is none."""
    event_type = EventType(row["eventType"])
    kind = EVENTS[event_type].data
    # Rows leave out what is null, also where a field has to be there.
    missing = {field.encode_name: None for field in structs.fields(kind) if field.required}
    return Event(
        event_id=row["eventId"],
        event_type=event_type,
        occurred_at=row["occurredAt"],
        order_id=order_id,
        payment_id=row.get("paymentId"),
        sequence=row["sequence"],
        causation_id=row.get("causationId") or "",
        correlation_id=row.get("correlationId") or "",
        producer=row["service"],
        data=convert_known(kind, {**missing, **row["detail"]})[0],
    )


def _pending(
    rows: Iterable[Row], known: Iterable[Row], live: PaymentRecord | None
) -> dict[str, Refund]:
    """Refunds that had been asked for by then and had not ended; what they were, later rows tell."""
    asked = {
        refund_id_of(row["detail"]["effectId"]): from_rfc3339(row["occurredAt"])
        for row in reversed(list(known))
        if row["eventType"] == EventType.EFFECT_REQUESTED
        and row["detail"].get("kind") == EffectKind.REFUND
        and isinstance(row["detail"].get("effectId"), str)
    }
    ended = {row["detail"]["refundId"] for row in known if _is_end(row)}
    told = {row["detail"]["refundId"]: row["detail"] for row in rows if _is_end(row)}
    found = {}
    for refund_id, at_ms in asked.items():
        now = live.work.refunds.get(refund_id) if live else None
        facts = told.get(refund_id) or (full_values(now) if now else None)
        if refund_id not in ended and facts is not None:
            told_of = {name: facts.get(name) for name in ("amount", "reason", "by", "retryOf")}
            with suppress(ValueError):  # some other record that names a refund
                found[refund_id] = convert(
                    Refund,
                    {
                        "refundId": refund_id, "status": RefundStatus.PENDING, "requestedAt": at_ms,
                        **told_of,
                    }
                )  # fmt: skip
    return found


def _is_end(row: Row) -> bool:
    refund_id = row["detail"].get("refundId")
    return row["topic"] == topics.PAYMENT_EVENTS and isinstance(refund_id, str)
