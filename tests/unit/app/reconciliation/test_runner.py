"""How far back the runner compares."""

from __future__ import annotations

from functools import partial

import pytest

from app.audit import publish_audit_event
from app.kafka.reader import KafkaReader
from app.reconciliation.runner import Reconciliation, ReconciliationSchedule
from app.stripe.event_intake import EventIntake
from app.stripe.gateway import StripeGateway
from models import ids
from models.events import EventType
from models.reconciliation import MoneyDifference, MovementKind, ReconciliationReport
from models.times import from_rfc3339, to_rfc3339
from tests.support.senders import NoSender

ORDER = ids.order_id("guest", "reconciliation")
NOW, DAY_MS = "2026-11-23T12:00:00.000Z", 24 * 3600 * 1000
SCHEDULE = ReconciliationSchedule(
    interval_s=300, grace_s=120, totals_interval_s=3600, orphan_grace_s=3600, days=2
)


@pytest.mark.parametrize(
    ("day", "since"),
    [
        ("2026-11-23", "2026-11-22"),
        ("2026-11-10", "2026-11-10"),
        ("2026-10-01", "2026-11-22"),
        ("", "2026-11-22"),
    ],
)
async def test_what_differs_is_compared_until_it_agrees(day: str, since: str) -> None:
    """Or Stripe keeps its events no longer. A report of an older worker names no day."""
    gateway = StripeGateway("sk_test_x", base_url="http://127.0.0.1:9")
    made = Reconciliation(
        gateway,
        EventIntake(gateway, partial(publish_audit_event, NoSender(), EventType.WEBHOOK_RECEIVED)),
        NoSender(),
        KafkaReader("127.0.0.1:9"),
        is_runner=lambda: True,
        schedule=SCHEDULE,
        take_back=_nothing,
    )
    difference = MoneyDifference(
        kind=MovementKind.REFUND, id="re_1", order_id=ORDER, currency="INR", stripe=5, tiffin=None,
        since=NOW, day=day,
    )  # fmt: skip
    made.report = ReconciliationReport(
        run_at=NOW, cursor=NOW, compared_at=NOW, differences=(difference,)
    )
    assert to_rfc3339(made._compared_since(from_rfc3339(NOW) + 5000))[:10] == since
    await gateway.close()


async def _nothing(_: object) -> None:
    raise AssertionError
