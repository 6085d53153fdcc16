"""Money: integer minor units and an ISO 4217 currency; floats never."""

from decimal import Decimal
from typing import Final

ZERO_DECIMAL: Final = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF",
     "XOF", "XPF")
)  # fmt: skip
THREE_DECIMAL: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])

MINIMUM_CHARGE: Final[dict[str, int]] = {
    # Stripe's documented minimum charge, in minor units; one unit for a currency that is not listed.
    "USD": 50, "AED": 200, "AUD": 50, "BGN": 100, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500,
    "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000,
    "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000,
}  # fmt: skip
MAXIMUM_CHARGE: Final = 99_999_999
"""Stripe's eight digits, in minor units of any currency."""

CHARGEABLE_CURRENCIES: Final = (
    frozenset(MINIMUM_CHARGE) | ZERO_DECIMAL | THREE_DECIMAL | {"ISK", "ZAR", "ILS"}
)


def exponent(currency: str) -> int:
    """Give the number of decimals that a currency's minor unit stands for (Stripe keeps ISK in hundreds)."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def minimum_charge(currency: str) -> int:
    """Give the least amount that Stripe charges, in minor units."""
    return MINIMUM_CHARGE.get(currency, 1)


def decimal_text(amount: int, currency: str) -> str:
    """Show minor units as a decimal number: 250000 INR is "2500.00", 500 JPY is "500"."""
    return f"{Decimal(amount).scaleb(-exponent(currency)):f}"


def charge_increment(currency: str) -> int:
    """Give what every amount that Stripe charges or refunds is a multiple of, in minor units."""
    if currency in THREE_DECIMAL:
        return 10
    return 100 if currency == "ISK" else 1


def stripe_accepts(amount: int, currency: str) -> bool:
    """Say whether Stripe charges this amount."""
    is_in_bounds = minimum_charge(currency) <= amount <= MAXIMUM_CHARGE
    return is_in_bounds and amount % charge_increment(currency) == 0
