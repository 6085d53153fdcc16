"""Every route of the API, as data: the dispatcher enforces it, and the API's description is made of it."""

from typing import Any, Final

from web.api import (
    csp_reports,
    deliveries,
    disputes,
    kitchen,
    login,
    menu,
    notifications,
    order_views,
    orders,
    payments,
    refunds,
    schemas,
    steps,
    timeline,
    webhooks,
)
from web.http.bodies import Body, EmptyBody
from web.http.context import NOTIFICATIONS, PAYMENTS, TIMELINE
from web.http.decoding import MAX_WEBHOOK_BYTES
from web.http.params import Params
from web.http.rate_limits import RequestKind
from web.http.route import (
    PUBLIC,
    Key,
    RawBody,
    Route,
    of_order,
    of_order_in_body,
    owner_of_order,
    staff,
)
from web.http.tokens import Role
from web.ops import (
    audit,
    dead_letter_views,
    dead_letters,
    digests,
    health,
    lag,
    level,
    overview,
    payment_report,
    reconciliation,
    repairs,
    reports,
    search,
    stopped,
    stuck,
    tables,
)
from web.ops import notifications as notification_lists
from web.ops import orders as order_lists
from web.ops import staff as staff_tokens

CUSTOMER, KITCHEN, COURIER, OPERATOR = (
    Role.CUSTOMER, Role.KITCHEN, Role.COURIER, Role.OPERATOR
)  # fmt: skip
OPERATORS: Final = staff(OPERATOR)


def _order_view(
    path: str, run: Any, answer: Any = None, *parts: str, access: Any = None, **more: Any
) -> Route:
    """A view of one order, by its owner, that waits for what its consistency token names."""
    return Route(
        method="GET", path=path, run=run, answer=answer, owner=owner_of_order, waits_for=parts,
        access=access or of_order(CUSTOMER, OPERATOR), **more,
    )  # fmt: skip


def _command(path: str, run: Any, body: type[Body], answer: Any, access: Any, **more: Any) -> Route:
    """A command to an order that there is, sent once for its key, at the order's owner."""
    return Route(
        method="POST", path=path, run=run, body=body, answer=answer, access=access,
        owner=owner_of_order, order_must_exist=True, **{"key": Key.REQUIRED, **more},
    )  # fmt: skip


def _step(path: str, run: Any, body: type[Body] = EmptyBody) -> Route:
    """A step of the kitchen; key and body may be left out."""
    return _command(
        f"/api/orders/{{order_id}}/{path}", run, body, steps.StepResult, of_order(KITCHEN, OPERATOR),
        key=Key.OPTIONAL, body_may_be_empty=True,
    )  # fmt: skip


def _courier_step(
    path: str, run: Any, owner: Any = deliveries.delivery_owner, body: type[Body] = EmptyBody
) -> Route:
    """A step of a courier, likewise."""
    return Route(
        method="POST", path=f"/api/deliveries/{{order_id}}/{path}", run=run, body=body,
        answer=steps.StepResult, access=of_order(COURIER), owner=owner, key=Key.OPTIONAL,
        body_may_be_empty=True,
    )  # fmt: skip


def _for_operators(
    path: str, run: Any, answer: Any, params: type[Params] = Params, **more: Any
) -> Route:
    """A list or view for operators."""
    return Route(
        method="GET", path=path, run=run, answer=answer, params=params, access=OPERATORS, **more
    )


ROUTES: Final = (
    Route(method="GET", path="/api/restaurants", access=PUBLIC, run=menu.list_restaurants,
          answer=menu.RestaurantList, renderer=menu.cached_answer),
    Route(method="GET", path="/api/restaurants/{restaurant_id}/menu", access=PUBLIC, run=menu.show_menu,
          answer=menu.Menu, renderer=menu.menu_answer),
    Route(method="POST", path="/api/payments/create-intent", access=PUBLIC, run=payments.create_intent,
          body=schemas.CreateIntent, answer=schemas.Intent, status=201, key=Key.REQUIRED,
          resolve=payments.place_order, owner=owner_of_order, renderer=payments.intent_answer,
          counted_as=RequestKind.CREATE),
    _command("/api/payments/confirm", payments.confirm, schemas.Confirm, schemas.Confirmation,
             of_order_in_body(CUSTOMER)),
    _command("/api/payments/cancel", payments.cancel_payment, schemas.CancelPaymentBody,
             schemas.PaymentCancelAnswer, of_order_in_body(CUSTOMER, OPERATOR)),
    _command("/api/payments/{order_id}/ask-again", payments.ask_again, EmptyBody, schemas.AskedAgain,
             of_order(OPERATOR), body_may_be_empty=True),
    _order_view("/api/payments/{order_id}", payments.show_payment, order_views.PaymentView, PAYMENTS),
    _command("/api/payments/{order_id}/refunds", refunds.refund, schemas.RefundBody,
             schemas.RefundAnswer, of_order(OPERATOR), status=201, body_may_be_empty=True),
    _command("/api/payments/{order_id}/refunds/{refund_id}/retry", refunds.retry_refund, EmptyBody,
             schemas.RefundAnswer, of_order(OPERATOR), status=201, body_may_be_empty=True),
    _order_view("/api/payments/{order_id}/disputes/{dispute_id}/evidence", disputes.show_evidence,
                disputes.Evidence, *disputes.PARTS, access=of_order(OPERATOR),
                params=disputes.EvidenceParams, html="evidence"),
    _for_operators("/api/ops/refunds", refunds.ListRefunds, refunds.RefundRows, refunds.RefundParams),
    _for_operators("/api/ops/disputes", disputes.ListDisputes, disputes.DisputeRows,
                   disputes.DisputeParams),
    _for_operators("/api/ops/reconciliation", reconciliation.ShowReconciliation,
                   reconciliation.ReconciliationView),
    _order_view("/api/orders/{order_id}", orders.show_order, order_views.OrderView, *orders.PARTS,
                params=orders.OrderParams),
    _order_view("/api/orders/{order_id}/timeline", orders.show_timeline, timeline.TimelineView, TIMELINE,
                order_must_exist=True),
    _order_view("/api/orders/{order_id}/stream", orders.stream_order, None, *orders.PARTS),
    _command("/api/orders/{order_id}/cancel", orders.cancel_order, schemas.CancelOrderBody,
             schemas.OrderCancelAnswer, of_order(CUSTOMER, OPERATOR), body_may_be_empty=True),
    Route(method="GET", path="/api/kitchen/orders", run=kitchen.ListKitchenOrders,
          answer=kitchen.KitchenOrders, access=staff(KITCHEN, OPERATOR), params=kitchen.KitchenParams),
    _step("accept", kitchen.accept_order),
    _step("reject", kitchen.reject_order, kitchen.RejectBody),
    _step("start-preparing", kitchen.start_preparing),
    _step("ready", kitchen.mark_ready),
    Route(method="GET", path="/api/deliveries", run=deliveries.ListDeliveries,
          answer=deliveries.DeliveryRows, access=staff(COURIER, OPERATOR), params=deliveries.DeliveryParams),
    Route(method="GET", path="/api/deliveries/{order_id}/assign", run=deliveries.ShowCourierCapacity,
          answer=deliveries.CourierCapacity, access=staff(COURIER)),
    _courier_step("assign", deliveries.assign_delivery, deliveries.assign_owner),
    _courier_step("pick-up", deliveries.pick_up_delivery),
    _courier_step("deliver", deliveries.complete_delivery, body=deliveries.DeliverBody),
    _for_operators("/api/ops/orders", order_lists.ListOrders, order_lists.OrderRows,
                   order_lists.OrderListParams),
    Route(method="POST", path="/api/login/development", run=login.development_login,
          body=login.LoginBody, answer=login.Login, access=login.SANDBOX),
    _for_operators("/api/reports/payments", reports.ReportPayments, payment_report.PaymentReport,
                   reports.ReportParams, renderer=reports.report_answer),
    _for_operators("/api/ops/overview", overview.ShowOverview, overview.Overview),
    _for_operators("/api/ops/lag", lag.ShowLag, lag.LagView),
    Route(method="POST", path="/api/ops/stopped/skip", run=stopped.skip_record, body=stopped.SkipBody,
          answer=stopped.Skipped, access=OPERATORS, resolve=stopped.check_partition,
          owner=stopped.skip_owner),
    _for_operators("/api/ops/staff/revocations", staff_tokens.list_revocations,
                   staff_tokens.RevocationList),
    Route(method="POST", path="/api/ops/staff/revoke", run=staff_tokens.revoke_staff,
          body=staff_tokens.RevokeBody, answer=staff_tokens.RevocationView, access=OPERATORS),
    _for_operators("/api/ops/level", level.show_level, level.LevelView),
    Route(method="POST", path="/api/ops/level/finish", run=level.finish_upgrade, body=level.FinishBody,
          answer=level.LevelView, access=OPERATORS),
    _for_operators("/api/ops/audit", audit.list_audit, audit.AuditView, audit.AuditParams),
    _for_operators("/api/ops/search", search.search_ids, search.SearchView, search.SearchParams),
    Route(method="POST", path="/api/ops/search", run=search.search, body=search.SearchBody,
          answer=search.SearchView, access=OPERATORS),
    _for_operators("/api/ops/stuck", stuck.ListStuck, stuck.StuckList, stuck.StuckParams),
    _for_operators("/api/ops/orders/{order_id}/stuck", stuck.show_order_waiting, stuck.OrderWaiting,
                   owner=owner_of_order, order_must_exist=True),
    _for_operators("/api/ops/dead-letters", dead_letters.list_dead_letters,
                   dead_letter_views.DeadLetterList, dead_letters.DeadLetterListParams),
    _for_operators("/api/ops/dead-letters/{dead_letter_id}", dead_letters.show_dead_letter,
                   dead_letter_views.DeadLetterDetail, dead_letters.DeadLetterParams,
                   resolve=dead_letters.find_dead_letter, owner=dead_letters.owner_of_letter),
    Route(method="POST", path="/api/ops/dead-letters/{dead_letter_id}/redrive",
          run=dead_letters.redrive_dead_letter, body=dead_letter_views.RedriveBody,
          body_may_be_empty=True, answer=dead_letter_views.SettlementView, access=OPERATORS,
          resolve=dead_letters.find_dead_letter, owner=dead_letters.owner_of_letter),
    Route(method="POST", path="/api/ops/dead-letters/{dead_letter_id}/discard",
          run=dead_letters.discard_dead_letter, body=dead_letter_views.DiscardBody,
          answer=dead_letter_views.SettlementView, access=OPERATORS,
          resolve=dead_letters.find_dead_letter, owner=dead_letters.owner_of_letter),
    _for_operators("/api/ops/notifications", notification_lists.list_notifications,
                   notification_lists.NotificationRows, notification_lists.NotificationListParams,
                   resolve=notification_lists.order_of, owner=notification_lists.owner_if_of_order,
                   waits_for=(NOTIFICATIONS,)),
    _command("/api/ops/notifications/{order_id}/{notification_id}/retry",
             notifications.retry_notification, EmptyBody, notifications.Retried, of_order(OPERATOR),
             body_may_be_empty=True),
    _for_operators("/api/ops/tables/{table}", tables.list_table, tables.TableItems, tables.TableParams),
    _for_operators("/api/ops/digests", digests.stream_digests, None, digests.DigestParams,
                   resolve=digests.partition_of, owner=digests.owner_of_partition),
    _for_operators("/api/ops/digests/{order_id}", digests.show_derived, digests.DerivedStates,
                   owner=owner_of_order),
    Route(method="POST", path="/api/ops/repairs/{order_id}", run=repairs.repair, body=repairs.RepairBody,
          answer=repairs.Repaired, access=OPERATORS, owner=owner_of_order, key=Key.REQUIRED),
    Route(method="POST", path="/webhooks/stripe", run=webhooks.stripe_webhook,
          body=RawBody(MAX_WEBHOOK_BYTES), answer=webhooks.Received, access=webhooks.STRIPE,
          counted_as=RequestKind.BAD_WEBHOOK, checks_origin=False),
    Route(method="POST", path=csp_reports.PATH, run=csp_reports.report_blocked, access=PUBLIC, status=204,
          body=RawBody(csp_reports.MAX_BYTES), counted_as=RequestKind.CSP_REPORT, checks_origin=False),
    Route(method="GET", path="/livez", access=PUBLIC, run=health.livez, answer=health.Alive, is_probe=True),
    Route(method="GET", path="/readyz", access=PUBLIC, run=health.readyz, answer=health.Readiness,
          renderer=health.readiness_answer, is_probe=True),
    Route(method="GET", path="/metrics", run=health.metrics, access=health.METRICS, is_probe=True),
)  # fmt: skip
