"""Each operation of the description, and the cases that schemathesis makes of it."""

from __future__ import annotations

from typing import Any

import requests
import schemathesis
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
    f"{route.method} {route.path}"
    for route in ROUTES
    if isinstance(route.body, type) or route.params.descriptions()
} - STREAMS
CASES = [(name, GenerationMode.POSITIVE) for name in OPERATIONS if name not in STREAMS] + [
    (name, GenerationMode.NEGATIVE) for name in sorted(TAKE_SOMETHING)
]


def call(case: Case[Any], base: str, headers: dict[str, str]) -> Any:
    """The answer; None where no client could send such a request."""
    try:
        return case.call(base_url=base, headers=headers, timeout=WITHIN_S)
    except (requests.exceptions.InvalidHeader, UnicodeError, ValueError):
        return None
