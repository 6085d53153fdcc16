"""Who watches the money on this worker: the live checks, the reconciliation, and their metrics."""

import functools

from app.clock import BrokerClock
from app.commands import CommandSender
from app.kafka_security import KafkaSecurity
from app.money_metrics import MoneyMetrics
from app.reconciliation import PARTITION, Pace, Reconciliation
from app.settings import Settings
from app.stripe_gateway import StripeGateway
from app.stripe_webhooks import webhook_received
from models.reconciliation import Report
from tables import Engines
from web.money_index import MoneyIndex


class MoneyWatch:
    """One a worker. index: of the money of owned partitions, for web/ and metrics."""

    def __init__(
        self,
        settings: Settings,
        engines: Engines,
        gateway: StripeGateway,
        sender: CommandSender,
        clock: BrokerClock,
    ) -> None:
        payments = engines.tables["payments"]
        self.index = MoneyIndex(grace_s=settings.reconciliation_grace_s, now_s=clock.now_s)
        self._reconciliation = Reconciliation(
            gateway,
            sender,
            bootstrap=settings.kafka_bootstrap,
            security=KafkaSecurity.of(settings),
            is_runner=lambda: PARTITION in payments.open_partitions(),
            received=functools.partial(webhook_received, gateway),
            pace=Pace(
                interval_s=settings.reconciliation_interval_s,
                grace_s=settings.reconciliation_grace_s,
                totals_interval_s=settings.reconciliation_totals_interval_s,
                orphan_grace_s=settings.orphan_grace_s,
                days=settings.reconciliation_days,
            ),
            now_s=clock.now_s,
        )
        self.metrics = MoneyMetrics(self.index, self._reconciliation)

    def report(self) -> Report | None:
        """What the latest runs found; None at all workers but the runner."""
        return self._reconciliation.report

    def start(self) -> None:
        """Begin, in a task of its own."""
        self._reconciliation.start()

    async def stop(self) -> None:
        """End it; the next runner goes on."""
        await self._reconciliation.stop()
