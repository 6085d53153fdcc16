"""Short messages through Twilio's SDK."""

import asyncio
import re
from typing import Any, Final

import aiohttp

from app.notifications.channels import CustomerMessage, DeferredError, RefusedError, SendError

_E164: Final = re.compile(r"\+[1-9][0-9]{4,14}")
LISTED: Final = 100


class TwilioSms:
    """Sends each letter's short text.

    Twilio knows no idempotency keys: one that may have left is looked for before it is sent once more.
    """

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        *,
        sender: str,
        timeout_s: float,
        api_url: str | None = None,
    ) -> None:
        """sender: a number in E.164 or a messaging service's sid (MG...). timeout_s: of one call.

        api_url: None is Twilio's own.
        """
        self._account, self._api_url = (account_sid, auth_token), api_url
        self._from = {"messaging_service_sid" if sender.startswith("MG") else "from_": sender}
        self._timeout_s = timeout_s
        self._client: Any = None

    async def send(self, letter: CustomerMessage, *, maybe_sent: bool) -> str | None:
        """Give Twilio's sid of the message. Raises RefusedError and DeferredError."""
        to = e164(letter.contact.phone)
        if self._client is None:
            self._client = self._connected()
        try:
            async with asyncio.timeout(self._timeout_s):
                sid = await self._sid_of_earlier(to, letter) if maybe_sent else None
                return sid or await self._create(to, letter)
        except TimeoutError:
            raise DeferredError("SMS_TIMEOUT") from None
        except (aiohttp.ClientError, OSError):
            raise DeferredError("SMS_UNREACHABLE") from None

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.http_client.close()

    def _connected(self) -> Any:
        """The SDK's client; its session needs a running loop."""
        # Imported here: it takes long, and not everybody sends short messages.
        from twilio.http.async_http_client import AsyncTwilioHttpClient  # noqa: PLC0415
        from twilio.rest import Client  # noqa: PLC0415

        client = Client(*self._account, http_client=AsyncTwilioHttpClient())
        if self._api_url is not None:
            client.api.base_url = self._api_url
        return client

    async def _create(self, to: str, letter: CustomerMessage) -> str | None:
        create = self._client.messages.create_async
        return _sid(await _answer(create(to=to, body=letter.short_text, **self._from)))

    async def _sid_of_earlier(self, to: str, letter: CustomerMessage) -> str | None:
        """By number, day and text, which no other notification has: Twilio keeps nothing of ours."""
        since, listed = letter.requested_at.date(), self._client.messages.list_async
        sent = await _answer(listed(to=to, date_sent_after=since, limit=LISTED))
        same = (message for message in sent if message.body == letter.short_text)
        return next((_sid(message) for message in same), None)


def e164(phone: str) -> str:
    """The number as providers take it. Raises RefusedError for one without its country."""
    number = "+" + re.sub(r"[^0-9]", "", phone)
    if not phone.strip().startswith("+") or not _E164.fullmatch(number):
        raise RefusedError("NUMBER_WITHOUT_COUNTRY")
    return number


async def _answer(call: Any) -> Any:
    """What the SDK gives. Raises RefusedError and DeferredError in place of its errors."""
    from twilio.base.exceptions import TwilioException  # noqa: PLC0415 -- as above

    try:
        return await call
    except TwilioException as error:
        # Not chained: the SDK's text holds the number.
        raise _classify(getattr(error, "status", 0), getattr(error, "code", 0)) from None


def _classify(status: int, code: int | None) -> SendError:
    """400 is about this message; 401 and 403 are about our account, which an operator mends."""
    kind = RefusedError if status == 400 else DeferredError
    return kind(f"TWILIO_{code or status or 'NO_ANSWER'}")


def _sid(message: Any) -> str | None:
    return str(message.sid) if message.sid else None
