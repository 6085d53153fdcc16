"""The account's checks at a worker: at its start and every hour, told in the log, as a metric and to operators.

They hold up nothing: while Stripe is away they are tried again, and what is wrong ends no worker.
"""

from collections.abc import Callable, Iterator
from typing import Final

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import values
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
        self._is_unasked = True

    def problem(self) -> str:
        """What is wrong, for operators; "" when nothing is."""
        wrong = [each for each in self.checks.values() if each.state is CheckState.WRONG]
        return "; ".join(f"{each.name}: {each.detail}" for each in wrong)

    def collect(self) -> Iterator[Metric]:
        """1 for the state in which each check is."""
        yield values(
            "tiffin_stripe_check", {(each.name, each.state): 1 for each in self.checks.values()}
        )

    async def check(self) -> None:
        """One round."""
        found = {}
        async with self._make_client() as client:
            async for each in AccountChecks(client, self._expected, with_writes=False).run():
                found[each.name] = each
        self._is_unasked = any(each.is_unasked for each in found.values())
        # What was wrong before Stripe could not be asked is so until it says otherwise.
        wrong = {
            name: each
            for name, each in self.checks.items()
            if each.state is CheckState.WRONG and name in found and found[name].is_unasked
        }
        is_away = "key" in found and found["key"].is_unasked
        self.checks = {**(self.checks if is_away else {}), **found, **wrong}
        for each in self.checks.values():
            self._tell(each)

    async def _run(self) -> None:
        self._tell(mark_check(self._expected))
        failures = 0
        while True:
            try:
                await self.check()
            except Exception:
                log.exception("unexpected error in checking the Stripe account")
            failures = failures + 1 if self._is_unasked else 0
            await (RETRY if self._is_unasked else EVERY).pause(max(failures, 1))

    def _tell(self, check: Check) -> None:
        """Once, and again when it changes."""
        if self._was_told.get(check.name) == check:
            return
        if check.state in TOLD:
            words = {"check": check.name, "detail": check.detail, "todo": check.todo}
            log.warning("the Stripe account is not as it should be", **words)
        self._was_told[check.name] = check
