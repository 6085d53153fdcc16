"""A paid order as a trace: from the click, through Kafka, decisions and Stripe, to the mail."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from models import tracing
from sandbox.card_numbers import VISA
from sandbox.customer import ADDRESS, CONTACT, Customer
from sandbox.platform import Platform
from tests.support.log_fields import documented
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan
from tests.support.platforms import PATIENT
from tests.support.stripe_control import StripeControl
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

CLICK = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""What a customer's browser, or a proxy before us, says."""
TRACE_ID = CLICK.split("-")[1]
SETTINGS = {
    **PATIENT, "TIFFIN_TRACES": "1", "OTEL_BSP_SCHEDULE_DELAY": "100", "TIFFIN_LOG_FORMAT": "json",
}  # fmt: skip
WAY = {
    "POST /api/payments/confirm",
    "send payment-commands",
    "payments CONFIRM_PAYMENT",
    "effect CONFIRM",
    "stripe payment_intents.confirm",
    "payments STRIPE_RESULT",
    "orders PAYMENT_COMPLETED",
    "deliveries ORDER_CREATED",
    "timeline ORDER_CREATED",
    "analytics PAYMENT_COMPLETED",
    "notifications PAYMENT_COMPLETED",
    "notification",
    "send EMAIL",
    "send notification-commands",
    "notifications NOTIFICATION_RESULT",
}
"""Spans of a confirm, by name."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, receiver: OtlpReceiver
) -> Iterator[Platform]:
    settings = SETTINGS | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    with Platform(tmp_path_factory.mktemp("traces"), workers=2, settings=settings) as running:
        yield running


def path_to(span: ReceivedSpan, spans: list[ReceivedSpan]) -> list[str]:
    """Names from the first span to this one."""
    by_id = {each.span_id: each for each in spans}
    names = [span.name]
    while span.parent in by_id:
        span = by_id[span.parent]
        names.insert(0, span.name)
    return names


async def test_one_trace_from_the_click_to_the_mail(
    platform: Platform, receiver: OtlpReceiver
) -> None:
    first, second = platform.endpoints.workers
    async with (
        aiohttp.ClientSession() as http,
        Customer(first, platform.endpoints.stripe) as customer,
    ):
        # So that the confirm's own answer says that it is paid; a webhook's news is a trace of its own.
        await customer.open_payment()
        intent = (await customer.look())["payment"]["stripeIntentId"]
        await StripeControl(platform.endpoints.stripe, http).rule("hold", intent)
        card = await customer.card_token(VISA)
        body = {"orderId": customer.order_id, "confirmationToken": card}
        headers = {
            "Authorization": f"Bearer {customer.token}",
            "Idempotency-Key": str(uuid.uuid4()), "traceparent": CLICK,
        }  # fmt: skip
        # Through both workers, so that one of them forwards it.
        for worker in (first, second):
            url = f"{worker}/api/payments/confirm"
            async with http.post(url, json=body, headers=headers) as response:
                assert response.status == 200, await response.text()
                assert tracing.trace_id(response.headers["traceparent"]) == TRACE_ID

        async def whole() -> list[ReceivedSpan] | None:
            spans = receiver.of_trace(TRACE_ID)
            names = {span.name for span in spans}
            return spans if names >= WAY | {"forward POST"} else None

        spans = await until(whole, "a trace with every span")
        _, click, _ = tracing.parsed(CLICK)
        roots = {span.parent for span in spans} - {span.span_id for span in spans}
        assert roots == {f"{click:016x}"}, "all of it follows from the click"
        mail = next(span for span in spans if span.name == "send EMAIL")
        way = path_to(mail, spans)
        assert way[-2:] == ["notification", "send EMAIL"]
        positions = [
            way.index(name)
            for name in (
                "POST /api/payments/confirm", "send payment-commands", "payments CONFIRM_PAYMENT",
                "effect CONFIRM", "payments STRIPE_RESULT", "notifications PAYMENT_COMPLETED",
            )
        ]  # fmt: skip
        assert positions == sorted(positions)
        assert not any(span.has_failed for span in spans)
        secrets = [customer.token, card, VISA]
        no_person_is_in(receiver.spans, [*CONTACT.values(), *ADDRESS.values(), *secrets])
        await exemplars_name_the_trace(http, platform)


def no_person_is_in(spans: list[ReceivedSpan], secrets: list[str]) -> None:
    """Neither contact nor secret, in whatever was exported."""
    told = json.dumps([[span.name, span.attributes] for span in spans])
    assert [text for text in secrets if text in told] == []


def test_lines_of_the_log_have_the_fields_that_are_documented(platform: Platform) -> None:
    """After the order above. What is no line of ours is Faust's banner."""
    texts = [platform.log_path(number).read_text() for number in range(2)]
    lines = [json.loads(row) for text in texts for row in text.splitlines() if row.startswith("{")]
    assert {name for line in lines for name in line} <= documented()
    always = {"timestamp", "level", "logger", "message"}
    assert [line for line in lines if not always <= line.keys()] == []
    assert TRACE_ID in {tracing.trace_id(line.get("traceparent")) for line in lines}


async def exemplars_name_the_trace(http: aiohttp.ClientSession, platform: Platform) -> None:
    """A bucket of the confirm's duration leads to its trace, for who asks for OpenMetrics."""
    found = set()
    for url in platform.endpoints.workers:
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with http.get(f"{url}/metrics", headers=accept) as response:
            for family in openmetrics(await response.text()):  # type: ignore[no-untyped-call]
                found |= {
                    sample.exemplar.labels["trace_id"]
                    for sample in family.samples
                    if sample.exemplar and sample.labels.get("route") == "/api/payments/confirm"
                }
    assert found == {TRACE_ID}
