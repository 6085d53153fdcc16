"""Finds Stripe's events whose webhooks never reached Kafka, and puts them where those would have come."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from app.kafka.reader import KafkaReader
from app.kafka.records import FetchedRecord
from app.stripe.gateway import Listing, StripeGateway
from models.commands import WebhookReceived
from models.reconciliation import MissingEvent
from models.sender import CommandSender
from models.stripe_events import APPLIED_EVENT_TYPES
from models.times import to_rfc3339
from models.topics import WEBHOOKS

log = structlog.stdlib.get_logger(__name__)

OVERLAP_MS: Final = 3600 * 1000
"""Looked at again in each search: Stripe's list may show an event late."""
SLICE_MS: Final = 3600 * 1000
"""Of Stripe's events, so that a long outage is not held in memory at once."""
CLOCK_SKEW_MS: Final = 300 * 1000
"""Otherwise no webhook reaches Kafka before its event was made."""


@dataclass(slots=True)
class MissingWebhooks:
    """Compares Stripe's list with the topic itself, by the events' ids; Kafka gets only what it lacks.

    received: reduces an event of Stripe's; None: it is not ours. done: events that were sent or are not
    ours, id -> created in seconds: they are not asked about again while the overlap shows them.
    unusable: records of the topic whose event could not be told, in the latest search.
    """

    gateway: StripeGateway
    sender: CommandSender
    received: Callable[[Mapping[str, Any]], Awaitable[WebhookReceived | None]]
    kafka: KafkaReader
    topic: str = WEBHOOKS
    done: dict[str, int] = field(default_factory=dict)
    unusable: int = 0

    async def search(
        self,
        cursor_ms: int,
        until_ms: int,
        *,
        is_runner: Callable[[], bool],
        found: Callable[[MissingEvent], None],
    ) -> AsyncIterator[tuple[int, int]]:
        """Go through the events made from an hour before the cursor on; milliseconds since the epoch.

        Yields, slice by slice, up to when nothing is missing any more, and how many events were
        looked at; each missing event is told to `found` once Kafka has it. Ends early when is_runner
        says so. Raises UnavailableError and InvalidError.
        """
        since_ms = cursor_ms - OVERLAP_MS
        self.done = {id: at for id, at in self.done.items() if at >= since_ms // 1000}
        in_kafka = await self._ids_in_kafka(since_ms - CLOCK_SKEW_MS)
        for begin_ms in range(since_ms, until_ms, SLICE_MS):
            end_ms = min(begin_ms + SLICE_MS, until_ms)
            listed, missing = await self._missing(begin_ms, end_ms, in_kafka)
            for event in missing:
                if not is_runner():
                    return
                told = await self._apply(event)
                self.done[event["id"]] = event["created"]
                if told is not None:
                    found(told)
            yield end_ms, listed

    async def _ids_in_kafka(self, since_ms: int) -> set[str]:
        ids: set[str] = set()

        def take(record: FetchedRecord) -> None:
            told = dict(record.headers).get("ce_id", b"").decode()
            if not told:
                raise ValueError("no ce_id")
            ids.add(told)

        _, self.unusable = await self.kafka.since(self.topic, since_ms, take)
        return ids

    async def _missing(
        self, begin_ms: int, end_ms: int, in_kafka: set[str]
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many events there are in a slice, and those that Kafka does not have, oldest first."""
        wanted = {
            "types": list(APPLIED_EVENT_TYPES),
            # Whole seconds: a second that two slices share is looked at twice.
            "created": {"gte": begin_ms // 1000, "lte": end_ms // 1000},
        }
        listed, missing = 0, []
        async for page in self.gateway.pages(Listing.EVENTS, wanted):
            listed += len(page)
            missing += [e for e in page if e["id"] not in in_kafka and e["id"] not in self.done]
        return listed, missing[::-1]

    async def _apply(self, event: Mapping[str, Any]) -> MissingEvent | None:
        """Put an event where its webhook would have put it; None: it is not ours."""
        order_id, result = None, "APPLIED"
        try:
            facts = await self.received(event)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("an event can't be read", stripeEventId=event["id"], error=repr(error))
            result = "UNREADABLE"
        else:
            if facts is None:
                return None
            order_id = facts.order_id
            await self.sender.send_webhook(facts)
        log.info("a webhook never came", orderId=order_id, stripeEventId=event["id"], result=result)
        return MissingEvent(
            stripe_event_id=event["id"], stripe_event_type=event["type"], order_id=order_id,
            created=to_rfc3339(event["created"] * 1000), result=result,
        )  # fmt: skip
