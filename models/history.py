"""An order as it stood at any past moment: folded from the rows of its timeline.

Pure. The timeline is made of the topics kept for ever alone, so this reaches back to an order's first
event, however old it is. What is in no event (deadlines, deliveries' couriers on offer) is not told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from models import topics
from models.delivery import Delivery
from models.events import AUDIT_TYPES, EVENT_DATA, Event, EventType
from models.graphs import RefundStatus
from models.messages import from_rfc3339
from models.order_state import Order
from models.payment_state import EffectKind, PaymentRecord, PaymentWork, Refund
from models.rebuild import PARTS

Row = Mapping[str, Any]
REFUND_EFFECT: Final = "refund:"


class IncompleteError(Exception):
    """The timeline lacks events in between; the text names the service and the first one missing."""


@dataclass(frozen=True, slots=True)
class Past:
    """The parts of an order at a moment; None: not begun. payment: with the refunds under way then."""

    order: Order | None
    payment: PaymentRecord | None
    delivery: Delivery | None


def event_of(order_id: str, row: Row) -> Event:
    """The event of a timeline's row, as it was emitted. Raises ValueError for a row that is none."""
    event_type = EventType(row["eventType"])
    kind = EVENT_DATA[event_type]
    # Rows leave out what is null, also where a field has to be there.
    missing = {
        field.alias or name: None
        for name, field in kind.model_fields.items()
        if field.is_required()
    }
    return Event(
        event_id=row["eventId"],
        event_type=event_type,
        occurred_at=row["occurredAt"],
        order_id=order_id,
        payment_id=row["paymentId"],
        sequence=row["sequence"],
        causation_id=row["causationId"],
        correlation_id=row["correlationId"],
        producer=row["service"],
        data=kind.model_validate({**missing, **row["detail"]}),
    )


def as_of(order_id: str, rows: Iterable[Row], at_ms: int, live: PaymentRecord | None) -> Past:
    """Fold all that had happened by then, that moment included.

    live: the payment as it is now, which knows the refunds that are under way still. Raises
    IncompleteError.
    """
    rows = list(rows)
    known = [row for row in rows if from_rfc3339(row["occurredAt"]) <= at_ms]
    payment = _fold("payments", order_id, known)
    record = None
    if payment is not None:
        refunds = _pending(rows, known, live)
        record = PaymentRecord(payment=payment, work=PaymentWork(refunds=refunds))
    order, delivery = (_fold(service, order_id, known) for service in ("orders", "deliveries"))
    return Past(order, record, delivery)


def _fold(service: str, order_id: str, rows: Iterable[Row]) -> Any:
    part = PARTS[service]
    mine = [
        row for row in rows if row["service"] == service and row["eventType"] not in AUDIT_TYPES
    ]
    state = None
    for number, row in enumerate(sorted(mine, key=lambda row: int(row["sequence"])), 1):
        if row["sequence"] != number:
            raise IncompleteError(f"{service}: {number}")
        if row["topic"] == part.topic:
            state = part.evolve(state, event_of(order_id, row))
    return state


def _pending(
    rows: Iterable[Row], known: Iterable[Row], live: PaymentRecord | None
) -> dict[str, Refund]:
    """Refunds that had been asked for by then and had not ended; what they were, later rows tell."""
    asked = {
        row["detail"]["effectId"].removeprefix(REFUND_EFFECT): from_rfc3339(row["occurredAt"])
        for row in reversed(list(known))
        if row["eventType"] == EventType.EFFECT_REQUESTED
        and row["detail"]["kind"] == EffectKind.REFUND
    }
    ended = {row["detail"]["refundId"] for row in known if _is_end(row)}
    told = {row["detail"]["refundId"]: row["detail"] for row in rows if _is_end(row)}
    found = {}
    for refund_id, at_ms in asked.items():
        now = live.work.refunds.get(refund_id) if live else None
        facts = told.get(refund_id) or (now.model_dump(by_alias=True) if now else None)
        if refund_id not in ended and facts is not None:
            found[refund_id] = Refund(
                refund_id=refund_id,
                amount=facts["amount"],
                reason=facts["reason"],
                by=facts["by"],
                status=RefundStatus.PENDING,
                requested_at=at_ms,
                retry_of=facts.get("retryOf"),
            )
    return found


def _is_end(row: Row) -> bool:
    return row["topic"] == topics.PAYMENT_EVENTS and "refundId" in row["detail"]
