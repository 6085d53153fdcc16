"""A mail server and a stand-in for Twilio's messages that keep what they get, with a page to read it.

`python -m sandbox.mailbox`. GET / is the page, GET /messages the same as JSON; /_control/faults
makes the next messages fail.
"""

from __future__ import annotations

import asyncio
import email
import html
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
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_MESSAGES = 5_000
TWILIO_PATH = "/2010-04-01/Accounts/{account}/Messages.json"
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
"""What is shown was written by others: no scripts, no requests."""

EMAIL: Literal["EMAIL"] = "EMAIL"
SMS: Literal["SMS"] = "SMS"


class Fault(BaseModel):
    """What happens to the next messages of a channel.

    refuse: not taken; code is SMTP's reply to RCPT, or HTTP's status. delay: taken, answered after
    so many seconds. drop: taken, and the connection closed in place of an answer.
    """

    model_config = ConfigDict(extra="forbid")

    channel: Literal["EMAIL", "SMS"]
    kind: Literal["refuse", "delay", "drop"]
    times: int = Field(default=1, ge=1)
    code: int = Field(default=451, ge=400, le=599)
    seconds: float = Field(default=1.0, ge=0)


@dataclass(frozen=True, slots=True)
class Kept:
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
        self.messages: deque[Kept] = deque(maxlen=MOST_MESSAGES)
        self.faults: list[Fault] = []
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
                web.get("/_control/faults", self._list_faults),
                web.post("/_control/faults", self._add_fault),
                web.delete("/_control/faults", self._clear_faults),
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

    def of_order(self, order: str, channel: str) -> list[Kept]:
        """What came about an order: mails name it in a header, short messages by its last characters."""
        return [m for m in self.messages if m.channel == channel and _is_about(m, order)]

    def _keep(self, channel: str, **fields: str) -> Kept:
        number = next(self._number)
        given = {"message_id": f"SM{number:032x}", "subject": "", "order": "", "html": ""}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        kept = Kept(number=number, channel=channel, at=at, **{**given, **fields})
        self.messages.append(kept)
        return kept

    def _next_fault(self, channel: str, *kinds: str) -> Fault | None:
        for fault in self.faults:
            if fault.channel == channel and fault.kind in kinds:
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                return fault
        return None

    # -- SMTP: aiosmtpd's hooks

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        """Take a recipient, or refuse it."""
        fault = self._next_fault(EMAIL, "refuse")
        if fault:
            return f"{fault.code} refused on request"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(  # noqa: N802 -- aiosmtpd's name
        self, server: SMTP, _: Session, envelope: Envelope
    ) -> str:
        """Keep a mail and say so; perhaps late, perhaps never."""
        content = cast(bytes, envelope.content)
        mail = email.message_from_bytes(content, policy=SMTP_POLICY)
        kept = self._keep(
            EMAIL,
            message_id=str(mail["Message-ID"]),
            to=", ".join(envelope.rcpt_tos),
            subject=str(mail["Subject"]),
            order=str(mail["Tiffin-Order"] or ""),
            text=_content(mail, "plain"),
            html=_content(mail, "html"),
        )
        fault = self._next_fault(EMAIL, "delay", "drop")
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault:
            cast(asyncio.Transport, server.transport).abort()
            await asyncio.Event().wait()  # aiosmtpd cancels it, the connection being gone
        return f"250 2.0.0 Ok: queued as {kept.number}"

    # -- Twilio's API, as far as it is used

    async def _twilio_create(self, request: web.Request) -> web.Response:
        form = await request.post()
        fault = self._next_fault(SMS, "refuse")
        if fault:
            code = 21211 if fault.code == 400 else fault.code
            problem = {"code": code, "message": "refused on request", "status": fault.code}
            return web.json_response(problem, status=fault.code)
        kept = self._keep(SMS, to=str(form["To"]), text=str(form["Body"]))
        fault = self._next_fault(SMS, "delay", "drop")
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
                return web.Response(text=kept.html, content_type="text/html", headers=PAGE_HEADERS)
        raise web.HTTPNotFound

    async def _show_page(self, _: web.Request) -> web.Response:
        entries = "".join(map(_entry, reversed(self.messages))) or "<p>Nothing has come yet.</p>"
        return web.Response(
            text=PAGE.format(entries=entries), content_type="text/html", headers=PAGE_HEADERS
        )

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response({"faults": [fault.model_dump() for fault in self.faults]})

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = Fault.model_validate_json(await request.read())
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        self.faults.append(fault)
        return web.json_response(fault.model_dump(), status=201)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self.faults.clear()
        return web.json_response({"faults": []})


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Mailbox</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
article {{ border: 1px solid #bbb; border-radius: 8px; padding: .5rem 1rem; margin: 1rem 0 }}
h2 {{ font-size: 1.1rem; margin: 0 }} pre {{ white-space: pre-wrap }} small {{ color: #555 }}
</style></head>
<body><main><h1>Mailbox</h1>
<p>Mail and short messages that the sandbox has sent, the newest first.
<a href="/messages">As JSON</a></p>
{entries}</main></body></html>
"""


def _entry(kept: Kept) -> str:
    shown = {name: html.escape(str(value)) for name, value in asdict(kept).items()}
    as_html = f'<a href="/messages/{kept.number}/html">As HTML</a>' if kept.html else ""
    return (
        "<article><h2>{subject}</h2><small>{channel} to {to}, {at}<br>{message_id}</small>"
        "<pre>{text}</pre>"
    ).format(**{**shown, "subject": shown["subject"] or "Short message"}) + f"{as_html}</article>\n"


def _is_about(kept: Kept, order: str) -> bool:
    return kept.order == order if kept.order and order else order[-8:].upper() in kept.text


def _content(mail: EmailMessage, kind: Literal["plain", "html"]) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()) if part else ""


def _twilio_shape(kept: Kept) -> dict[str, Any]:
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
