"""What is done with each event of Stripe's, by the table in models/stripe_events.py; counted by its result."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import Histogram, values
from app.stripe.gateway import StripeGateway
from app.stripe.webhooks import IsReceiptKnown, reduce_webhook
from models.commands import WebhookReceived
from models.events import NO_ORDER, WebhookNoted
from models.stripe_events import EventUse, rule_of_event_type

log = structlog.stdlib.get_logger(__name__)

NO_ORDER_OF_OURS: Final = "no_order"
"""Result for an event that would be applied, if its object belonged to an order of this application."""
OTHER_TYPE: Final = "other"
"""Label of the types that the table does not have: their number has no bound."""


class EventIntake(Collector):
    """Takes verified events in; a collector of metrics."""

    def __init__(
        self,
        gateway: StripeGateway,
        note: Callable[[str, WebhookNoted, str], Awaitable[None]],
        is_receipt_known: IsReceiptKnown = lambda *_: False,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """note: puts an event into the audit, by its cause and with its order or NO_ORDER.

        It raises KafkaUnavailableError. is_receipt_known: so that Stripe need not be asked.
        """
        self.counts: Counter[tuple[str, str]] = Counter()
        self._delay = Histogram("tiffin_webhook_delay_seconds")
        self._gateway, self._note, self._now_s = gateway, note, now_s
        self._is_receipt_known = is_receipt_known

    def collect(self) -> Iterator[Metric]:
        """Events since the worker's start."""
        yield values("tiffin_stripe_events_total", self.counts)
        yield from self._delay.collect()

    async def take_webhook(self, event: Mapping[str, Any]) -> WebhookReceived | None:
        """As `take`, of an event that Stripe has sent here now, and not one that was fetched."""
        facts = await self.take(event)
        use, _ = rule_of_event_type(event["type"])
        kind = OTHER_TYPE if use is EventUse.UNDECIDED else event["type"]
        # Stripe's time is a whole second, cut off.
        self._delay.observe(max(0.0, self._now_s() - event["created"]), kind)
        return facts

    async def take(self, event: Mapping[str, Any]) -> WebhookReceived | None:
        """Give the facts of an event that is applied to a payment of ours; None for all others.

        One that is noted is in the audit when this returns. Raises as reduce_webhook does, and
        KafkaUnavailableError: Stripe delivers the event again then.
        """
        kind = event["type"]
        use, why = rule_of_event_type(kind)
        facts, result = None, str(use)
        match use:
            case EventUse.APPLIED:
                facts = await reduce_webhook(self._gateway, event, self._is_receipt_known)
                result = NO_ORDER_OF_OURS if facts is None else result
            case EventUse.NOTED:
                order_id = await self._order_noted(event)
                if order_id is None:
                    result = NO_ORDER_OF_OURS
                else:
                    await self._note_for(order_id, event, why)
            case EventUse.UNDECIDED:
                told = {"stripeEventId": event["id"], "stripeEventType": kind}
                log.warning("an event of a type that nobody has decided about", **told)
        self.counts[OTHER_TYPE if use is EventUse.UNDECIDED else kind, result] += 1
        return facts

    async def _order_noted(self, event: Mapping[str, Any]) -> str | None:
        """The order to note an event with; NO_ORDER for the account's own, None for others' payments."""
        if not event["type"].startswith("payment_intent."):
            return NO_ORDER
        return await self._gateway.order_id_of(event["data"]["object"])

    async def _note_for(self, order_id: str, event: Mapping[str, Any], why: str) -> None:
        id, kind = event["id"], event["type"]
        noted = WebhookNoted(stripe_event_id=id, stripe_event_type=kind, effect=f"noted: {why}")
        await self._note(f"stripe:{id}", noted, order_id)
        told = {"stripeEventId": id, "stripeEventType": kind, "orderId": order_id}
        log.warning("Stripe tells operators something", why=why, **told)
