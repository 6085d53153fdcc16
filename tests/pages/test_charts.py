"""The report's charts: as the browser's locale writes, nothing cut off, whatever the currency and the width."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from models.analytics import BucketLength
from tests.pages.in_memory_site import InMemorySite
from tests.pages.visitor import check_fits
from tests.support.model_examples import answering, of_model
from web.http.answers import Money
from web.http.tokens import Role
from web.ops.payment_report import (
    Bucket,
    DeclinedAttempts,
    PaymentReport,
    Payments,
)
from web.ops.reports import ReportPayments

NOTE = """() => {
  window.drawn = [];
  const fillText = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...more) {
    const { a, e } = this.getTransform();
    const width = this.measureText(text).width;
    const left = { right: x - width, end: x - width, center: x - width / 2 }[this.textAlign] ?? x;
    drawn.push({ text, left: a * left + e, right: a * (left + width) + e, room: this.canvas.width });
    return fillText.call(this, text, x, y, ...more);
  };
}"""
"""Notes each text that is drawn, and where it begins and ends, in pixels of its canvas."""


@pytest.fixture(scope="module")
def site(browser: Browser) -> Iterator[InMemorySite]:
    with InMemorySite(browser) as running:
        yield running


def report(currency: str, amounts: list[int]) -> PaymentReport:
    """So many hours of one currency."""
    buckets = []
    for hour, amount in enumerate(amounts):
        money = {name: Money.of(amount, currency) for name in ("captured", "revenue")}
        bucket = of_model(Bucket, full=True).model_copy(
            update={**money, "currency": currency, "start": f"2026-11-23T{hour:02}:00:00.000Z",
                    "attempts": 1200 + hour, "declined": DeclinedAttempts(count=1, reasons={})}
        )  # fmt: skip
        buckets.append(bucket)
    total = of_model(Payments, full=True).model_copy(
        update={"currency": currency, "revenue": Money.of(sum(amounts), currency)}
    )
    return PaymentReport.model_construct(
        begin="2026-11-23T00:00:00.000Z", to="2026-11-24T00:00:00.000Z", by=BucketLength.HOUR, time_zone="UTC",
        buckets=tuple(buckets), totals=(total,), restaurants=(), quarantined=(), quarantined_total=0,
        incomplete=(),
    )  # fmt: skip


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize(
    ("locale", "currency", "amounts", "wanted"),
    [
        ("de-DE", "JPY", [12_345, 8_000], "10.000"),
        ("en-US", "JPY", [3, 1], "2"),
        ("en-IN", "INR", [1_234_567_890_00, 5], None),
        ("de-DE", "KWD", [12_340, 2_005], "10"),
        ("en-US", "KRW", [98_765_432_100, 0, 3], None),
        ("en-US", "UGX", [2_000_000, 100], "10,000"),
        ("fr-FR", "EUR", [-450_00, 1_250_00], None),
    ],
)
def test_charts_write_as_the_browser_does(
    site: InMemorySite, monkeypatch: pytest.MonkeyPatch, locale: str, currency: str,
    amounts: list[int], wanted: str | None, width: int,
) -> None:  # fmt: skip
    answering(monkeypatch, ReportPayments, report(currency, amounts))
    page = site.visit(
        Role.OPERATOR,
        viewport={"width": width, "height": 800},
        locale=locale,
        timezone_id="Asia/Tokyo",
    )
    page.add_init_script(f"({NOTE})()")
    page.goto("/ops/payments")
    page.wait_for_function(
        "() => document.querySelectorAll('.uplot canvas').length === 2 && drawn.length > 8"
    )
    drawn = page.evaluate("drawn")
    cut = [each for each in drawn if each["left"] < -0.5 or each["right"] > each["room"] + 0.5]
    assert not cut
    texts = {each["text"] for each in drawn}
    hours = {text for text in texts if ":" in text or text.endswith("h")}
    assert hours
    assert any("AM" in text for text in hours) is (locale == "en-US")
    assert wanted is None or wanted in texts
    if currency in {"JPY", "KRW"}:
        assert not {
            text for text in texts if text.startswith(("0.", "0,"))
        }  # there is no half a yen
    check_fits(page)


def test_a_day_is_the_reports_own_wherever_it_is_read(
    site: InMemorySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, ReportPayments, report("INR", [100, 200]))
    page = site.visit(Role.OPERATOR, locale="en-GB", timezone_id="America/Los_Angeles")
    page.add_init_script(f"({NOTE})()")
    page.goto("/ops/payments")
    page.wait_for_function(
        "() => document.querySelectorAll('.uplot canvas').length === 2 && drawn.length > 8"
    )
    texts = page.evaluate("drawn.map((each) => each.text)")
    assert "23 Nov" in texts
    assert "22 Nov" not in texts
