"""The payment methods that may be offered, as data: currencies, and when a payment's result is known."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """One of Stripe's payment method types.

    currencies: those that it takes; None: all. is_delayed: a payment stays in `processing` for days, then
    succeeds or fails; all others answer while the customer waits.
    """

    currencies: frozenset[str] | None = None
    is_delayed: bool = False

    def takes(self, currency: str) -> bool:
        """Whether it pays sums of a currency (three capital letters)."""
        return self.currencies is None or currency in self.currencies


PAYMENT_METHODS: Final = {
    "card": PaymentMethod(),
    "bancontact": PaymentMethod(frozenset({"EUR"})),
    "us_bank_account": PaymentMethod(frozenset({"USD"}), is_delayed=True),
}
"""Stripe's name -> what is known of it. Apple Pay and Google Pay are cards.

Source: https://docs.stripe.com/payments/payment-methods/payment-method-support
"""
AUTOMATIC: Final = "automatic"
"""In the place of a list: what is on in Stripe's dashboard."""

OfferedMethods = tuple[str, ...] | None
"""What the Payment Element may offer; None: what is on in Stripe's dashboard."""
DEFAULT_METHODS: Final[OfferedMethods] = ("card",)


def read_payment_methods(names: Iterable[str], currencies: Collection[str]) -> OfferedMethods:
    """Read a list of names, or "automatic".

    currencies: those of the menus; each must be paid by one of the methods, and each method must pay one of
    them. Raises ValueError, which names the entry and what is accepted.
    """
    offered = tuple(names)
    if offered == (AUTOMATIC,):
        return None
    known = ", ".join([*PAYMENT_METHODS, f"or {AUTOMATIC} alone"])
    for name in offered:
        if name not in PAYMENT_METHODS:
            raise ValueError(f"{name}: accepted: {known}")
        if offered.count(name) > 1:
            raise ValueError(f"{name} is there twice")
        method = PAYMENT_METHODS[name]
        if method.currencies and not any(map(method.takes, currencies)):
            its, menus = (", ".join(sorted(each)) for each in (method.currencies, currencies))
            raise ValueError(f"{name}: it takes {its}, and no menu has that (menus: {menus})")
    for currency in sorted(currencies):
        if not any(PAYMENT_METHODS[name].takes(currency) for name in offered):
            raise ValueError(f"menus in {currency} can't be paid by {', '.join(offered)}")
    return offered
