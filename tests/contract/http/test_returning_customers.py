"""How customers come back to their orders: letters' links, and the shop's first page."""

from __future__ import annotations

import logging
import re
import time

import aiohttp
import pytest
from yarl import URL

from models import ids
from tests.support.http_api import Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend
from web.http.tokens import (
    LINK_DAYS,
    DevelopmentStaff,
    OrderTokens,
    Role,
)

DAY_S = 24 * 3600


async def follow(api: Api, path: str, **headers: str) -> aiohttp.ClientResponse:
    async with api.client.get(path, headers=headers, allow_redirects=False) as answer:
        await answer.read()
        return answer


def link(api: Api, order_id: str, since_s: float | None = None, page: str = "") -> str:
    since = int(since_s or time.time())
    return f"/o/{api.deps.order_tokens.link(order_id, 'notif_1', since)}{page}"


def cookie_of(answer: aiohttp.ClientResponse) -> str:
    (cookie,) = [each for each in answer.cookies.values() if each.key.startswith("tiffin_order_")]
    return f"{cookie.key}={cookie.value}"


@pytest.mark.parametrize("page", ["", "/pay"])
async def test_a_link_opens_the_order_at_a_clean_address(api: Api, page: str) -> None:
    order = await api.order()
    answer = await follow(api, link(api, order["orderId"], page=page))
    assert answer.status == 303
    assert answer.headers["Location"] == f"/orders/{order['orderId']}{page}"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    (cookie,) = [each for each in answer.cookies.values() if each.key.startswith("tiffin_order_")]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    shown = await follow(api, answer.headers["Location"], Cookie=cookie_of(answer))
    assert shown.status == 200
    other = await api.order()
    for path in (f"/orders/{other['orderId']}", "/ops", "/api/ops/orders"):
        assert (await follow(api, path, Cookie=cookie_of(answer))).status in {401, 403}, path


async def test_the_cookie_is_good_for_as_long_as_the_link(api: Api) -> None:
    order_id = (await api.order())["orderId"]
    since_s = time.time() - (LINK_DAYS - 1) * DAY_S
    cookie = cookie_of(await follow(api, link(api, order_id, since_s)))
    claims = api.deps.order_tokens.read(cookie.partition("=")[2])
    assert (claims.role, claims.order_id) == (Role.CUSTOMER, order_id)
    (set_cookie,) = (await follow(api, link(api, order_id, since_s))).cookies.values()
    assert DAY_S - 60 <= int(set_cookie["max-age"]) <= DAY_S
    mine = f"{set_cookie.key}={api.deps.order_tokens.issue('guest_1', order_id)}"
    kept = await follow(api, link(api, order_id, since_s), Cookie=mine)
    assert not kept.cookies, "a browser that has a better one keeps it"


@pytest.mark.parametrize("kind", ["old", "forged", "cut", "noise"])
async def test_a_link_that_is_no_good_says_so_and_opens_nothing(api: Api, kind: str) -> None:
    order_id = (await api.order())["orderId"]
    good = link(api, order_id)
    path = {
        "old": link(api, order_id, time.time() - (LINK_DAYS + 1) * DAY_S),
        "forged": "/o/" + OrderTokens("f" * 32).link(order_id, "notif_1", int(time.time())),
        "cut": good[:-1],
        "noise": "/o/%00%ff",
    }[kind]
    answer = await follow(api, path, Accept="text/html")
    assert answer.status == 404
    assert not answer.cookies
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "work for 30 days" in await answer.text()


async def test_no_log_line_tells_a_link(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tiffin")
    order_id = (await api.order())["orderId"]
    for page in ("", "/pay", "/nowhere"):
        await follow(api, link(api, order_id, page=page), Accept="text/html")
    told = " ".join(str(vars(record)) for record in caplog.records)
    assert "/o/***" in told
    assert link(api, order_id).removeprefix("/o/") not in told


async def test_the_first_page_lists_the_browsers_orders(make_api: MakeApi) -> None:
    api = await make_api()
    paid, open_ = await api.paid(), await api.order()
    cookies = "; ".join(
        f"tiffin_order_{each['orderId'].removeprefix('order_')}={each['orderToken']}"
        for each in (paid, open_)
    )
    foreign = ids.order_id("guest", "somebody else's")
    forged = OrderTokens("f" * 32).issue("guest", foreign)
    cookies += f"; tiffin_order_{foreign.removeprefix('order_')}={forged}"
    text = await (await follow(api, "/", Cookie=cookies)).text()
    yours = text.partition('id="yours"')[2].partition("</section>")[0]
    links = re.findall(r'href="/orders/([^"]+)">([^<]+)<', yours)
    assert links == [(each["orderId"], ids.reference(each["orderId"])) for each in (open_, paid)], (
        "the latest first"
    )
    for words in ("Waiting for the kitchen", "Waiting for payment", "from Annapurna"):
        assert words in yours
    assert 'id="yours"' not in await (await follow(api, "/")).text()


async def test_the_first_page_does_not_wait_for_a_worker_that_is_gone(make_api: MakeApi) -> None:
    world = InMemoryBackend()
    world.tables["orders"].is_ours = False
    world.tables["orders"].owner = URL("http://127.0.0.1:9")
    api = await make_api(world)
    order_id = ids.order_id("guest", "at another worker")
    token = api.deps.order_tokens.issue("guest", order_id)
    cookie = f"tiffin_order_{order_id.removeprefix('order_')}={token}"
    answer = await follow(api, "/", Cookie=cookie)
    assert answer.status == 200
    assert f'href="/orders/{order_id}">{ids.reference(order_id)}' in await answer.text()


async def test_an_order_has_one_reference_everywhere(make_api: MakeApi) -> None:
    api = await make_api()
    order = await api.paid()
    order_id, reference = order["orderId"], ids.reference(order["orderId"])
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{3}-[0-9A-HJKMNP-TV-Z]{4}", reference)
    assert order["reference"] == reference
    _, view = await api.get(f"/api/orders/{order_id}", order["orderToken"])
    _, listed = await api.get("/api/ops/orders", api.operator)
    kitchen = api.staff.issue(Role.KITCHEN, "ravi", "annapurna-bengaluru")
    _, tickets = await api.get("/api/kitchen/orders", kitchen)
    courier = api.staff.issue(Role.COURIER, "carla")
    _, deliveries = await api.get("/api/deliveries", courier)
    rows = [view, *listed["orders"], *tickets["orders"], *deliveries["deliveries"]]
    assert len(rows) == 4
    assert {row["reference"] for row in rows} == {reference}
    for path, token in (
        (f"/orders/{order_id}", order["orderToken"]), ("/kitchen", kitchen), ("/courier", courier),
        (f"/ops/orders/{order_id}", api.operator), ("/ops/orders", api.operator),
    ):  # fmt: skip
        answer = await follow(api, path, Authorization=f"Bearer {token}")
        assert reference in await answer.text(), path
        assert f">{order_id[-6:].upper()}<" not in await answer.text()
    assert isinstance(api.staff, DevelopmentStaff)


@pytest.mark.parametrize(
    "text", ["7k3m9qxv", "7K3M-9QXV", " 7K3M 9QXV ", "#7K3M-9QXV", "7k3m\N{EN DASH}9qxv"]
)
def test_a_reference_is_read_as_people_write_it(text: str) -> None:
    assert ids.reference_prefix(text) == "order_7k3m9qxv"
    assert ids.reference_prefix("1O0l-iIlL") == "order_10011111"
    for other in ("", "7k3m9qx", "7k3m9qxvv", "8k3m9qxv", "7k3m9qxu", "7k3m_9qxv", "\u0967k3m9qxv"):
        assert ids.reference_prefix(other) is None, other
