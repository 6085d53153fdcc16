"""A mail server and a stand-in for Twilio's messages that keep what they get, with a page to read it.

`python -m sandbox.mailbox.server`. GET / is the page, GET /messages the same as JSON; /_control/faults
makes the next messages fail.
"""

from __future__ import annotations

import asyncio
import email
import itertools
import signal
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Any, Literal, Self, cast

import click
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from models import ids
from sandbox.mailbox import page
from sandbox.mailbox.faults import MailboxFaults

MAX_MESSAGES = 5_000
TWILIO_PATH = "/2010-04-01/Accounts/{account}/Messages.json"

EMAIL, SMS = "EMAIL", "SMS"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message as it came; messageId: of the mail's header, or the sid that was given."""

    number: int
    channel: str
    message_id: str
    to: str
    subject: str
    text: str
    order: str
    at: str
    html: str = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """As the API shows it; the HTML has an address of its own."""
        fields = asdict(self)
        fields["messageId"] = fields.pop("message_id")
        del fields["html"]
        return fields


class Mailbox:
    """Both servers, on ports of their own: `async with Mailbox() as mailbox:`; 0 takes a free port."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, smtp_port: int = 0) -> None:
        self.host, self.port, self.smtp_port = host, port, smtp_port
        self.messages: deque[StoredMessage] = deque(maxlen=MAX_MESSAGES)
        self.faults = MailboxFaults()
        self._number = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self._smtp: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where the page is, and Twilio's API."""
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError when a port is taken."""
        loop = asyncio.get_running_loop()
        self._smtp = await loop.create_server(
            lambda: SMTP(self, hostname="mailbox.test", enable_SMTPUTF8=True, loop=loop),
            self.host,
            self.smtp_port,
        )
        self.smtp_port = self._smtp.sockets[0].getsockname()[1]
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._show_page),
                web.get("/messages", self._list),
                web.delete("/messages", self._clear),
                web.get("/messages/{number}/html", self._show_html),
                *self.faults.routes(),
                web.post(TWILIO_PATH, self._twilio_create),
                web.get(TWILIO_PATH, self._twilio_list),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        if self._smtp:
            self._smtp.close()
        if self._runner:
            await self._runner.cleanup()

    def of_order(self, order: str, channel: str) -> list[StoredMessage]:
        """What came about an order: mails name it in a header, short messages by its last characters."""
        return [m for m in self.messages if m.channel == channel and _is_about(m, order)]

    def _store(self, channel: str, **fields: str) -> StoredMessage:
        number = next(self._number)
        given = {"message_id": f"SM{number:032x}", "subject": "", "order": "", "html": ""}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        kept = StoredMessage(number=number, channel=channel, at=at, **{**given, **fields})
        self.messages.append(kept)
        return kept

    # -- SMTP: aiosmtpd's hooks

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        """Accept or refuse a recipient."""
        fault = self.faults.next(EMAIL, "refuse")
        if fault:
            return f"{fault.code} refused on request"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(  # noqa: N802 -- aiosmtpd's name
        self, server: SMTP, _: Session, envelope: Envelope
    ) -> str:
        """Store a mail and acknowledge it, unless a fault delays or drops the acknowledgement."""
        content = cast(bytes, envelope.content)
        mail = email.message_from_bytes(content, policy=SMTP_POLICY)
        kept = self._store(
            EMAIL,
            message_id=str(mail["Message-ID"]),
            to=", ".join(envelope.rcpt_tos),
            subject=str(mail["Subject"]),
            order=str(mail["Tiffin-Order"] or ""),
            text=_content(mail, "plain"),
            html=_content(mail, "html"),
        )
        fault = self.faults.next(EMAIL, "delay", "drop")
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault:
            cast(asyncio.Transport, server.transport).abort()
            await asyncio.Event().wait()  # aiosmtpd cancels it, the connection being gone
        return f"250 2.0.0 Ok: queued as {kept.number}"

    # -- Twilio's API, as far as it is used

    async def _twilio_create(self, request: web.Request) -> web.Response:
        form = await request.post()
        fault = self.faults.next(SMS, "refuse")
        if fault:
            code = 21211 if fault.code == 400 else fault.code
            problem = {"code": code, "message": "refused on request", "status": fault.code}
            return web.json_response(problem, status=fault.code)
        kept = self._store(SMS, to=str(form["To"]), text=str(form["Body"]))
        fault = self.faults.next(SMS, "delay", "drop")
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault and request.transport is not None:
            request.transport.abort()
        return web.json_response(_twilio_shape(kept), status=201)

    async def _twilio_list(self, request: web.Request) -> web.Response:
        to = request.query.get("To")
        found = [m for m in self.messages if m.channel == SMS and to in {None, m.to}]
        shown = [_twilio_shape(kept) for kept in reversed(found)]
        return web.json_response({"messages": shown, "next_page_uri": None, "page": 0})

    # -- people and tests

    async def _list(self, request: web.Request) -> web.Response:
        """?order=, ?channel=, ?to= choose."""
        query = request.query
        found = [
            kept.as_json()
            for kept in self.messages
            if _is_about(kept, query.get("order", ""))
            and query.get("channel", kept.channel) == kept.channel
            and query.get("to", kept.to) == kept.to
        ]
        return web.json_response({"messages": found})

    async def _clear(self, _: web.Request) -> web.Response:
        self.messages.clear()
        return web.json_response({"messages": []})

    async def _show_html(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        for kept in self.messages:
            if str(kept.number) == number and kept.html:
                return page.of(kept.html)
        raise web.HTTPNotFound

    async def _show_page(self, _: web.Request) -> web.Response:
        return page.page(asdict(kept) for kept in reversed(self.messages))


def _is_about(kept: StoredMessage, order: str) -> bool:
    if kept.order or not order:
        return order in {"", kept.order}
    return ids.reference(order) in kept.text


def _content(mail: EmailMessage, kind: Literal["plain", "html"]) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()) if part else ""


def _twilio_shape(kept: StoredMessage) -> dict[str, Any]:
    date = format_datetime(datetime.fromisoformat(kept.at))
    return {
        "sid": kept.message_id, "to": kept.to, "body": kept.text, "status": "queued",
        "date_created": date, "date_sent": date, "date_updated": date, "error_code": None,
    }  # fmt: skip


@click.command(help=__doc__, context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=8025, help="Port of the page and of Twilio's API.")
@click.option("--smtp-port", default=1025, help="Port of the mail server.")
def main(host: str, port: int, smtp_port: int) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    asyncio.run(_serve(Mailbox(host=host, port=port, smtp_port=smtp_port)))


async def _serve(mailbox: Mailbox) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with mailbox:
        click.echo(f"Mailbox: {mailbox.url} (SMTP on port {mailbox.smtp_port})")
        await stop.wait()


if __name__ == "__main__":
    main()
