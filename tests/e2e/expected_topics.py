"""The exact set of topics and services, and who reads what: a second time, so that no change slips in."""

from __future__ import annotations

PARTITIONS = 3
FOREVER = "for ever"

TOPICS: dict[str, tuple[str, set[str]]] = {
    "order-commands": ("7 days", {"orders"}),
    "payment-commands": ("7 days", {"payments"}),
    "delivery-commands": ("7 days", {"deliveries"}),
    "notification-commands": ("7 days", {"notifications"}),
    "payment-webhook-received": ("30 days", {"payments"}),
    "payment-refund-initiated": (FOREVER, {"payments"}),
    "payment-events": (FOREVER, {"orders", "analytics", "timeline"}),
    "payment-initiated": ("30 days", set()),
    "payment-processing": ("30 days", set()),
    "payment-completed": ("30 days", {"notifications"}),
    "payment-failed": ("30 days", {"notifications"}),
    "payment-cancelled": ("30 days", set()),
    "payment-refunded": ("30 days", {"notifications"}),
    "payment-refund-partial": ("30 days", {"notifications"}),
    "order-events": (FOREVER, {"deliveries", "notifications", "timeline"}),
    "delivery-events": (FOREVER, {"orders", "timeline"}),
    "order-audit": (FOREVER, {"timeline"}),
    "restaurant-takings": ("30 days", {"takings"}),
    "reconciliation": ("30 days", set()),
    "worker-clocks": ("2 days", set()),
    "platform-identity": (FOREVER, set()),
    "platform-partitions": (FOREVER, set()),
    "payment-events-dlq": (FOREVER, set()),
}
"""Topic -> how long it is kept, services that read it."""

ONE_PARTITION = {"payment-events-dlq", "platform-identity", "platform-partitions", "reconciliation"}
SERVICES = {"payments", "orders", "deliveries", "notifications", "analytics", "timeline", "takings"}
"""Each has a table of its name, and an agent for each topic that it reads."""

READERS = {topic: readers for topic, (_, readers) in TOPICS.items() if readers}
"""Input topic -> its readers."""
