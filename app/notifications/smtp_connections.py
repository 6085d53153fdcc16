"""Connections to one mail server, kept for a few seconds: greeting, TLS and sign-in cost more than a mail."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import aiosmtplib

IDLE_S: Final = 10.0
"""How long an unused connection is kept; servers close theirs after 30 s or more."""
MAX_MAILS: Final = 100
"""Over one connection: some servers take no more."""
CHECK_TIMEOUT_S: Final = 2.0
QUIT_TIMEOUT_S: Final = 1.0


class SmtpConnections:
    """For one event loop. As many connections as mails are being sent at one time."""

    def __init__(self, make: Callable[[], aiosmtplib.SMTP]) -> None:
        """make: a client that is not connected."""
        self._make = make
        self._idle: dict[aiosmtplib.SMTP, asyncio.TimerHandle] = {}
        self._mails: dict[aiosmtplib.SMTP, int] = {}
        self._quitting: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection for one mail; after an error in the block it is not used again.

        Raises what aiosmtplib raises.
        """
        smtp = await self._kept() or self._make()
        is_good = False
        try:
            if not smtp.is_connected:
                await smtp.connect()
            yield smtp
            is_good = True
        finally:
            mails = self._mails.pop(smtp, 0) + 1
            if not is_good:
                # The library's own context manager would wait for a server that hangs.
                smtp.close()
            elif mails >= MAX_MAILS:
                self._quit(smtp)
            else:
                self._mails[smtp] = mails
                after = asyncio.get_running_loop().call_later
                self._idle[smtp] = after(IDLE_S, self._quit, smtp)

    async def _kept(self) -> aiosmtplib.SMTP | None:
        """A connection that still answers, before a mail is entrusted to it: the one used last."""
        while self._idle:
            smtp, timer = self._idle.popitem()
            timer.cancel()
            answers = False
            try:
                await smtp.rset(timeout=CHECK_TIMEOUT_S)
                answers = True
                return smtp
            except (aiosmtplib.SMTPException, OSError):
                continue
            finally:
                if not answers:
                    self._mails.pop(smtp, None)
                    smtp.close()
        return None

    def _quit(self, smtp: aiosmtplib.SMTP) -> None:
        self._idle.pop(smtp, None)
        self._mails.pop(smtp, None)
        quitting = asyncio.create_task(_say_goodbye(smtp))
        self._quitting.add(quitting)
        quitting.add_done_callback(self._quitting.discard)

    async def close(self) -> None:
        """Close those that are not in use."""
        for smtp, timer in list(self._idle.items()):
            timer.cancel()
            self._quit(smtp)
        await asyncio.gather(*self._quitting)


async def _say_goodbye(smtp: aiosmtplib.SMTP) -> None:
    try:
        with suppress(aiosmtplib.SMTPException, OSError):
            await smtp.quit(timeout=QUIT_TIMEOUT_S)
    finally:
        smtp.close()
