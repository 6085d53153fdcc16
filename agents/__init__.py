"""The services, a file or folder each: each decides its inputs; tables/ keeps their state and runs them."""

from typing import Any

from agents.analytics import ANALYTICS
from agents.deliveries import DELIVERIES
from agents.notifications import DEFAULT_POLICY, NotificationPolicy, notifications_service
from agents.orders import orders_service
from agents.orders.transitions import DEFAULT_DEADLINES, Deadlines
from agents.payments import payments_service
from agents.payments.transitions import DEFAULT_PAYMENT_POLICY, PaymentPolicy
from agents.service import Service
from agents.takings import DEFAULT_TAKINGS_POLICY, TakingsPolicy, takings_service
from agents.timeline import timeline_service
from models.retention import DEFAULT_RETENTION, Retention


def services(
    deadlines: Deadlines = DEFAULT_DEADLINES,
    policy: NotificationPolicy = DEFAULT_POLICY,
    payments: PaymentPolicy = DEFAULT_PAYMENT_POLICY,
    retention: Retention = DEFAULT_RETENTION,
    takings: TakingsPolicy = DEFAULT_TAKINGS_POLICY,
) -> tuple[Service[Any], ...]:
    """All services of a worker."""
    return (
        payments_service(payments),
        orders_service(deadlines, retention),
        DELIVERIES,
        notifications_service(policy, retention),
        ANALYTICS,
        timeline_service(retention),
        takings_service(takings),
    )
