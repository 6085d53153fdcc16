"""Mail over kept connections: one for mails one after another, a new one in place of one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from app.notifications import smtp_connections
from app.notifications.channels import DeferredError
from app.notifications.mail import Mailer
from sandbox.mailbox.faults import MailboxFault
from sandbox.mailbox.server import EMAIL, Mailbox
from sandbox.processes import MAX_WAIT_S
from tests.integration.test_mail_attacks import LETTER


class Counting:
    """Passes connections on to a mail server, counts them, and cuts them off."""

    def __init__(self) -> None:
        self.made = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def serve(self, target: int) -> asyncio.Server:
        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.made += 1
            onward = await asyncio.open_connection("127.0.0.1", target)
            self.writers |= {writer, onward[1]}
            await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))
            self.writers -= {writer, onward[1]}

        server = await asyncio.start_server(one, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with Mailbox() as running:
        yield running


@pytest.fixture
async def between(mailbox: Mailbox) -> AsyncIterator[Counting]:
    counting = Counting()
    async with await counting.serve(mailbox.smtp_port):
        yield counting
        counting.cut()


@pytest.fixture
async def mailer(between: Counting) -> AsyncIterator[Mailer]:
    made = Mailer(
        "127.0.0.1", between.port, security="none", user=None, password=None,
        sender="Tiffin <orders@tiffin.example>", timeout_s=MAX_WAIT_S,
    )  # fmt: skip
    yield made
    await made.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(MAX_WAIT_S):
        while not condition():  # noqa: ASYNC110 - sockets set no event
            await asyncio.sleep(0.005)


async def test_mails_one_after_another_take_one_connection(
    mailbox: Mailbox, between: Counting, mailer: Mailer
) -> None:
    for _ in range(5):
        await mailer.send(LETTER, maybe_sent=False)
    assert (len(mailbox.of_order("order_1", EMAIL)), between.made) == (5, 1)


async def test_mails_at_one_time_take_one_each(
    mailbox: Mailbox, between: Counting, mailer: Mailer
) -> None:
    await asyncio.gather(*(mailer.send(LETTER, maybe_sent=False) for _ in range(3)))
    assert (len(mailbox.of_order("order_1", EMAIL)), between.made) == (3, 3)


async def test_a_connection_that_was_cut_while_it_was_idle_loses_no_mail(
    mailbox: Mailbox, between: Counting, mailer: Mailer
) -> None:
    await mailer.send(LETTER, maybe_sent=False)
    between.cut()
    await until(lambda: not between.writers)
    await mailer.send(LETTER, maybe_sent=False)
    assert (len(mailbox.of_order("order_1", EMAIL)), between.made) == (2, 2)


async def test_after_an_error_the_connection_is_not_used_again(
    mailbox: Mailbox, between: Counting, mailer: Mailer
) -> None:
    mailbox.faults.append(MailboxFault(channel=EMAIL, kind="refuse", code=451))
    with pytest.raises(DeferredError, match="SMTP_451"):
        await mailer.send(LETTER, maybe_sent=False)
    await mailer.send(LETTER, maybe_sent=False)
    assert (len(mailbox.of_order("order_1", EMAIL)), between.made) == (1, 2)


async def test_a_connection_takes_a_bounded_number_of_mails_and_closes_when_idle(
    monkeypatch: pytest.MonkeyPatch, between: Counting, mailer: Mailer
) -> None:
    monkeypatch.setattr(smtp_connections, "MAX_MAILS", 2)
    for _ in range(2):
        await mailer.send(LETTER, maybe_sent=False)
    await until(lambda: not between.writers)
    monkeypatch.setattr(smtp_connections, "IDLE_S", 0.0)
    await mailer.send(LETTER, maybe_sent=False)
    await until(lambda: not between.writers)
    assert between.made == 2
