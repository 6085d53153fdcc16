"""Every page for everybody, whatever has become of the order: a page, never a 500, never raw JSON."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Any

import pytest

from models import ids
from tests.support.http_api import CART, HTML, Api, MakeApi
from tests.support.operations import QUIET_OPERATIONS, Letters
from tests.support.staff_requests import RESTAURANT, cook, courier, kitchen, tap
from tests.support.waiting import until_true
from web.http import auth
from web.http.tokens import DevelopmentStaff
from web.pages.routes import PAGES
from web.pages.shop import home

STREAMS = ("/kitchen/stream", "/courier/stream", "/ops/stream", "/boards/changes")
"""No pages: they are read by pages and by workers."""
STATES = ("unknown", "open", "declined", "paid", "taken", "ready", "brought", "refunded", "held")


async def order_in(api: Api, state: str) -> tuple[str, str]:
    """An order of that state; gives its id and its customer's token."""
    if state == "unknown":
        return ids.order_id("guest", "nobody's key"), ""
    order = await (api.order() if state in {"open", "declined", "held"} else api.paid())
    order_id, token = order["orderId"], order["orderToken"]
    delivery = f"/api/deliveries/{order_id}"
    if state == "declined":
        await api.confirm(order, "pm_card_chargeDeclined")
    if state in {"taken", "ready", "brought"}:
        assert (await tap(api, f"{delivery}/assign", courier(api)))[0] == 200
    if state in {"ready", "brought"}:
        await cook(api, order_id)
    if state == "brought":
        for step in ("pick-up", "deliver"):
            assert (await tap(api, f"{delivery}/{step}", courier(api)))[0] == 200
    if state == "refunded":
        assert (await tap(api, f"/api/orders/{order_id}/reject", kitchen(api)))[0] == 200
        await until_true(lambda: not api.world.tasks)
    if state == "held":
        for service in ("orders", "payments"):
            api.world.quarantine(service, order_id)
    return order_id, token


def addresses(order_id: str, method: str) -> list[str]:
    """Every page's, with what its path names filled in."""
    names = {
        "order_id": order_id,
        "restaurant_id": RESTAURANT,
        "dead_letter_id": "nonesuch",
        "link": "x" * 48,
        "name": "orders-stuck",
    }
    paths = [page.path for page in PAGES if page.method == method and page.path not in STREAMS]
    return [re.sub(r"{(\w+)}", lambda found: names[found[1]], path) for path in paths]


async def wrong_with(api: Api, method: str, path: str, token: str, **more: Any) -> list[str]:
    """What is wrong with the answer."""
    headers = HTML | ({"Authorization": f"Bearer {token}"} if token else {})
    async with api.client.request(
        method, path, headers=headers, allow_redirects=False, **more
    ) as answer:
        text = await answer.text()
        what = f"{method} {path}: {answer.status} {text[:200]}"
        if answer.status >= 500 and answer.status != 503:
            return [what]
        has_page = answer.status not in {204, 303, 307}
        return [what] if has_page and answer.content_type != "text/html" else []


@pytest.mark.parametrize("state", STATES)
async def test_every_page_is_a_page_for_every_role(make_api: MakeApi, state: str) -> None:
    login = DevelopmentStaff("d" * 32, sandbox=True)
    operations = replace(QUIET_OPERATIONS, dead_letters=Letters())
    api = await make_api(operations=operations, development_login=login)
    order_id, customer = await order_in(api, state)
    kitchens = [kitchen(api), kitchen(api, "hinode-kyoto")]
    tokens = ["", "forged", customer, *kitchens, courier(api), courier(api, "c2"), api.operator]
    shown = [*addresses(order_id, "GET"), "/docs", "/nowhere", "/orders/x", "/ops/search?q=ab"]
    evidence = f"/api/payments/{order_id}/disputes/du_1/evidence?format=html"
    wrong = []
    for token in tokens:
        for path in (*shown, evidence):
            wrong += await wrong_with(api, "GET", path, token)
    for path in addresses(order_id, "POST"):
        for token in tokens[:-1]:  # an operator's change what the others see
            wrong += await wrong_with(api, "POST", path, token, data={"x": "y"})
        wrong += await wrong_with(api, "POST", path, api.operator, json={"x": "y"})
        wrong += await wrong_with(api, "POST", path, api.operator, data=b"%ff%00=%")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("accept", [HTML["Accept"], None])
async def test_a_page_that_fails_says_so_as_a_page(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, accept: str | None
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(CART["contact"])

    monkeypatch.setattr(home, "priced_cart", broken)
    caplog.set_level(logging.INFO, "tiffin")
    headers = {"Accept": accept} if accept else {"HX-Request": "true"}
    async with api.client.get("/", headers=headers) as answer:
        text = await answer.text()
        assert (answer.status, answer.content_type) == (500, "text/html")
    assert "Something went wrong on our side" in text
    assert "RuntimeError" not in text
    assert "asha@" not in text
    found = re.search(r"Reference: <code>(\w{12,})</code>", text)
    assert found
    assert found[1] in answer.headers["traceparent"]  # which every line of the log has
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "broken" in vars(line)["stack"]
    assert "asha@" not in str(vars(line))


async def test_a_programs_request_that_fails_is_a_problem(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("web.api.orders.joined", broken)
    order = await api.order()
    status, problem = await api.get(f"/api/orders/{order['orderId']}", order["orderToken"])
    assert (status, problem["code"]) == (500, "INTERNAL")


async def test_an_operator_who_ordered_it_sees_it_as_an_operator(api: Api) -> None:
    order = await api.paid()
    order_id = order["orderId"]
    cookies = {
        auth.ORDER_COOKIE + order_id.removeprefix("order_"): order["orderToken"],
        auth.STAFF_COOKIE: api.operator,
    }
    for path in (f"/ops/orders/{order_id}", f"/ops/orders/{order_id}/refund"):
        async with api.client.get(path, headers=HTML, cookies=cookies) as answer:
            assert answer.status == 200
