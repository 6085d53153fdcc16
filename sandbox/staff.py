"""Somebody of the staff with a board: a kitchen, a courier or an operator, over HTTP."""

from __future__ import annotations

from typing import Any, Self

from sandbox.api_client import ApiClient


class Staff(ApiClient):
    """Logs in as what it is told to be. Methods raise RefusedError for what the API refuses."""

    def __init__(self, web: str, role: str, subject: str, restaurant_id: str | None = None) -> None:
        """web: base URL of a worker. role: kitchen (with its restaurant), courier or operator."""
        super().__init__(web)
        self._login = {"role": role, "subject": subject}
        if restaurant_id is not None:
            self._login["restaurantId"] = restaurant_id

    async def __aenter__(self) -> Self:
        """Log in."""
        await super().__aenter__()
        try:
            _, answer = await self.call("POST", "/api/login/development", self._login)
        except BaseException:
            await self.session.close()
            raise
        self.token = str(answer["token"])
        return self

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
