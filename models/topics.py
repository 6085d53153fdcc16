"""The one registry of topics: who writes and reads them, how long records are kept."""

from dataclasses import dataclass
from typing import Final

from models.times import DAY_MS

FOREVER: Final = -1
REPLICAS_REQUIRING_MIN_INSYNC: Final = 3
"""From so many replicas on, two must have a record before it counts as sent."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, keyed by order id.

    retention_ms: how long Kafka keeps a record; -1 is for ever.
    partitions: 0 means the setting that all topics and tables share (FAUST.md 5).
    """

    name: str
    retention_ms: int
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    partitions: int = 0
    about: str = ""


ORDER_COMMANDS: Final = "order-commands"
PAYMENT_COMMANDS: Final = "payment-commands"
DELIVERY_COMMANDS: Final = "delivery-commands"
NOTIFICATION_COMMANDS: Final = "notification-commands"
WEBHOOKS: Final = "payment-webhook-received"
REFUND_INITIATED: Final = "payment-refund-initiated"
PAYMENT_EVENTS: Final = "payment-events"
ORDER_EVENTS: Final = "order-events"
DELIVERY_EVENTS: Final = "delivery-events"
ORDER_AUDIT: Final = "order-audit"
DEAD_LETTERS: Final = "payment-events-dlq"
RECONCILIATION: Final = "reconciliation"
WORKER_CLOCKS: Final = "worker-clocks"

TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic(ORDER_COMMANDS, 7 * DAY_MS, ("web", "timers"), ("orders",),
              about="PLACE_ORDER with cart, contact and address; cancel; kitchen; deadlines"),
        Topic(PAYMENT_COMMANDS, 7 * DAY_MS, ("orders", "web", "effects", "reconciler"), ("payments",),
              about="initiate, confirm, cancel, refund; results of effects"),
        Topic(WEBHOOKS, 30 * DAY_MS, ("web", "reconciler"), ("payments",),
              about="verified Stripe events, reduced to their facts; those that got lost, found again"),
        Topic(REFUND_INITIATED, FOREVER, ("orders",), ("payments",), about="refund requested"),
        Topic(PAYMENT_EVENTS, FOREVER, ("payments", "orders"), ("orders", "analytics", "timeline"),
              about="all payment events of an order, in order"),
        Topic("payment-initiated", 30 * DAY_MS, ("payments",), (), about="the same event again"),
        Topic("payment-processing", 30 * DAY_MS, ("payments",), (), about="the same event again"),
        Topic("payment-completed", 30 * DAY_MS, ("payments",), ("notifications",),
              about="the same event again"),
        Topic("payment-failed", 30 * DAY_MS, ("payments",), ("notifications",),
              about="the same event again"),
        Topic("payment-cancelled", 30 * DAY_MS, ("payments",), (), about="the same event again"),
        Topic("payment-refunded", 30 * DAY_MS, ("payments",), ("notifications",),
              about="the same event again"),
        Topic("payment-refund-partial", 30 * DAY_MS, ("payments",), ("notifications",),
              about="the same event again"),
        Topic(ORDER_EVENTS, FOREVER, ("orders",), ("deliveries", "notifications", "timeline"),
              about="one event a transition"),
        Topic(NOTIFICATION_COMMANDS, 7 * DAY_MS, ("notifier", "web"), ("notifications",),
              about="how a message to a customer ended; retry"),
        Topic(DELIVERY_COMMANDS, 7 * DAY_MS, ("web",), ("deliveries",),
              about="assign, pick up, deliver"),
        Topic(DELIVERY_EVENTS, FOREVER, ("deliveries",), ("orders", "timeline"),
              about="one event a transition"),
        Topic(ORDER_AUDIT, FOREVER,
              ("payments", "orders", "deliveries", "notifications", "operators"), ("timeline",),
              about="refusals, effects and their outcomes, operators' acts"),
        Topic(RECONCILIATION, 30 * DAY_MS, ("reconciler",), (), partitions=1,
              about="what each run of the reconciliation found, and how far it has come"),
        Topic(WORKER_CLOCKS, 2 * DAY_MS, ("workers",), (),
              about="asks Kafka for its time; holds what each worker's clock said then"),
        Topic(DEAD_LETTERS, FOREVER, ("every service", "operators"), (), partitions=1,
              about="dead letters of every input topic, with their origin; markers of what became "
              "of them"),
    )
}  # fmt: skip
"""Name -> topic. Cleanup policy is delete for all: the engine needs gapless inputs (FAUST.md 20)."""


def inputs_of(service: str) -> tuple[str, ...]:
    """Give the topics that a service reads."""
    return tuple(name for name, topic in TOPICS.items() if service in topic.read_by)
