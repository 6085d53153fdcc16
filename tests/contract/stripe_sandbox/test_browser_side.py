"""What a page may do with a publishable key and a client secret; the script; the command line."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from typing import Any

import pytest

from sandbox.processes import MAX_WAIT_S
from tests.contract.stripe_sandbox.stripe_client import StripeShop

CARD = {
    "payment_method_data[type]": "card",
    "payment_method_data[card][number]": "4242 4242 4242 4242",
    "payment_method_data[card][exp_month]": "12",
    "payment_method_data[card][exp_year]": "40",
    "payment_method_data[card][cvc]": "123",
}


async def browse(
    shop: StripeShop, method: str, path: str, params: dict[str, str], key: str = "pk_test_tiffin"
) -> tuple[int, Any]:
    """A request as stripe.js makes it."""
    where: Any = {"params": params} if method == "GET" else {"data": params}
    async with shop.http.request(
        method,
        shop.sandbox.base_url + path,
        headers={"Authorization": f"Bearer {key}", "Origin": "https://shop.example"},
        **where,
    ) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        return answer.status, await answer.json()


async def test_a_token_from_the_page_is_confirmed_by_the_server(shop: StripeShop) -> None:
    status, token = await browse(shop, "POST", "/v1/confirmation_tokens", CARD)
    assert (status, token["payment_method_preview"]["card"]["last4"]) == (200, "4242")
    assert "4242424242424242" not in str(token)
    intent = await shop.create(confirm=True, confirmation_token=token["id"])
    assert intent.status == "succeeded"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("number", "4242424242424241", "incorrect_number"),
        ("number", "42", "incorrect_number"),
        ("exp_month", "13", "invalid_expiry_month"),
        ("exp_year", "20", "invalid_expiry_year"),
        ("cvc", "12", "invalid_cvc"),
    ],
)
async def test_bad_card_data(shop: StripeShop, field: str, value: str, code: str) -> None:
    params = {**CARD, f"payment_method_data[card][{field}]": value}
    status, answer = await browse(shop, "POST", "/v1/confirmation_tokens", params)
    assert (status, answer["error"]["type"], answer["error"]["code"]) == (402, "card_error", code)
    assert answer["error"]["param"] == field


async def test_the_page_confirms_with_the_client_secret_alone(shop: StripeShop) -> None:
    intent = await shop.create()
    secret = str(intent.client_secret)
    path = f"/v1/payment_intents/{intent.id}"
    for wrong in ({}, {"client_secret": secret + "x"}):
        status, answer = await browse(shop, "GET", path, wrong)
        assert (status, answer["error"]["param"]) == (400, "client_secret")
        status, _ = await browse(shop, "POST", f"{path}/confirm", {**CARD, **wrong})
        assert status == 400
    status, seen = await browse(shop, "GET", path, {"client_secret": secret})
    assert (status, seen["status"]) == (200, "requires_payment_method")
    assert "metadata" not in seen
    status, paid = await browse(shop, "POST", f"{path}/confirm", {**CARD, "client_secret": secret})
    assert (status, paid["status"]) == (200, "succeeded")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/payment_intents"),
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/refunds"),
        ("GET", "/v1/events"),
        ("POST", "/v1/payment_intents/{id}/cancel"),
        ("POST", "/v1/payment_intents/{id}"),
    ],
)
async def test_what_a_publishable_key_may_not_do(shop: StripeShop, method: str, path: str) -> None:
    intent = await shop.create()
    secret = {"client_secret": str(intent.client_secret)}
    status, answer = await browse(shop, method, path.replace("{id}", intent.id), secret)
    assert status == 401
    assert "publishable" in answer["error"]["message"]


async def test_preflight(shop: StripeShop) -> None:
    async with shop.http.options(
        f"{shop.sandbox.base_url}/v1/confirmation_tokens",
        headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"},
    ) as answer:
        assert answer.status == 204
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


async def test_the_control_api_is_not_open_to_pages(shop: StripeShop) -> None:
    async with shop.http.options(f"{shop.sandbox.base_url}/_control/faults") as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_the_script_has_stripes_functions_and_no_inline_style(shop: StripeShop) -> None:
    async with shop.http.get(f"{shop.sandbox.base_url}/v3/stripe.js") as answer:
        assert answer.content_type == "text/javascript"
        script = await answer.text()
    for name in (
        "elements",
        "create",
        "mount",
        "submit",
        "createConfirmationToken",
        "confirmPayment",
        "handleNextAction",
        "retrievePaymentIntent",
    ):
        assert re.search(rf"^\s+(async )?{name}\(", script, re.MULTILINE), name
    for forbidden in ("innerHTML", "eval(", "<style", "style="):
        assert forbidden not in script


async def test_the_command_line_serves_until_it_is_stopped() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox.stripe",
        "--port",
        "0",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), MAX_WAIT_S)).decode()
        assert re.match(r"Stripe stand-in: http://127\.0\.0\.1:\d+ ", line)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), MAX_WAIT_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
