"""What kitchens and couriers ask the API for."""

from __future__ import annotations

from typing import Any

from tests.support.http_api import Api
from web.http.tokens import Role

RESTAURANT = "annapurna-bengaluru"
STEPS = ("accept", "start-preparing", "ready")


def kitchen(api: Api, restaurant: str = RESTAURANT, name: str = "k") -> str:
    return api.staff.issue(Role.KITCHEN, name, restaurant)


def courier(api: Api, name: str = "c1") -> str:
    return api.staff.issue(Role.COURIER, name)


async def tap(api: Api, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    """A POST as a button makes it: without a key."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.client.post(path, json=body or {}, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def cook(api: Api, order_id: str) -> None:
    for step in STEPS:
        status, answer = await tap(api, f"/api/orders/{order_id}/{step}", kitchen(api))
        assert status == 200, answer
