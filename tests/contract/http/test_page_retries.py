"""Pages while nobody answers for an order: what they say of trying again they do, and nothing is done twice."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest
from yarl import URL

from models import ids
from models.commands import Command, CommandType
from models.messages import encode
from models.topics import ORDER_COMMANDS
from tests.support.http_api import CART, Api, MakeApi, new_key
from tests.support.in_memory_backend import InMemoryBackend
from web.catalogue import load_catalogue
from web.http.admission import Admission
from web.http.tokens import Role
from web.pages import retry
from web.pages.routes import PAGES
from web.pages.shop.cart import COOKIE, Cart, with_prices

BY_ITSELF = "by itself"
REFRESH = re.compile(r'<meta http-equiv="refresh" content="(\d+)(?:; url=([^"]+))?">')
DETAILS = {
    "line1": "12 MG Road", "city": "Bengaluru", "postal_code": "560001", "name": "Asha Rao",
    "email": "asha@example.com", "phone": "+91 98765 43210",
}  # fmt: skip
HTML = {"Accept": "text/html"}


def without_owner(owner: URL | None = None) -> InMemoryBackend:
    """A worker's world while it owns nothing, and `owner`, if anybody, does not answer."""
    world = InMemoryBackend()
    for table in world.tables.values():
        table.is_ours, table.owner = False, owner
    return world


class Browser:
    """Keeps cookies, follows nothing by itself."""

    def __init__(self, api: Api, **cookies: str) -> None:
        self.api, self.cookies = api, cookies

    async def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> Page:
        headers = {**HTML, "Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        data = None if form is None else urlencode(form)
        async with self.api.client.request(
            method, path, headers=headers, data=data, allow_redirects=False
        ) as response:
            for line in response.headers.getall("Set-Cookie", ()):
                for name, morsel in SimpleCookie(line).items():
                    self.cookies[name] = morsel.value
            return Page(response.status, await response.text(), dict(response.headers))

    def cart(self) -> dict[str, str]:
        """Two dishes in the cart; gives the fields of the checkout's form."""
        cart = Cart(CART["restaurantId"], {"family-thali": 2}, new_key())
        self.cookies[COOKIE] = cart.text()
        return {"cart": with_prices(load_catalogue(), cart).fingerprint, **DETAILS}


class Page:
    def __init__(self, status: int, text: str, headers: dict[str, str]) -> None:
        self.status, self.text, self.headers = status, text, headers
        found = REFRESH.search(text)
        self.refresh = (int(found[1]), found[2]) if found else None


def key_to(order_id: str, token: str) -> dict[str, str]:
    """The cookie that opens an order."""
    return {f"tiffin_order_{order_id.removeprefix('order_')}": token}


def placed(world: InMemoryBackend) -> list[Command]:
    return [each for each in world.commands if each.command_type is CommandType.PLACE_ORDER]


@pytest.mark.parametrize("case", ["nobody", "dead", "opening"])
async def test_an_order_is_placed_while_nobody_answers_for_it(
    make_api: MakeApi, unused_tcp_port: int, case: str
) -> None:
    dead = URL(f"http://127.0.0.1:{unused_tcp_port}/")
    world = without_owner(None if case == "nobody" else dead)
    world.loses_commands = True  # there is no owner that would decide them
    browser = Browser(await make_api(world, own_url=dead if case == "opening" else None))
    form = browser.cart()
    pages = [await browser.ask("POST", "/checkout", form) for _ in range(2)]
    assert [page.status for page in pages] == [303, 303]
    sent = placed(world)
    assert len({command.command_id for command in sent}) == 1, "pressed twice, one order"
    location = pages[0].headers["Location"]
    assert location.startswith(f"/orders/{sent[0].order_id}/pay")

    page = await browser.ask("GET", location)
    assert (page.status, BY_ITSELF in page.text) == (503, True)
    assert page.refresh == (2, None)

    # The next owner reads what lies in Kafka; the page that is asked for again shows the payment.
    for table in world.tables.values():
        table.is_ours = True
    page = await browser.ask("GET", location)
    assert (page.status, BY_ITSELF in page.text) == (404, True), "it has not read it yet"
    assert page.refresh is not None
    for command in sent:
        await world.feed(ORDER_COMMANDS, command.order_id, encode(command))
    page = await browser.ask("GET", location)
    assert page.status == 200, page.text
    assert "Payment" in page.text
    assert "were placed before" not in page.text
    await world.tables["payments"].wait(
        sent[0].order_id, lambda record: bool(record and record.state.payment), 5
    )
    page = await browser.ask("POST", "/checkout", form)
    assert page.headers["Location"] == f"/orders/{sent[0].order_id}/pay"
    assert len(world.stripes) == 1
    assert len(world.stripes[sent[0].order_id].answers) == 1, "one payment intent"


async def test_a_checkout_that_is_refused_under_load_keeps_what_was_entered_and_tries_again(
    make_api: MakeApi,
) -> None:
    waits_s = 60.0
    admission = Admission(max_delay_s=0.2, stripe_wait_s=lambda: waits_s)
    api = await make_api(admission=admission)
    browser = Browser(api)
    form = browser.cart()
    page = await browser.ask("POST", "/checkout", form)
    assert page.status == 503
    assert "you have not been charged" in page.text
    assert DETAILS["email"] in page.text
    assert f'data-again="{page.headers["Retry-After"]}"' in page.text
    assert placed(api.world) == []
    waits_s = 0.0
    page = await browser.ask("POST", "/checkout", form)
    assert (page.status, len(placed(api.world))) == (303, 1)


async def test_other_details_that_did_not_reach_an_order_are_told(make_api: MakeApi) -> None:
    world = InMemoryBackend()
    browser = Browser(await make_api(world))
    form = browser.cart()
    page = await browser.ask("POST", "/checkout", form)
    order_id = placed(world)[0].order_id
    assert page.headers["Location"] == f"/orders/{order_id}/pay"
    for table in world.tables.values():
        table.is_ours = False
    same = await browser.ask("POST", "/checkout", form)
    other = await browser.ask("POST", "/checkout", {**form, "line1": "14 MG Road"})
    for table in world.tables.values():
        table.is_ours = True
    for page, is_told in ((same, False), (other, True)):
        shown = await browser.ask("GET", page.headers["Location"])
        assert shown.status == 200
        assert ("You had already placed this order" in shown.text) is is_told


async def test_without_kafka_the_form_stays_and_claims_nothing(make_api: MakeApi) -> None:
    for world in (InMemoryBackend(), without_owner()):
        world.kafka_is_up = False
        browser = Browser(await make_api(world))
        page = await browser.ask("POST", "/checkout", browser.cart())
        assert page.status == 503
        assert page.headers["Retry-After"]
        assert "We can&#39;t take orders right now" in page.text
        assert DETAILS["line1"] in page.text, "what was typed is kept"
        assert BY_ITSELF not in page.text
        assert page.refresh is None
        assert "tiffin_guest" not in browser.cookies, "nothing was placed"


@pytest.mark.parametrize("action", ["cancel", "change"])
async def test_a_customers_wish_waits_for_the_owner(make_api: MakeApi, action: str) -> None:
    world = InMemoryBackend()
    api = await make_api(world)
    order = await api.order()
    browser = Browser(api, **key_to(order["orderId"], order["orderToken"]))
    for table in world.tables.values():
        table.is_ours = False
    world.loses_commands = True
    form = {"key": "k", "reason": "CHANGED_MIND"}
    for _ in range(2):
        page = await browser.ask("POST", f"/orders/{order['orderId']}/{action}", form)
        assert (page.status, page.headers["Location"]) == (303, f"/orders/{order['orderId']}")
    kinds = {"cancel": CommandType.CANCEL_ORDER, "change": CommandType.CANCEL_PAYMENT}
    sent = [each for each in world.commands if each.command_type is kinds[action]]
    assert len({each.command_id for each in sent}) == 1
    stranger = Browser(api)
    page = await stranger.ask("POST", f"/orders/{order['orderId']}/{action}", form)
    assert page.status == 401, "who asks is known before"


async def test_a_page_tries_again_for_a_while_and_then_says_that_it_has_stopped(
    make_api: MakeApi,
) -> None:
    api = await make_api(without_owner())
    order_id = ids.order_id("guest", "gone")
    token = api.deps.order_tokens.issue("guest", order_id)
    browser = Browser(api, **key_to(order_id, token))
    waited_s, pages = 0, 0
    while (page := await browser.ask("GET", f"/orders/{order_id}/pay")).refresh:
        assert page.status == 503
        assert BY_ITSELF in page.text
        assert page.refresh[1] is None
        waited_s, pages = waited_s + page.refresh[0], pages + 1
        assert pages <= retry.MAX_TRIES
    assert 120 < waited_s < 300
    assert BY_ITSELF not in page.text
    assert "has stopped trying" in page.text
    assert page.headers["Retry-After"]


KEY = "a-key-of-a-form-of-ours"


def paths(method: str) -> list[str]:
    """Of the pages."""
    return [page.path for page in PAGES if page.method == method]


async def test_every_form_that_fails_leads_to_a_page_and_is_not_sent_again(
    make_api: MakeApi,
) -> None:
    """Whatever the form is, at a worker that owns nothing."""
    readable = [re.sub(r"\{\w+\}", r"[^/]+", path) for path in paths("GET")]
    api, order_id, busy = await make_api(without_owner()), ids.order_id("guest", "gone"), set()
    tokens = {
        "/ops": {"tiffin_staff": api.operator},
        "/kitchen": {"tiffin_staff": api.staff.issue(Role.KITCHEN, "k", CART["restaurantId"])},
        "/courier": {"tiffin_staff": api.staff.issue(Role.COURIER, "c")},
        "": key_to(order_id, api.deps.order_tokens.issue("guest", order_id)),
    }
    for path in paths("POST"):
        filled = path.format(order_id=order_id, dead_letter_id="orders-0-1")
        target = retry.result_page(filled)
        assert any(re.fullmatch(one, target) for one in readable), (path, target)
        cookies = next(found for begin, found in tokens.items() if path.startswith(begin))
        page = await Browser(api, **cookies).ask(
            "POST", f"{filled}?key={KEY}", {"key": KEY, "reason": "LATE"}
        )
        assert BY_ITSELF not in page.text
        if page.status < 500:
            assert page.refresh is None
            continue
        busy.add(path)
        assert page.refresh == (2, target), path
        assert f'href="{target}"' in page.text
    assert "/ops/orders/{order_id}/refund" in busy
