"""Every route, as data: what it takes, what it answers, who may ask. The API's description is made of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from web.api import (
    couriers,
    deliveries,
    disputes,
    evidence,
    kitchen,
    login,
    menu,
    notifications,
    order_views,
    orders,
    payment_views,
    payments,
    refunds,
    schemas,
    steps,
    timeline,
    webhooks,
)
from web.http.bodies import Body
from web.ops import (
    dead_letters,
    digests,
    health,
    overview,
    payment_report,
    reconciliation,
    reports,
    search,
    stopped,
    stuck,
)
from web.ops import (
    notifications as notification_lists,
)
from web.ops import (
    orders as order_lists,
)
from web.ops import (
    schemas as ops_schemas,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. access: "public", "stripe", or the roles. is_write: needs an Idempotency-Key.

    is_step: a write whose key and body may be left out. query: name -> what the parameter means.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    answer: type[BaseModel] | None = None
    status: int = 200
    body: type[Body] | None = None
    access: str = "public"
    is_write: bool = False
    is_step: bool = False
    query: Mapping[str, str] = field(default_factory=dict)


CUSTOMER, OPERATOR = "customer or operator", "operator"
KITCHEN, COURIER = "kitchen or operator", "courier"

ROUTES: Final = (
    Route(method="GET", path="/api/restaurants", handler=menu.list_restaurants,
          answer=menu.RestaurantList),
    Route(method="GET", path="/api/restaurants/{restaurant_id}/menu", handler=menu.show_menu,
          answer=menu.Menu),
    Route(method="POST", path="/api/payments/create-intent", handler=payments.create_intent,
          body=schemas.CreateIntent, answer=schemas.Intent, status=201, is_write=True),
    Route(method="POST", path="/api/payments/confirm", handler=payments.confirm,
          body=schemas.Confirm, answer=schemas.Confirmation, access="customer", is_write=True),
    Route(method="POST", path="/api/payments/cancel", handler=payments.cancel_payment,
          body=schemas.CancelPaymentBody, answer=schemas.PaymentCancelAnswer, access=CUSTOMER,
          is_write=True),
    Route(method="GET", path="/api/payments/{order_id}", handler=payments.show_payment,
          answer=payment_views.PaymentView, access=CUSTOMER),
    Route(method="POST", path="/api/payments/{order_id}/refunds", handler=refunds.refund,
          body=schemas.RefundBody, answer=schemas.RefundAnswer, status=201, access=OPERATOR,
          is_write=True),
    Route(method="POST", path="/api/payments/{order_id}/refunds/{refund_id}/retry",
          handler=refunds.retry_refund, body=refunds.RetryRefundBody, answer=schemas.RefundAnswer,
          status=201, access=OPERATOR, is_write=True),
    Route(method="GET", path="/api/payments/{order_id}/disputes/{dispute_id}/evidence",
          handler=evidence.show_evidence, answer=evidence.Evidence, access=OPERATOR,
          query=evidence.QUERY),
    Route(method="GET", path="/api/ops/refunds", handler=refunds.list_refunds,
          answer=refunds.RefundRows, access=OPERATOR, query=refunds.QUERY),
    Route(method="GET", path="/api/ops/disputes", handler=disputes.list_disputes,
          answer=disputes.DisputeRows, access=OPERATOR, query=disputes.QUERY),
    Route(method="GET", path="/api/ops/reconciliation",
          handler=reconciliation.show_reconciliation, answer=reconciliation.ReconciliationView,
          access=OPERATOR),
    Route(method="GET", path="/api/orders/{order_id}", handler=orders.show_order,
          answer=order_views.OrderView, access=CUSTOMER,
          query={"asOf": "a past moment, RFC 3339; the order as it stood then"}),
    Route(method="GET", path="/api/orders/{order_id}/timeline", handler=orders.show_timeline,
          answer=timeline.TimelineView, access=CUSTOMER),
    Route(method="GET", path="/api/orders/{order_id}/stream", handler=orders.stream_order,
          access=CUSTOMER),
    Route(method="POST", path="/api/orders/{order_id}/cancel", handler=orders.cancel_order,
          body=schemas.CancelOrderBody, answer=schemas.OrderCancelAnswer, access=CUSTOMER,
          is_write=True),
    Route(method="GET", path="/api/kitchen/orders", handler=kitchen.list_kitchen_orders,
          answer=kitchen.KitchenOrders, access=KITCHEN,
          query={"restaurantId": "of one restaurant, for an operator"}),
    Route(method="POST", path="/api/orders/{order_id}/accept", handler=kitchen.accept_order,
          body=steps.Nothing, answer=steps.StepResult, access=KITCHEN, is_write=True, is_step=True),
    Route(method="POST", path="/api/orders/{order_id}/reject", handler=kitchen.reject_order,
          body=kitchen.RejectBody, answer=steps.StepResult, access=KITCHEN, is_write=True, is_step=True),
    Route(method="POST", path="/api/orders/{order_id}/start-preparing",
          handler=kitchen.start_preparing, body=steps.Nothing, answer=steps.StepResult, access=KITCHEN,
          is_write=True, is_step=True),
    Route(method="POST", path="/api/orders/{order_id}/ready", handler=kitchen.mark_ready,
          body=steps.Nothing, answer=steps.StepResult, access=KITCHEN, is_write=True, is_step=True),
    Route(method="GET", path="/api/deliveries", handler=deliveries.list_deliveries,
          answer=deliveries.DeliveryRows, access="courier or operator",
          query={"limit": f"at most so many, 1 to {deliveries.MAX_LISTED}; 100 by default"}),
    Route(method="GET", path="/api/deliveries/{order_id}/assign", handler=deliveries.show_courier_capacity,
          answer=deliveries.CourierCapacity, access=COURIER),
    Route(method="POST", path="/api/deliveries/{order_id}/assign",
          handler=couriers.assign_delivery, body=steps.Nothing, answer=steps.StepResult, access=COURIER,
          is_write=True, is_step=True),
    Route(method="POST", path="/api/deliveries/{order_id}/pick-up",
          handler=couriers.pick_up_delivery, body=steps.Nothing, answer=steps.StepResult, access=COURIER,
          is_write=True, is_step=True),
    Route(method="POST", path="/api/deliveries/{order_id}/deliver",
          handler=couriers.complete_delivery, body=steps.Nothing, answer=steps.StepResult,
          access=COURIER, is_write=True, is_step=True),
    Route(method="GET", path="/api/ops/orders", handler=order_lists.list_orders,
          answer=order_lists.OrderRows, access=OPERATOR, query=order_lists.QUERY),
    Route(method="POST", path="/api/login/development", handler=login.development_login,
          body=login.LoginBody, answer=login.Login),
    Route(method="GET", path="/api/reports/payments", handler=reports.report_payments,
          answer=payment_report.PaymentReport, access=OPERATOR, query=reports.QUERY),
    Route(method="GET", path="/api/ops/overview", handler=overview.show_overview,
          answer=ops_schemas.Overview, access=OPERATOR),
    Route(method="GET", path="/api/ops/lag", handler=overview.show_lag,
          answer=ops_schemas.LagView, access=OPERATOR),
    Route(method="POST", path="/api/ops/stopped/skip", handler=stopped.skip_record,
          body=stopped.SkipBody, answer=stopped.Skipped, access=OPERATOR),
    Route(method="GET", path="/api/ops/audit", handler=overview.list_audit,
          answer=ops_schemas.AuditView, access=OPERATOR, query=overview.AUDIT_QUERY),
    Route(method="GET", path="/api/ops/search", handler=search.search_ids,
          answer=ops_schemas.SearchView, access=OPERATOR, query=search.QUERY),
    Route(method="POST", path="/api/ops/search", handler=search.search,
          body=ops_schemas.SearchBody, answer=ops_schemas.SearchView, access=OPERATOR),
    Route(method="GET", path="/api/ops/stuck", handler=stuck.list_stuck,
          answer=stuck.StuckList, access=OPERATOR, query=stuck.QUERY),
    Route(method="GET", path="/api/ops/orders/{order_id}/stuck",
          handler=stuck.show_order_waiting, answer=stuck.OrderWaiting, access=OPERATOR),
    Route(method="GET", path="/api/ops/dead-letters", handler=dead_letters.list_dead_letters,
          answer=ops_schemas.DeadLetterList, access=OPERATOR, query=dead_letters.LIST_QUERY),
    Route(method="GET", path="/api/ops/dead-letters/{dead_letter_id}",
          handler=dead_letters.show_dead_letter, answer=ops_schemas.DeadLetterDetail, access=OPERATOR,
          query=dead_letters.SHOW_QUERY),
    Route(method="POST", path="/api/ops/dead-letters/{dead_letter_id}/redrive",
          handler=dead_letters.redrive_dead_letter, body=ops_schemas.RedriveBody,
          answer=ops_schemas.SettlementView, access=OPERATOR),
    Route(method="POST", path="/api/ops/dead-letters/{dead_letter_id}/discard",
          handler=dead_letters.discard_dead_letter, body=ops_schemas.DiscardBody,
          answer=ops_schemas.SettlementView, access=OPERATOR),
    Route(method="GET", path="/api/ops/notifications", handler=notification_lists.list_notifications,
          answer=notification_lists.NotificationRows, access=OPERATOR,
          query=notification_lists.QUERY),
    Route(method="POST", path="/api/ops/notifications/{order_id}/{notification_id}/retry",
          handler=notifications.retry_notification, body=notifications.RetryBody,
          answer=notifications.Retried, access=OPERATOR, is_write=True),
    Route(method="GET", path="/api/ops/digests", handler=digests.stream_digests, access=OPERATOR,
          query=digests.QUERY),
    Route(method="GET", path="/api/ops/digests/{order_id}", handler=digests.show_derived,
          answer=digests.DerivedStates, access=OPERATOR),
    Route(method="POST", path="/webhooks/stripe", handler=webhooks.stripe_webhook,
          answer=webhooks.Received, access="stripe"),
    Route(method="GET", path="/livez", handler=health.livez, answer=health.Alive),
    Route(method="GET", path="/readyz", handler=health.readyz, answer=health.Readiness),
    Route(method="GET", path="/metrics", handler=health.metrics),
)  # fmt: skip
