"""What is counted of requests: the route's template, never a path, for that may hold an id or a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from web.http.middleware import NO_ROUTE

if TYPE_CHECKING:
    from tests.support.http_api import MakeApi

ORDER = "order_00000000000000000000000000"


async def test_requests_are_told_by_the_template_of_their_route(make_api: MakeApi) -> None:
    told: list[tuple[str, str, int]] = []

    def answered(method: str, route: str, status: int, took_s: float, trace_id: str) -> None:
        assert took_s > 0
        assert trace_id == ""
        told.append((method, route, status))

    api = await make_api(answered=answered)
    for path in (
        f"/api/orders/{ORDER}", "/o/very-secret", "/nothing/at/all", "/static/none.css", "/livez"
    ):  # fmt: skip
        async with api.client.get(path, allow_redirects=False):
            pass
    async with api.client.request("PATCH", "/livez"):
        pass
    assert told == [
        ("GET", "/api/orders/{order_id}", 401),
        ("GET", "/o/{link}", 404),
        ("GET", NO_ROUTE, 404),
        ("GET", "/static/{name}", 404),
        ("GET", "/livez", 200),
        ("PATCH", NO_ROUTE, 405),
    ]
