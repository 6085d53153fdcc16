"""How our commands ask a worker: as an operator, over HTTP, saying in a line what went wrong and what to do."""

from __future__ import annotations

import asyncio
import functools
import uuid
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from faust.cli import option

from app.cli.command import command
from app.cli.errors import CommandError, ExitStatus
from app.cli.output import CommandOutput, print_error
from app.cli.worker_address import WorkerAddress, worker_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from app.cli.command import Decorator, Run

TIMEOUT_S: Final = 15.0
ACCESS_HELP: Final = (
    "Give an operator's token: --token, or TIFFIN_OPERATOR_TOKEN in the environment."
)
DEMO_HELP: Final = "None is needed while `make demo` runs in this folder."
URL_HELP: Final = "Base URL of a worker; by default the one that the settings name."
JSON_OPTION: Final = option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
)
WORKER_OPTIONS: Final = (
    JSON_OPTION,
    option("--url", default=None, help=URL_HELP),
    option("--token", default=None, envvar="TIFFIN_OPERATOR_TOKEN", help="An operator's token."),
)
"""Of every command that asks a worker."""
WATCH_OPTION: Final = option(
    "--watch", "is_watched", is_flag=True, help="Again every 2 seconds, until Ctrl-C."
)
STATUSES: Final = {
    401: ExitStatus.NO_ACCESS, 403: ExitStatus.NO_ACCESS, 404: ExitStatus.NOT_FOUND,
    429: ExitStatus.UNAVAILABLE, 502: ExitStatus.UNAVAILABLE, 503: ExitStatus.UNAVAILABLE,
    504: ExitStatus.UNAVAILABLE,
}  # fmt: skip
"""HTTP status -> exit status; FAILED of all others."""


def worker_command(
    *parameters: Decorator, watched: bool = False, examples: Iterable[str] = ()
) -> Callable[[Run], Run]:
    """Add a command that asks a worker: it is given a `WorkerClient`, a `CommandOutput`, its parameters.

    watched: it has --watch. See `command`.
    """

    def add(run: Run) -> Run:
        @functools.wraps(run)
        async def with_worker(
            *args: Any, as_json: bool, url: str | None, token: str | None, is_watched: bool = False,
            **options: Any,
        ) -> None:  # fmt: skip
            async with WorkerClient(url, token) as worker:
                await run(worker, CommandOutput(as_json, is_watched), *args, **options)

        watch = (WATCH_OPTION,) if watched else ()
        command(*parameters, *watch, *WORKER_OPTIONS, examples=examples)(with_worker)
        return run

    return add


class WorkerClient:
    """Any worker, as an operator asks it; opened by `async with`.

    Methods give the answer's JSON values, and raise CommandError when nobody answers, and for any status but
    200 and 201. timeout_s may be changed before the first question.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        """url, token: as the command line has them; by default as the settings say."""
        self._address: WorkerAddress = worker_address()
        self.url = (url or self._address.url).rstrip("/")
        self.timeout_s = TIMEOUT_S
        self._token = token

    async def __aenter__(self) -> Self:
        """Open the connection."""
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self._session.close()

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, order_id: str | None = None
    ) -> Any:
        """Read. order_id: of the only order that is asked about."""
        _, answer = await self._ask("GET", path, order_id, params=query)
        return answer

    async def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        """Act. key: the Idempotency-Key, where one is needed."""
        headers = {"Idempotency-Key": key} if key else None
        try:
            status, answer = await self._ask("POST", path, None, json=body, headers=headers)
        except asyncio.CancelledError:  # Ctrl-C
            if key is not None:
                print_error(f"It may have been done. {_repeat(key)}")
            raise
        except CommandError as error:
            if key is None or error.status is not ExitStatus.UNAVAILABLE:
                raise
            raise CommandError(f"{error.message}\n{_repeat(key)}", error.status) from None
        if status == 202:
            told = "It is taken and not decided yet: look at the order."
            raise CommandError(f"{told} {_repeat(key)}", ExitStatus.UNDECIDED)
        return answer

    async def operator_token(self) -> str:
        """An operator's: the one that was given, or in the sandbox one that a worker hands out to anybody."""
        if self._token:
            return self._token
        if not self._address.is_sandbox:
            told = f"This needs an operator. {ACCESS_HELP} {DEMO_HELP}"
            raise CommandError(told, ExitStatus.NO_ACCESS)
        asked = {"role": "operator", "subject": "cli"}
        status, answer = await self._send("POST", "/api/login/development", "", json=asked)
        self._token = answer["token"] if status == 200 else self._signed_here()
        return self._token

    async def readiness(self, base: str, timeout_s: float) -> Mapping[str, Any] | None:
        """What a worker's /readyz says, ready or not; None when it does not answer."""
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.get(f"{base}/readyz", timeout=timeout) as response:
                answer: Mapping[str, Any] = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return answer

    async def _ask(
        self, method: str, path: str, order_id: str | None, **sent: Any
    ) -> tuple[int, Any]:
        token = self._order_token(order_id) or await self.operator_token()
        status, answer = await self._send(method, path, token, **sent)
        if status not in {200, 201, 202}:
            raise _refused(status, answer)
        return status, answer

    async def _send(self, method: str, path: str, token: str, **sent: Any) -> tuple[int, Any]:
        """The status and the JSON of an answer. Raises CommandError (UNAVAILABLE)."""
        headers = {**(sent.pop("headers", None) or {}), **_authorization(token)}
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        asked = self._session.request(
            method, self.url + path, headers=headers, timeout=timeout, **sent
        )
        try:
            async with asked as response:
                return response.status, await response.json(content_type=None)
        except TimeoutError:
            told = f"The worker at {self.url} did not answer within {self.timeout_s:.0f} s. "
            raise self._unavailable(told) from None
        except (aiohttp.ClientError, OSError) as error:
            told = f"No worker answers at {self.url} ({type(error).__name__}). "
            raise self._unavailable(told) from None
        except ValueError:
            told = f"What answers at {self.url} is no worker of Tiffin (it sent no JSON). "
            raise self._unavailable(told) from None

    def _unavailable(self, told: str) -> CommandError:
        what_to_do = (
            "Start one with `faust -A app worker`, or name one that runs: --url, or TIFFIN_WEB_URL. "
            f"{self.url}/readyz says what a worker waits for."
        )
        return CommandError(told + what_to_do, ExitStatus.UNAVAILABLE)

    def _order_token(self, order_id: str | None) -> str | None:
        """For this very order, which whoever has the signing key can make; None where it takes an operator."""
        key = self._address.token_key
        if order_id is None or self._token or self._address.is_sandbox or key is None:
            return None
        from web.http.tokens import OrderTokens  # noqa: PLC0415 -- slow to import

        return OrderTokens(key).issue("cli", order_id)

    def _signed_here(self) -> str:
        """Of a sandbox whose workers hand out none."""
        from app.settings import SANDBOX_TOKEN_KEY  # noqa: PLC0415 -- slow to import
        from web.http.tokens import DevelopmentStaff, Role  # noqa: PLC0415

        key = self._address.token_key or SANDBOX_TOKEN_KEY
        return DevelopmentStaff(key, sandbox=True).issue(Role.OPERATOR, "cli")


def new_key() -> str:
    """An Idempotency-Key for one thing to be done."""
    return str(uuid.uuid4())


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _repeat(key: str | None) -> str:
    return f"With --key {key} it can be sent again: nothing is done twice." if key else ""


def _refused(status: int, answer: Any) -> CommandError:
    """What a problem says, with what to do where the command line can do something."""
    answer = answer if isinstance(answer, dict) else {}
    wrong = "; ".join(f"{e['field']}: {e['message']}" for e in answer.get("errors", ()))
    told = [
        f"{answer.get('code', status)}: {answer.get('title', '')}.",
        answer.get("detail") or wrong,
    ]
    exit_status = STATUSES.get(status, ExitStatus.FAILED)
    if exit_status is ExitStatus.NO_ACCESS:
        told.append(ACCESS_HELP)
    if exit_status is ExitStatus.UNAVAILABLE:
        told.append("Try again in a moment.")
    return CommandError(" ".join(filter(None, told)), exit_status)
