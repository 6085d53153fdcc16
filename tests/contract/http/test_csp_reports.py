"""Reports of a page's policy: counted by directive and page, bounded, and nothing of them kept or logged."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.metrics.requests import CspMetrics
from tests.support.http_api import HTML, Api, MakeApi
from web.api.csp_reports import (
    DIRECTIVES,
    ELSEWHERE,
    MAX_BYTES,
    MAX_REPORTS,
    OTHER,
    PATH,
    PAYMENT,
    blocked_in,
)
from web.http.decoding import DecodingError, plain_json
from web.http.rate_limits import ClientLimits

SECRET = "https://evil.example/skimmer.js?card=4242424242424242"
PAY_PAGE = "https://eat.example/orders/order_x/pay"
OLD_FORM = {"Content-Type": "application/csp-report"}
NEW_FORM = {"Content-Type": "application/reports+json"}


def old(directive: str, page: str = PAY_PAGE) -> dict[str, Any]:
    body = {
        "document-uri": page,
        "violated-directive": f"{directive} 'self'",
        "blocked-uri": SECRET,
    }
    return {"csp-report": body}


def new(directive: str, page: str = PAY_PAGE) -> dict[str, Any]:
    body = {"documentURL": page, "effectiveDirective": directive, "blockedURL": SECRET}
    return {"type": "csp-violation", "age": 1, "url": page, "body": body}


async def send(api: Api, sent: Any, headers: dict[str, str]) -> int:
    data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    async with api.client.post(PATH, data=data, headers=headers) as answer:
        return answer.status


async def test_both_forms_are_counted_and_nothing_of_them_is_logged(
    make_api: MakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = CspMetrics()
    api = await make_api(csp_reported=metrics.reported)
    caplog.set_level(logging.DEBUG)
    assert await send(api, old("script-src"), OLD_FORM) == 204
    both = [new("script-src-elem"), new("img-src", "https://eat.example/"), {"type": "deprecation"}]
    assert await send(api, both, NEW_FORM) == 204
    (family,) = metrics.collect()
    counted = {
        (sample.labels["directive"], sample.labels["page"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert {labels: count for labels, count in counted.items() if count} == {
        ("script-src", PAYMENT): 2,
        ("img-src", ELSEWHERE): 1,
    }
    assert len(counted) == 2 * (len(DIRECTIVES) + 1), "series are there before the first report"
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    assert "evil" not in logged
    assert "4242" not in logged
    assert "order_x" not in logged


async def test_what_is_no_report_is_refused_or_passed_over(make_api: MakeApi) -> None:
    counted: list[tuple[str, str, int]] = []
    api = await make_api(csp_reported=lambda *what: counted.append(what))
    for broken in (b"", b"{", b"\xff", b"[" * 2000):
        assert await send(api, broken, OLD_FORM) == 400
    no_reports: list[Any] = [
        [],
        {},
        1,
        None,
        "x",
        [[]],
        {"csp-report": 5},
        [{"type": "csp-violation"}],
    ]
    for empty in no_reports:
        assert await send(api, empty, NEW_FORM) == 204
    assert counted == []
    assert await send(api, b" " * (MAX_BYTES + 1), OLD_FORM) == 413


async def test_a_body_counts_for_no_more_than_its_bound(make_api: MakeApi) -> None:
    counted: list[tuple[str, str, int]] = []
    api = await make_api(csp_reported=lambda *what: counted.append(what))
    assert await send(api, [new("script-src")] * (MAX_REPORTS + 5), NEW_FORM) == 204
    assert counted == [("script-src", PAYMENT, MAX_REPORTS)]


async def test_one_address_may_send_so_many(make_api: MakeApi) -> None:
    api = await make_api(client_limits=ClientLimits(csp_reports_per_min=3))
    statuses = [await send(api, old("script-src"), OLD_FORM) for _ in range(5)]
    assert statuses == [204, 204, 204, 429, 429]
    async with api.client.get("/", headers=HTML) as page:
        assert page.status == 200, "it has limits of its own"


async def test_every_page_says_where_to_report(api: Api) -> None:
    order = await api.order()
    cookie = {f"tiffin_order_{order['orderId'].removeprefix('order_')}": order["orderToken"]}
    for path in ("/", f"/orders/{order['orderId']}/pay", "/nowhere"):
        async with api.client.get(path, headers=HTML, cookies=cookie) as page:
            policy = page.headers["Content-Security-Policy"]
            assert f"report-uri {PATH}" in policy
            assert "report-to csp" in policy
            assert page.headers["Reporting-Endpoints"] == f'csp="{PATH}"'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=12), each, max_size=4)
    ),
    max_leaves=12,
)
REPORTS = st.builds(
    lambda directive, page: [old("script-src"), {"csp-report": {"violated-directive": directive}},
        {"type": "csp-violation", "body": {"effectiveDirective": directive, "documentURL": page}}],
    VALUES, VALUES | st.just("https://[::1/pay"),
)  # fmt: skip


@given(sent=VALUES | REPORTS)
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_makes_labels_of_the_lists_alone(sent: Any) -> None:
    for directive, page in blocked_in(sent):
        assert directive in {*DIRECTIVES, OTHER}
        assert page in {PAYMENT, ELSEWHERE}


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_no_bytes_are_a_fault_of_ours(sent: bytes) -> None:
    with suppress(DecodingError):
        list(blocked_in(plain_json(sent)))
