"""A client of the HTTP API: session, requests, refusals, and polling until there is an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import aiohttp

from sandbox.processes import MAX_WAIT_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

POLL_INTERVAL_S = 0.1
SERVER_ERRORS = range(500, 600)

T = TypeVar("T")


class RefusedError(Exception):
    """The API answered with a problem; `problem` is its body, `status` its HTTP status."""

    def __init__(self, status: int, problem: Any) -> None:
        super().__init__(f"{status}: {problem}")
        self.status, self.problem = status, problem

    @property
    def code(self) -> str:
        """The problem's stable code."""
        return str(self.problem.get("code", "")) if isinstance(self.problem, dict) else ""


class ApiClient:
    """A session at one worker, with a token once there is one. Use it by `async with`.

    max_wait_s: what one request may take, and what is waited for; a loaded machine needs more.
    """

    max_wait_s: ClassVar[float] = MAX_WAIT_S

    def __init__(self, web: str) -> None:
        """web: base URL of a worker."""
        self.web = web
        self.token = ""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.max_wait_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        if self._session:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """For requests to other servers than the API."""
        assert self._session, "use `async with`"
        return self._session

    async def call(
        self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Make a request; returns status and body. Raises RefusedError for 4xx and 5xx."""
        if key:
            headers["Idempotency-Key"] = key
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        url = self.web + path
        async with self.session.request(method, url, json=body, headers=headers) as response:
            answer = await response.json(content_type=None)
            if response.status >= 400:
                raise RefusedError(response.status, answer)
            return response.status, answer


async def until(
    ask: Callable[[], Awaitable[T | None]],
    what: str,
    within_s: float,
    not_yet: Container[int] = SERVER_ERRORS,
) -> T:
    """Poll until the answer is not None; a server that can't be reached has given no answer.

    not_yet: statuses that are polled again. Raises RefusedError for the others, and
    TimeoutError.
    """
    last: Exception | None = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                answer = None
                try:
                    answer = await ask()
                except RefusedError as error:
                    if error.status not in not_yet:
                        raise
                    last = error
                except aiohttp.ClientError as error:
                    last = error
                if answer is not None:
                    return answer
                await asyncio.sleep(POLL_INTERVAL_S)
    except TimeoutError:
        raise TimeoutError(f"waited {within_s:g} s in vain for {what}; last: {last}") from last
