"""What an order's view means to its customer: headline, steps with times, courier, cancel, refund."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from models import graphs
from models.delivery_code import DeliveryProof
from models.graphs import OrderStatus, PaymentStatus, RefundStatus
from models.order import PLACED
from web.api.order_views import OrderView, PaymentView, RefundView
from web.languages import gettext, gettext_of

O = OrderStatus  # noqa: E741 - stands for the enum in the tables below, as in models/graphs.py

UNPAID: Final = frozenset({PLACED, *graphs.UNPAID_ORDER})
"""Statuses in which the order may still be paid, or changed into another."""

HEADLINES: Final[Mapping[str, tuple[str, str]]] = {
    PLACED: ("We have received your order", "We are preparing your payment."),
    O.PAYMENT_PENDING: (
        "Your order is waiting for payment",
        "It goes to the kitchen as soon as it is paid.",
    ),
    O.PAYMENT_FAILED: (
        "Your payment did not go through",
        "You have not been charged. Try another card.",
    ),
    O.PENDING: ("Paid and sent to the kitchen", "We will let you know as soon as they accept."),
    O.CONFIRMED: ("The kitchen has accepted your order", "They will start on it in a moment."),
    O.PREPARING: ("Your food is being prepared", "Freshly made for you."),
    O.READY_FOR_PICKUP: ("Packed and ready", "A courier will pick it up."),
    O.OUT_FOR_DELIVERY: ("On its way to you", "Listen out for the doorbell."),
    O.DELIVERED: ("Delivered", "Enjoy your meal."),
    O.CANCELLED: ("This order was cancelled", ""),
    O.REFUNDED: (
        "Cancelled and refunded",
        "The money should reach you within 5 to 10 business days.",
    ),
}
"""Status -> headline, one more sentence."""

TONES: Final[Mapping[str, str]] = {
    PLACED: "plain", O.PAYMENT_PENDING: "plain", O.PAYMENT_FAILED: "bad", O.DELIVERED: "good",
    O.CANCELLED: "bad", O.REFUNDED: "plain",
}  # fmt: skip

STEPS: Final = (
    (O.PENDING, "Paid"),
    (O.CONFIRMED, "Accepted by the kitchen"),
    (O.PREPARING, "Being prepared"),
    (O.READY_FOR_PICKUP, "Ready for the courier"),
    (O.OUT_FOR_DELIVERY, "On its way"),
    (O.DELIVERED, "Delivered"),
)

CANCEL_REASONS: Final = {
    "CUSTOMER_REQUEST": "I don't need it any more",
    "CHANGED_MIND": "I want something else",
    "ORDERED_BY_MISTAKE": "I ordered by mistake",
    "TOO_SLOW": "It is taking too long",
}
"""What customers choose from."""

WHY_CANCELLED: Final = {
    **dict.fromkeys(CANCEL_REASONS, "You cancelled it."),
    "RESTAURANT_REJECTED": "The restaurant could not take your order.",
    "RESTAURANT_TIMEOUT": "The restaurant did not respond in time. We are sorry.",
    "PAYMENT_EXPIRED": "It was not paid in time.",
    "PAID_TOO_LATE": "The payment arrived too late for the restaurant.",
    "HEARD_TOO_LATE": "You paid in time, but we found out too late. That was our fault, and we are sorry.",
    "TOO_MANY_ATTEMPTS": "There were too many payment attempts.",
    "OPERATOR_REQUEST": "Our support team cancelled it.",
    "REFUNDED": "It was refunded in full.",
}
WHY_REJECTED: Final = {
    "TOO_BUSY": "They are too busy right now.",
    "OUT_OF_STOCK": "Something in it is out of stock.",
    "CLOSED": "They have closed.",
}
REFUND_DURATION_TEXT: Final = "Refunds usually take 5 to 10 business days, depending on your bank."

CHECKING_TEXTS: Final = (
    "Checking with your bank",
    "You will not be charged twice. This page will update as soon as we know.",
)
REFUND_WORDS: Final = {
    RefundStatus.PENDING: "On its way to your bank",
    RefundStatus.SUCCEEDED: "Sent to your bank",
    RefundStatus.FAILED: "Your bank did not accept it; our support team is on it",
    RefundStatus.CANCELLED: "Stopped",
}

REFUND_REQUIRES_ACTION_TEXT: Final = (
    "Waiting for you: Stripe has emailed you to ask where to send the money"
)

COURIER_STAGE: Final = {
    O.PENDING: 0, O.CONFIRMED: 0, O.PREPARING: 0, O.READY_FOR_PICKUP: 1, O.OUT_FOR_DELIVERY: 2,
    O.DELIVERED: 3,
}  # fmt: skip
"""How far the food is: 0 in the kitchen, 1 at the counter, 2 on the road, 3 at the door."""


@dataclass(frozen=True, slots=True)
class ProgressStep:
    """state: done, active (under way), upcoming or stopped. at: RFC 3339. is_current: the order is here."""

    label: str
    state: str
    at: str | None = None
    note: str = ""
    is_current: bool = False


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """All that the tracking page says beside the order itself."""

    headline: str
    more: str
    tone: str
    steps: tuple[ProgressStep, ...]
    courier_at: int | None
    courier: str
    can_cancel: bool
    can_pay: bool
    refunds: tuple[tuple[Any, str], ...]


def progress_of(view: OrderView) -> OrderProgress:
    """What to tell the customer about the order as it stands."""
    headline, more = (gettext(text) for text in HEADLINES[view.status])
    refunds = view.payment.refunds if view.payment else ()
    if view.status == O.CANCELLED:
        more = _why(view)
    elif _is_checked(view):
        headline, more = (gettext(text) for text in CHECKING_TEXTS)
    return OrderProgress(
        headline=headline,
        more=more,
        tone=TONES.get(view.status, "busy"),
        steps=tuple(_with_current(_steps(view))),
        courier_at=COURIER_STAGE.get(O(view.status)) if view.status in set(O) else None,
        courier=_courier(view),
        can_cancel=view.status not in graphs.ENDED_ORDER and not view.held_for_operator,
        can_pay=view.status in {O.PAYMENT_PENDING, O.PAYMENT_FAILED},
        refunds=tuple((each, _refund_words(each)) for each in refunds),
    )


def _refund_words(refund: RefundView) -> str:
    if refund.requires_action:
        return gettext(REFUND_REQUIRES_ACTION_TEXT)
    return gettext(REFUND_WORDS[RefundStatus(refund.status)])


def _is_checked(view: OrderView) -> bool:
    payment = view.payment
    return (
        view.status == O.PAYMENT_PENDING
        and payment is not None
        and payment.status == PaymentStatus.PROCESSING
        and payment.next_action is None
    )


def _steps(view: OrderView) -> list[ProgressStep]:
    steps = [ProgressStep(gettext("Order placed"), "done", view.placed_at)]
    if view.status in {O.CANCELLED, O.REFUNDED}:
        reached = [(gettext(label), view.reached[s]) for s, label in STEPS if s in view.reached]
        return steps + [ProgressStep(label, "done", at) for label, at in reached] + _ending(view)
    if view.status in graphs.ORDER_PATH:
        here = graphs.ORDER_PATH.index(O(view.status))
        for number, (status, label) in enumerate(STEPS):
            is_active = number == here and status is not O.DELIVERED
            state = "active" if is_active else "done" if number <= here else "upcoming"
            at = view.reached.get(status) if number <= here else None
            steps.append(ProgressStep(gettext(label), state, at))
        return steps
    note = gettext_of(view.payment.failure_reason) if view.payment else ""
    if view.status == O.PAYMENT_FAILED:
        failed_at = view.reached.get(view.status)
        steps.append(ProgressStep(gettext("Payment failed"), "stopped", failed_at, note))
    else:
        steps.append(ProgressStep(gettext("Waiting for payment"), "active"))
    return steps + [ProgressStep(gettext(label), "upcoming") for _, label in STEPS[1:]]


def _ending(view: OrderView) -> list[ProgressStep]:
    steps = [
        ProgressStep(gettext("Cancelled"), "stopped", view.reached.get(O.CANCELLED), _why(view))
    ]
    if view.status == O.REFUNDED:
        steps.append(ProgressStep(gettext("Refunded"), "done", view.reached.get(O.REFUNDED)))
    elif view.payment and view.payment.captured.amount:
        steps.append(ProgressStep(gettext("Refund under way"), "active"))
    return steps


def _with_current(steps: list[ProgressStep]) -> list[ProgressStep]:
    """Mark the last step that is not to come."""
    here = max(number for number, step in enumerate(steps) if step.state != "upcoming")
    steps[here] = replace(steps[here], is_current=True)
    return steps


def _why(view: OrderView) -> str:
    reason, _, more = (view.cancel_reason or "").partition(": ")
    texts = (gettext_of(WHY_CANCELLED.get(reason)), gettext_of(WHY_REJECTED.get(more)))
    return " ".join(filter(None, texts))


def _courier(view: OrderView) -> str:
    """Where the courier is, in words."""
    status = (view.delivery or {}).get("status")
    if view.status == O.OUT_FOR_DELIVERY:
        return gettext("Your courier has picked up your food and is on the way.")
    if view.status == O.DELIVERED and (view.delivery or {}).get("proof") == DeliveryProof.CODE:
        return gettext("Your courier has handed it over, and you gave the code.")
    if view.status == O.DELIVERED:
        return gettext("Your courier has handed it over.")
    if status == "ASSIGNED":
        if view.status == O.READY_FOR_PICKUP:
            return gettext("Your courier is at the restaurant to pick it up.")
        return gettext("A courier is assigned and waiting for the kitchen.")
    return gettext("A courier will collect it as soon as it is ready.")


def gives_refund(payment: PaymentView | None) -> bool:
    """Whether a cancel now gives money back."""
    return payment is not None and payment.refundable.amount > 0
