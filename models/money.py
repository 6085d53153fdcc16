"""Money: integer minor units and an ISO 4217 currency; floats never.

CURRENCIES is the one table of what Stripe takes, as docs.stripe.com/currencies says it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CurrencyRules:
    """How people and Stripe count a currency. Amounts are Stripe's minor units.

    decimals: those that people write. exponent: one unit is 10**exponent minor units.
    step: every charge and refund is a multiple of it.
    minimum: Stripe's least charge, where the account is paid out in this currency too; None: Stripe
    names none. Where it converts, the minimum of the payout's currency holds, at the day's rate.
    maximum: the largest charge that every payment method takes.
    note: what is special about it.
    """

    decimals: int = 2
    exponent: int = 2
    step: int = 1
    minimum: int | None = None
    maximum: int = 99_999_999
    note: str = ""


_WHOLE: Final = "no decimals for people; Stripe counts hundredths, which must be 00"
_THOUSANDTHS: Final = "three decimals, of which Stripe wants the last to be 0"
_PAYOUT: Final = "two decimals in charges and refunds; Stripe pays out whole units only"
_ROWS: Final = (
    # decimals, exponent, step, note, currencies
    (
        2, 2, 1, "",
        """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF
        CNY COP CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG IDR ILS
        INR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN
        NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS
        SRD STD SZL THB TJS TOP TRY TTD TZS UAH USD UYU UZS WST XCD XCG YER ZAR ZMW""",
    ),
    (2, 2, 1, _PAYOUT, "HUF TWD"),
    (0, 0, 1, "", "BIF CLP DJF GNF JPY KMF KRW PYG RWF VND VUV XAF XOF XPF"),
    (0, 0, 1, "no decimals at Stripe, though ISO 4217 has two", "MGA"),
    (0, 2, 100, _WHOLE, "ISK UGX"),
    (3, 3, 10, _THOUSANDTHS, "BHD JOD KWD OMR TND"),
)  # fmt: skip
_MINIMUMS: Final = {
    "USD": 50, "AED": 200, "ARS": 50, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "COP": 50,
    "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17_500, "IDR": 50, "ILS": 50,
    "INR": 50, "JPY": 50, "KRW": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PHP": 50,
    "PLN": 200, "RON": 200, "RUB": 50, "SEK": 300, "SGD": 50, "THB": 1000, "ZAR": 50,
}  # fmt: skip
_DIGITS: Final = {"IDR": 12, "COP": 10, "INR": 9}
"""Of the largest amount, where it is not 8. Most cards take 12 in any currency, other methods do not."""


def _maximum(currency: str, step: int) -> int:
    largest = int("9" * _DIGITS.get(currency, 8))
    return largest - largest % step


CURRENCIES: Final[Mapping[str, CurrencyRules]] = {
    code: CurrencyRules(decimals, exp, step, _MINIMUMS.get(code), _maximum(code, step), note)
    for decimals, exp, step, note, codes in _ROWS
    for code in codes.split()
}
"""Every currency that Stripe charges -> its rules."""
MAXIMUM_CHARGE: Final = max(rules.maximum for rules in CURRENCIES.values())
"""Of any currency, in its minor units."""
_NUMBER: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]+))?")
_PATTERN_DIGITS: Final = re.compile(r"0(\.0+)?(?![0#.,])")
_MINIMUM_ENTRY: Final = re.compile(r"([A-Z]{3})=(.+)")


def rules_of(currency: str) -> CurrencyRules:
    """Give Stripe's rules; for one that it charges no more (an old order's), those of most."""
    return CURRENCIES.get(currency) or CurrencyRules()


def minimum_charge(currency: str) -> int:
    """Give the least charge that Stripe names, or else the least amount that there is."""
    rules = rules_of(currency)
    return rules.minimum or rules.step


def shown_decimals(amount: int, currency: str) -> int:
    """Give the decimals to show: those that people write, more where the amount would be cut."""
    rules = rules_of(currency)
    is_whole = amount % 10 ** (rules.exponent - rules.decimals) == 0
    return rules.decimals if is_whole else rules.exponent


def decimal_text(amount: int, currency: str) -> str:
    """Show minor units as a decimal number: 250000 INR is "2500.00", 2500000 UGX is "25000"."""
    places = shown_decimals(amount, currency)
    whole = abs(amount) // 10 ** (rules_of(currency).exponent - places)
    sign = "-" if amount < 0 else ""
    if places == 0:
        return f"{sign}{whole}"
    units, rest = divmod(whole, 10**places)
    return f"{sign}{units}.{rest:0{places}d}"


def number_pattern(pattern: str, decimals: int) -> str:
    """Give CLDR's pattern of amounts, such as ¤#,##0.00, so many decimals.

    CLDR's own number cuts hundredths that Stripe charges, of LBP for example.
    """
    return _PATTERN_DIGITS.sub("0." + "0" * decimals if decimals else "0", pattern)


def minor_units(text: str, currency: str) -> int:
    """Read what `decimal_text` shows. Raises ValueError, for too many decimals too."""
    rules = rules_of(currency)
    number = _NUMBER.fullmatch(text)
    if number is None or len(number[2] or "") > rules.decimals:
        raise ValueError(f"{text} is no amount of {currency} (decimals: {rules.decimals})")
    return int(number[1] + (number[2] or "").ljust(rules.exponent, "0"))


def read_minimum_charges(entries: Iterable[str]) -> dict[str, int]:
    """Read minimums such as "KRW=700" or "EUR=1.50"; gives minor units by currency.

    Raises ValueError, which names the entry and what is accepted.
    """
    found: dict[str, int] = {}
    for entry in entries:
        parts = _MINIMUM_ENTRY.fullmatch(entry)
        if parts is None or parts[1] not in CURRENCIES:
            raise ValueError(f"{entry}: accepted: a currency that Stripe charges, as in KRW=700")
        currency, text = parts.groups()
        if currency in found:
            raise ValueError(f"{entry}: {currency} is there twice")
        amount, least = minor_units(text, currency), minimum_charge(currency)
        if not can_be_charged(amount, currency, least):
            raise ValueError(f"{entry}: accepted: {limits_text(currency, least)}")
        found[currency] = amount
    return found


def can_be_charged(amount: int, currency: str, least: int) -> bool:
    """Say whether Stripe charges this amount, if `least` is the minimum."""
    rules = rules_of(currency)
    return least <= amount <= rules.maximum and amount % rules.step == 0


def limits_text(currency: str, least: int) -> str:
    """Say which sums are charged, if `least` is the minimum: "1 to 999999 ISK, in steps of 1"."""
    rules = rules_of(currency)
    most = decimal_text(rules.maximum, currency)
    steps = "" if rules.step == 1 else f", in steps of {decimal_text(rules.step, currency)}"
    return f"{decimal_text(least, currency)} to {most} {currency}{steps}"
