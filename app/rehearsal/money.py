"""What money an order moved, by its payment events: captured, and given back; integer minor units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.rehearsal.history import SentRecord, read_body
from models.events import EventType
from models.payment import REFUND_EFFECT_PREFIX, PaymentRecord
from models.topics import PAYMENT_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

REFUNDED = frozenset({EventType.PAYMENT_REFUNDED, EventType.PAYMENT_REFUND_PARTIAL})


class MoneyMoved(NamedTuple):
    """Minor units of one currency. asked: of refunds asked for of Stripe that it was never asked for."""

    captured: int = 0
    refunded: int = 0
    asked: int = 0

    def plus(self, other: MoneyMoved) -> MoneyMoved:
        """The sums."""
        return MoneyMoved(*(mine + its for mine, its in zip(self, other, strict=True)))


def money_of(
    sent: Iterable[SentRecord], state: Any = None, unanswered: frozenset[str] = frozenset()
) -> dict[str, MoneyMoved]:
    """Currency -> money, of what payments sent about one order.

    state: of the payments service behind it; unanswered: effects that Stripe was never asked for.
    """
    captured: dict[str, int] = {}
    refunds: dict[str, tuple[str, int]] = {}
    for record in dict.fromkeys(sent):
        if record.topic != PAYMENT_EVENTS:
            continue
        body = read_body(record.value)
        data = body.get("data") or {}
        kind = body.get("eventType")
        if kind == EventType.PAYMENT_COMPLETED:
            captured[data["currency"]] = data["amount"]
        elif kind in REFUNDED:
            refunds[data["refundId"]] = data["currency"], data["amount"]
        elif kind == EventType.PAYMENT_REFUND_FAILED:
            refunds.pop(data["refundId"], None)
    found = {currency: MoneyMoved(amount) for currency, amount in captured.items()}
    for currency, amount in refunds.values():
        found[currency] = found.get(currency, MoneyMoved()).plus(MoneyMoved(refunded=amount))
    if isinstance(state, PaymentRecord) and state.payment is not None:
        new = (
            each
            for name, each in state.work.refunds.items()
            if f"{REFUND_EFFECT_PREFIX}{name}" in unanswered
        )
        asked = sum(each.amount for each in new)
        if asked:
            currency = state.payment.currency
            found[currency] = found.get(currency, MoneyMoved()).plus(MoneyMoved(asked=asked))
    return found
