"""Who watches the money on this worker: the live checks, the reconciliation, and their metrics."""

import functools

from app.clock import BrokerClock
from app.kafka.security import KafkaSecurity
from app.kafka.sender import CommandSender
from app.reconciliation.metrics import MoneyMetrics
from app.reconciliation.runner import RUNNER_PARTITION, Reconciliation, ReconciliationSchedule
from app.settings import Settings
from app.stripe.gateway import StripeGateway
from app.stripe.webhooks import reduce_webhook
from models.reconciliation import ReconciliationReport
from tables import ServiceRuntime
from web.indexes.money import MoneyIndex


class MoneyMonitor:
    """One a worker. index: of the money of owned partitions, for web/ and metrics."""

    def __init__(
        self,
        settings: Settings,
        runtime: ServiceRuntime,
        gateway: StripeGateway,
        sender: CommandSender,
        clock: BrokerClock,
    ) -> None:
        payments = runtime.tables["payments"]
        self.index = MoneyIndex(grace_s=settings.reconciliation_grace_s, now_s=clock.now_s)
        self._reconciliation = Reconciliation(
            gateway,
            sender,
            bootstrap=settings.kafka_bootstrap,
            security=KafkaSecurity.of(settings),
            is_runner=lambda: RUNNER_PARTITION in payments.open_partitions(),
            received=functools.partial(reduce_webhook, gateway),
            pace=ReconciliationSchedule(
                interval_s=settings.reconciliation_interval_s,
                grace_s=settings.reconciliation_grace_s,
                totals_interval_s=settings.reconciliation_totals_interval_s,
                orphan_grace_s=settings.orphan_grace_s,
                days=settings.reconciliation_days,
            ),
            now_s=clock.now_s,
        )
        self.metrics = MoneyMetrics(self.index, self._reconciliation)

    def report(self) -> ReconciliationReport | None:
        """What the latest runs found; None at all workers but the runner."""
        return self._reconciliation.report

    def start(self) -> None:
        """Begin, in a task of its own."""
        self._reconciliation.start()

    async def stop(self) -> None:
        """End it; the next runner goes on."""
        await self._reconciliation.stop()
