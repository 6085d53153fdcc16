"""The delivery code: the customer alone sees it, the courier types it, and it is in no record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ids
from models.commands import CommandType
from models.messages import encode
from tests.support.http_api import HTML, Api, MakeApi, new_key
from tests.support.operations import page_of
from tests.support.staff_requests import cook, courier, kitchen, tap
from web.http.tokens import OrderTokens


@pytest.fixture
async def codes(make_api: MakeApi) -> Api:
    return await make_api(asks_delivery_code=True)


async def at_the_door(api: Api) -> tuple[str, str]:
    """An order that its courier has with them; its id and its customer's token."""
    order = await api.paid()
    order_id = order["orderId"]
    assert (await tap(api, f"/api/deliveries/{order_id}/assign", courier(api)))[0] == 200
    await cook(api, order_id)
    assert (await tap(api, f"/api/deliveries/{order_id}/pick-up", courier(api)))[0] == 200
    return order_id, order["orderToken"]


async def code_of(api: Api, order_id: str, token: str) -> str:
    _, view = await api.get(f"/api/orders/{order_id}", token)
    return str(view["deliveryCode"])


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10_000:04}"


@given(st.text(min_size=1), st.text(min_size=1))
def test_it_is_four_digits_of_the_order_and_the_key(first: str, second: str) -> None:
    ours, theirs = OrderTokens("k" * 32), OrderTokens("q" * 32)
    one, other = ids.order_id("guest", first), ids.order_id("guest", second)
    code = ours.delivery_code(one)
    assert len(code) == 4
    assert code.isdecimal()
    assert ours.is_delivery_code(one, f" {code[:2]}-{code[2:]}")
    assert not ours.is_delivery_code(one, code + "0")
    assert not ours.is_delivery_code(one, "")
    many = [ids.order_id(first, str(n)) for n in range(8)]
    assert [ours.delivery_code(each) for each in many] != [
        theirs.delivery_code(each) for each in many
    ]
    assert ours.is_delivery_code(other, code) == (ours.delivery_code(other) == code)


async def test_the_code_of_the_customer_proves_the_delivery(codes: Api) -> None:
    order_id, token = await at_the_door(codes)
    code = await code_of(codes, order_id, token)
    body = {"code": wrong(code)}
    status, problem = await tap(codes, f"/api/deliveries/{order_id}/deliver", courier(codes), body)
    assert (status, problem["code"]) == (409, "DELIVERY_CODE_WRONG")
    assert problem["detail"] == "Tries left: 4."
    status, answer = await tap(
        codes, f"/api/deliveries/{order_id}/deliver", courier(codes), {"code": code}
    )
    assert (status, answer["status"]) == (200, "DELIVERED")
    _, view = await codes.get(f"/api/orders/{order_id}", token)
    assert view["delivery"]["proof"] == "CODE"
    assert "deliveryCode" not in view
    async with page_of(codes, f"/ops/orders/{order_id}") as page:
        assert "handed over with code" in page


async def test_an_order_without_a_code_is_delivered_and_says_so(codes: Api) -> None:
    order_id, token = await at_the_door(codes)
    status, _ = await tap(codes, f"/api/deliveries/{order_id}/deliver", courier(codes))
    assert status == 200
    _, view = await codes.get(f"/api/orders/{order_id}", token)
    assert view["delivery"]["proof"] == "NO_CODE"
    async with page_of(codes, f"/ops/orders/{order_id}") as page:
        assert "handed over without code" in page


async def test_no_code_can_be_tried_out(codes: Api) -> None:
    order_id, token = await at_the_door(codes)
    path, code = f"/api/deliveries/{order_id}/deliver", await code_of(codes, order_id, token)
    told = []
    for _ in range(5):
        _, problem = await tap(codes, path, courier(codes), {"code": wrong(code)})
        told.append(problem["code"])
    assert told == ["DELIVERY_CODE_WRONG"] * 5
    status, problem = await tap(codes, path, courier(codes), {"code": code})
    assert (status, problem["code"]) == (409, "DELIVERY_CODE_LOCKED")
    assert (await tap(codes, path, courier(codes)))[0] == 200


async def test_what_was_typed_is_in_no_command(codes: Api) -> None:
    order_id, token = await at_the_door(codes)
    code = await code_of(codes, order_id, token)
    first, second = wrong(code), wrong(wrong(code))
    for typed in (first, second, code):
        await tap(codes, f"/api/deliveries/{order_id}/deliver", courier(codes), {"code": typed})
    *refused, accepted = (
        each for each in codes.world.commands
        if each.command_type is CommandType.COMPLETE_DELIVERY
    )  # fmt: skip
    assert [encode(each.data) for each in refused] == [b'{"code":"WRONG"}'] * 2
    assert encode(accepted.data) == b'{"code":"MATCHED"}'
    assert len({each.body_hash for each in refused}) == 1, "the hash tells nothing of the digits"


async def test_the_same_key_with_another_code_is_another_request(codes: Api) -> None:
    order_id, token = await at_the_door(codes)
    path, key = f"/api/deliveries/{order_id}/deliver", new_key()
    code = await code_of(codes, order_id, token)
    status, problem, _ = await codes.post(
        path, {"code": wrong(code)}, key=key, token=courier(codes)
    )
    assert problem["code"] == "DELIVERY_CODE_WRONG"
    status, problem, _ = await codes.post(path, {"code": code}, key=key, token=courier(codes))
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_nobody_but_the_customer_sees_it(codes: Api) -> None:
    order_id, token = await at_the_door(codes)
    code = await code_of(codes, order_id, token)
    _, view = await codes.get(f"/api/orders/{order_id}", codes.operator)
    assert "deliveryCode" not in view
    shown = f'delivery-code">{code}<'
    for reader, path in (
        (codes.operator, f"/orders/{order_id}"), (codes.operator, f"/ops/orders/{order_id}"),
        (courier(codes), "/courier"), (kitchen(codes), "/kitchen"), (token, f"/orders/{order_id}"),
    ):  # fmt: skip
        headers = HTML | {"Authorization": f"Bearer {reader}"}
        async with codes.client.get(path, headers=headers) as answer:
            assert answer.status == 200
            assert (shown in await answer.text()) == (reader == token)


async def test_where_no_code_is_asked_for_nothing_changes(api: Api) -> None:
    order_id, token = await at_the_door(api)
    _, view = await api.get(f"/api/orders/{order_id}", token)
    assert "deliveryCode" not in view
    status, _ = await tap(
        api, f"/api/deliveries/{order_id}/deliver", courier(api), {"code": "0000"}
    )
    assert status == 200
    _, view = await api.get(f"/api/orders/{order_id}", token)
    assert "proof" not in view["delivery"]
