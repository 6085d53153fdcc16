"""What workers say of themselves becomes a concern of operators, once, whoever says it."""

from __future__ import annotations

from dataclasses import replace

from models.operations import WorkerStatus
from tests.support.http_api import MakeApi
from tests.support.operations import QUIET_OPERATIONS, page_of

WRONG = "version: the endpoint sends 2020-08-27, the SDK has 2026-10-28.endive"


async def test_a_stripe_account_that_does_not_fit(make_api: MakeApi) -> None:
    status = WorkerStatus(started_ms=0, stripe_trouble=WRONG)
    api = await make_api(operations=replace(QUIET_OPERATIONS, worker=lambda: status))
    headers = {"Authorization": f"Bearer {api.operator}"}
    async with api.client.get("/api/ops/overview", headers=headers) as response:
        (concern,) = (await response.json())["concerns"]
    assert concern == {
        "code": "STRIPE_ACCOUNT", "detail": WRONG, "where": "/api/ops/overview",
        "runbook": "/ops/runbooks/stripe-account-wrong",
    }  # fmt: skip
    async with page_of(api, "/ops") as page:
        assert WRONG in page
        assert "webhook endpoint" in page
        assert '<a href="/ops/runbooks/stripe-account-wrong">Runbook</a>' in page


async def test_a_worker_that_recovers_says_how_much_is_left(make_api: MakeApi) -> None:
    status = WorkerStatus(started_ms=0, recovery_rows_left=12_345, recovery_seconds_left=3)
    api = await make_api(operations=replace(QUIET_OPERATIONS, worker=lambda: status))
    async with api.client.get("/readyz") as response:
        ready = await response.json()
    assert (ready["recoveryRowsLeft"], ready["recoverySecondsLeft"]) == (12_345, 3)
    async with page_of(api, "/ops") as page:
        assert "recovering: 12,345 rows left, about 3 s" in page
