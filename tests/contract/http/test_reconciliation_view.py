"""What operators are told of the money: first screen, reconciliation's headline and table agree."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from models.graphs import OrderStatus, PaymentStatus
from models.reconciliation import (
    DayTotals,
    MoneyMovement,
    MovementKind,
    ReconciliationReport,
    StripeAndTiffin,
    compare,
)
from models.times import from_rfc3339
from tests.support.http_api import MakeApi
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.operations import QUIET_OPERATIONS, page_of
from tests.support.records import order, record
from web.indexes.money import MoneyIndex

AT = "2026-11-23T12:00:00.000Z"
RUN = {"run_at": AT, "cursor": AT}
KEY = (MovementKind.REFUND, "re_1")
ORDER = "order_01h2xcejqtf2nbrexx3vqjhp41"


def moved(amount: int) -> MoneyMovement:
    return MoneyMovement(*KEY, ORDER, "INR", amount, 0)


def report(stripe: int, tiffin: int, *, settled: bool = True, **more: Any) -> ReconciliationReport:
    """What a run writes that found one refund on both sides."""
    found, days = compare(
        {KEY: moved(stripe)}, {KEY: moved(tiffin)}, since={}, now=AT, until_ms=10**9
    )
    where = {"differences" if settled else "settling": tuple(found)}
    return ReconciliationReport(**(RUN | {"compared_at": AT, "totals": tuple(days)} | where | more))


OF_BEFORE = ReconciliationReport(
    **RUN,
    compared_at=AT,
    totals=(
        DayTotals(day="2026-11-23", currency="INR", charged=StripeAndTiffin(stripe=5, tiffin=0)),
    ),
)
"""A report that an older worker left: its sums differ, and it names no object."""


@pytest.mark.parametrize(
    ("given", "verdict", "headline"),
    [
        (report(300, 300), "AGREES", "Stripe&#39;s figures and ours agree"),
        (report(300, 200), "DIFFERS", "Stripe&#39;s figures and ours differ"),
        (report(300, 200, settled=False), "SETTLING", "are still settling"),
        (OF_BEFORE, "SETTLING", "are still settling"),
        (report(300, 300, problems=("COMPARE: no answer",)), "UNFINISHED", "is not complete"),
        (report(300, 300, unchecked=7), "UNFINISHED", "is not complete"),
        (ReconciliationReport(**RUN), "UNKNOWN", "has not run yet"),
        (None, "UNKNOWN", "has not run yet"),
    ],
)
async def test_the_headline_never_contradicts_the_days(
    make_api: MakeApi, given: ReconciliationReport | None, verdict: str, headline: str
) -> None:
    api = await make_api(reconciliation=lambda: given)
    status, view = await api.get("/api/ops/reconciliation", api.operator)
    assert (status, view["verdict"], view["isClean"]) == (200, verdict, verdict == "AGREES")
    days = view.get("run", {}).get("totals", ())
    sides = [day[name] for day in days for name in ("charged", "refunded", "disputed")]
    is_uneven = any(s["difference"]["amount"] for s in sides) or any(d["differing"] for d in days)
    assert is_uneven is (given is not None and any(not day.is_even for day in given.totals))
    assert not (is_uneven and view["isClean"])
    if given is not OF_BEFORE:
        assert view["differing"] == sum(day["differing"] for day in days)
    async with page_of(api, "/ops/reconciliation") as text:
        title = text.split("<h1>")[1].split("</h1>")[0]
        assert headline.replace("&#39;", "'") in title.replace("&#39;", "'")
        assert ("bad-text" in text) is is_uneven


async def test_every_part_of_the_reconciliation_says_as_of_when(make_api: MakeApi) -> None:
    compared_at, run_at, cursor = (f"2026-11-23T1{hour}:00:00.000Z" for hour in (1, 3, 2))
    given = report(300, 300, run_at=run_at, compared_at=compared_at, cursor=cursor)
    api = await make_api(reconciliation=lambda: given)
    await api.paid()
    async with page_of(api, "/ops/reconciliation") as text:
        sections = {
            part.split('"')[0]: part
            for part in text.split('<section class="stack" aria-labelledby="')
        }
        times = {
            name: re.findall(r'<time datetime="([^"]+)"', part) for name, part in sections.items()
        }
        assert times["diff-title"] == times["days-title"] == [compared_at]
        assert times["missing-title"] == [run_at, cursor]
        assert "There were no new ones to check" in sections["missing-title"]
        assert times["broken-title"] == times["sums-title"]
        (now,) = times["sums-title"]
        assert abs(from_rfc3339(now) - time.time() * 1000) < 60_000
        assert text.index("days-title") < text.index("sums-title")  # what was compared comes first
        assert "events looked at" not in text


@pytest.mark.parametrize(
    "given", [ReconciliationReport(**RUN, compared_at=AT), ReconciliationReport(**RUN), None]
)
async def test_nothing_that_was_looked_at_is_no_agreement(
    make_api: MakeApi, given: ReconciliationReport | None
) -> None:
    api = await make_api(reconciliation=lambda: given)
    async with page_of(api, "/ops/reconciliation") as text:
        assert "agree" not in text
        assert "No differences" not in text
        said = (
            "There was nothing to compare"
            if given and given.compared_at
            else "Nothing has been compared"
        )
        assert said in text
        assert "Every rule holds" not in text  # there is no payment


@pytest.mark.parametrize(
    ("given", "codes", "words"),
    [
        (report(300, 300), [], "All is well"),
        (report(300, 200, settled=False), [], "All is well"),
        (report(300, 200), ["DIFFERENCES"], "Our figures differ from Stripe&#39;s"),
        (report(300, 300, problems=("COMPARE: no answer",)), ["RECONCILIATION_UNFINISHED"],
         "COMPARE: no answer"),
    ],
)  # fmt: skip
async def test_what_differs_is_on_the_first_screen(
    make_api: MakeApi, given: ReconciliationReport, codes: list[str], words: str
) -> None:
    api = await make_api(reconciliation=lambda: given, operations=QUIET_OPERATIONS)
    _, overview = await api.get("/api/ops/overview", api.operator)
    assert [concern["code"] for concern in overview["concerns"]] == codes
    assert (overview["healthy"], overview["differences"]) == (not codes, len(given.differences))
    async with page_of(api, "/ops") as text:
        assert words in text


async def test_a_broken_rule_of_the_money_is_on_the_first_screen(make_api: MakeApi) -> None:
    world = InMemoryBackend()
    money = MoneyIndex(world.tables["payments"], world.tables["orders"], grace_s=0)
    api = await make_api(world, money=money, operations=QUIET_OPERATIONS)
    paid = world.tables["payments"].put(ORDER, record(ORDER, status=PaymentStatus.COMPLETED))
    cancelled = world.tables["orders"].put(ORDER, order(ORDER, OrderStatus.CANCELLED))
    for stored in (paid, cancelled):
        money.updated(0, ORDER, stored)
    _, overview = await api.get("/api/ops/overview", api.operator)
    (concern,) = overview["concerns"]
    assert concern["code"] == "CANCELLED_KEEPS_MONEY"
    assert concern["where"] == "/api/ops/reconciliation"
    assert (overview["healthy"], overview["brokenInvariants"]) == (False, {concern["code"]: 1})
    async with page_of(api, "/ops") as text:
        assert "A money rule is broken" in text
        assert concern["detail"].split(":")[0] in text
    _, view = await api.get("/api/ops/reconciliation", api.operator)
    assert view["verdict"] == "DIFFERS"
