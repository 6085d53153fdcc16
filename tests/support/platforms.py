"""Whole platforms for tests: their settings, and one whose services fail on request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sandbox.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.processes import Supervised

PATIENT: Final = {
    "TIFFIN_CONSISTENCY_WAIT_S": "60",
    "TIFFIN_COMMAND_WAIT_S": "60",
    "TIFFIN_CONFIRM_WAIT_S": "60",
}
"""Answers are waited for longer, so that a slow machine changes nothing."""

IMPATIENT_WITH_STRIPE: Final = {
    "TIFFIN_STRIPE_WRITE_TIMEOUT_S": "3",
    "TIFFIN_RECONCILE_AFTER_S": "2",
    "TIFFIN_RECONCILE_INTERVAL_S": "2",
    "TIFFIN_CONSISTENCY_WAIT_S": "60",
    "TIFFIN_COMMAND_WAIT_S": "60",
    "TIFFIN_RECONCILIATION_GRACE_S": "3600",
    "TIFFIN_KITCHEN_DEADLINE_S": "36000",
    "TIFFIN_PAYMENT_DEADLINE_S": "36000",
}
"""Stripe is given up and looked up sooner than a person would choose, so that it happens in a test;
answers are waited for longer, so that a slow machine changes nothing; webhooks that a test loses stay
lost; no order is cancelled for want of a kitchen, however long the run."""


class OtherAppPlatform(Platform):
    """Its workers run another Faust app than `app`."""

    faust_app: str

    def _make_worker(self, number: int) -> Supervised:
        worker = super()._make_worker(number)
        worker.argv[worker.argv.index("-A") + 1] = self.faust_app
        return worker


class BreakablePlatform(OtherAppPlatform):
    """Its services fail at the messages that `break_at` names: that is how dead letters are made."""

    faust_app = "tests.support.breakable_app"

    def environment(self, worker: int = 0) -> dict[str, str]:
        return {**super().environment(worker), "BREAKAGE": str(self.folder / "breakage.json")}

    def break_at(self, breakage: Mapping[str, list[str]]) -> None:
        """From now on these services fail at these orders' messages: "orders/order_..." -> types."""
        draft = self.folder / "breakage.new"
        draft.write_text(json.dumps(breakage))
        draft.rename(self.folder / "breakage.json")
