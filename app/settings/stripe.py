"""Settings of Stripe: keys, webhooks, pace, and how Tiffin compares its money with Stripe's."""

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from app.settings.field_types import (
    COMMA_SEPARATED,
    Seconds,
    Url,
    named,
)

STRIPE_API: Final = "https://api.stripe.com"
LIVE_KEYS: Final = ("sk_live_", "rk_live_")
SECRET_KEYS: Final = ("sk_test_", "rk_test_", *LIVE_KEYS)
PUBLISHABLE_KEYS: Final = ("pk_test_", "pk_live_")

# Known to everybody who reads this file, so nothing outside a sandbox starts with them.
SANDBOX_SECRET_KEY: Final = "sk_test_tiffin_sandbox"  # noqa: S105 - as it says above
SANDBOX_PUBLISHABLE_KEY: Final = "pk_test_tiffin_sandbox"
SANDBOX_WEBHOOK_SECRET: Final = "whsec_tiffin_sandbox"  # noqa: S105 - as it says above


class StripeSettings(BaseModel):
    """The account, what is asked of it, and when it is asked again."""

    stripe_secret_key: SecretStr = Field(
        default=SecretStr(SANDBOX_SECRET_KEY), description="sk_... or rk_..., of one mode with pk"
    )
    stripe_publishable_key: str = Field(
        default=SANDBOX_PUBLISHABLE_KEY, description="pk_..., handed to the pages"
    )
    stripe_api_url: Url = Field(
        default=STRIPE_API, description="Base address of Stripe's API, or of the stand-in's"
    )
    stripe_js_url: Url | None = Field(
        default=None,
        description="Where browsers reach the stand-in (none: where workers do), or Stripe's own script",
    )
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode, COMMA_SEPARATED] = Field(
        default=(SecretStr(SANDBOX_WEBHOOK_SECRET),),
        min_length=1,
        description="whsec_..., separated by commas: two while one replaces the other",
    )
    stripe_webhook_tolerance_s: int = Field(
        default=300, ge=1, le=3600, description="How old a webhook's signature may be"
    )
    stripe_write_timeout_s: Annotated[float, Field(gt=0, lt=80)] = Field(
        default=30.0, description="How long one write to Stripe may take (its SDK's own is 80)"
    )
    stripe_read_timeout_s: Annotated[float, Field(gt=0, lt=80)] = Field(
        default=10.0, description="How long one look-up at Stripe may take"
    )
    stripe_rate_per_s: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=20.0, description="This worker's share of the account's requests a second"
    )
    minimum_charges: Annotated[tuple[str, ...], NoDecode, COMMA_SEPARATED] = Field(
        default=(),
        description="Least sums of an order, such as KRW=700,EUR=1.50: where Stripe converts a currency, "
        "what its minimum for the payout's currency is worth; none: Stripe's for the currency itself",
    )
    confirm_deadline_s: Seconds = Field(
        default=90.0,
        description="After how long a confirm of which Stripe knows no charge is NOT_SUBMITTED",
    )
    effects_concurrency: int = Field(
        default=16, ge=1, le=500, description="Calls of Stripe at one time"
    )
    reconcile_after_s: Seconds = Field(
        default=20.0, description="After how long Stripe is asked about what is still under way"
    )
    reconcile_interval_s: Seconds = Field(
        default=30.0, description="How often Stripe is asked again, with jitter"
    )
    reconciliation_interval_s: Seconds = Field(
        default=300.0,
        description="How often Stripe's events are searched for webhooks that got lost",
    )
    reconciliation_grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=120.0,
        description="What differs for a shorter time is in flight: webhooks, money, an order's checks",
    )
    reconciliation_totals_interval_s: Seconds = Field(
        default=3600.0, description="How often all money is compared with Stripe's"
    )
    reconciliation_days: int = Field(
        default=2, ge=1, le=28, description="Days (UTC) that are compared, today included"
    )
    orphan_grace_s: Seconds = Field(
        default=3600.0,
        description="After how long a payment intent of ours that no order has is cancelled",
    )

    @property
    def livemode(self) -> bool:
        """Whether real money moves: what Stripe's objects must say of themselves."""
        return self.stripe_secret_key.get_secret_value().startswith(LIVE_KEYS)

    @field_validator("stripe_webhook_secrets")
    @classmethod
    def _are_webhook_secrets(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(secret.get_secret_value().startswith("whsec_") for secret in secrets):
            raise ValueError("each must begin with whsec_")
        return secrets

    @field_validator("stripe_secret_key")
    @classmethod
    def _is_secret_key(cls, key: SecretStr) -> SecretStr:
        if not key.get_secret_value().startswith(SECRET_KEYS):
            raise ValueError(f"must begin with one of {', '.join(SECRET_KEYS)}")
        return key

    @field_validator("stripe_publishable_key")
    @classmethod
    def _is_publishable_key(cls, key: str) -> str:
        if not key.startswith(PUBLISHABLE_KEYS):
            raise ValueError(f"must begin with one of {', '.join(PUBLISHABLE_KEYS)}")
        return key

    def stripe_problems(self) -> Iterable[str]:
        """What does not fit together, a line each."""
        if self.confirm_deadline_s <= self.stripe_write_timeout_s:
            yield named("confirm_deadline_s", "must be longer than one write to Stripe may take")
        if self.livemode != self.stripe_publishable_key.startswith("pk_live_"):
            yield named("stripe_publishable_key", "must be of the secret key's mode, test or live")
        if self.livemode and self.stripe_api_url != STRIPE_API:
            yield named("stripe_api_url", f"must be {STRIPE_API} with a live key")
