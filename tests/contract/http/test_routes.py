"""Every route of the table before everybody who may ask, or may not: what is refused follows from its row."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.http_api import Api, MakeApi, new_key
from tests.support.operations import QUIET_OPERATIONS
from web.http.route import PUBLIC, Key, Route
from web.http.tokens import Role
from web.routes import ROUTES

ASKERS = (
    "nobody", "expired", "forged", "customer", "other customer", "kitchen", "other kitchen", "courier",
    "operator",
)  # fmt: skip
OWN_RESTAURANT, OTHER_RESTAURANT = "annapurna-bengaluru", "blue-door-brooklyn"
REFUSALS = {"TOKEN_MISSING", "TOKEN_INVALID", "ROLE_REFUSED", "WRONG_ORDER", "WRONG_RESTAURANT"}


def token_of(api: Api, asker: str, order: dict[str, Any], other: dict[str, Any]) -> str | None:
    staff, tokens, mine = api.staff, api.deps.order_tokens, str(order["orderToken"])
    return {
        "nobody": None,
        "expired": tokens.issue("guest_x", order["orderId"], until_s=1_000_000_000),
        "forged": mine[:-5] + "AAAAA",
        "customer": mine,
        "other customer": str(other["orderToken"]),
        "kitchen": staff.issue(Role.KITCHEN, "kim", OWN_RESTAURANT),
        "other kitchen": staff.issue(Role.KITCHEN, "ken", OTHER_RESTAURANT),
        "courier": staff.issue(Role.COURIER, "carl"),
        "operator": api.operator,
    }[asker]


def expected(route: Route, asker: str) -> set[str]:
    """Codes of which one is answered; none: it is let in."""
    roles, role = route.access.roles, asker.removeprefix("other ")
    if not roles or (asker in roles and asker != "other kitchen"):
        return set()
    if asker in {"nobody", "expired", "forged"}:
        return {"TOKEN_MISSING"} if asker == "nobody" else {"TOKEN_INVALID"}
    if role not in roles:
        return {"ROLE_REFUSED"}
    if asker == "other customer":
        return {"WRONG_ORDER"}
    # Lists show a kitchen its own orders alone.
    return {"WRONG_RESTAURANT"} if route.order_must_exist else set()


@pytest.mark.parametrize("asker", ASKERS)
async def test_each_route_lets_in_whom_its_row_says(make_api: MakeApi, asker: str) -> None:
    api = await make_api(operations=QUIET_OPERATIONS, metrics=lambda _: (b"", "text/plain"))
    order, other = await api.paid(), await api.paid()
    token = token_of(api, asker, order, other)
    for route in ROUTES:
        headers = {"Idempotency-Key": new_key()} if route.key is not Key.NONE else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        path = route.path.format(
            order_id=order["orderId"], restaurant_id=OWN_RESTAURANT, refund_id="r",
            notification_id="n", dead_letter_id="d", dispute_id="d", table="orders",
        )  # fmt: skip
        body = {"orderId": order["orderId"]} if route.access.check_body else {}
        if path.endswith("confirm"):
            body["paymentMethodId"] = "pm_card_visa"
        sent = len(api.world.commands)
        more = {"json": body} if route.method == "POST" else {}
        async with api.client.request(route.method, path, headers=headers, **more) as answer:
            is_problem = answer.content_type == "application/problem+json"
            code = (await answer.json(content_type=None))["code"] if is_problem else ""
        where = f"{route.method} {route.path} for {asker}: {answer.status} {code}"
        if codes := expected(route, asker):
            assert code in codes, where
            assert len(api.world.commands) == sent, where
        else:
            assert code not in REFUSALS or not route.access.roles, where


async def test_nothing_is_mounted_without_a_row(api: Api) -> None:
    without = {
        str(mounted.resource.canonical)
        for mounted in api.client.app.router.routes()
        if mounted.resource is not None and row_of(mounted) is None
    }
    assert without <= {"/openapi.json", "/asyncapi.json", "/docs"}
    assert {route.path for route in ROUTES} <= {
        str(mounted.resource.canonical)
        for mounted in api.client.app.router.routes()
        if mounted.resource is not None
    }


def row_of(mounted: Any) -> Any:
    arguments = getattr(mounted.handler, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], Route) else None


def test_rows_do_not_contradict_themselves() -> None:
    for route in ROUTES:
        where = f"{route.method} {route.path}"
        assert not route.order_must_exist or route.owner, where
        assert not route.waits_for or route.owner, where
        assert route.body is None or route.method == "POST", where
        assert route.access is not PUBLIC or route.key is not Key.OPTIONAL, where
    names = [route.operation_id for route in ROUTES]
    assert len(names) == len({*names})
