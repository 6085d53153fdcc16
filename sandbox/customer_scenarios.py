"""The simulation's kinds of customers: their shares, what they do, and how their orders may end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from sandbox.api_client import RefusedError
from sandbox.card_numbers import (
    DECLINED,
    DISPUTED,
    REFUND_FAILS,
    REFUND_PENDING,
    THREE_D_SECURE,
    VISA,
)
from sandbox.customer import Customer

Play = Callable[[Customer], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of customer: its share in a thousand, what it does, and the order states it may end in."""

    name: str
    share: int
    play: Play
    ends: tuple[str, ...]


async def _pays(customer: Customer, card: str = VISA) -> None:
    answer = await customer.confirm(card)
    if answer["status"] == "REQUIRES_ACTION":
        await customer.authenticate(answer["clientSecret"], succeed=True)
    await customer.wait_until(
        lambda order: order["payment"]["status"] in {"COMPLETED", "REFUNDED"}, "the payment"
    )


async def _is_declined_then_pays(customer: Customer) -> None:
    await customer.confirm(DECLINED)
    await customer.wait_status("PAYMENT_FAILED")
    await _pays(customer)


async def _gives_up(customer: Customer) -> None:
    await customer.confirm(DECLINED)
    await customer.wait_status("PAYMENT_FAILED")
    await customer.cancel()


async def _is_challenged(customer: Customer) -> None:
    await _pays(customer, THREE_D_SECURE)


async def _fails_the_challenge(customer: Customer) -> None:
    answer = await customer.confirm(THREE_D_SECURE)
    if answer["status"] == "REQUIRES_ACTION":
        await customer.authenticate(answer["clientSecret"], succeed=False)
    await customer.wait_status("PAYMENT_FAILED")
    await customer.cancel()


def _cancels(card: str) -> Play:
    async def play(customer: Customer) -> None:
        await _pays(customer, card)
        try:
            await customer.cancel()
        except RefusedError as error:
            if error.code != "ORDER_DELIVERED":  # the courier was quicker
                raise

    return play


async def _is_disputed(customer: Customer) -> None:
    await _pays(customer, DISPUTED)


async def _leaves(customer: Customer) -> None:
    await customer.cancel()


DONE: Final = ("DELIVERED", "REFUNDED")
SCENARIOS: Final = (
    Scenario("pays", 700, _pays, DONE),
    Scenario("is declined, then pays", 90, _is_declined_then_pays, DONE),
    Scenario("is declined and gives up", 30, _gives_up, ("CANCELLED",)),
    Scenario("passes 3-D Secure", 70, _is_challenged, DONE),
    Scenario("fails 3-D Secure and gives up", 15, _fails_the_challenge, ("CANCELLED",)),
    Scenario("cancels", 45, _cancels(VISA), DONE),
    Scenario("cancels, the refund takes its time", 10, _cancels(REFUND_PENDING), DONE),
    Scenario("cancels, the refund fails", 10, _cancels(REFUND_FAILS), ("DELIVERED", "CANCELLED")),
    Scenario("disputes", 10, _is_disputed, ("DELIVERED", "CANCELLED", "REFUNDED")),
    Scenario("leaves without paying", 20, _leaves, ("CANCELLED",)),
)  # fmt: skip
"""Shares that a platform of this kind sees, refunds and disputes a little more often, to have some."""
