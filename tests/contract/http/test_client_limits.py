"""One client can't have everything: rates, open requests, slow bodies; and nobody else pays for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from sandbox.processes import MAX_WAIT_S
from tests.support.http_api import CART, Api, MakeApi, new_key
from tests.support.waiting import until_true
from web.http import bodies
from web.http.problems import ProblemError
from web.http.rate_limits import (
    WORKER_HEADER,
    ClientLimits,
    ClientRateLimiter,
    RequestKind,
)

CREATE = "/api/payments/create-intent"


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_create_intents_in_a_loop_open_no_more_payments(make_api: MakeApi) -> None:
    api = await make_api(client_limits=ClientLimits(creates_per_min=3, writes_per_min=2))
    answers = [await api.post(CREATE, CART) for _ in range(10)]
    assert [status for status, _, _ in answers] == [201] * 3 + [429] * 7
    _, problem, response = answers[-1]
    assert (problem["code"], response.content_type) == (
        "TOO_MANY_REQUESTS", "application/problem+json"
    )  # fmt: skip
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert len(api.world.commands) == 3, "what is refused reaches neither Kafka nor Stripe"
    order = answers[0][1]
    assert (await api.confirm(order))[0] == 200, "paying is counted apart"
    assert (await api.get(f"/api/orders/{order['orderId']}", order["orderToken"]))[0] == 200


@pytest.mark.parametrize("path", [CREATE, "/checkout"])
async def test_what_foreign_pages_make_a_browser_send_costs_the_customer_nothing(
    make_api: MakeApi, path: str
) -> None:
    api = await make_api(client_limits=ClientLimits(creates_per_min=1, writes_per_min=1, at_once=1))
    for _ in range(3):
        headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        async with api.client.post(path, data={}, headers=headers) as response:
            assert response.status == 403
    assert (await api.post(CREATE, CART))[0] == 201


async def test_the_page_places_orders_at_the_same_rate(make_api: MakeApi) -> None:
    api = await make_api(client_limits=ClientLimits(creates_per_min=1))
    assert (await api.post(CREATE, CART))[0] == 201
    headers = {"Accept": "text/html"}
    async with api.client.post("/checkout", data={}, headers=headers) as response:
        assert response.status == 429
        assert "text/html" in response.headers["Content-Type"]
        assert int(response.headers["Retry-After"]) >= 1
        assert "too fast" in await response.text()


async def test_what_is_watched_and_stripes_webhooks_are_not_counted(make_api: MakeApi) -> None:
    limits = ClientLimits(creates_per_min=1, writes_per_min=1, reads_per_min=1, at_once=1)
    api = await make_api(client_limits=limits)
    for _ in range(3):
        assert (await api.get("/livez"))[0] == 200
        status, answer, _ = await api.post("/webhooks/stripe", {})
        assert (status, answer["code"]) == (400, "SIGNATURE_MISSING")
    assert (await api.get("/api/restaurants"))[0] == 200
    assert (await api.get("/api/restaurants"))[0] == 429


@pytest.mark.parametrize("path", ["/webhooks/stripe", CREATE])
async def test_bodies_that_do_not_come_are_few(make_api: MakeApi, path: str) -> None:
    api = await make_api(client_limits=ClientLimits(at_once=3))
    end = asyncio.Event()

    async def drip() -> Any:
        yield b"{"
        await end.wait()

    async def send() -> int:
        headers = {
            "Idempotency-Key": new_key(), "Content-Type": "application/json",
            "Stripe-Signature": f"t={int(time.time())},v1={'0' * 64}",  # else it is not read at all
        }  # fmt: skip
        async with api.client.post(path, data=drip(), headers=headers) as answer:
            return answer.status

    sent = [asyncio.create_task(send()) for _ in range(8)]
    async with asyncio.timeout(MAX_WAIT_S):
        while sum(task.done() for task in sent) < 5:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
    assert {task.result() for task in sent if task.done()} == {429}
    end.set()
    assert sorted(await asyncio.gather(*sent)) == [400] * 3 + [429] * 5


async def test_open_requests_of_one_client(make_api: MakeApi) -> None:
    api = await make_api(client_limits=ClientLimits(at_once=2))
    order = await api.order()
    path, token = f"/api/orders/{order['orderId']}/stream", order["orderToken"]
    headers = {"Authorization": f"Bearer {token}"}
    streams = [await api.client.get(path, headers=headers) for _ in range(2)]
    assert [stream.status for stream in streams] == [200, 200]
    assert (await api.get("/api/restaurants"))[1]["code"] == "TOO_MANY_REQUESTS"
    for stream in streams:
        stream.close()
    async with asyncio.timeout(MAX_WAIT_S):
        while (await api.get("/api/restaurants"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_body_that_does_not_come(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.05)
    begun = asyncio.Event()

    async def drip() -> Any:
        yield b"{"
        begun.set()
        await asyncio.Event().wait()

    headers = {"Content-Type": "application/json", "Idempotency-Key": new_key()}
    async with (
        asyncio.timeout(MAX_WAIT_S),
        api.client.post(CREATE, data=drip(), headers=headers) as answer,
    ):
        assert answer.status == 408
        assert (await answer.json(content_type=None))["code"] == "BODY_TOO_SLOW"
    await until_true(begun.is_set)
    assert not api.world.commands


async def test_a_forwarded_request_was_counted_before(make_api: MakeApi) -> None:
    owner = await make_api(client_limits=ClientLimits(creates_per_min=1, reads_per_min=1))
    url = owner.client.make_url("/")
    front = await make_api(client_limits=ClientLimits(creates_per_min=4))
    for table in front.world.tables.values():
        table.is_ours, table.owner = False, url
    answers = [await front.post(CREATE, CART) for _ in range(5)]
    assert [status for status, _, _ in answers] == [201] * 4 + [429]
    forged = {WORKER_HEADER: "forged", "Tiffin-Hop": "1", "X-Forwarded-For": "10.0.0.1"}
    statuses = [(await owner.post(CREATE, CART, headers=forged))[0] for _ in range(2)]
    assert statuses == [201, 429], "nobody but a worker can say so"


def test_tokens_come_back_with_time_and_are_each_clients_own() -> None:
    clock = Clock()
    limiter = ClientRateLimiter(ClientLimits(reads_per_min=60), "proof", now_s=clock)
    for _ in range(60):
        limiter.take("a", RequestKind.READ)
    with pytest.raises(ProblemError) as refused:
        limiter.take("a", RequestKind.READ)
    assert refused.value.retry_after_s == 1
    limiter.take("b", RequestKind.READ)
    limiter.take("a", RequestKind.WRITE)
    clock.now_s += 2
    limiter.take("a", RequestKind.READ)
    limiter.take("a", RequestKind.READ)
    with pytest.raises(ProblemError):
        limiter.take("a", RequestKind.READ)


@pytest.mark.parametrize(
    ("peer", "proxies", "forwarded", "client"),
    [
        ("192.0.2.1", 0, "10.9.9.9", "192.0.2.1"),
        ("192.0.2.1", 1, "10.9.9.9", "10.9.9.9"),
        ("192.0.2.1", 1, "6.6.6.6, 10.9.9.9", "10.9.9.9"),
        ("192.0.2.1", 2, "6.6.6.6, 10.9.9.9, 192.0.2.7", "10.9.9.9"),
        ("192.0.2.1", 2, "10.9.9.9", "192.0.2.1"),
        ("192.0.2.1", 1, "10.9.9.9:5123", "10.9.9.9"),
        ("2001:db8:1:2:3::4", 0, "", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9%eth0", 0, "", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", 0, "", "192.0.2.1"),
    ],
)
def test_who_a_client_is(peer: str, proxies: int, forwarded: str, client: str) -> None:
    limiter = ClientRateLimiter(replace(ClientLimits(), trusted_proxies=proxies), "proof")
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": forwarded})
    assert limiter.client_of(request.clone(remote=peer)) == client


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (None, 401), ("Bearer wrong", 401), ("Basic a-metrics-token-16", 401), ("Bearer ä", 401),
        ("bearer a-metrics-token-16", 200),
    ],
)  # fmt: skip
async def test_what_is_earned_is_not_for_everybody(
    make_api: MakeApi, sent: str | None, status: int
) -> None:
    api = await make_api(
        metrics=lambda _: (b"x 1\n", "text/plain"), metrics_token="a-metrics-token-16"
    )
    headers = {"Authorization": sent} if sent else {}
    async with api.client.get("/metrics", headers=headers) as response:
        assert response.status == status
