"""Both accounts of the money since a time: Kafka's, from payment-events, and Stripe's, from its lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.stripe.errors import StateConflictError
from app.stripe.gateway import Listing, StripeGateway
from models import ids
from models.events import EventType, PaymentInitiated, read_event_of
from models.reconciliation import (
    MONEY_EVENTS,
    Account,
    MoneyMovement,
    MovementKind,
    Orphan,
    add_movements,
    movement_of_event,
    movement_of_stripe_object,
)
from models.times import to_rfc3339
from models.topics import PAYMENT_EVENTS
from models.transition import UnreadableError

LISTING_OF: Final = {
    MovementKind.CHARGE: Listing.CHARGES,
    MovementKind.REFUND: Listing.REFUNDS,
    MovementKind.DISPUTE: Listing.DISPUTES,
}
READ_EVENT_TYPES: Final = {kind.encode() for kind in MONEY_EVENTS | {EventType.PAYMENT_INITIATED}}
PAYABLE_STATUSES: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELLED: Final = "CANCELLED"
MAX_LOOK_UPS: Final = 50
KAFKA_MARGIN_MS: Final = 3600 * 1000
"""Kafka hears of an object after Stripe has made it, but its clock may be behind."""


@dataclass(slots=True)
class KafkaAccount:
    """What payment-events say, folded on with each `read`. moved: by object; intents: those of orders.

    unusable: records that could not be used; the services have made dead letters of them.
    """

    kafka: KafkaReader
    since_ms: int
    moved: dict[tuple[MovementKind, str], MoneyMovement] = field(default_factory=dict)
    intents: dict[str, int] = field(default_factory=dict)
    unusable: int = 0
    topic: str = PAYMENT_EVENTS
    _offsets: Mapping[int, int] | None = None

    async def read(self) -> None:
        """Take in what is new. Raises KafkaUnavailableError."""
        if self._offsets is None:
            begin_ms = self.since_ms - KAFKA_MARGIN_MS
            self._offsets, skipped = await self.kafka.since(self.topic, begin_ms, self._take)
        else:
            self._offsets, skipped = await self.kafka.onwards(self.topic, self._offsets, self._take)
        self.unusable += skipped

    def forget(self, before_ms: int) -> None:
        """Drop what is too old to be compared."""
        self.since_ms, limit_ms = before_ms, before_ms - KAFKA_MARGIN_MS
        self.moved = {key: moved for key, moved in self.moved.items() if moved.at_ms >= limit_ms}
        self.intents = {id: at_ms for id, at_ms in self.intents.items() if at_ms >= limit_ms}

    def _take(self, record: FetchedRecord) -> None:
        if dict(record.headers).get("ce_type") not in READ_EVENT_TYPES:
            return
        try:
            event = read_event_of(PAYMENT_EVENTS, record.key or b"", record.value or b"")
        except UnreadableError as error:
            raise ValueError(str(error)) from None
        if isinstance(event.data, PaymentInitiated):
            self.intents[event.data.stripe_intent_id] = event.occurred_at_ms
        elif (moved := movement_of_event(event)) is not None:
            add_movements(self.moved, [moved])


class ListedIntents(NamedTuple):
    """Of Stripe's list. orphans: payment intents of this application that can be paid, and that no order has.

    lost_ids: platform ids of intents that payment-events know: they are ours, and we did not know them.
    """

    orphans: list[dict[str, Any]]
    lost_ids: set[str]


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """What Stripe's lists say of what this application made. Methods raise GatewayError."""

    gateway: StripeGateway

    async def moved(self, since_ms: int) -> dict[tuple[MovementKind, str], MoneyMovement]:
        """Charges, refunds and disputes made since a time (milliseconds since the epoch)."""
        found: dict[tuple[MovementKind, str], MoneyMovement] = {}
        for kind, listing in LISTING_OF.items():
            wanted = {"created": {"gte": since_ms // 1000}}
            async for page in self.gateway.pages(listing, wanted):
                for thing in page:
                    order_id = await self.gateway.order_id_of(thing)
                    moved = movement_of_stripe_object(kind, thing, order_id) if order_id else None
                    if moved is not None:
                        found[moved.key] = moved
        return found

    async def look_up(self, moved: MoneyMovement) -> MoneyMovement | None:
        """What Stripe says of an object that its lists did not show; None: it has none of that id."""
        thing = await self.gateway.find(LISTING_OF[moved.kind], moved.id)
        return movement_of_stripe_object(moved.kind, thing, moved.order_id) if thing else None

    async def intents(
        self, since_ms: int, until_ms: int, known: Mapping[str, int]
    ) -> ListedIntents:
        """What payment intents show that were made in that time. known: those of payment-events."""
        wanted = {"created": {"gte": since_ms // 1000, "lte": until_ms // 1000}}
        found = ListedIntents([], set())
        async for page in self.gateway.pages(Listing.INTENTS, wanted):
            for intent in page:
                if intent["id"] in known:
                    found.lost_ids.add(self.gateway.mark.strange_id(intent.get("metadata")) or "")
                elif intent["status"] in PAYABLE_STATUSES and self._is_surely_ours(intent):
                    found.orphans.append(intent)
        found.lost_ids.discard("")
        return found

    async def cancel_orphan(self, intent: Mapping[str, Any]) -> Orphan:
        """Cancel one; the same however often. It stays as it is when it is being paid."""
        body, result = {"cancellation_reason": "abandoned"}, CANCELLED
        try:
            await self.gateway.cancel(intent["id"], body, f"orphan:{intent['id']}:1")
        except StateConflictError as error:
            result = error.code
        return Orphan(
            stripe_intent_id=intent["id"], order_id=intent["metadata"]["orderId"],
            created=to_rfc3339(intent["created"] * 1000), amount=intent["amount"],
            currency=intent["currency"].upper(), result=result,
        )  # fmt: skip

    def _is_surely_ours(self, intent: Mapping[str, Any]) -> bool:
        """An account may serve others too: only what bears our whole mark and our ids is touched."""
        metadata = intent.get("metadata") or {}
        order_id = self.gateway.mark.order_id(metadata)
        return (
            order_id is not None
            and self.gateway.mark.is_surely_ours(metadata)
            and metadata.get("paymentId") == ids.payment_id(order_id)
        )


async def load_accounts(stripe: StripeAccount, kafka: KafkaAccount) -> tuple[Account, Account, int]:
    """Stripe's account and Kafka's since the same time, and how many objects could not be looked up.

    What only Kafka knows is looked up one by one: Stripe may have made it before that time.
    """
    await kafka.read()
    theirs = await stripe.moved(kafka.since_ms)
    ours = {
        key: moved
        for key, moved in kafka.moved.items()
        if key in theirs or moved.at_ms >= kafka.since_ms
    }
    look_ups = [moved for key, moved in ours.items() if key not in theirs and moved.amount]
    for moved in look_ups[:MAX_LOOK_UPS]:
        found = await stripe.look_up(moved)
        if found is None:
            continue
        if found.at_ms < kafka.since_ms and found.amount == moved.amount:
            del ours[moved.key]  # it belongs to the days before
        else:
            theirs[found.key] = found
    unchecked = look_ups[MAX_LOOK_UPS:]
    for moved in unchecked:
        del ours[moved.key]
    return theirs, ours, len(unchecked)
