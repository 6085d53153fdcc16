"""Faults that end the worker's process, and one that ends a task's step."""

from faust.types import TP


class WrongKafkaError(Exception):
    """Kafka and the tables don't belong together; the message says what to do."""


class RecoveryError(Exception):
    """Faust declares a table recovered, but its database is not at the changelog's end."""


class DeliveryGapError(Exception):
    """An input never came to a service's task, although it was requested again and again."""

    def __init__(self, service: str, tp: TP, offset: int) -> None:
        super().__init__(f"offset {offset} of {tp} never came to {service}")


class TaskClosedError(Exception):
    """The partition was taken away while a step was at work."""
