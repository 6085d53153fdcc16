"""What a check of the account says, and what it is held against."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import stripe


class CheckState(StrEnum):
    """How a check ended."""

    OK = "OK"
    WARNING = "WARNING"
    WRONG = "WRONG"
    UNKNOWN = "UNKNOWN"
    """Stripe could not be asked, or does not tell."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. detail: what is so; todo: what to do about it, "" where nothing is.

    is_unasked: it is UNKNOWN because nothing could be asked now; it is to be tried again soon.
    """

    name: str
    state: CheckState
    detail: str
    todo: str = ""
    is_unasked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAccount:
    """What the settings and the catalogue say.

    webhook_url: None where the platform's address is not set. currencies: of the menus. minimums: those
    that have a minimum charge of their own. payment_methods: offered, by Stripe's names. now_s: our
    clock, seconds since the epoch. platform_ids: gives this platform's, none before Kafka has told them;
    None where it is not asked.
    """

    app_id: str
    is_sandbox: bool
    livemode: bool
    webhook_url: str | None
    currencies: Collection[str]
    minimums: Collection[str]
    max_clock_offset_s: float
    now_s: Callable[[], float]
    payment_methods: Collection[str] = ("card",)
    api_version: str = stripe.api_version
    platform_ids: Callable[[], Sequence[str]] | None = None
