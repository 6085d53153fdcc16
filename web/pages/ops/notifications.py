"""The operators' page of customers' notifications: sent, to be sent, given up, or waiting for an operator."""

from typing import Final

from aiohttp import web

from models.events import EventType
from models.notification import Channel, NotificationStatus
from web.http.answers import as_json
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.ops.notifications import NotificationRows
from web.pages.errors import field_texts
from web.pages.render import render

E, S = EventType, NotificationStatus
STATES: Final = {
    S.WAITING_FOR_OPERATOR: ("Needs you", "warn", "all attempts are used up"),
    S.FAILED: ("Given up", "bad", "trying again alone will not help"),
    S.PENDING: ("To be sent", "info", "first attempts, and pauses between attempts"),
    S.HELD: ("Held back", "info", "the limit for this order or address is reached"),
    S.SENT: ("Sent", "good", "accepted by the mail server or SMS provider"),
    S.SUPERSEDED: ("Outdated", "info", "held back until it was no longer needed"),
}
"""State -> name, colour, what it means."""
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
CHANNELS: Final = {Channel.EMAIL: "Email", Channel.SMS: "SMS"}

NO_ORDER_TEXT: Final = "There is no such order."


def show_notifications(
    call: AnyCall, rows: NotificationRows | None = None, wrong: str = ""
) -> web.Response:
    """All messages, the latest first; without rows, what is wrong with what was asked for."""
    request, found = call.request, as_json(rows) if rows else None
    filters = {name: value for name, value in request.query.items() if name != "before"}
    older = {**filters, "before": found["next"]} if found and "next" in found else None
    names, tones, hints = ({s: texts[i] for s, texts in STATES.items()} for i in range(3))
    return render(
        request, "ops_notifications.html", identity=call.identity, found=found, wrong=wrong,
        query=request.query, states=names, tones=tones, hints=hints, kinds=KINDS,
        channels=CHANNELS, newest=request.rel_url.with_query(filters),
        older=request.rel_url.with_query(older) if older else None,
    )  # fmt: skip


async def show_refused(call: AnyCall, error: Exception) -> web.Response:
    """The form with what is wrong in it: a filter, or an order that there is not."""
    if not isinstance(error, ProblemError) or error.code not in {
        "VALIDATION_FAILED", "ORDER_UNKNOWN"
    }:  # fmt: skip
        raise error
    return show_notifications(call, wrong=field_texts(error) or NO_ORDER_TEXT)
