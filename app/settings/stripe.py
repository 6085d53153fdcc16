"""Settings of Stripe: keys, webhooks, pace, and how Tiffin compares its money with Stripe's."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.settings.field_types import COMMA_SEPARATED, Seconds, SettingsPart, Url, named, plain_texts

Secrets = Annotated[tuple[SecretStr, ...], Field(min_length=1)]

STRIPE_API: Final = "https://api.stripe.com"
LIVE_KEYS: Final = ("sk_live_", "rk_live_")
SECRET_KEYS: Final = ("sk_test_", "rk_test_", *LIVE_KEYS)
PUBLISHABLE_KEYS: Final = ("pk_test_", "pk_live_")

# Known to everybody who reads this file, so nothing outside a sandbox starts with them.
SANDBOX_SECRET_KEY: Final = "sk_test_tiffin_sandbox"  # noqa: S105 - as it says above
SANDBOX_PUBLISHABLE_KEY: Final = "pk_test_tiffin_sandbox"
SANDBOX_WEBHOOK_SECRET: Final = "whsec_tiffin_sandbox"  # noqa: S105 - as it says above


def _begins_with(*prefixes: str) -> AfterValidator:
    """Accepts a text or secrets that begin with one of these."""

    def checked(value: Any) -> Any:
        if not all(text.startswith(prefixes) for text in plain_texts(value)):
            subject = "each must" if isinstance(value, tuple) else "must"
            choices = "one of " if len(prefixes) > 1 else ""
            raise ValueError(f"{subject} begin with {choices}{', '.join(prefixes)}")
        return value

    return AfterValidator(checked)


class StripeSettings(SettingsPart):
    """The account, what is asked of it, and when it is asked again."""

    stripe_secret_key: Annotated[SecretStr, _begins_with(*SECRET_KEYS)] = SecretStr(
        SANDBOX_SECRET_KEY
    )
    """sk_... or rk_..., of one mode with pk"""
    stripe_publishable_key: Annotated[str, _begins_with(*PUBLISHABLE_KEYS)] = (
        SANDBOX_PUBLISHABLE_KEY
    )
    """pk_..., handed to the pages"""
    stripe_api_url: Url = STRIPE_API
    """Base address of Stripe's API, or of the stand-in's"""
    stripe_js_url: Url | None = None
    """Where browsers reach the stand-in (none: where workers do), or Stripe's own script"""
    stripe_webhook_secrets: Annotated[
        Secrets, NoDecode, COMMA_SEPARATED, _begins_with("whsec_")
    ] = (SecretStr(SANDBOX_WEBHOOK_SECRET),)
    """whsec_..., separated by commas: two while one replaces the other"""
    stripe_webhook_tolerance_s: int = Field(300, ge=1, le=3600)
    """How old a webhook's signature may be"""
    stripe_write_timeout_s: Annotated[float, Field(gt=0, lt=80)] = 30.0
    """How long one write to Stripe may take (its SDK's own is 80)"""
    stripe_read_timeout_s: Annotated[float, Field(gt=0, lt=80)] = 10.0
    """How long one look-up at Stripe may take"""
    stripe_rate_per_s: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """This worker's share of the account's requests a second"""
    minimum_charges: Annotated[tuple[str, ...], NoDecode, COMMA_SEPARATED] = Field(
        default=(),
        description="Least sums of an order, such as KRW=700,EUR=1.50: where Stripe converts a currency, "
        "what its minimum for the payout's currency is worth; none: Stripe's for the currency itself",
    )
    payment_methods: Annotated[tuple[str, ...], NoDecode, COMMA_SEPARATED] = Field(
        default=("card",),
        description="What customers may pay with, separated by commas: card (Apple Pay and Google Pay too), "
        "bancontact, us_bank_account (known after days); automatic: what is on in Stripe's dashboard",
    )
    confirm_deadline_s: Seconds = 90.0
    """After how long a confirm of which Stripe knows no charge is NOT_SUBMITTED"""
    effects_concurrency: int = Field(16, ge=1, le=500)
    """Calls of Stripe at one time"""
    reconcile_after_s: Seconds = 20.0
    """After how long Stripe is asked about what is still under way"""
    reconcile_interval_s: Seconds = 30.0
    """How often Stripe is asked again, with jitter"""
    reconciliation_interval_s: Seconds = 300.0
    """How often Stripe's events are searched for webhooks that got lost"""
    reconciliation_grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 120.0
    """What differs for a shorter time is in flight: webhooks, money, an order's checks"""
    reconciliation_totals_interval_s: Seconds = 3600.0
    """How often all money is compared with Stripe's"""
    reconciliation_days: int = Field(2, ge=1, le=28)
    """Days (UTC) that are compared, today included"""
    orphan_grace_s: Seconds = 3600.0
    """After how long a payment intent of ours that no order has is cancelled"""

    @property
    def livemode(self) -> bool:
        """Whether real money moves: what Stripe's objects must say of themselves."""
        return self.stripe_secret_key.get_secret_value().startswith(LIVE_KEYS)

    def stripe_problems(self) -> Iterable[str]:
        """What does not fit together, a line each."""
        if self.confirm_deadline_s <= self.stripe_write_timeout_s:
            yield named("confirm_deadline_s", "must be longer than one write to Stripe may take")
        if self.livemode != self.stripe_publishable_key.startswith("pk_live_"):
            yield named("stripe_publishable_key", "must be of the secret key's mode, test or live")
        if self.livemode and self.stripe_api_url != STRIPE_API:
            yield named("stripe_api_url", f"must be {STRIPE_API} with a live key")
