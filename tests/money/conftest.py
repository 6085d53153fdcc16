"""One platform for all tests of the money: two workers whose reconciliation runs all the time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from sandbox.platform import Platform
from tests.money.clients import Clients

SETTINGS = {
    "TIFFIN_PAYMENT_METHODS": "card,us_bank_account",
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
async def clients(platform: Platform) -> AsyncIterator[Clients]:
    """A test's own customers; faults and rules are gone when it ends."""
    async with AsyncExitStack() as stack:
        clients = await Clients(platform, stack).open()
        yield clients
        await clients.control("/faults", method="DELETE")
        await clients.control("/webhooks/rules", method="DELETE")
