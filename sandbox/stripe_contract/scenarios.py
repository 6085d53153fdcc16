"""What is asked of both: all that the gateway does, and how each of it is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sandbox.stripe_contract.player import StripePlayer

Scenario = Callable[[StripePlayer], Awaitable[None]]

INTENTS = "/v1/payment_intents"
NO_REDIRECTS: dict[str, Any] = {"enabled": True, "allow_redirects": "never"}
CREATE: dict[str, Any] = {
    "amount": 2500,
    "currency": "usd",
    "automatic_payment_methods": NO_REDIRECTS,
    "metadata": {"orderId": "order_of_the_contract", "app": "contract"},
}
EXPAND: dict[str, Any] = {"expand": ["latest_charge"]}
AMOUNTS: dict[str, dict[str, Any]] = {
    "below the minimum": {"amount": 1},
    "nothing": {"amount": 0},
    "negative": {"amount": -5},
    "above the maximum": {"amount": 100_000_000},
    "a fraction": {"amount": "25.5"},
    "no number": {"amount": "a lot"},
    "no such currency": {"currency": "xts"},
    "no currency at all": {"currency": ""},
    "three decimals, uneven": {"amount": 5124, "currency": "kwd"},
    "three decimals": {"amount": 5120, "currency": "kwd"},
    "no decimals": {"amount": 2500, "currency": "jpy"},
    "hundredths that must be 00": {"amount": 2550, "currency": "isk"},
    "hundredths that are 00": {"amount": 25_000, "currency": "isk"},
    "unknown parameter": {"tiffin": "1"},
    "too much metadata": {"metadata": {"x" * 41: "1"}},
}
"""What is asked for -> what differs from CREATE."""


async def _new(stripe: StripePlayer, name: str = "create", **params: Any) -> str:
    """The id of a new payment intent; "" where it was refused."""
    return str((await stripe.post(name, INTENTS, **(CREATE | params))).get("id", ""))


async def _paid(stripe: StripePlayer, method: str = "pm_card_visa", **params: Any) -> str:
    return await _new(stripe, "pay", confirm=True, payment_method=method, **params)


async def paid(stripe: StripePlayer) -> None:
    """Created, looked up, confirmed, looked up with its charge, confirmed again."""
    intent = await _new(stripe)
    await stripe.get("retrieve unpaid", f"{INTENTS}/{intent}", **EXPAND)
    confirm = {"payment_method": "pm_card_visa", "use_stripe_sdk": True, **EXPAND}
    await stripe.post("confirm", f"{INTENTS}/{intent}/confirm", **confirm)
    charge = (await stripe.get("retrieve paid", f"{INTENTS}/{intent}"))["latest_charge"]
    await stripe.get("its charge", f"/v1/charges/{charge}")
    await stripe.get("its charges", "/v1/charges", payment_intent=intent)
    await stripe.post("confirm again", f"{INTENTS}/{intent}/confirm", **confirm)
    await stripe.post("cancel", f"{INTENTS}/{intent}/cancel")


async def declined(stripe: StripePlayer) -> None:
    """Refused by the bank for several reasons, then paid with another card."""
    intent = await _new(stripe)
    for method in (
        "pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds",
        "pm_card_chargeDeclinedExpiredCard", "pm_card_chargeDeclinedProcessingError",
    ):  # fmt: skip
        await stripe.post(method, f"{INTENTS}/{intent}/confirm", payment_method=method, **EXPAND)
    await stripe.get("retrieve declined", f"{INTENTS}/{intent}", **EXPAND)
    visa = {"payment_method": "pm_card_visa", **EXPAND}
    await stripe.post("another card", f"{INTENTS}/{intent}/confirm", **visa)


async def bank_asks(stripe: StripePlayer) -> None:
    """3-D Secure: an action with and without the SDK in the page; cancelled while it waits."""
    redirects = {"enabled": True, "allow_redirects": "always"}
    intent = await _new(stripe, automatic_payment_methods=redirects)
    card = {"payment_method": "pm_card_threeDSecure2Required"}
    sdk = {**card, "use_stripe_sdk": True, "return_url": "https://eat.example/back"}
    await stripe.post("confirm for the SDK", f"{INTENTS}/{intent}/confirm", **sdk)
    await stripe.get("retrieve", f"{INTENTS}/{intent}", **EXPAND)
    await stripe.post("cancel", f"{INTENTS}/{intent}/cancel", cancellation_reason="abandoned")
    other = await _new(stripe, "create another", automatic_payment_methods=redirects)
    back = {**card, "return_url": "https://eat.example/back"}
    await stripe.post("confirm by redirect", f"{INTENTS}/{other}/confirm", **back)
    third = await _new(stripe, "create a third", automatic_payment_methods=redirects)
    visa = {"payment_method": "pm_card_visa"}
    await stripe.post("confirm without return_url", f"{INTENTS}/{third}/confirm", **visa)


async def refunded(stripe: StripePlayer) -> None:
    """In part, too much, the rest, and once more."""
    intent = await _paid(stripe)
    part = {"payment_intent": intent, "amount": 700, "metadata": {"refundId": "refund_1"}}
    refund = (await stripe.post("partial", "/v1/refunds", **part))["id"]
    await stripe.get("retrieve", f"/v1/refunds/{refund}")
    await stripe.post("too much", "/v1/refunds", payment_intent=intent, amount=2000)
    await stripe.post("nothing", "/v1/refunds", payment_intent=intent, amount=0)
    await stripe.post(
        "the rest", "/v1/refunds", payment_intent=intent, reason="requested_by_customer"
    )
    await stripe.post("once more", "/v1/refunds", payment_intent=intent)
    await stripe.get("all of them", "/v1/refunds", payment_intent=intent, limit=100)
    await stripe.get("the intent", f"{INTENTS}/{intent}", **EXPAND)
    unpaid = await _new(stripe)
    await stripe.post("unpaid", "/v1/refunds", payment_intent=unpaid)
    await stripe.post("of nothing", "/v1/refunds")


async def cancelled(stripe: StripePlayer) -> None:
    """Once, twice, and confirmed afterwards."""
    intent = await _new(stripe)
    await stripe.post("cancel", f"{INTENTS}/{intent}/cancel", cancellation_reason="abandoned")
    await stripe.post("again", f"{INTENTS}/{intent}/cancel", cancellation_reason="abandoned")
    visa = {"payment_method": "pm_card_visa"}
    await stripe.post("confirm", f"{INTENTS}/{intent}/confirm", **visa)
    other = await _new(stripe, "create another")
    await stripe.post("unknown reason", f"{INTENTS}/{other}/cancel", cancellation_reason="bored")


async def idempotent(stripe: StripePlayer) -> None:
    """A key with the same body, with another, with an error that came first, and elsewhere."""
    first = await stripe.post("first", INTENTS, "key", **CREATE)
    again = await stripe.post("again", INTENTS, "key", **CREATE)
    await stripe.post("another body", INTENTS, "key", **(CREATE | {"amount": 2600}))
    await stripe.post("another path", f"{INTENTS}/{first['id']}/cancel", "key")
    await stripe.get("is the same", f"{INTENTS}/{again['id']}")
    card = {"payment_method": "pm_card_chargeDeclined"}
    path = f"{INTENTS}/{first['id']}/confirm"
    await stripe.post("declined", path, "decline", **card)
    await stripe.post("declined, replayed", path, "decline", **card)
    await stripe.post("invalid", INTENTS, "invalid", **(CREATE | {"amount": -1}))
    await stripe.post("invalid, again with another body", INTENTS, "invalid", **CREATE)


async def lists(stripe: StripePlayer) -> None:
    """By filters that leave only what this scenario made, so that no account looks otherwise."""
    intent = await _paid(stripe)
    charge = await stripe.get("charges", "/v1/charges", payment_intent=intent, limit=1)
    assert charge["data"]
    await stripe.get("disputes", "/v1/disputes", payment_intent=intent, limit=1)
    await stripe.get("refunds", "/v1/refunds", payment_intent=intent, limit=1)
    await stripe.get("limit too large", INTENTS, limit=101)
    await stripe.get("after nothing", INTENTS, starting_after="pi_unknown")
    await stripe.get("both cursors", INTENTS, starting_after=intent, ending_before=intent)
    await stripe.get("newer than the future", INTENTS, created={"gte": 4_000_000_000})


async def unknown(stripe: StripePlayer) -> None:
    """Objects that are not there, by path and by parameter."""
    for name, path in (
        ("intent", f"{INTENTS}/pi_unknown"), ("charge", "/v1/charges/ch_unknown"),
        ("refund", "/v1/refunds/re_unknown"), ("dispute", "/v1/disputes/du_unknown"),
        ("event", "/v1/events/evt_unknown"), ("path", "/v1/tiffins"),
    ):  # fmt: skip
        await stripe.get(name, path)
    await stripe.post("confirm", f"{INTENTS}/pi_unknown/confirm", payment_method="pm_card_visa")
    await stripe.post("cancel", f"{INTENTS}/pi_unknown/cancel")
    await stripe.post("refund of an intent", "/v1/refunds", payment_intent="pi_unknown")
    intent = await _new(stripe)
    method = {"payment_method": "pm_unknown"}
    await stripe.post("payment method", f"{INTENTS}/{intent}/confirm", **method)
    token = {"confirmation_token": "ctoken_unknown"}
    await stripe.post("confirmation token", f"{INTENTS}/{intent}/confirm", **token)
    await stripe.post("no payment method", f"{INTENTS}/{intent}/confirm")


async def amounts(stripe: StripePlayer) -> None:
    """That can't be charged, and currencies with other decimals."""
    for name, changed in AMOUNTS.items():
        await _new(stripe, name, **changed)
    await stripe.post("no parameters", INTENTS)


async def account(stripe: StripePlayer) -> None:
    """Keys that are none. What the account itself says is another's on each."""
    await stripe.with_key("no key of Stripe's", INTENTS, "unknown")
    await stripe.with_key("publishable key", INTENTS, "pk_test_unknown")
    await stripe.get("no such country", "/v1/country_specs/XX")
    await stripe.get("domains", "/v1/payment_method_domains", domain_name="no.such.example")
    await stripe.post("no domain", "/v1/payment_method_domains")


SCENARIOS: tuple[Scenario, ...] = (
    paid, declined, bank_asks, refunded, cancelled, idempotent, lists, unknown, amounts, account,
)  # fmt: skip


async def play(stripe: StripePlayer, scenarios: tuple[Scenario, ...] = SCENARIOS) -> None:
    """Play all; one that can't go on, for an answer was not as it had to be, ends alone."""
    for scenario in scenarios:
        stripe.scenario = scenario.__name__.replace("_", " ")
        try:
            await scenario(stripe)
        except (AssertionError, AttributeError, KeyError, TypeError) as error:
            stripe.recording.add(
                f"{stripe.scenario} / could not go on", 0, {}, {"type": type(error).__name__}
            )
