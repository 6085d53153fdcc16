"""The bodies that writes take and the answers that they give; descriptions say what is accepted."""

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from models import money
from models.cancel_reasons import CUSTOMER_REASONS, OPERATOR_REQUEST, CancelReason, RefundReason
from web.api.order_views import RefundView
from web.http.answers import Money
from web.http.api_model import ApiModel
from web.http.bodies import Body
from web.http.problems import ProblemError
from web.http.tokens import Identity, Role

MAX_CART_LINES = 50
MAX_QUANTITY = 99

SingleLineText = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=200)]
CustomerText = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", min_length=1, max_length=300)
]
RequiredText = Annotated[SingleLineText, StringConstraints(min_length=1)]
OrderId = Annotated[
    str,
    Field(
        pattern=r"^order_[0-7][0-9a-hjkmnp-tv-z]{25}$", description="an id that create-intent gave"
    ),
]


def later(description: str) -> Any:
    """A field that bodies had not from the start: without it a body's hash stays what it was."""
    return Field(default=None, description=description, exclude_if=lambda value: value is None)


def check_reason(identity: Identity, reason: str) -> None:
    """Raises ProblemError (400) for an operator's reason from anybody else: customers would be told it."""
    if reason == OPERATOR_REQUEST and identity.role is not Role.OPERATOR:
        accepted = f"accepted: {', '.join(CUSTOMER_REASONS)}"
        raise ProblemError("VALIDATION_FAILED", errors=[("reason", accepted)])


class CartLine(Body):
    """One dish of a cart."""

    dish_id: str = Field(max_length=60, description="the id of a dish of the restaurant's menu")
    quantity: int = Field(
        strict=True, ge=1, le=MAX_QUANTITY, description=f"a whole number from 1 to {MAX_QUANTITY}"
    )


class ContactBody(Body):
    """Whom to reach about the order."""

    name: RequiredText = Field(description="1 to 200 characters")
    email: str = Field(
        max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\.[^@\s\x00-\x1f]+$",
        description="an email address, such as asha@example.com",
    )  # fmt: skip
    phone: str = Field(
        pattern=r"^\+?[0-9](?:[ ().\-]{0,2}[0-9]){4,14}$",
        description="5 to 15 digits, with + and the country in front where possible",
    )


class AddressBody(Body):
    """Where to deliver."""

    line1: RequiredText = Field(description="1 to 200 characters")
    line2: SingleLineText = Field(default="", description="up to 200 characters")
    city: RequiredText = Field(description="1 to 200 characters")
    postal_code: RequiredText = Field(max_length=20, description="1 to 20 characters")


class CreateIntent(Body):
    """A cart; prices and the currency come from the server's catalogue."""

    restaurant_id: str = Field(
        max_length=60, description="the id of a restaurant that GET /api/restaurants lists"
    )
    items: tuple[CartLine, ...] = Field(
        min_length=1,
        max_length=MAX_CART_LINES,
        description=f"1 to {MAX_CART_LINES} lines, one a dish",
    )
    contact: ContactBody
    address: AddressBody
    notes: CustomerText | None = later("for the kitchen, one line of up to 300 characters")
    allergies: CustomerText | None = later("for the kitchen, one line of up to 300 characters")


class Intent(ApiModel):
    """What the page needs to pay. reference: for people. The client secret is Stripe's and stored nowhere."""

    order_id: str
    reference: str
    payment_id: str
    client_secret: str
    publishable_key: str
    amount: Money
    order_token: str
    consistency_token: str


class Confirm(Body):
    """A confirmation token or a payment method that the browser had from Stripe; never a card."""

    order_id: OrderId
    confirmation_token: str | None = Field(
        None, pattern=r"^ctoken_[A-Za-z0-9_]{1,200}$", description="ctoken_..., from Stripe.js"
    )
    payment_method_id: str | None = Field(
        None, pattern=r"^pm_[A-Za-z0-9_]{1,200}$", description="pm_..., from Stripe.js"
    )

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.confirmation_token is None) == (self.payment_method_id is None):
            raise ValueError("accepted: either confirmationToken or paymentMethodId")
        return self


class Confirmation(ApiModel):
    """How a confirm ended: COMPLETED, FAILED, PROCESSING or REQUIRES_ACTION.

    CANCELLED and REFUNDED are what a repetition may find later. clientSecret: only for REQUIRES_ACTION,
    to be handed to Stripe.js.
    """

    order_id: str
    payment_id: str
    status: str
    attempt: int
    amount: Money
    failure_reason: str | None = None
    failure_code: str | None = None
    next_action: str | None = None
    client_secret: str | None = None
    receipt_url: str | None = None
    consistency_token: str


class CancelPaymentBody(Body):
    """Which payment to cancel, and why."""

    order_id: OrderId
    reason: CancelReason = "CUSTOMER_REQUEST"


class AskedAgain(ApiModel):
    """status: the payment's, before Stripe has answered."""

    order_id: str
    payment_id: str
    status: str
    consistency_token: str


class PaymentCancelAnswer(ApiModel):
    """status: CANCELLED, or COMPLETED when the money was faster (its refund follows)."""

    order_id: str
    payment_id: str
    status: str
    consistency_token: str


class RefundBody(Body):
    """amount: minor units; left out, all that is left is refunded."""

    amount: int | None = Field(
        default=None, strict=True, ge=1, le=money.MAXIMUM_CHARGE,
        description="a whole number of minor units, or nothing for all that is left",
    )  # fmt: skip
    reason: RefundReason = "OPERATOR_REQUEST"


class RefundAnswer(ApiModel):
    """A refund as it stands."""

    order_id: str
    refund: RefundView
    consistency_token: str


class CancelOrderBody(Body):
    """Why the order is cancelled."""

    reason: CancelReason = "CUSTOMER_REQUEST"


class OrderCancelAnswer(ApiModel):
    """status: CANCELLED, or PLACED while Stripe opens the payment (the cancel then follows).

    refund: whether money is on its way back.
    """

    order_id: str
    status: str
    refund: bool
    consistency_token: str
