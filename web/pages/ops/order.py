"""One order before an operator: its timeline, our tables, Stripe's object, and what can be done with it."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from models.errors import UnavailableError
from models.graphs import ENDED_ORDER, RefundStatus
from web.api import notifications, orders, payments, refunds
from web.api.disputes import Evidence
from web.api.order_views import OrderView
from web.api.schemas import CancelOrderBody, CancelPaymentBody, RefundBody
from web.api.timeline import stored_timeline, timeline_view
from web.http.answers import Accepted, as_json
from web.http.bodies import EmptyBody, validated
from web.http.commands import CommandRequest, perform
from web.http.context import Context
from web.http.problems import CODES, ProblemError
from web.http.route import AnyCall
from web.http.tokens import Role
from web.languages import gettext
from web.ops import stuck
from web.pages.formats import DEFAULT_LOCALE, LOCALES, minor_units, money_text, pretty, step_text
from web.pages.ops.timeline_diagram import draw_timeline
from web.pages.render import render

REFUND_REASONS: Final = {
    "OPERATOR_REQUEST": "Goodwill", "ITEM_MISSING": "Missing items", "QUALITY": "Quality",
    "LATE": "Late delivery", "duplicate": "Paid twice", "fraudulent": "Fraud",
}  # fmt: skip
DONE_TEXTS: Final = {
    "cancel": "The order is cancelled.",
    "refund": "The refund is on its way to Stripe.",
    "retry-refund": "The refund is being tried again.",
    "retry-notification": "The message is being sent again.",
    "ask-stripe": "Stripe is being asked about the payment again.",
    "close-payment": "The payment is closed.",
    "later": "This is under way and is taking a little longer than usual.",
}

NO_PAYMENT_TEXT: Final = "Stripe has no payment for this order yet."
NO_STRIPE_TEXT: Final = "Stripe can't be reached at the moment."


async def show_order(call: AnyCall) -> web.Response:
    """Everything about an order."""
    context, order_id = call.context, call.order_id
    view = orders.joined(context, order_id)
    rows = stored_timeline(context, order_id)
    timeline = timeline_view(order_id, rows, role=Role.OPERATOR)
    stripe, stripe_wrong = await _at_stripe(context, view)
    said = call.request.query.get("said", "")
    return render(
        call.request, "ops_order.html", identity=call.identity, view=view, timeline=timeline,
        picture=draw_timeline(timeline.entries), waiting=as_json(stuck.show_order_waiting(call))["waiting"],
        messages=notifications.shown_of(context, order_id), at_stripe=stripe, stripe_wrong=stripe_wrong,
        tables=_tables(view), can_cancel=view.status not in ENDED_ORDER, can_refund=_can_refund(view),
        failed=RefundStatus.FAILED,
        retried={refund.retry_of for refund in view.payment.refunds} if view.payment else set(),
        said=DONE_TEXTS.get(said) or (said in CODES and CODES[said][1] + ".") or "",
        is_refused=said in CODES,
    )  # fmt: skip


def _can_refund(view: OrderView) -> bool:
    payment = view.payment
    blocked = payment is not None and any(each.blocks_refunds for each in payment.disputes)
    return payment is not None and payment.refundable.amount > 0 and not blocked


async def _at_stripe(context: Context, view: OrderView) -> tuple[str, str]:
    """Stripe's object as text, or why it is not here."""
    if context.deps.stripe_intent is None or view.payment is None:
        return "", NO_PAYMENT_TEXT
    try:
        intent = await context.deps.stripe_intent(view.payment.stripe_intent_id)
    except UnavailableError:
        return "", NO_STRIPE_TEXT
    return pretty(intent), ""


def _tables(view: OrderView) -> str:
    """What our tables hold, without what only the customer and the door need."""
    shown = as_json(view).items()
    return pretty({name: value for name, value in shown if name not in {"contact", "address"}})


def ask(name: str, call: AnyCall) -> web.Response:
    """Ask once before an action is taken: what it means, and the button."""
    return _question(call, name, orders.joined(call.context, call.order_id))


def _question(call: AnyCall, name: str, view: OrderView, wrong: str = "") -> web.Response:
    return render(
        call.request, "ops_confirm.html", identity=call.identity, view=view, name=name, wrong=wrong,
        which=call.request.query.get("which", ""), reasons=REFUND_REASONS, key=str(uuid.uuid4()),
        step=step_text(view.amount.currency),
    )  # fmt: skip


async def act(name: str, call: AnyCall) -> web.Response:
    """Take an action as the operator who is signed in, and show the order."""
    said = name
    try:
        command = ACTIONS[name](call, orders.joined(call.context, call.order_id))
        result = await perform(call.context, command)
        said = "later" if isinstance(result, Accepted) else said
    except ValueError as error:
        return _question(call, name, orders.joined(call.context, call.order_id), str(error))
    except ProblemError as problem:
        if problem.status not in {404, 409, 422}:
            raise
        said = problem.code
    raise web.HTTPSeeOther(f"/ops/orders/{call.order_id}?said={said}")


def _cancel(call: AnyCall, _: OrderView) -> CommandRequest:
    call.body = validated(CancelOrderBody, {"reason": "OPERATOR_REQUEST"})
    return orders.cancel_order(call)


def _refund(call: AnyCall, view: OrderView) -> CommandRequest:
    """Raises ValueError for an amount that can't be refunded, ProblemError (400)."""
    value: dict[str, Any] = {"reason": call.fields.get("reason", "")}
    if text := call.fields.get("amount"):
        currency = view.amount.currency
        most = view.payment.refundable if view.payment else view.amount
        value["amount"] = minor_units(text, currency, LOCALES.get(currency, DEFAULT_LOCALE))
        if not 0 < value["amount"] <= most.amount:
            raise ValueError(gettext("Enter an amount up to {most}.", most=money_text(most)))
    call.body = validated(RefundBody, value)
    return refunds.refund(call)


def _retry_refund(call: AnyCall, _: OrderView) -> CommandRequest:
    call.body = EmptyBody()
    return refunds.retry_command(call, call.fields.get("which", ""))


def _retry_notification(call: AnyCall, _: OrderView) -> CommandRequest:
    call.body = EmptyBody()
    return notifications.retry_command(call, call.fields.get("which", ""))


def _ask_stripe(call: AnyCall, _: OrderView) -> CommandRequest:
    call.body = EmptyBody()
    return payments.ask_again(call)


def _close_payment(call: AnyCall, _: OrderView) -> CommandRequest:
    given = {"orderId": call.order_id, "reason": "OPERATOR_REQUEST"}
    call.body = validated(CancelPaymentBody, given)
    return payments.cancel_payment(call)


ACTIONS: Final[Mapping[str, Callable[[AnyCall, OrderView], CommandRequest]]] = {
    "cancel": _cancel,
    "refund": _refund,
    "retry-refund": _retry_refund,
    "retry-notification": _retry_notification,
    "ask-stripe": _ask_stripe,
    "close-payment": _close_payment,
}
"""What operators do with an order -> the command of the API that does it."""


def show_evidence(call: AnyCall, evidence: Evidence) -> web.Response:
    """The evidence for a dispute, to be printed."""
    return render(call.request, "evidence.html", evidence=evidence, identity=call.identity)
