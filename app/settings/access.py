"""Settings of who may do what: order tokens, the platform's sign-in, the development login."""

from typing import Final

from pydantic import BaseModel, Field, SecretStr, field_validator

from app.settings.field_types import Url

SMALLEST_TOKEN_KEY: Final = 32
# Known to everybody who reads this file, so nothing outside a sandbox starts with it.
SANDBOX_TOKEN_KEY: Final = "tiffin-sandbox-order-token-key-not-for-production"  # noqa: S105


class AccessSettings(BaseModel):
    """Keys and tokens of customers, staff, operators and whoever collects the metrics."""

    secure_cookies: bool = Field(
        default=False, description="Cookies are sent over HTTPS alone; must be 1 with a live key"
    )
    order_token_key: SecretStr = Field(
        default=SecretStr(SANDBOX_TOKEN_KEY),
        description="Signs order tokens (HS256): at least 32 random characters",
    )
    platform_jwks_url: Url | None = Field(
        default=None, description="Where the keys of staff and operator tokens are published"
    )
    platform_issuer: str = Field(
        default="", description="`iss` of those tokens; needed with TIFFIN_PLATFORM_JWKS_URL"
    )
    platform_audience: str = Field(default="tiffin", description="`aud` of those tokens")
    metrics_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Bearer token that /metrics takes; none: anybody may read what is earned",
    )
    dev_login: bool = Field(
        default=False, description="Hand out staff and operator tokens to anybody; sandbox only"
    )

    @field_validator("order_token_key")
    @classmethod
    def _is_long(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < SMALLEST_TOKEN_KEY:
            raise ValueError(f"must have at least {SMALLEST_TOKEN_KEY} characters")
        return key
