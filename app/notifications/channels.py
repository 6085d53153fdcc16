"""Channels to customers: the message that is sent, what a channel does, and its errors."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from models.commands import Contact, SendResult


@dataclass(frozen=True, slots=True)
class CustomerMessage:
    """One message, ready to be sent; the channel takes what it needs of it.

    occurred_at: when what it tells of happened. requested_at: since when it is to be sent.
    """

    notification_id: str
    order_id: str
    contact: Contact
    subject: str
    text: str
    html: str
    short_text: str
    occurred_at: datetime
    requested_at: datetime


class SendError(Exception):
    """The message was not taken, as far as is known. result: how the try ended.

    code: letters, digits and underscores; it goes into topics and logs, so no address is in it.
    """

    result: SendResult

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class RefusedError(SendError):
    """No repetition can help: there is no such address, or it wants nothing of us."""

    result = SendResult.REFUSED


class DeferredError(SendError):
    """Another try may help. The message may have been taken all the same, where the answer is missing."""

    result = SendResult.DEFERRED


class HeldError(SendError):
    """It was not sent, and may be after `wait_s` seconds."""

    result = SendResult.HELD

    def __init__(self, code: str, wait_s: float) -> None:
        super().__init__(code)
        self.wait_s = wait_s


class MessageChannel(Protocol):
    """Sends letters one way: by mail, or as short messages."""

    async def send(self, letter: CustomerMessage, *, maybe_sent: bool) -> str | None:
        """Give the provider's id of the message, where it has one, once the provider has it.

        maybe_sent: an earlier try, perhaps another worker's, may have sent it.
        Raises RefusedError and DeferredError; takes at most the channel's time-out.
        """

    async def close(self) -> None:
        """Close what it holds open."""
