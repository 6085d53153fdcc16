"""All topics: what is in them, who writes to them beside services, how long records are kept."""

from dataclasses import dataclass
from typing import Final

from models.times import DAY_MS
from models.wording import counted

FOREVER: Final = -1
MAX_COMPACTION_LAG_MS: Final = DAY_MS
"""In which a changelog gets rid of what newer records of the same keys replace. Without it Kafka keeps all of
a segment that is written to, a week or 1 GiB."""
REPLICAS_REQUIRING_MIN_INSYNC: Final = 3
"""From so many replicas on, two must have a record before it counts as sent."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, keyed by order id; restaurant-takings by restaurant.

    retention_ms: how long Kafka keeps a record; -1 is for ever.
    clients: who writes to it beside what services (agents/) emit by the tables of events and commands.
    partitions: 0 means the setting that all topics and tables share: a table lies beside its inputs only
        if all have as many.
    """

    name: str
    retention_ms: int
    clients: tuple[str, ...] = ()
    partitions: int = 0
    about: str = ""

    @property
    def retention(self) -> str:
        """In words: "7 days", "for ever"."""
        days = self.retention_ms // DAY_MS
        return "for ever" if self.retention_ms < 0 else counted(days, "day", "days")


@dataclass(frozen=True, slots=True)
class TopicUse:
    """A topic with who writes to it, and the services that read it."""

    topic: Topic
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]


ORDER_COMMANDS: Final = "order-commands"
PAYMENT_COMMANDS: Final = "payment-commands"
DELIVERY_COMMANDS: Final = "delivery-commands"
NOTIFICATION_COMMANDS: Final = "notification-commands"
WEBHOOKS: Final = "payment-webhook-received"
REFUND_INITIATED: Final = "payment-refund-initiated"
PAYMENT_EVENTS: Final = "payment-events"
PAYMENT_INITIATED: Final = "payment-initiated"
PAYMENT_PROCESSING: Final = "payment-processing"
PAYMENT_COMPLETED: Final = "payment-completed"
PAYMENT_FAILED: Final = "payment-failed"
PAYMENT_CANCELLED: Final = "payment-cancelled"
PAYMENT_REFUNDED: Final = "payment-refunded"
PAYMENT_REFUND_PARTIAL: Final = "payment-refund-partial"
ORDER_EVENTS: Final = "order-events"
DELIVERY_EVENTS: Final = "delivery-events"
ORDER_AUDIT: Final = "order-audit"
DEAD_LETTERS: Final = "payment-events-dlq"
RECONCILIATION: Final = "reconciliation"
WORKER_CLOCKS: Final = "worker-clocks"
PLATFORM_IDENTITY: Final = "platform-identity"
PARTITIONS: Final = "platform-partitions"
RESTAURANT_TAKINGS: Final = "restaurant-takings"

TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic(ORDER_COMMANDS, 7 * DAY_MS, ("web", "timers"),
              about="PLACE_ORDER with cart, contact and address; cancel; kitchen; deadlines"),
        Topic(PAYMENT_COMMANDS, 7 * DAY_MS, ("web", "effects", "reconciler"),
              about="initiate, confirm, cancel, refund; results of effects"),
        Topic(WEBHOOKS, 30 * DAY_MS, ("web", "reconciler"),
              about="verified Stripe events, reduced to their facts; those that got lost, found again"),
        Topic(REFUND_INITIATED, FOREVER, about="refund requested"),
        Topic(PAYMENT_EVENTS, FOREVER, about="all payment events of an order, in order"),
        *(Topic(name, 30 * DAY_MS, about="the same event again") for name in (
            PAYMENT_INITIATED, PAYMENT_PROCESSING, PAYMENT_COMPLETED, PAYMENT_FAILED, PAYMENT_CANCELLED,
            PAYMENT_REFUNDED, PAYMENT_REFUND_PARTIAL)),
        Topic(ORDER_EVENTS, FOREVER, about="one event a transition"),
        Topic(NOTIFICATION_COMMANDS, 7 * DAY_MS, ("notifier", "web"),
              about="how a message to a customer ended; retry"),
        Topic(DELIVERY_COMMANDS, 7 * DAY_MS, ("web",), about="assign, pick up, deliver"),
        Topic(DELIVERY_EVENTS, FOREVER, about="one event a transition"),
        Topic(ORDER_AUDIT, FOREVER, ("operators",),
              about="refusals, effects and their outcomes, operators' acts"),
        Topic(RESTAURANT_TAKINGS, 30 * DAY_MS, ("analytics",),
              about="what an order's payment changes of its restaurant's takings; keyed by restaurant"),
        Topic(RECONCILIATION, 30 * DAY_MS, ("reconciler",), partitions=1,
              about="what each run of the reconciliation found, and how far it has come"),
        Topic(WORKER_CLOCKS, 2 * DAY_MS, ("workers",),
              about="asks Kafka for its time; holds what each worker's clock said then"),
        Topic(PLATFORM_IDENTITY, FOREVER, ("workers",), partitions=1,
              about="the platform's own id, for its mark at Stripe: the first record counts; its level"),
        Topic(PARTITIONS, FOREVER, ("operators",), partitions=1,
              about="announces more partitions: what the topics are called then, and where each goes on"),
        Topic(DEAD_LETTERS, FOREVER, ("every service", "operators"), partitions=1,
              about="dead letters of every input topic, with their origin; markers of what became "
              "of them"),
    )
}  # fmt: skip
"""Name -> topic. Cleanup policy is delete for all: the engine needs inputs without gaps in their offsets."""
