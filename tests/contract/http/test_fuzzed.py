"""Whatever the description allows, and what it does not, is answered as the description says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sandbox.processes import MAX_WAIT_S
from web.openapi import description
from web.routes import ROUTES

if TYPE_CHECKING:
    from tests.contract.http.conftest import Api

SCHEMA = schemathesis.openapi.from_dict(description())
OPERATIONS = {
    f"{found.ok().method.upper()} {found.ok().path}": found.ok()
    for found in SCHEMA.get_all_operations()
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
WITHIN_S = MAX_WAIT_S
STREAMS = {"GET /api/orders/{order_id}/stream", "GET /api/ops/digests"}
"""They have no end that a client of JSON could wait for; test_flow and test_digests read them."""
TAKE_SOMETHING = {
    f"{route.method} {route.path}" for route in ROUTES if route.body or route.query
} - STREAMS
CASES = [(name, GenerationMode.POSITIVE) for name in OPERATIONS if name not in STREAMS] + [
    (name, GenerationMode.NEGATIVE) for name in sorted(TAKE_SOMETHING)
]


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


def call(case: Case[Any], base: str, headers: dict[str, str]) -> Any:
    """The answer; None where no client could send such a request."""
    try:
        return case.call(base_url=base, headers=headers, timeout=WITHIN_S)
    except (requests.exceptions.InvalidHeader, UnicodeError, ValueError):
        return None
