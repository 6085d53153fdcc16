"""A customer of the HTTP API: reads a menu, pays with a card, watches the order, cancels it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox.api_client import ApiClient, RefusedError, until
from sandbox.card_numbers import VISA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONTACT = {"name": "Asha Rao", "email": "asha@example.com", "phone": "+919800000000"}
ADDRESS = {"line1": "12 MG Road", "city": "Bengaluru", "postalCode": "560001"}
KNOWN_RESULTS = {"COMPLETED", "FAILED", "REQUIRES_ACTION"}
RETRYABLE_STATUSES = (409, 503, 504)
"""Statuses after which the same request may succeed."""

T = TypeVar("T")


class Customer(ApiClient):
    """A guest. Methods raise RefusedError for what the API refuses, TimeoutError after `max_wait_s`."""

    def __init__(self, web: str, stripe: str) -> None:
        """web: base URL of a worker; stripe: of the stand-in, as the page's Stripe.js knows it."""
        super().__init__(web)
        self.stripe = stripe
        self.order: dict[str, Any] = {}

    @property
    def order_id(self) -> str:
        """The order's id, once its payment has been opened."""
        return str(self.order["orderId"])

    async def basket(self, restaurant: str | None = None, dishes: int = 2) -> dict[str, Any]:
        """The body of create-intent: the first dishes of a restaurant, by default of the first one."""
        _, listing = await self.call("GET", "/api/restaurants")
        chosen = restaurant or listing["restaurants"][0]["id"]
        _, menu = await self.call("GET", f"/api/restaurants/{chosen}/menu")
        items = [{"dishId": dish["id"], "quantity": 1} for dish in menu["dishes"][:dishes]]
        return {"restaurantId": chosen, "items": items, "contact": CONTACT, "address": ADDRESS}

    async def open_payment(
        self, basket: dict[str, Any] | None = None, key: str | None = None
    ) -> dict[str, Any]:
        """Open the payment, retried with the same key while the answer is a retryable status."""
        body, key = basket or await self.basket(), key or str(uuid.uuid4())

        async def opened() -> dict[str, Any] | None:
            status, answer = await self.call("POST", "/api/payments/create-intent", body, key)
            return answer if status == 201 else None

        order: dict[str, Any] = await self.until(opened, "the payment to open")
        self.order, self.token = order, str(order["orderToken"])
        return order

    async def card_token(self, card: str) -> str:
        """A confirmation token for a card, from Stripe, as the Payment Element gets it."""
        form = {
            "key": self.order["publishableKey"],
            "payment_method_data[type]": "card",
            "payment_method_data[card][number]": card,
            "payment_method_data[card][exp_month]": "12",
            "payment_method_data[card][exp_year]": "2034",
            "payment_method_data[card][cvc]": "123",
        }
        url = f"{self.stripe}/v1/confirmation_tokens"
        async with self.session.post(url, data=form) as response:
            token = await response.json()
            if response.status >= 400:
                raise RefusedError(response.status, token)
            return str(token["id"])

    async def confirm(self, card: str = VISA, key: str | None = None) -> dict[str, Any]:
        """Pay with a card; returns the confirm's answer."""
        body = {"orderId": self.order_id, "confirmationToken": await self.card_token(card)}
        _, answer = await self.call("POST", "/api/payments/confirm", body, key or str(uuid.uuid4()))
        return dict(answer)

    async def pay(self, card: str = VISA, key: str | None = None) -> dict[str, Any]:
        """Confirm, again with the same key, until the result is known; returns that answer."""
        body = {"orderId": self.order_id, "confirmationToken": await self.card_token(card)}
        key = key or str(uuid.uuid4())

        async def known() -> dict[str, Any] | None:
            _, answer = await self.call("POST", "/api/payments/confirm", body, key)
            return answer if answer.get("status") in KNOWN_RESULTS else None

        answer: dict[str, Any] = await self.until(known, "the payment's result")
        return answer

    async def authenticate(self, client_secret: str, *, succeed: bool) -> None:
        """Complete or fail the 3-D Secure authentication."""
        intent_id, _, _ = client_secret.partition("_secret_")
        url = f"{self.stripe}/_control/3ds/{intent_id}"
        body = {"outcome": "succeed" if succeed else "fail"}
        async with self.session.post(url, json=body) as response:
            if response.status >= 400:
                raise RefusedError(response.status, await response.json())

    async def cancel(self, key: str | None = None) -> dict[str, Any]:
        """Cancel the order."""
        path = f"/api/orders/{self.order_id}/cancel"
        _, answer = await self.call("POST", path, {}, key or str(uuid.uuid4()))
        return dict(answer)

    async def look(self) -> dict[str, Any]:
        """The order's view."""
        _, answer = await self.call("GET", f"/api/orders/{self.order_id}")
        return dict(answer)

    async def timeline(self) -> list[dict[str, Any]]:
        """The entries of the order's timeline."""
        _, answer = await self.call("GET", f"/api/orders/{self.order_id}/timeline")
        return list(answer["entries"])

    async def wait_until(
        self, holds: Callable[[dict[str, Any]], bool], what: str
    ) -> dict[str, Any]:
        """Poll the order until the predicate holds; returns its view."""

        async def seen() -> dict[str, Any] | None:
            order = await self.look()
            return order if holds(order) else None

        order: dict[str, Any] = await self.until(seen, what)
        return order

    async def wait_status(self, status: str) -> dict[str, Any]:
        """Poll the order until it has this status; returns its view."""
        return await self.wait_until(lambda order: order["status"] == status, f"status {status}")

    async def until(self, ask: Callable[[], Awaitable[T | None]], what: str) -> T:
        """Poll; retryable statuses and dropped connections are polled again, other refusals raise."""
        return await until(ask, what, self.max_wait_s, RETRYABLE_STATUSES)
