"""One platform for all tests of the money: two workers whose reconciliation runs all the time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from sandbox.platform import Platform
from tests.money.till import Till

SETTINGS = {
    "TIFFIN_RECONCILIATION_INTERVAL_S": "1",
    "TIFFIN_RECONCILIATION_GRACE_S": "2",
    "TIFFIN_RECONCILIATION_TOTALS_INTERVAL_S": "1",
    "TIFFIN_ORPHAN_GRACE_S": "4",
    # So that nothing but the list of Stripe's events can find a webhook that is lost.
    "TIFFIN_RECONCILE_AFTER_S": "3600",
    "TIFFIN_CONSISTENCY_WAIT_S": "60",
}


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Running; bank debits and pending refunds settle on request alone."""
    folder = tmp_path_factory.mktemp("money")
    with Platform(folder, workers=2, settings=SETTINGS, settle_delay_s=-1) as running:
        yield running


@pytest.fixture
async def till(platform: Platform) -> AsyncIterator[Till]:
    """A test's own customers; faults and rules are gone when it ends."""
    async with AsyncExitStack() as stack:
        till = await Till(platform, stack).open()
        yield till
        await till.control("/faults", method="DELETE")
        await till.control("/webhooks/rules", method="DELETE")
