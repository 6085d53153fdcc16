"""One order before an operator: Kafka's story, our tables and Stripe's object, and what can be done."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from models.errors import UnavailableError
from models.graphs import ENDED_ORDER, RefundStatus
from web.api import notifications, orders
from web.api.order_views import OrderView
from web.api.schemas import RefundBody
from web.api.timeline import timeline_view
from web.http.auth import authorize
from web.http.bodies import VALUE, validated
from web.http.commands import check_order_is_known, forwarded_to_owner
from web.http.context import CONTEXT, TIMELINE, Context
from web.http.problems import CODES, ProblemError
from web.http.tokens import Role
from web.pages import amounts, interim
from web.pages.formats import DEFAULT_LOCALE, LOCALES, money_text, pretty
from web.pages.forms import answer_of, read_form
from web.pages.ops.timeline_diagram import draw_timeline
from web.pages.render import render

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REFUND_REASONS: Final = {
    "OPERATOR_REQUEST": "Goodwill", "ITEM_MISSING": "Something was missing", "QUALITY": "Quality",
    "LATE": "It came late", "duplicate": "Paid twice", "fraudulent": "Fraud",
}  # fmt: skip
DONE_TEXTS: Final = {
    "cancel": "The order is cancelled.",
    "refund": "The refund is on its way to Stripe.",
    "retry-refund": "The refund is tried once more.",
    "retry-notification": "The message is tried once more.",
    "later": "It is under way, and takes a moment longer than usual.",
}


async def show_order(request: web.Request) -> web.StreamResponse:
    """Everything about an order."""
    context, order_id, identity, forwarded = await interim.reader(
        request, *orders.PARTS, TIMELINE, roles=(Role.OPERATOR,)
    )
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, order_id)
    view = orders.joined(context, order_id)
    rows = context.tables[TIMELINE].rows(f"{order_id}/")
    timeline = timeline_view(order_id, rows, role=Role.OPERATOR)
    waiting = answer_of(await interim.handler("show_order_waiting")(request))["waiting"]
    messages = notifications.shown_of(context, order_id)
    stripe, stripe_wrong = await _at_stripe(context, view)
    said = request.query.get("said", "")
    return render(
        request, "ops_order.html", identity=identity, view=view, timeline=timeline,
        picture=draw_timeline(timeline.entries), waiting=waiting, messages=messages,
        at_stripe=stripe, stripe_wrong=stripe_wrong,
        tables=_tables(view), can_cancel=view.status not in ENDED_ORDER,
        can_refund=_can_refund(view), failed=RefundStatus.FAILED,
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
        return "", "Stripe has no payment of this order yet."
    try:
        intent = await context.deps.stripe_intent(view.payment.stripe_intent_id)
    except UnavailableError:
        return "", "Stripe can't be asked at the moment."
    return pretty(intent), ""


def _tables(view: OrderView) -> str:
    """What our tables hold, without what only the customer and the door need."""
    shown = view.model_dump(mode="json", by_alias=True, exclude_none=True)
    return pretty(
        {name: value for name, value in shown.items() if name not in {"contact", "address"}}
    )


async def show_confirmation(request: web.Request) -> web.StreamResponse:
    """Ask once before something is done: what it means, and the button."""
    context, order_id, identity, forwarded = await interim.reader(
        request, *orders.PARTS, roles=(Role.OPERATOR,)
    )
    if forwarded is not None:
        return forwarded
    name = request.match_info["action"]
    if name not in ACTIONS:
        raise ProblemError("NOT_FOUND")
    return _question(request, identity, orders.joined(context, order_id), name, "")


def _question(
    request: web.Request, identity: Any, view: OrderView, name: str, wrong: str
) -> web.Response:
    return render(
        request, "ops_confirm.html", identity=identity, view=view, name=name, wrong=wrong,
        which=request.query.get("which", ""), reasons=REFUND_REASONS, key=str(uuid.uuid4()),
    )  # fmt: skip


async def perform(request: web.Request) -> web.StreamResponse:
    """Do it, as the operator who is signed in, and show the order."""
    context = request.app[CONTEXT]
    order_id, name = request.match_info["order_id"], request.match_info["action"]
    action = ACTIONS.get(name)
    if action is None:
        raise ProblemError("NOT_FOUND")
    identity = await authorize(request, context.deps, order_id, Role.OPERATOR)
    form = await read_form(request)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    said = name
    try:
        request[VALUE] = _value(name, form, orders.joined(context, order_id))
        request.match_info["refund_id"] = request.match_info["notification_id"] = form.get(
            "which", ""
        )
        answer = await action(request)
        said = "later" if answer.status == 202 else said
    except ValueError as error:
        return _question(request, identity, orders.joined(context, order_id), name, str(error))
    except ProblemError as problem:
        if problem.status not in {404, 409, 422}:
            raise
        said = problem.code
    raise web.HTTPSeeOther(f"/ops/orders/{order_id}?said={said}")


def _value(name: str, form: dict[str, str], view: OrderView) -> dict[str, Any]:
    """The body that the API takes. Raises ValueError for an amount that nobody can refund."""
    if name == "cancel":
        return {"reason": "OPERATOR_REQUEST"}
    if name != "refund":
        return {}
    value: dict[str, Any] = {"reason": form.get("reason", "")}
    if form.get("amount"):
        value["amount"] = _minor_units(form["amount"], view)
    return validated(RefundBody, value).model_dump(by_alias=True, exclude_none=True)


def _minor_units(text: str, view: OrderView) -> int:
    currency = view.amount.currency
    most = view.payment.refundable if view.payment else view.amount
    units = amounts.minor_units(text, currency, LOCALES.get(currency, DEFAULT_LOCALE))
    if not 0 < units <= most.amount:
        raise ValueError(f"Enter an amount up to {money_text(most)}.")
    return units


ACTIONS: Final[dict[str, Handler]] = {
    "cancel": interim.handler("cancel_order"),
    "refund": interim.handler("refund"),
    "retry-refund": interim.handler("retry_refund"),
    "retry-notification": interim.handler("retry_notification"),
}
