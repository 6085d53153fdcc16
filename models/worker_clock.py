"""What a worker writes to ask Kafka for its time (app/clock.py)."""

from models.messages import Message


class WorkerClock(Message):
    """A worker's address and what its own clock said (RFC 3339); Kafka's stamp of the record says the rest."""

    worker: str
    clock: str
