"""Command senders of tests."""

from models.commands import Command, WebhookReceived
from models.sender import Appended, Headers


class NoSender:
    """A command sender that must not be used; tests override what their subject sends through."""

    async def send(self, command: Command) -> None:
        raise AssertionError(command)

    async def send_webhook(self, webhook: WebhookReceived) -> None:
        raise AssertionError(webhook)

    async def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> Appended:
        raise AssertionError((topic, key, value, headers, partition))
