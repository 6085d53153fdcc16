"""What a platform's workers tell Prometheus after some orders: every metric of the catalogue, and no other.

So all that an alert or a dashboard names is there.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from app.metrics.catalogue import METRICS
from sandbox.demo_flows import FLOWS, play
from tests.support.monitoring import series_named
from tests.support.promtool import promtool
from tests.support.waiting import until

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

    from tests.e2e.shop import Shop

ONLY_IN_TROUBLE = {
    "tiffin_stopped_partitions", "tiffin_stuck", "tiffin_effect_errors_total",
    "tiffin_dispute_evidence_due_timestamp_seconds",
}  # fmt: skip
"""Without a sample as long as all is well."""
OURS = "tiffin_"


async def scraped(shop: Shop, accept: str = "") -> list[str]:
    """Each worker's metrics."""
    texts = []
    async with aiohttp.ClientSession(headers={"Accept": accept}) as session:
        for url in shop.platform.endpoints.workers:
            async with session.get(f"{url}/metrics") as response:
                assert response.content_type == (accept.partition(";")[0] or "text/plain")
                texts.append(await response.text())
    return texts


def samples(texts: list[str]) -> dict[str, list[Sample]]:
    """By name, of all workers."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name].append(sample)
    return found


async def test_after_some_orders_every_metric_is_there(shop: Shop) -> None:
    for flow in FLOWS:
        async with shop.buyer() as buyer:
            await play(flow, buyer)

    async def complete() -> list[str] | None:
        texts = await scraped(shop)
        told = {name.removesuffix("_count") for name in samples(texts)}
        return texts if set(METRICS) - ONLY_IN_TROUBLE <= told else None

    texts = await until(complete, "every metric of the catalogue")
    found = samples(texts)
    families = {family.name for text in texts for family in text_string_to_metric_families(text)}
    known = {name.removesuffix("_total") for name in METRICS}
    assert {name for name in families if name.startswith(OURS)} <= known
    # Each of those below is a metric of the catalogue too: tests/unit/test_monitoring.py.
    assert {name for name in series_named() if not found[name]} <= ONLY_IN_TROUBLE
    for name, spec in METRICS.items():
        for sample in found[name] or found[f"{name}_count"]:
            assert set(sample.labels) == set(spec.labels), name
    routes = {
        sample.labels["route"] for sample in found["tiffin_http_request_duration_seconds_count"]
    }
    assert "/api/payments/confirm" in routes
    assert sum(each.value for each in found["tiffin_payment_completion_seconds_count"]) > 0
    confirms = {
        sample.labels["outcome"]
        for sample in found["tiffin_stripe_request_duration_seconds_count"]
        if sample.labels["operation"] == "payment_intents.confirm"
    }
    assert {"ok", "declined"} <= confirms


async def test_what_workers_tell_is_well_formed(shop: Shop) -> None:
    for text in await scraped(shop):
        status, said = await asyncio.to_thread(promtool, "check", "metrics", given=text.encode())
        assert (status, said) == (0, "")
    for text in await scraped(shop, "application/openmetrics-text; version=1.0.0"):
        assert "tiffin_ready" in {each.name for each in openmetrics(text)}  # type: ignore[no-untyped-call]
