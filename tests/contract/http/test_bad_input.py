"""Bad input: a 4xx problem that names the field and what is accepted, echoes nothing, changes nothing."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from tests.support.http_api import CART, Api, MakeApi
from web.http.problems import CODES, problem_type

CREATE = "/api/payments/create-intent"


def cart(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(CART), **changes}


def line(**changes: Any) -> dict[str, Any]:
    return cart(items=[{"dishId": "idli-plate", "quantity": 1} | changes])


def contact(**changes: Any) -> dict[str, Any]:
    return cart(contact=CART["contact"] | changes)  # type: ignore[operator]


CARTS = [
    (cart(restaurantId="nowhere"), "restaurantId"),
    (cart(restaurantId=7), "restaurantId"),
    (line(dishId="unicorn"), "items[0].dishId"),
    (cart(items=[]), "items"),
    (cart(items="idli-plate"), "items"),
    (cart(items=[{"dishId": "idli-plate", "quantity": 1}] * 2), "items[1].dishId"),
    (cart(items=[{"dishId": "d", "quantity": 1}] * 1000), "items"),
    (line(quantity=0), "items[0].quantity"),
    (line(quantity=-1), "items[0].quantity"),
    (line(quantity=1_000_000_000), "items[0].quantity"),
    (line(quantity=10**30), "items[0].quantity"),
    (line(quantity="2; drop"), "items[0].quantity"),
    (line(quantity="2"), "items[0].quantity"),
    (line(quantity=1.5), "items[0].quantity"),
    (line(quantity=True), "items[0].quantity"),
    (line(quantity=None), "items[0].quantity"),
    (line(price=1), "items[0].price"),
    (cart(amount=1), "amount"),
    (cart(currency="USD"), "currency"),
    (cart(restaurant_id="annapurna-bengaluru"), "restaurant_id"),
    (contact(email="nobody"), "contact.email"),
    (contact(phone="call me"), "contact.phone"),
    (contact(name=""), "contact.name"),
    (contact(name="  "), "contact.name"),
    (contact(name="a\nb"), "contact.name"),
    (contact(name="x" * 201), "contact.name"),
    (cart(address={"line1": "x", "city": "y"}), "address.postalCode"),
    (cart(contact=None), "contact"),
    ({}, "restaurantId"),
    ([], "body"),
    (0, "body"),
    ("text", "body"),
]


@pytest.mark.parametrize(("body", "field"), CARTS, ids=lambda value: str(value)[:50])
async def test_wrong_cart_is_refused_by_field(api: Api, body: Any, field: str) -> None:
    status, problem, response = await api.post(CREATE, body)
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert response.content_type == "application/problem+json"
    assert problem["type"] == problem_type("VALIDATION_FAILED")
    assert problem["instance"] == CREATE
    messages = {error["field"]: error["message"] for error in problem["errors"]}
    assert messages[field]
    assert not api.world.commands


async def test_unknown_field_and_wrong_number_say_what_is_accepted(api: Api) -> None:
    _, problem, _ = await api.post(CREATE, cart(amount=1))
    assert "accepted: restaurantId, items, contact, address" in problem["errors"][0]["message"]
    _, problem, _ = await api.post(CREATE, line(quantity=1e9))
    assert "a whole number from 1 to 99" in problem["errors"][0]["message"]


async def test_sum_that_stripe_does_not_charge(api: Api) -> None:
    body = cart(
        restaurantId="blue-door-brooklyn", items=[{"dishId": "dipping-sauce", "quantity": 1}]
    )
    status, problem, _ = await api.post(CREATE, body)
    assert status == 400
    assert "0.50 to 999999.99 USD" in problem["errors"][0]["message"]


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "INVALID_JSON"),
        (b"{", 400, "INVALID_JSON"),
        (b'{"a":1}{"a":1}', 400, "INVALID_JSON"),
        (b'{"items":NaN}', 400, "INVALID_JSON"),
        (b'{"items":Infinity}', 400, "INVALID_JSON"),
        (b'{"items":[],"items":[]}', 400, "INVALID_JSON"),
        (b'{"a":{"b":1,"b":2}}', 400, "INVALID_JSON"),
        (b'{"a":"\xff"}', 400, "INVALID_JSON"),
        (b'{"a":"\\ud800"}', 400, "INVALID_JSON"),
        (b"[" * 60_000, 400, "INVALID_JSON"),
        (b"[" * 900 + b"]" * 900, 400, "INVALID_JSON"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400, "INVALID_JSON"),
        (b'{"a":' + b"9" * 10_000 + b"}", 400, "INVALID_JSON"),
        (b'{"a":"' + b"x" * 65_536 + b'"}', 413, "BODY_TOO_LARGE"),
        (orjson.dumps(cart(items=[{"dishId": "idli-plate", "quantity": 1}] * 10_000)), 413,
         "BODY_TOO_LARGE"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
async def test_body_that_is_not_json_or_too_large(
    api: Api, raw: bytes, status: int, code: str
) -> None:
    got, problem, response = await api.post(
        CREATE, data=raw, headers={"Content-Type": "application/json"}
    )
    assert (got, problem["code"]) == (status, code)
    assert response.content_type == "application/problem+json"
    assert "body" in problem["detail"]
    assert not api.world.commands


async def test_large_body_without_a_length_is_cut_off(api: Api) -> None:
    async def chunks() -> Any:
        for _ in range(80):
            yield b" " * 1024

    status, problem, _ = await api.post(
        CREATE, data=chunks(), headers={"Content-Type": "application/json"}
    )
    assert (status, problem["code"]) == (413, "BODY_TOO_LARGE")


async def test_body_of_exactly_the_limit_is_read(api: Api) -> None:
    raw = orjson.dumps(cart())
    padded = raw + b" " * (65_536 - len(raw))
    status, _, _ = await api.post(CREATE, data=padded, headers={"Content-Type": "application/json"})
    assert status == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "deflate"},
    ],
)
async def test_other_content_types_are_refused(api: Api, headers: dict[str, str]) -> None:
    status, problem, _ = await api.post(CREATE, data=orjson.dumps(cart()), headers=headers)
    assert (status, problem["code"]) == (415, "CONTENT_TYPE_REFUSED")
    assert not api.world.commands


CARDS = [
    "4242424242424242",
    "4242 4242 4242 4242",
    "3782-822463-10005",
    "4242424242424242".translate(
        {ord(str(digit)): 0xFF10 + digit for digit in range(10)}
    ),  # full width
]


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("place", ["name", "phone", "line2", "unknown", "deep", "key", "number"])
async def test_card_number_anywhere_is_refused_and_not_echoed(
    api: Api, card: str, place: str
) -> None:
    digits = "".join(str(int(c)) for c in card if c.isdigit())
    body = {
        "name": contact(name=f"Asha {card}"),
        "phone": contact(phone=f"+{digits}"),
        "line2": cart(address=CART["address"] | {"line2": f"card {card} 12/30"}),  # type: ignore[operator]
        "unknown": cart(card=card),
        "deep": cart(note=[{"a": [{"b": card}]}]),
        "key": cart(**{card: 1}),
        "number": line(quantity=int(digits)),
    }[place]
    status, problem, response = await api.post(CREATE, body)
    assert (status, problem["code"]) == (400, "CARD_NUMBER_REFUSED")
    shown = await response.text()
    assert digits not in shown
    assert card not in shown
    assert not api.world.commands


async def test_telephone_number_that_passes_luhn_is_none(api: Api) -> None:
    status, _, _ = await api.post(CREATE, contact(phone="+49 151 12345678"))
    assert status == 201


@pytest.mark.parametrize(
    ("key", "code"),
    [("", "IDEMPOTENCY_KEY_MISSING"), ("short", "IDEMPOTENCY_KEY_INVALID"),
     ("with blanks in the middle", "IDEMPOTENCY_KEY_INVALID"), ("x" * 201, "IDEMPOTENCY_KEY_INVALID")],
)  # fmt: skip
@pytest.mark.parametrize(
    "path",
    [CREATE, "/api/payments/confirm", "/api/payments/cancel", "/api/orders/{}/cancel",
     "/api/payments/{}/refunds"],
)  # fmt: skip
async def test_every_write_needs_a_good_key(api: Api, path: str, key: str, code: str) -> None:
    order = await api.order()
    sent = len(api.world.commands)
    token = api.operator if path.endswith("refunds") else order["orderToken"]
    headers = {"Idempotency-Key": key, "Authorization": f"Bearer {token}"}
    async with api.client.post(path.format(order["orderId"]), json={}, headers=headers) as response:
        problem = await response.json(content_type=None)
    assert (response.status, problem["code"]) == (400, code)
    assert problem["errors"][0]["field"] == "Idempotency-Key"
    assert len(api.world.commands) == sent


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "orderId"),
        ({"orderId": "order_1", "paymentMethodId": "pm_card_visa"}, "orderId"),
        ({"orderId": "{}"}, "body"),
        ({"orderId": "{}", "paymentMethodId": "pm_x", "confirmationToken": "ctoken_x"}, "body"),
        ({"orderId": "{}", "paymentMethodId": "tok_visa"}, "paymentMethodId"),
        ({"orderId": "{}", "paymentMethodId": "pm_x", "amount": 1}, "amount"),
    ],
    ids=str,
)
async def test_wrong_confirm(api: Api, body: dict[str, str], field: str) -> None:
    order = await api.order()
    if "orderId" in body:
        body = body | {"orderId": body["orderId"].format(order["orderId"])}
    sent = len(api.world.commands)
    status, problem, _ = await api.post("/api/payments/confirm", body, token=order["orderToken"])
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert field in {error["field"] for error in problem["errors"]}
    assert len(api.world.commands) == sent


async def test_what_is_not_there_and_other_methods_are_problems_too(api: Api) -> None:
    for method, path, status, code in [
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/metrics", 404, "NOT_FOUND"),
        ("GET", "/api/restaurants/nowhere/menu", 404, "RESTAURANT_UNKNOWN"),
        ("GET", "/api/orders/order_1", 404, "ORDER_UNKNOWN"),
        ("GET", "/webhooks/stripe", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/api/restaurants", 405, "METHOD_NOT_ALLOWED"),
    ]:
        async with api.client.request(method, path) as response:
            problem = await response.json(content_type="application/problem+json")
        assert (response.status, problem["code"], problem["status"]) == (status, code, status)
        assert problem["title"] == CODES[code][1]
        if status == 405:
            assert response.headers["Allow"] in problem["detail"]


async def test_our_own_errors_say_nothing_of_the_request(
    make_api: MakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: str) -> str:
        raise RuntimeError(str(CART["contact"]))

    api = await make_api(client_secret=broken)
    status, problem, response = await api.post(CREATE, CART)
    assert (status, problem["code"]) == (500, "INTERNAL")
    assert "asha" not in (await response.text()).lower()
    (record,) = [record for record in caplog.records if record.msg == "request failed"]
    assert record.__dict__["error"] == "RuntimeError"
    assert not any("asha" in str(vars(record)).lower() for record in caplog.records)


async def test_refund_is_never_read_as_another_amount(api: Api) -> None:
    order = await api.paid()
    path = f"/ops/orders/{order['orderId']}/refund?key={'k' * 20}"
    headers = {"Authorization": f"Bearer {api.operator}", "Accept": "text/html"}
    sent = len(api.world.commands)
    for amount in (
        "12,50",
        "9e999999",
        "1.250,00",
        "1,250",
        "12.505",
        "1e2",
        "-5",
        "x" * 9000,
    ):
        data = {"amount": amount, "reason": "LATE"}
        async with api.client.post(path, data=data, headers=headers) as response:
            page = await response.text()
        assert response.status in {200, 400}, amount
        assert "like 12.50" in page or response.status == 400, amount
    assert len(api.world.commands) == sent
    data = {"amount": "12.50", "reason": "LATE"}
    async with api.client.post(path, data=data, headers=headers, allow_redirects=False) as response:
        assert response.status == 303
    (refund,) = [c.data for c in api.world.commands if c.command_type == "REFUND_PAYMENT"]
    assert refund.amount == 1250


@pytest.mark.parametrize("which", ["", "x" * 300, "two words", "ß"])
async def test_a_refund_that_can_not_be_is_not_retried(api: Api, which: str) -> None:
    """No command is sent that nobody could read."""
    order = await api.paid()
    path = f"/ops/orders/{order['orderId']}/retry-refund?key={'k' * 20}"
    headers = {"Authorization": f"Bearer {api.operator}", "Accept": "text/html"}
    sent = len(api.world.commands)
    async with api.client.post(
        path, data={"which": which}, headers=headers, allow_redirects=False
    ) as response:
        assert response.status == 303
        assert response.headers["Location"].endswith("?said=REFUND_UNKNOWN")
    assert len(api.world.commands) == sent
