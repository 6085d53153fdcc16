"""How long orders take from an opened payment to a paid one, and from there to an order for the kitchen."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.metrics.families import Histogram
from models.graphs import OrderStatus, PaymentStatus
from models.order import OrderRecord
from models.payment import PaymentRecord
from tables import StoredRecord

UNPAID: Final = frozenset({PaymentStatus.PENDING, PaymentStatus.PROCESSING, PaymentStatus.FAILED})
CREATED: Final = OrderStatus.PENDING


class OrderDurations(Collector):
    """A listener of payments' and orders' tables, so that nothing need be asked of them.

    An order counts once, when it is seen unpaid first and paid then. In memory are those that are neither.
    """

    def __init__(self) -> None:
        self._unpaid: dict[int, set[str]] = {}
        self._completed_ms: dict[int, dict[str, int]] = {}
        self._completion = Histogram("tiffin_payment_completion_seconds")
        self._creation = Histogram("tiffin_order_creation_seconds")

    def updated(self, partition: int, key: str, record: StoredRecord) -> None:
        """Take in a record of either table."""
        state = record.state
        if isinstance(state, PaymentRecord):
            self._see_payment(partition, key, state)
        elif isinstance(state, OrderRecord):
            self._see_order(partition, key, state)

    def closed(self, partition: int) -> None:
        """Forget a partition."""
        self._unpaid.pop(partition, None)
        self._completed_ms.pop(partition, None)

    def collect(self) -> Iterator[Metric]:
        """Since the worker's start."""
        yield from self._completion.collect()
        yield from self._creation.collect()

    def _see_payment(self, partition: int, key: str, state: PaymentRecord) -> None:
        payment, unpaid = state.payment, self._unpaid.setdefault(partition, set())
        if payment is not None and payment.status in UNPAID:
            unpaid.add(key)
        elif key in unpaid:
            unpaid.discard(key)
            if payment is not None and payment.completed_at is not None:
                took_ms = payment.completed_at - payment.initiated_at
                self._completion.observe(max(0, took_ms) / 1000)
                self._completed_ms.setdefault(partition, {})[key] = payment.completed_at

    def _see_order(self, partition: int, key: str, state: OrderRecord) -> None:
        completed = self._completed_ms.get(partition)
        if completed and key in completed and state.order is not None:
            created_ms = state.order.reached.get(CREATED)
            if created_ms is not None:
                self._creation.observe(max(0, created_ms - completed.pop(key)) / 1000)
            elif state.has_ended:
                del completed[key]
