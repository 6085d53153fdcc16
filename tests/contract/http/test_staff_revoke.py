"""An operator revokes tokens of staff over HTTP: who may, what is refused from then on, open streams too."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.support.http_api import Api, MakeApi
from tests.support.operations import QUIET_OPERATIONS
from web.http.revoked_tokens import RevocableStaff, Revocation, RevokedTokens
from web.http.tokens import DevelopmentStaff, Role

REVOKE, LIST = "/api/ops/staff/revoke", "/api/ops/staff/revocations"
STAFF = DevelopmentStaff("d" * 32, sandbox=True)


class Revocations(RevokedTokens):
    """Those of a platform of one worker; what Kafka does with them is tests/integration's."""

    def __init__(self) -> None:
        super().__init__(lambda: round(time.time() * 1000))
        self.is_known = True

    async def revoke(self, revocation: Revocation) -> None:
        self.add(revocation)


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    known = Revocations()
    operations = replace(QUIET_OPERATIONS, revocations=known)
    api = await make_api(
        operations=operations, staff=RevocableStaff(STAFF, known),
        now_ms=lambda: round(time.time() * 1000),
    )  # fmt: skip
    api.staff = STAFF
    return api


async def status_of(api: Api, token: str) -> int:
    return (await api.get("/api/kitchen/orders", token))[0]


async def test_a_persons_tokens_are_refused_from_then_on(api: Api) -> None:
    otto, olga = STAFF.issue(Role.OPERATOR, "otto"), api.operator
    assert await status_of(api, otto) == 200
    body = {"subject": "otto", "reason": "laptop stolen"}
    status, told, _ = await api.post(REVOKE, body, token=olga)
    assert (status, told["subject"], told["single"]) == (200, "otto", False)
    assert await status_of(api, otto) == 401
    assert await status_of(api, olga) == 200
    status, found = await api.get(LIST, olga)
    assert [(each["by"], each["reason"]) for each in found["revocations"]] == [
        ("operator:olga", "laptop stolen")
    ]


async def test_a_single_token_is_refused_from_then_on(api: Api) -> None:
    lost = STAFF.issue(Role.KITCHEN, "kim", "annapurna-bengaluru")
    status, told, _ = await api.post(REVOKE, {"token": lost, "reason": "seen"}, token=api.operator)
    assert (status, told["subject"], told["single"]) == (200, "kim", True)
    assert lost not in str(told)
    assert await status_of(api, lost) == 401
    other = STAFF.issue(Role.KITCHEN, "kim", "hinode-kyoto")
    assert await status_of(api, other) == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": "x"},
        {"subject": "otto"},
        {"subject": "", "reason": "x"},
        {"subject": "o\nt", "reason": "x"},
        {"subject": "otto", "reason": "two\nlines"},
        {"subject": "otto", "token": "t", "reason": "x"},
        {"token": "forged", "reason": "x"},
        {"subject": "x" * 300, "reason": "x"},
    ],
)
async def test_what_names_nobody_is_refused(api: Api, body: dict[str, Any]) -> None:
    status, problem, _ = await api.post(REVOKE, body, token=api.operator)
    assert (status, problem["code"]) == (400, "VALIDATION_FAILED")
    assert (await api.get(LIST, api.operator))[1] == {"revocations": []}


@pytest.mark.parametrize("role", [Role.KITCHEN, Role.COURIER])
async def test_operators_alone_may(api: Api, role: Role) -> None:
    token = STAFF.issue(role, "kim", "annapurna-bengaluru" if role is Role.KITCHEN else None)
    body = {"subject": "olga", "reason": "x"}
    assert (await api.post(REVOKE, body, token=token))[0] == 403
    assert (await api.get(LIST, token))[0] == 403


async def test_an_open_stream_of_a_revoked_token_ends(api: Api) -> None:
    token = STAFF.issue(Role.KITCHEN, "kim", "annapurna-bengaluru")
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(60), api.client.get("/kitchen/stream", headers=headers) as stream:
        assert stream.status == 200
        body = {"subject": "kim", "reason": "left"}
        assert (await api.post(REVOKE, body, token=api.operator))[0] == 200
        while await stream.content.readany():
            pass  # until the worker ends it
    assert await status_of(api, token) == 401
