"""The account's checks at a worker: at its start and every hour, told in the log, as a metric and to operators.

They hold up nothing: while Stripe is away they are tried again, and what is wrong ends no worker.
"""

from collections.abc import Callable, Iterator
from typing import Final

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.stripe.account import AccountClient
from app.stripe.account_checks import AccountChecks, mark_check
from app.stripe.check import Check, CheckState, ExpectedAccount
from app.task_runner import Background, Backoff

log = structlog.stdlib.get_logger(__name__)

EVERY: Final = Backoff(3600.0, 3600.0)
RETRY: Final = Backoff(5.0, 300.0)
TOLD: Final = {CheckState.WARNING, CheckState.WRONG}


class AccountWatch(Background, Collector):
    """One a worker. checks: of the last round, by name; none before the first one."""

    def __init__(self, make_client: Callable[[], AccountClient], expected: ExpectedAccount) -> None:
        super().__init__()
        self.checks: dict[str, Check] = {}
        self._make_client, self._expected = make_client, expected
        self._was_told: dict[str, Check] = {}

    def problem(self) -> str:
        """What is wrong, for operators; "" when nothing is."""
        wrong = [each for each in self.checks.values() if each.state is CheckState.WRONG]
        return "; ".join(f"{each.name}: {each.detail}" for each in wrong)

    def collect(self) -> Iterator[Metric]:
        """1 for the state in which each check is."""
        family = GaugeMetricFamily(
            "tiffin_stripe_check",
            "How the checks of the Stripe account ended",
            labels=("check", "state"),
        )
        for each in self.checks.values():
            family.add_metric((each.name, each.state), 1)
        yield family

    async def check(self) -> None:
        """One round."""
        found = {}
        async with self._make_client() as client:
            async for each in AccountChecks(client, self._expected, with_writes=False).run():
                found[each.name] = each
        is_away = found.get("key", _UNCHECKED).state is CheckState.UNKNOWN
        # What was wrong before Stripe went away is so until it says otherwise.
        self.checks = {**self.checks, **found} if is_away else found
        for each in found.values():
            self._tell(each)

    async def _run(self) -> None:
        self._tell(mark_check(self._expected))
        failures = 0
        while True:
            try:
                await self.check()
            except Exception:
                log.exception("unexpected error in checking the Stripe account")
            is_known = self.checks.get("key", _UNCHECKED).state is not CheckState.UNKNOWN
            failures = 0 if is_known else failures + 1
            await (EVERY if is_known else RETRY).pause(max(failures, 1))

    def _tell(self, check: Check) -> None:
        """Once, and again when it changes."""
        if self._was_told.get(check.name) == check:
            return
        if check.state in TOLD:
            words = {"check": check.name, "detail": check.detail, "todo": check.todo}
            log.warning("the Stripe account is not as it should be", **words)
        self._was_told[check.name] = check


_UNCHECKED: Final = Check("key", CheckState.UNKNOWN, "")
