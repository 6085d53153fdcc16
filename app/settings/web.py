"""Settings of the web server: addresses, limits of clients, how long requests wait, who may do what."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from app.settings.field_types import COMMA_SEPARATED, Port, Seconds, SettingsPart, Url

SMALLEST_TOKEN_KEY: Final = 32
# Known to everybody who reads this file, so nothing outside a sandbox starts with it.
SANDBOX_TOKEN_KEY: Final = "tiffin-sandbox-order-token-key-not-for-production"  # noqa: S105

PerMinute = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class WebSettings(SettingsPart):
    """What customers, staff and the other workers reach, and what is asked of them."""

    web_host: str = "127.0.0.1"
    """Address that the web server binds to"""
    web_port: Port = 6066
    """Port that the web server binds to"""
    bind: str | None = None
    """Address of the host at which a container's port is published; none: no container"""
    web_url: Url | None = None
    """Base URL under which the other workers reach this one"""
    public_url: Url | None = Field(
        default=None,
        description="Base URL for customers, which links in mails begin with; none: pages take that of a "
        "request to this worker or to localhost, mails this worker's own",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, COMMA_SEPARATED] = ()
    """Origins of pages besides our own that may post with a cookie, by commas"""
    body_limit_bytes: int = Field(65_536, ge=1024, le=1_048_576)
    """Largest body of a request"""
    client_creates_per_min: PerMinute = 60.0
    """Payments that one address may open a minute; 0: no limit"""
    client_writes_per_min: PerMinute = 300.0
    """Other POSTs of one address a minute; 0: no limit"""
    client_reads_per_min: PerMinute = 3000.0
    """GETs of one address a minute; 0: no limit"""
    client_requests_at_once: int = Field(300, ge=0)
    """Open requests of one address, streams too; 0: no limit"""
    trusted_proxies: int = Field(0, ge=0, le=9)
    """Our own proxies before the workers, whose X-Forwarded-For names the client"""
    admission_max_delay_s: float = Field(0.2, ge=0, le=60, allow_inf_nan=False)
    """Most that commands may wait in a worker's queues before it refuses new orders; 0: it refuses none"""
    command_wait_s: Seconds = 10.0
    """How long a POST waits for its outcome before it answers 202"""
    confirm_wait_s: Seconds = 25.0
    """How long a confirm waits for its result before it answers 202"""
    consistency_wait_s: Seconds = 5.0
    """How long a read waits until it holds the write it names"""
    catalogue_dir: Path | None = None
    """Folder of restaurants and menus; none: those of this repository"""

    @property
    def is_local(self) -> bool:
        """Whether no other machine reaches this worker, as far as its settings tell."""
        host = self.bind or self.web_host
        try:
            return host == "localhost" or ip_address(host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def canonical_url(self) -> str:
        """Base URL that the other workers use for this one, without a slash at its end."""
        host = f"[{self.web_host}]" if ":" in self.web_host else self.web_host
        return (self.web_url or f"http://{host}:{self.web_port}").rstrip("/")


class AccessSettings(SettingsPart):
    """Keys and tokens of customers, staff, operators and whoever collects the metrics."""

    default_language: Literal["en", "de"] = "en"
    """The language of pages and messages for those whose browser names none that there is. Each reader may
    choose another at the foot of a page."""
    secure_cookies: bool = False
    """Cookies are sent over HTTPS alone; must be 1 with a live key"""
    order_token_key: SecretStr = SecretStr(SANDBOX_TOKEN_KEY)
    """Signs order tokens (HS256): at least 32 random characters"""
    platform_jwks_url: Url | None = None
    """Where the keys of staff and operator tokens are published"""
    platform_issuer: str = ""
    """`iss` of those tokens; needed with TIFFIN_PLATFORM_JWKS_URL"""
    platform_audience: str = "tiffin"
    """`aud` of those tokens"""
    platform_role_claim: str = "role"
    """Name of the claim that says kitchen, courier or operator"""
    platform_restaurant_claim: str = "restaurantId"
    """Name of the claim that says which restaurant a kitchen is of"""
    platform_client_id: str = ""
    """Our client's id there, for sign-in by OpenID Connect; empty: staff paste a token"""
    platform_client_secret: SecretStr | None = None
    """Our client's secret; none: a public client, for which PKCE alone stands"""
    platform_scopes: str = "openid"
    """Scopes that staff are asked for, with spaces between"""
    metrics_token: SecretStr | None = Field(None, min_length=16)
    """Bearer token that /metrics takes; none: anybody may read what is earned"""
    dev_login: bool = False
    """Hand out staff and operator tokens to anybody; sandbox only"""

    @field_validator("order_token_key")
    @classmethod
    def _is_long(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < SMALLEST_TOKEN_KEY:
            raise ValueError(f"must have at least {SMALLEST_TOKEN_KEY} characters")
        return key
