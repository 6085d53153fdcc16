"""Reads: consistency tokens, menus, health, the API's description, and what every answer carries."""

from __future__ import annotations

import ast
import asyncio
import base64
import logging
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from jsonschema import Draft202012Validator

import agents
from models.declines import GENERIC, WORDS, decline_text
from models.topics import ORDER_EVENTS, PAYMENT_EVENTS
from tests.support.http_api import CART, QUICK, Api, MakeApi, new_key
from web.api.timeline import timeline_view
from web.http.consistency import Token
from web.http.middleware import SECURITY_HEADERS
from web.http.problems import CODES, refused
from web.http.tokens import Role
from web.routes import ROUTES


async def test_read_waits_for_the_write_in_every_part_of_the_view(api: Api) -> None:
    order = await api.order()
    path, order_id = f"/api/orders/{order['orderId']}", order["orderId"]
    token = Token(
        order=order_id,
        positions=((PAYMENT_EVENTS, "payments", 3), (ORDER_EVENTS, "orders", 2)),
        versions={"payments": 1},
    ).text()
    status, problem = await api.get(path, order["orderToken"], **{"Consistency-Token": token})
    assert (status, problem["code"]) == (504, "CONSISTENCY_TIMEOUT")
    # The payment's own view reads neither topic, so it holds the write already.
    view = f"/api/payments/{order_id}?consistencyToken={token}"
    assert (await api.get(view, order["orderToken"]))[0] == 200
    await api.confirm(order)
    assert (await api.get(path, order["orderToken"], **{"Consistency-Token": token}))[0] == 200
    timeline = f"{path}/timeline?consistencyToken={token}"
    assert (await api.get(timeline, order["orderToken"]))[0] == 200


async def test_read_waits_for_the_version_of_a_record(api: Api) -> None:
    order = await api.order()
    for version, status in [(2, 200), (99, 504)]:
        token = Token(order=order["orderId"], versions={"payments": version}).text()
        view = f"/api/payments/{order['orderId']}?consistencyToken={token}"
        assert (await api.get(view, order["orderToken"]))[0] == status


async def test_waiting_read_goes_on_when_the_write_arrives(make_api: MakeApi) -> None:
    api = await make_api(bounds=type(QUICK)(consistency_s=5))
    order = await api.order()
    token = Token(order=order["orderId"], versions={"payments": 4}).text()
    view = f"/api/payments/{order['orderId']}?consistencyToken={token}"
    read = asyncio.create_task(api.get(view, order["orderToken"]))
    await api.confirm(order)
    status, payment = await read
    assert (status, payment["status"]) == (200, "COMPLETED")


def packed(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode()


@pytest.mark.parametrize(
    "token",
    [
        "garbage",
        "!!!!",
        "x" * 2001,
        packed([]),
        packed({"order": "{}", "positions": [["no-topic", "x", 1]]}),
        packed({"order": "{}", "positions": [[PAYMENT_EVENTS, "payments", "1"]]}),
        packed({"order": "{}", "versions": {"orders": -1}}),
        packed({"order": "{}", "more": 1}),
        Token(order="another").text(),
    ],
    ids=lambda token: str(token)[:20],
)
async def test_malformed_token_is_refused(api: Api, token: str) -> None:
    order = await api.order()
    status, problem = await api.get(
        f"/api/orders/{order['orderId']}?consistencyToken={token}", order["orderToken"]
    )
    assert (status, problem["code"]) == (400, "CONSISTENCY_TOKEN_INVALID")


def test_timeline_is_by_time_then_by_row() -> None:
    times = ["2026-01-01T10:00:01.500Z", "2026-01-01T10:00:00.000Z", "2026-01-01T10:00:00.000Z"]
    rows = [
        (f"o/{n}", orjson.dumps({"occurredAt": at, "service": "s", "eventType": "T", "eventId": f"e{n}"}))
        for n, at in enumerate(times)
    ]  # fmt: skip
    view = timeline_view("o", rows, role=Role.OPERATOR)
    assert [(entry.event_id, entry.t_ms) for entry in view.entries] == [
        ("e1", 0), ("e2", 0), ("e0", 1500),
    ]  # fmt: skip
    assert timeline_view("o", [], role=Role.OPERATOR).started_at is None


async def test_menu_with_prices_and_etag(api: Api) -> None:
    _, listed = await api.get("/api/restaurants")
    assert {r["currency"] for r in listed["restaurants"]} == {"INR", "USD", "JPY", "JOD"}
    shown = {}
    for restaurant in listed["restaurants"]:
        path = f"/api/restaurants/{restaurant['id']}/menu"
        _, menu = await api.get(path)
        shown[menu["restaurant"]["currency"]] = menu["dishes"][0]["price"]["display"]
        assert len(menu["dishes"]) >= 12
    assert shown == {"INR": "120.00", "USD": "14.50", "JPY": "980", "JOD": "8.500"}
    async with api.client.get(path) as response:
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "private, no-cache"
    async with api.client.get(path, headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with api.client.get(path, headers={"If-None-Match": '"old"'}) as response:
        assert response.status == 200


async def test_guest_keeps_the_cookie_that_is_there(api: Api) -> None:
    path = "/api/restaurants/hinode-kyoto/menu"
    async with api.client.get(path) as response:
        guest = response.cookies["tiffin_guest"].value
    async with api.client.get(path, headers={"Cookie": f"tiffin_guest={guest}"}) as response:
        assert not response.cookies
    async with api.client.get(path, headers={"Cookie": "tiffin_guest=admin"}) as response:
        assert response.cookies["tiffin_guest"].value.startswith("guest_")


async def test_livez_readyz_and_metrics(make_api: MakeApi) -> None:
    reasons: list[str] = []
    api = await make_api(ready=lambda: reasons, metrics=lambda _: (b"tiffin_up 1\n", "text/plain"))
    assert (await api.get("/readyz")) == (
        200,
        {"status": "ready", "reasons": [], "stopped": [], "recoveryRowsLeft": 0},
    )
    reasons.append("recovering payments-0")
    status, answer = await api.get("/readyz")
    assert (status, answer["reasons"]) == (503, reasons)
    assert (await api.get("/livez")) == (200, {"status": "alive"})
    async with api.client.get("/metrics") as response:
        assert await response.read() == b"tiffin_up 1\n"


async def test_every_answer_is_secured_and_traced(api: Api) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    for path, status in [("/livez", 200), ("/nothing", 404), ("/api/restaurants", 200)]:
        async with api.client.get(path, headers={"traceparent": trace}) as response:
            assert response.status == status
            for name in SECURITY_HEADERS:
                assert name in response.headers
            assert response.headers["Server"] == "tiffin"
            assert response.headers["traceparent"].startswith(f"00-{'a' * 32}-")
            assert "b" * 16 not in response.headers["traceparent"]
    for broken in ("", "00-xyz", f"00-{'0' * 32}-{'b' * 16}-01"):
        async with api.client.get("/livez", headers={"traceparent": broken}) as response:
            assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", response.headers["traceparent"])


async def test_access_log_has_no_query_and_nothing_personal(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tiffin.web")
    order = await api.order()
    await api.get(f"/api/orders/{order['orderId']}?consistencyToken=SECRET", order["orderToken"])
    await api.confirm(order)
    logged = " ".join(str(vars(record)) for record in caplog.records)
    assert f"/api/orders/{order['orderId']}" in logged
    for secret in (
        "SECRET",
        order["orderToken"],
        order["clientSecret"],
        "Asha",
        "asha@",
        "MG Road",
    ):
        assert secret not in logged


async def test_log_lines_carry_the_trace_and_the_order(api: Api) -> None:
    seen: list[dict[str, Any]] = []

    def note(_: logging.LogRecord) -> bool:
        seen.append(structlog.contextvars.get_contextvars())
        return True

    order = await api.order()
    logger = logging.getLogger("tiffin.web.access")
    logger.setLevel(logging.INFO)
    logger.addFilter(note)
    try:
        await api.get(f"/api/orders/{order['orderId']}", order["orderToken"])
        await api.get("/api/restaurants")
    finally:
        logger.removeFilter(note)
    of_order, of_list = seen
    assert of_order["orderId"] == order["orderId"]
    assert of_order["traceparent"].startswith("00-")
    assert "orderId" not in of_list
    assert of_list["traceparent"] != of_order["traceparent"]


async def test_description_names_every_route_and_its_schemas_hold_the_answers(api: Api) -> None:
    status, document = await api.get("/openapi.json")
    assert status == 200
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert described == {(route.method, route.path) for route in ROUTES}
    order = await api.order()
    answers = {
        "/api/restaurants": (await api.get("/api/restaurants"))[1],
        "/api/orders/{order_id}": (
            await api.get(f"/api/orders/{order['orderId']}", order["orderToken"])
        )[1],
        "/api/payments/{order_id}": (
            await api.get(f"/api/payments/{order['orderId']}", order["orderToken"])
        )[1],
        "/api/orders/{order_id}/timeline": (
            await api.get(f"/api/orders/{order['orderId']}/timeline", order["orderToken"])
        )[1],
    }
    for path, answer in answers.items():
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(answer)
    _, problem, _ = await api.post("/api/payments/create-intent", {}, key=new_key())
    Draft202012Validator(document["components"]["schemas"]["Problem"]).validate(problem)
    schema = document["paths"]["/api/payments/create-intent"]["post"]["requestBody"]["content"]
    components = {"components": document["components"]}
    Draft202012Validator({**schema["application/json"]["schema"], **components}).validate(CART)


def refusals() -> set[str]:
    """Codes in calls of refuse(code, ...), and in tables of (code, sentence)."""
    codes = set()
    for path in Path(agents.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="refuse"), args=[ast.Constant(str(code)), *_]
                ):
                    codes.add(code)
                case ast.Tuple(elts=[ast.Constant(str(code)), ast.Constant(str(sentence))]):
                    if code.isupper() and sentence.endswith("."):
                        codes.add(code)
    return codes


def test_every_refusal_of_decide_has_its_status() -> None:
    codes = refusals()
    assert {"ALREADY_PAID", "ORDER_UNKNOWN", "REFUND_TOO_LARGE", "PAYMENT_UNDER_WAY"} <= codes
    assert codes - set(CODES) == set()
    assert {f"ORDER_{status}" for status in ("DELIVERED", "CANCELLED", "REFUNDED")} <= set(CODES)
    assert refused("NEVER_HEARD_OF", "x").status == 409


def test_words_for_declines_tell_a_thief_nothing() -> None:
    assert decline_text("insufficient_funds") == WORDS["insufficient_funds"]
    assert decline_text(None) is None
    for reason in (
        "lost_card",
        "stolen_card",
        "fraudulent",
        "pickup_card",
        "generic_decline",
        "new",
    ):
        assert decline_text(reason) == GENERIC
