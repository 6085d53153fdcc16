"""What describes Tiffin to others is whole and true: AsyncAPI of the topics, and the reference page."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from agents import services
from agents.service import topic_uses
from models.commands import COMMANDS, CommandType, ConfirmPayment, RefundPayment
from models.events import EVENTS
from models.graphs import DELIVERY_GRAPH, ORDER_GRAPH, PAYMENT_GRAPH, REFUND_GRAPH
from models.topics import TOPICS
from models.transition import Decision, Output
from tests.support.payment_flow import PLACE, PaymentFlowHarness, ServiceHarness
from web.asyncapi import description, messages_of
from web.http.problems import CODES
from web.routes import ROUTES

if TYPE_CHECKING:
    from tests.support.http_api import Api


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return orjson.loads(orjson.dumps(description(3, topic_uses(services()))))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_topic_message_and_service_is_described(document: dict[str, Any]) -> None:
    assert set(document["channels"]) == set(TOPICS)
    assert all(channel["messages"] for channel in document["channels"].values())
    named = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert named == set(document["components"]["messages"])
    assert set(EVENTS) | set(COMMANDS) <= named
    told = {tuple(name.split(".", 2)) for name in document["operations"]}
    assert ("payments", "send", "payment-completed") in told
    assert ("notifications", "receive", "payment-completed") in told
    for reference in set(references(document)):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_what_is_sent_is_what_is_described(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paid, partly refunded order's records, each against the message of its type."""
    sent: list[Output] = []
    world = PaymentFlowHarness()
    apply = ServiceHarness.apply

    def noted(self: ServiceHarness, *arguments: Any) -> Decision | None:
        decision = apply(self, *arguments)
        sent.extend(decision.outputs if decision else ())
        return decision

    monkeypatch.setattr(ServiceHarness, "apply", noted)
    world.command(CommandType.PLACE_ORDER, PLACE)
    world.settle_all()
    world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    world.settle_all()
    world.command(CommandType.REFUND_PAYMENT, RefundPayment(amount=100), by="operator:o")
    world.settle_all()

    checked = set()
    for output in sent:
        record = orjson.loads(output.value)
        name = record.get("eventType") or record["commandType"]
        assert name in messages_of(output.topic)
        schema = {
            **document["components"]["messages"][name]["payload"],
            "components": document["components"],
        }
        Draft202012Validator(schema).validate(record)
        headers = document["components"]["messages"][name]["headers"]["properties"]
        assert {header for header, _ in output.headers} <= set(headers)
        checked.add(name)
    assert {"INITIATE_PAYMENT", "PAYMENT_COMPLETED", "ORDER_CREATED", "EFFECT_REQUESTED"} <= checked


def test_a_record_of_another_type_is_not_taken_for_it(document: dict[str, Any]) -> None:
    payload = document["components"]["messages"]["PAYMENT_FAILED"]["payload"]
    validator = Draft202012Validator({**payload, "components": document["components"]})
    assert not validator.is_valid({"eventType": "PAYMENT_COMPLETED", "data": {}})


async def test_the_document_is_served_to_programs(api: Api) -> None:
    status, served = await api.get("/asyncapi.json")
    assert (status, served["asyncapi"]) == (200, "3.0.0")
    kafka = served["channels"]["payment-events"]["bindings"]["kafka"]
    assert kafka["topicConfiguration"]["retention.ms"] == -1
    assert served["channels"]["payment-events-dlq"]["bindings"]["kafka"]["partitions"] == 1


async def test_the_reference_page_shows_every_table(api: Api) -> None:
    async with api.client.get("/docs", headers={"Accept": "text/html"}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/html")
        page = html.unescape(await response.text())
    graphs = (PAYMENT_GRAPH, ORDER_GRAPH, DELIVERY_GRAPH, REFUND_GRAPH)
    states = {str(state) for graph in graphs for state in graph if state}
    routes = {f"{route.method} {route.path}" for route in ROUTES}
    for shown in {*states, *routes, *TOPICS, *EVENTS, *CODES}:
        assert f">{shown}<" in page, shown
