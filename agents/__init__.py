"""Who does it: one file a service, each the pure half of a stream-table join; tables/ does the rest."""

from agents.analytics import AnalyticsService
from agents.deliveries import DeliveriesService
from agents.notifications import NotificationsService
from agents.orders.service import OrdersService
from agents.payments.service import PaymentsService
from agents.timeline import TimelineService

__all__ = [
    "AnalyticsService",
    "DeliveriesService",
    "NotificationsService",
    "OrdersService",
    "PaymentsService",
    "TimelineService",
]
