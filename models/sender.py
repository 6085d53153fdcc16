"""What sends records to Kafka, as every part of the product sees it."""

from typing import NamedTuple, Protocol

from models.commands import Command, WebhookReceived

Headers = list[tuple[str, bytes]]


class Appended(NamedTuple):
    """Where Kafka put a record.

    timestamp_ms: when, by the broker's clock, since the epoch; None where the topic keeps the producer's time.
    """

    partition: int
    offset: int
    timestamp_ms: int | None


class CommandSender(Protocol):
    """Methods return once Kafka has the record; they raise KafkaUnavailableError."""

    async def send(self, command: Command) -> None:
        """Put a command into the topic that takes it."""

    async def send_webhook(self, webhook: WebhookReceived) -> None:
        """Put the facts of a verified Stripe event into their topic."""

    async def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> Appended:
        """Put any record; without a partition it goes to the one of its key."""
