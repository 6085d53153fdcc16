"""Orders the first dish of the first restaurant, pays, and prints the order's id and its payment's status."""

import os
import sys
import uuid
from typing import TypeVar

from httpx import Timeout
from tiffin_client import AuthenticatedClient, Client
from tiffin_client.api.default import confirm, create_intent, list_restaurants, show_menu
from tiffin_client.models import (
    AddressBody,
    CartLine,
    Confirm,
    Confirmation,
    ContactBody,
    CreateIntent,
    Intent,
    Menu,
    RestaurantList,
)

BASE = os.environ.get("TIFFIN", "http://localhost:8000")
TIMEOUT = Timeout(60)  # seconds
A = TypeVar("A")


def must(kind: type[A], answer: object) -> A:
    """Give the answer of this kind; others are Accepted (202: under way) and Problem, which has a code."""
    if not isinstance(answer, kind):
        sys.exit(f"no {kind.__name__}: {answer}")
    return answer


def main() -> None:
    """The same Idempotency-Key again, after a time-out say, is the same order and the same payment."""
    guest = Client(BASE, timeout=TIMEOUT)
    restaurant = must(RestaurantList, list_restaurants.sync(client=guest)).restaurants[0].id
    dish = must(Menu, show_menu.sync(restaurant, client=guest)).dishes[0].id
    order = CreateIntent(
        restaurant_id=restaurant,
        items=[CartLine(dish_id=dish, quantity=1)],
        contact=ContactBody(name="Asha Rao", email="asha@example.com", phone="+919800000000"),
        address=AddressBody(line1="12 MG Road", city="Bengaluru", postal_code="560001"),
    )
    key = str(uuid.uuid4())
    opened = must(Intent, create_intent.sync(client=guest, body=order, idempotency_key=key))

    customer = AuthenticatedClient(BASE, token=opened.order_token, timeout=TIMEOUT)
    # In a shop Stripe.js gives the payment method; this is one of Stripe's for tests.
    payment = Confirm(order_id=opened.order_id, payment_method_id="pm_card_visa")
    key = str(uuid.uuid4())
    paid = must(Confirmation, confirm.sync(client=customer, body=payment, idempotency_key=key))
    print(opened.order_id, paid.status)


if __name__ == "__main__":
    main()
