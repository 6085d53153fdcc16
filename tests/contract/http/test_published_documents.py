"""/openapi.json and /asyncapi.json hold to their specifications, as the specifications' own validators say."""

from __future__ import annotations

import copy
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest
from jsonschema import Draft7Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from agents import services
from agents.service import topic_uses
from web import asyncapi

if TYPE_CHECKING:
    from tests.support.http_api import Api

SPECIFICATION: Final = Path(__file__).parents[2] / "golden/asyncapi/3.0.0.json.xz"


@pytest.fixture(scope="module")
def topics_document() -> dict[str, Any]:
    return orjson.loads(orjson.dumps(asyncapi.description(3, topic_uses(services()))))


@pytest.fixture(scope="module")
def asyncapi_validator() -> Draft7Validator:
    return Draft7Validator(json.loads(lzma.decompress(SPECIFICATION.read_bytes())))


async def test_openapi(api: Api) -> None:
    status, document = await api.get("/openapi.json")
    assert status == 200
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    broken = copy.deepcopy(document)
    broken["paths"]["/livez"]["get"]["responses"]["200"].pop("description")
    assert list(OpenAPIV31SpecValidator(broken).iter_errors()) != []


def test_asyncapi(topics_document: dict[str, Any], asyncapi_validator: Draft7Validator) -> None:
    assert [error.message for error in asyncapi_validator.iter_errors(topics_document)] == []


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("channels", "payment-events", "messages", "PAYMENT_FAILED"), 5),
        (("operations", "payments.send.payment-events", "action"), "publish"),
        (("components", "messages", "PAYMENT_FAILED", "payload"), {"type": "whatever"}),
        (("info", "version"), None),
    ],
)
def test_the_specification_sees_what_is_wrong(
    topics_document: dict[str, Any],
    asyncapi_validator: Draft7Validator,
    place: tuple[str, ...],
    wrong: Any,
) -> None:
    broken = copy.deepcopy(topics_document)
    inner = broken
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = wrong
    assert not asyncapi_validator.is_valid(broken)
