"""Whatever the description allows, and what it does not, is answered as the description says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode

from tests.contract.http.openapi_cases import CASES, CHECKS, OPERATIONS, call
from web.routes import ROUTES

if TYPE_CHECKING:
    from tests.support.http_api import Api


def test_every_route_is_fuzzed() -> None:
    assert set(OPERATIONS) == {f"{route.method} {route.path}" for route in ROUTES}


@pytest.mark.parametrize(
    ("name", "mode"), CASES, ids=[f"{mode.value} {name}" for name, mode in CASES]
)
async def test_answers_are_as_described(api: Api, name: str, mode: GenerationMode) -> None:
    """As an operator, whom the most is open to, half the time about an order that is there."""
    order = await api.paid()
    headers = {"Authorization": f"Bearer {api.operator}"}
    base = str(api.client.make_url("/")).rstrip("/")

    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    @settings(
        max_examples=10, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def send(case: Case[Any]) -> None:
        if "order_id" in case.path_parameters and len(str(case.path_parameters["order_id"])) % 2:
            case.path_parameters["order_id"] = order["orderId"]
        answer = call(case, base, headers)
        if answer is not None:
            case.validate_response(answer, checks=CHECKS)

    await asyncio.to_thread(send)
