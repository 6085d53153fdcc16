"""The operators' page of what customers were told: sent, to be sent, given up, and what waits for them."""

from typing import Final

from aiohttp import web

from models.events import EventType
from models.notification import Channel, NotificationStatus
from web.http.auth import authorize_staff
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.http.tokens import Role
from web.pages import interim
from web.pages.forms import answer_of, drop_empty, is_for_worker
from web.pages.render import render

E, S = EventType, NotificationStatus
STATES: Final = {
    S.WAITING_FOR_OPERATOR: "Waits for you",
    S.FAILED: "Given up",
    S.PENDING: "To be sent",
    S.HELD: "Held back",
    S.SENT: "Sent",
    S.SUPERSEDED: "Outdated",
}
TONES: Final = {
    S.WAITING_FOR_OPERATOR: "warn", S.FAILED: "bad", S.PENDING: "info", S.HELD: "info", S.SENT: "good",
    S.SUPERSEDED: "info",
}  # fmt: skip
HINTS: Final = {
    S.WAITING_FOR_OPERATOR: "all tries are used up",
    S.FAILED: "no repetition can help by itself",
    S.PENDING: "first tries, and pauses between tries",
    S.HELD: "order or address has had enough for now",
    S.SUPERSEDED: "held back, then nobody needed it",
    S.SENT: "taken by the mail server or SMS provider",
}
KINDS: Final = {
    E.PAYMENT_COMPLETED: "Payment received",
    E.PAYMENT_FAILED: "Payment declined",
    E.PAYMENT_REFUNDED: "Refund",
    E.PAYMENT_REFUND_PARTIAL: "Refund in part",
    E.ORDER_CONFIRMED: "Order confirmed",
    E.ORDER_OUT_FOR_DELIVERY: "Out for delivery",
    E.ORDER_DELIVERED: "Delivered",
    E.ORDER_CANCELLED: "Order cancelled",
}
CHANNELS: Final = {Channel.EMAIL: "Mail", Channel.SMS: "Short message"}


async def show_notifications(request: web.Request) -> web.StreamResponse:
    """All messages, the latest first; filters that are refused, and an unknown order, are told."""
    drop_empty(request)
    found, wrong = None, ""
    try:
        answer = await interim.handler("list_notifications")(request)
        if answer.prepared or is_for_worker(request):
            return answer
        found = answer_of(answer)
    except ProblemError as problem:
        if problem.code not in {"VALIDATION_FAILED", "ORDER_UNKNOWN"}:
            raise
        wrong = "; ".join(f"{field}: {text}" for field, text in problem.errors)
        wrong = wrong or "There is no such order."
    identity = await authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    filters = {name: value for name, value in request.query.items() if name != "before"}
    older = {**filters, "before": found["next"]} if found and "next" in found else None
    return render(
        request, "ops_notifications.html", identity=identity, found=found, wrong=wrong,
        query=request.query, states=STATES, tones=TONES, hints=HINTS, kinds=KINDS,
        channels=CHANNELS, newest=request.rel_url.with_query(filters),
        older=request.rel_url.with_query(older) if older else None,
    )  # fmt: skip
