"""How our commands ask a worker: as an operator, over HTTP, saying in a line what went wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from faust.cli import option

from app.cli.output import console, plain
from app.settings import Settings

TIMEOUT_S: Final = 15.0
EXIT_FAILED: Final = 1

URL_HELP: Final = "Base URL of a worker; by default the one that the settings name."
WORKER_OPTIONS: Final = (
    option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
    option("--url", default=None, help=URL_HELP),
    option("--token", default=None, envvar="TIFFIN_OPERATOR_TOKEN", help="An operator's token."),
)
"""Of every command that asks a worker."""


def exit_with(message: str, status: int = EXIT_FAILED) -> SystemExit:
    """Say what went wrong; raise what it gives."""
    console(stderr=True).print(plain(message), style="red", soft_wrap=True)
    return SystemExit(status)


def token_for(settings: Settings, given: str | None, order_id: str | None) -> str:
    """An operator's token, or one for this very order, which whoever has the signing key can make."""
    if given:
        return given
    from web.http.tokens import DevelopmentStaff, OrderTokens, Role  # noqa: PLC0415 -- slow to import

    key = settings.order_token_key.get_secret_value()
    if settings.sandbox:
        return DevelopmentStaff(key, sandbox=True).issue(Role.OPERATOR, "cli")
    if order_id is None:
        raise exit_with("This needs an operator's token: --token or TIFFIN_OPERATOR_TOKEN.")
    return OrderTokens(key).issue("cli", order_id)


def base_url(settings: Settings, options: Mapping[str, Any]) -> str:
    """The worker that a command asks, without a slash at its end."""
    return str(options["url"] or settings.canonical_url).rstrip("/")


@dataclass(frozen=True, slots=True)
class WorkerClient:
    """Any worker, as an operator asks it. options: the command's, with `WORKER_OPTIONS`.

    order_id: of the only order that is asked about. Methods give the answer's JSON values, and raise
    SystemExit when nobody answers, and for any status but 200.
    """

    settings: Settings
    options: Mapping[str, Any]
    order_id: str | None = None
    timeout_s: float = TIMEOUT_S

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Read."""
        return await self._ask("GET", path, params=query)

    async def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """Act. key: the Idempotency-Key, where one is needed."""
        headers = {"Idempotency-Key": key} if key else None
        return await self._ask("POST", path, json=body, headers=headers)

    async def _ask(self, method: str, path: str, **sent: Any) -> Any:
        base = base_url(self.settings, self.options)
        token = token_for(self.settings, self.options["token"], self.order_id)
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        try:
            authorization = {"Authorization": f"Bearer {token}"}
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=authorization) as session,
                session.request(method, base + path, **sent) as response,
            ):
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise exit_with(
                f"No worker answers at {base} ({type(error).__name__}). Start one with "
                "`faust -A app worker`, or name one with --url."
            ) from None
        if response.status != 200:
            wrong = "; ".join(f"{e['field']}: {e['message']}" for e in answer.get("errors", ()))
            told = answer.get("detail") or wrong
            code, title = answer.get("code", response.status), answer.get("title", "")
            raise exit_with(f"{code}: {title}. {told}")
        return answer
