"""Mail: a letter as a message with a derived Message-ID, handed to an SMTP server."""

import asyncio
import re
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Literal

import aiosmtplib

from app.notifications.channels import CustomerMessage, DeferredError, RefusedError, SendError
from app.notifications.smtp_connections import SmtpConnections

Security = Literal["none", "starttls", "tls"]

ORDER_HEADER: Final = "Tiffin-Order"
_QUEUED: Final = re.compile(r"queued as ([\w.-]{1,100})", re.IGNORECASE)


class Mailer:
    """Sends letters over connections that it keeps for a few seconds.

    Every try has the same Message-ID, by which a mailbox knows a mail whose first receipt was lost.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: Security,
        user: str | None,
        password: str | None,
        sender: str,
        timeout_s: float,
    ) -> None:
        """sender: an address, with a name or without. timeout_s: of the whole conversation.

        Raises ValueError for a sender that is no address.
        """
        self._host, self._port, self._security = host, port, security
        self._user, self._password = user, password
        self._sender = sender_address(sender)
        self._timeout_s = timeout_s
        self._connections = SmtpConnections(self._client)

    async def send(self, letter: CustomerMessage, *, maybe_sent: bool) -> str | None:  # noqa: ARG002
        """Give the server's queue id, if it says one. Raises RefusedError and DeferredError."""
        message = self._message(letter)
        try:
            async with asyncio.timeout(self._timeout_s), self._connections.one() as smtp:
                _, answer = await smtp.send_message(
                    message, sender=self._sender.addr_spec, recipients=[letter.contact.email]
                )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # Not chained: these errors hold the address, and the server's text may.
            raise _classify(error) from None
        match = _QUEUED.search(answer)
        return match[1] if match else None

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            # Else the machine's name is looked up, which may block the event loop.
            local_hostname=self._sender.domain,
            timeout=self._timeout_s,
        )

    def _message(self, letter: CustomerMessage) -> EmailMessage:
        message = EmailMessage()
        try:
            message["From"] = self._sender
            # Without the name: email decodes an encoded word in it (RFC 2047), line breaks and all,
            # so that a customer could write headers and a text of their own into our mail.
            message["To"] = Address(addr_spec=letter.contact.email)
            message["Subject"] = letter.subject
            message["Date"] = format_datetime(letter.occurred_at)
            message["Message-ID"] = f"<{letter.notification_id}@{self._sender.domain}>"
            message["Auto-Submitted"] = "auto-generated"
            message[ORDER_HEADER] = letter.order_id
            message.set_content(letter.text)
            message.add_alternative(letter.html, subtype="html")
        except (ValueError, IndexError, MessageError):  # what email raises for bad addresses
            raise RefusedError("ADDRESS_INVALID") from None
        return message


def sender_address(text: str) -> Address:
    """Read "Name <box@domain>" or "box@domain". Raises ValueError."""
    message = EmailMessage()
    message["From"] = text
    addresses = message["From"].addresses
    if len(addresses) != 1 or not addresses[0].username or "." not in addresses[0].domain:
        raise ValueError("must be one address, such as Tiffin <orders@example.com>")
    address: Address = addresses[0]
    return address


def _classify(error: Exception) -> SendError:
    """What the server said for good, and what may be better at the next try.

    A refusal of our sender or password is deferred: it is mended by an operator.
    """
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
            return _classify_code(first.code)
        case aiosmtplib.SMTPRecipientRefused() | aiosmtplib.SMTPDataError():
            return _classify_code(error.code)
        case aiosmtplib.SMTPNotSupported():
            return RefusedError("SMTP_NOT_SUPPORTED")
        case aiosmtplib.SMTPResponseException():
            return DeferredError(f"SMTP_{error.code}")
        case TimeoutError():
            return DeferredError("SMTP_TIMEOUT")
        case aiosmtplib.SMTPServerDisconnected():
            return DeferredError("SMTP_BROKEN_OFF")
    return DeferredError("SMTP_UNREACHABLE")


def _classify_code(code: int) -> SendError:
    return (RefusedError if code >= 500 else DeferredError)(f"SMTP_{code}")
