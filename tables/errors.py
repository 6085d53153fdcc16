"""Errors of the engine that more than one file knows.

The first four end a process or a task; the others are about one input, and stored.
"""

from faust.types import TP

from models.transition import UnreadableError

STORED_MODULE = "tables.apply"
"""Dead letters and quarantines name the exception that led to them, with the module where it stood
first. What is stored keeps that name, wherever the class stands."""


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


class TooLargeError(Exception):
    """A decision made a record, an output or a row that is larger than the limits allow."""

    __module__ = STORED_MODULE


class UnloadableError(UnreadableError):
    """A stored state that its service can't load: the key's inputs become dead letters."""

    __module__ = STORED_MODULE


class BadRowError(Exception):
    """A decision named a row without a slash, which could be taken for a record."""

    __module__ = STORED_MODULE
