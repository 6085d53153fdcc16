"""The account itself, apart from payments: what Stripe says of it, and what the key may do.

For checks and for setting up; a client of its own, so that it takes nothing of the payments' rate.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import stripe

from app.stripe.errors import UnknownOutcomeError, answer_time, classify
from app.stripe.http_client import PooledHTTPClient

_PERMISSION: Final = re.compile(r"'((?:rak_)?[a-z0-9_]+_(?:read|write))'")


@dataclass(frozen=True, slots=True)
class AccountAnswer:
    """What Stripe answered. date_s: its clock then, at the earliest, seconds since the epoch."""

    data: Mapping[str, Any]
    date_s: int | None

    @property
    def listed(self) -> list[Mapping[str, Any]]:
        """The objects of a list."""
        return list(self.data["data"])


class PermissionDeniedError(Exception):
    """The key lacks a permission; the message names it as Stripe does."""


class AccountClient:
    """Requests about the account, by path. They raise GatewayError and PermissionDeniedError."""

    def __init__(self, secret_key: str, *, base_url: str, timeout_s: float = 10.0) -> None:
        stripe.enable_telemetry = False
        self._http = PooledHTTPClient(timeout_s)
        self._client = stripe.StripeClient(
            secret_key, base_addresses={"api": base_url}, http_client=self._http,
            max_network_retries=1,
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()

    async def get(self, path: str, **params: Any) -> AccountAnswer:
        """Read, such as `/v1/account`."""
        return await self._ask("get", path, params)

    async def post(self, path: str, **params: Any) -> AccountAnswer:
        """Write."""
        return await self._ask("post", path, params)

    async def _ask(self, method: str, path: str, params: Mapping[str, Any]) -> AccountAnswer:
        began_s = time.monotonic()
        try:
            answer: Any = await self._client.raw_request_async(method, path, **params)
        except stripe.PermissionError as error:
            raise PermissionDeniedError(_permission(error)) from None
        except stripe.StripeError as error:
            raise classify(error) from None  # the SDK's error holds the body, and may hold the key
        except TimeoutError:
            raise UnknownOutcomeError("timeout") from None
        took_s = time.monotonic() - began_s
        return AccountAnswer(answer.data, answer_time(answer.headers, took_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


MakeClient = Callable[[], AccountClient]


def _permission(error: stripe.StripeError) -> str:
    """The permission that Stripe's message asks for; the message itself names a part of the key."""
    found = _PERMISSION.search(str(error.user_message or ""))
    return found[1].removeprefix("rak_") if found else "a permission that Stripe does not name"
