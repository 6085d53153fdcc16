"""The command sender: puts records into Kafka and returns only when Kafka has them."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from app.kafka.headers import record_headers
from app.kafka.security import NO_SECURITY, KafkaSecurity
from models import tracing
from models.commands import COMMANDS, Command, WebhookReceived, read_command
from models.errors import KafkaUnavailableError
from models.generations import base_topic
from models.messages import encode
from models.sender import Appended, Headers
from models.times import to_rfc3339
from models.topics import TOPICS, WEBHOOKS

log = structlog.stdlib.get_logger(__name__)

STOP_TIMEOUT_S: Final = 5.0
MAX_REQUEST_BYTES: Final = 1_048_576
SURELY_TAKEN_BYTES: Final = MAX_REQUEST_BYTES // 2
LOG_APPEND_TIME: Final = 1
"""Timestamp type of a record that Kafka stamped itself."""


class KafkaCommandSender:
    """`models.sender.CommandSender`: an idempotent producer of its own, all replicas acknowledging.

    A record is keyed by its order id and goes where Kafka's murmur2 puts that key, as every other
    record of the order. When a send raises KafkaUnavailableError the record may still get there
    later: all records carry an id by which a second one is dropped.
    """

    def __init__(
        self,
        bootstrap: str,
        security: KafkaSecurity = NO_SECURITY,
        *,
        within_s: float = 5.0,
        topic_name: Callable[[str], str] = str,
    ) -> None:
        """within_s: the bound of one send, connecting included. Connects at the first send.

        topic_name: of a topic in Kafka (models/generations.py). held: why nothing is put into topics that
        have one in each generation; "" when it is.
        """
        self.held = ""
        self._topic_name = topic_name
        self._bootstrap, self._security = bootstrap, security.aiokafka()
        self._within_s = within_s
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def stop(self) -> None:
        """Wait a little for what is under way, then disconnect. Sends fail afterwards."""
        self._stopped = True
        self._retire()
        if self._retiring:
            await asyncio.gather(*self._retiring)

    async def send(self, command: Command) -> None:
        """Put a command into the topic that takes it.

        Raises KafkaUnavailableError, and UnreadableError for one that no service could read.
        """
        # "system:effects" becomes "/tiffin/effects"; whoever has a token speaks through web.
        role, _, subject = command.issued_by.partition(":")
        source = f"/tiffin/{subject}" if role == "system" else "/tiffin/web"
        kind, at = command.command_type, command.issued_at
        topic, key, value = COMMANDS[kind].topic, command.order_id.encode(), encode(command)
        read_command(topic, key, value)
        with _span(topic):
            headers = record_headers(command.command_id, kind, source, at)
            await self.put(topic, key, value, headers)

    async def send_webhook(self, webhook: WebhookReceived) -> None:
        """Put the facts of a verified Stripe event into their topic. Raises KafkaUnavailableError."""
        created = to_rfc3339(webhook.created * 1000)
        name, kind = webhook.stripe_event_id, webhook.stripe_event_type
        with _span(WEBHOOKS):
            headers = record_headers(name, kind, "/stripe", created)
            await self.put(WEBHOOKS, webhook.order_id.encode(), encode(webhook), headers)

    async def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> Appended:
        """Put any record, where its key belongs or into a partition. Raises KafkaUnavailableError."""
        producer = None
        known = TOPICS.get(base_topic(topic))
        if self.held and known is not None and not known.partitions:
            raise KafkaUnavailableError(self.held)
        try:
            async with asyncio.timeout(self._within_s):
                producer = await self._connected()
                put = await producer.send_and_wait(
                    self._topic_name(base_topic(topic)), value, key=key, headers=headers,
                    partition=partition,
                )  # fmt: skip
                is_stamped = put.timestamp_type == LOG_APPEND_TIME
                return Appended(put.partition, put.offset, put.timestamp if is_stamped else None)
        except MessageSizeTooLargeError:
            if len(value or b"") < SURELY_TAKEN_BYTES:
                # Its generation of topics was closed, and this worker has not heard of the next.
                raise KafkaUnavailableError(f"{topic} takes no records any more") from None
            raise
        except TimeoutError as error:
            # The producer keeps trying; a new one would only lose its place in the sequence.
            why = f"Kafka did not acknowledge within {self._within_s:g} s"
            raise KafkaUnavailableError(why) from error
        except (KafkaError, OSError) as error:
            # An idempotent producer that lost one record can't number the next ones.
            self._retire(producer)
            why = f"Kafka refused a record: {type(error).__name__}"
            raise KafkaUnavailableError(why) from error

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._stopped:
                raise KafkaUnavailableError("the command sender has stopped")
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True,
                    max_request_size=MAX_REQUEST_BYTES, **self._security,
                )  # fmt: skip
                try:
                    await producer.start()
                except BaseException:
                    self._discard(producer)  # aside: the bound of the send holds for this too
                    raise
                self._producer = producer
            return self._producer

    def _retire(self, producer: AIOKafkaProducer | None = None) -> None:
        """Let the next send make a new producer; only once for each that failed."""
        old = self._producer
        if old is None or (producer is not None and producer is not old):
            return
        self._producer = None
        self._discard(old)

    def _discard(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stop(producer), name="stop a Kafka producer")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def _span(topic: str) -> AbstractContextManager[tracing.Span]:
    about = {"messaging.system": "kafka", "messaging.destination.name": topic}
    return tracing.span(f"send {topic}", tracing.SpanKind.PRODUCER, attributes=about)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Flush within a bound: with Kafka away aiokafka would wait for ever."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
    except (TimeoutError, KafkaError, OSError) as error:
        log.warning("a Kafka producer did not stop cleanly", error=type(error).__name__)
        with contextlib.suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(1):
                await producer.client.close()
