"""The record that a worker writes to read Kafka's clock (app/clock.py)."""

from models.messages import Message


class WorkerClock(Message):
    """A worker's address and its own clock's time (RFC 3339), compared with Kafka's timestamp."""

    worker: str
    clock: str
