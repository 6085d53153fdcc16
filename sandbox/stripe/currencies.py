"""Stripe's rules on currencies as data: which exist, their least and largest amounts, their odd decimals.

Written independently of models/, so that a mistake there is refused here as Stripe would.
Source: docs.stripe.com/currencies.
"""

from __future__ import annotations

from sandbox.stripe.errors import invalid


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Stripe's list of these has ugx too, but its special cases say that 5 UGX is 500, and that holds.
ZERO_DECIMAL = _codes("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
THREE_DECIMAL = _codes("bhd jod kwd omr tnd")
CHARGED_IN_HUNDREDS = _codes("isk ugx")
SUPPORTED = (
    ZERO_DECIMAL
    | THREE_DECIMAL
    | CHARGED_IN_HUNDREDS
    | _codes(
        """aed afn all amd ang aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp byn bzd
        cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd
        hnl htg huf idr ils inr jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop
        mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar
        sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd
        xcg yer zar zmw"""
    )
)

# In minor units, of accounts that are paid out in the currency, as the stand-in's is in each. Where
# Stripe names none it converts and asks for the worth of 0.50 USD; the stand-in has no rates and takes 1.
# fmt: off
MINIMUM = {
    "usd": 50, "aed": 200, "ars": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "cop": 50, "czk": 1500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50, "ils": 50, "inr": 50,
    "jpy": 50, "krw": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "php": 50, "pln": 200,
    "ron": 200, "rub": 50, "sek": 300, "sgd": 50, "thb": 1000, "zar": 50,
}
# fmt: on
DIGITS = {"idr": 12, "cop": 10, "inr": 9}
OTHER_DIGITS = 8
"""Of the largest amount that payment methods beside cards take; an intent here is open for them."""


def check_currency(currency: str) -> str:
    """The currency in lower case; a 400 for one that Stripe does not support."""
    if currency.lower() not in SUPPORTED:
        raise invalid(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: "
            + ", ".join(sorted(SUPPORTED)),
            param="currency",
        )
    return currency.lower()


def check_amount(amount: int, currency: str) -> int:
    """The amount (minor units) if Stripe would charge it, else a 400 that says why not."""
    if amount < MINIMUM.get(currency, 1):
        raise invalid(
            f"Amount must be at least the minimum charge amount: {MINIMUM.get(currency, 1)} in "
            f"the smallest unit of {currency}.",
            code="amount_too_small",
            param="amount",
        )
    digits = DIGITS.get(currency, OTHER_DIGITS)
    if len(str(amount)) > digits:
        raise invalid(
            f"Amount must be no more than {'9' * digits} in the smallest unit of {currency}.",
            code="amount_too_large",
            param="amount",
        )
    check_granularity(amount, currency)
    return amount


def check_granularity(amount: int, currency: str) -> None:
    """A 400 for an amount finer than the networks can charge in this currency."""
    step = 100 if currency in CHARGED_IN_HUNDREDS else 10 if currency in THREE_DECIMAL else 1
    if amount % step:
        raise invalid(
            f"Invalid amount: {amount}. Amounts in {currency} must be divisible by {step}.",
            code="parameter_invalid_integer",
            param="amount",
        )
