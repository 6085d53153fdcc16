"""Somebody of the staff with a board: a kitchen, a courier or an operator, over HTTP."""

from __future__ import annotations

from typing import Any, Self

import aiohttp

from sandbox.customer import PATIENCE_S, RefusedError


class Staff:
    """Logs in as what it is told to be. Methods raise RefusedError for what the API refuses."""

    def __init__(self, web: str, role: str, subject: str, restaurant_id: str | None = None) -> None:
        """web: base URL of a worker. role: kitchen (with its restaurant), courier or operator."""
        self.web = web
        self._login = {"role": role, "subject": subject}
        if restaurant_id is not None:
            self._login["restaurantId"] = restaurant_id
        self._session: aiohttp.ClientSession | None = None
        self._token = ""

    async def __aenter__(self) -> Self:
        """Log in."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        try:
            _, answer = await self.call("POST", "/api/login/development", self._login)
        except BaseException:
            await self._session.close()
            raise
        self._token = str(answer["token"])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave."""
        if self._session:
            await self._session.close()

    async def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Make a request of the API; give status and body. Raises RefusedError for 4xx and 5xx."""
        assert self._session, "use `async with`"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        url = self.web + path
        async with self._session.request(method, url, json=body, headers=headers) as response:
            answer = await response.json(content_type=None)
            if response.status >= 400:
                raise RefusedError(response.status, answer)
            return response.status, answer

    async def get(self, path: str) -> dict[str, Any]:
        """Read something."""
        _, answer = await self.call("GET", path)
        return dict(answer)

    async def kitchen(self, order_id: str, step: str, body: Any = None) -> dict[str, Any]:
        """Take a step with an order: accept, reject, start-preparing or ready."""
        _, answer = await self.call("POST", f"/api/orders/{order_id}/{step}", body or {})
        return dict(answer)

    async def deliver(self, order_id: str, step: str) -> dict[str, Any]:
        """Take a step with a delivery: assign, pick-up or deliver."""
        _, answer = await self.call("POST", f"/api/deliveries/{order_id}/{step}", {})
        return dict(answer)
