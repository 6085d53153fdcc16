"""Settings: every one with its description, from TIFFIN_* variables and .env, validated at the start.

Imports nothing of this project, because sandbox/ and bench/ read it too.
"""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX: Final = "TIFFIN_"
ENV_FILES: Final = (".sandbox/env", ".env")
"""The later one wins; the first is there while `make demo` runs, so that `faust -A app` finds it."""
STRIPE_API: Final = "https://api.stripe.com"
LIVE_KEYS: Final = ("sk_live_", "rk_live_")
SECRET_KEYS: Final = ("sk_test_", "rk_test_", *LIVE_KEYS)
PUBLISHABLE_KEYS: Final = ("pk_test_", "pk_live_")
SMALLEST_TOKEN_KEY: Final = 32

# Known to everybody who reads this file, so nothing outside a sandbox starts with them.
SANDBOX_SECRET_KEY: Final = "sk_test_tiffin_sandbox"  # noqa: S105 - as it says above
SANDBOX_PUBLISHABLE_KEY: Final = "pk_test_tiffin_sandbox"
SANDBOX_WEBHOOK_SECRET: Final = "whsec_tiffin_sandbox"  # noqa: S105 - as it says above
SANDBOX_TOKEN_KEY: Final = "tiffin-sandbox-order-token-key-not-for-production"  # noqa: S105

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PerMinute = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(Exception):
    """Settings that can't be used; the message names each variable and what is accepted."""

    exit_status = 2


class Settings(BaseSettings):
    """Everything that can be set. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILES,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    sandbox: bool = Field(
        default=False,
        description="This is a laptop or a test: well-known secrets and the development login work",
    )

    app_id: str = Field(
        default="tiffin",
        pattern=r"^[a-zA-Z0-9._-]+$",
        description="Faust app id: the consumer group, and the prefix of changelog topics",
    )
    kafka_bootstrap: str = Field(
        default="127.0.0.1:9092",
        pattern=r"^[^\s,:/]+:\d+(,[^\s,:/]+:\d+)*$",
        description="Kafka brokers, host:port, separated by commas",
    )
    kafka_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How brokers are spoken to"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How the user shows the password to brokers"
    )
    kafka_user: str | None = Field(default=None, description="User at the brokers, with SASL_...")
    kafka_password: SecretStr | None = Field(default=None, description="That user's password")
    kafka_ca_file: Path | None = Field(
        default=None, description="Who signed the brokers' certificates (PEM); none: the system's"
    )
    partitions: int = Field(
        default=3, ge=1, le=1000, description="Partitions of every topic and table, for good"
    )
    replication_factor: int = Field(default=1, ge=1, le=9, description="Replicas of every topic")
    session_timeout_s: Seconds = Field(
        default=8.0, description="After how long a silent worker loses its partitions"
    )
    heartbeat_interval_s: Seconds = Field(
        default=2.0, description="How often a worker tells Kafka that it lives"
    )
    rebalance_timeout_s: Seconds = Field(
        default=10.0, description="How long a rebalance waits for a worker that does not answer"
    )
    group_instance_id: str | None = Field(
        default=None,
        description="A name of this worker that outlives it: a restart moves no partitions",
    )
    data_dir: Path = Field(
        default=Path("data"), description="Where this worker keeps its tables; one folder a worker"
    )

    web_host: str = Field(default="127.0.0.1", description="Address that the web server binds to")
    web_port: Port = Field(default=6066, description="Port that the web server binds to")
    web_url: str | None = Field(
        default=None, description="Base URL under which the other workers reach this one"
    )
    public_url: str | None = Field(
        default=None, description="Base URL for customers; none: taken from each request"
    )
    secure_cookies: bool = Field(default=False, description="Cookies are sent over HTTPS alone")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins of pages besides our own that may post with a cookie, by commas",
    )
    body_limit_bytes: int = Field(
        default=65_536, ge=1024, le=1_048_576, description="Largest body of a request"
    )
    client_creates_per_min: PerMinute = Field(
        default=60.0, description="Payments that one address may open a minute; 0: no limit"
    )
    client_writes_per_min: PerMinute = Field(
        default=300.0, description="Other POSTs of one address a minute; 0: no limit"
    )
    client_reads_per_min: PerMinute = Field(
        default=3000.0, description="GETs of one address a minute; 0: no limit"
    )
    client_requests_at_once: int = Field(
        default=300, ge=0, description="Open requests of one address, streams too; 0: no limit"
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=9,
        description="Our own proxies before the workers, whose X-Forwarded-For names the client",
    )
    command_wait_s: Seconds = Field(
        default=10.0, description="How long a POST waits for its outcome before it answers 202"
    )
    confirm_wait_s: Seconds = Field(
        default=25.0, description="How long a confirm waits for its result before it answers 202"
    )
    consistency_wait_s: Seconds = Field(
        default=5.0, description="How long a read waits until it holds the write it names"
    )
    catalogue_dir: Path | None = Field(
        default=None, description="Folder of restaurants and menus; none: those of this repository"
    )

    stripe_secret_key: SecretStr = Field(
        default=SecretStr(SANDBOX_SECRET_KEY), description="sk_... or rk_..., of one mode with pk"
    )
    stripe_publishable_key: str = Field(
        default=SANDBOX_PUBLISHABLE_KEY, description="pk_..., handed to the pages"
    )
    stripe_api_url: str = Field(
        default=STRIPE_API, description="Base address of Stripe's API, or of the stand-in's"
    )
    stripe_js_url: str | None = Field(
        default=None,
        description="Where browsers reach the stand-in (none: where workers do), or Stripe's own script",
    )
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
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
    payment_deadline_s: Seconds = Field(
        default=1800.0, description="After how long an unpaid order expires"
    )
    courier_limit: int = Field(
        default=1, ge=1, le=100, description="How many deliveries one courier may have at a time"
    )
    kitchen_deadline_s: Seconds = Field(
        default=600.0, description="After how long an order that no kitchen accepted is cancelled"
    )

    smtp_host: str | None = Field(
        default=None, description="Mail server that takes our mail; none: no mail is sent"
    )
    smtp_port: Port = Field(default=587, description="Its port")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        default="starttls", description="none, starttls, or tls from the first byte"
    )
    smtp_user: str | None = Field(default=None, description="User at the mail server, if it asks")
    smtp_password: SecretStr | None = Field(default=None, description="That user's password")
    smtp_timeout_s: Seconds = Field(default=30.0, description="How long sending one mail may take")
    mail_from: str | None = Field(
        default=None,
        pattern=r"^([^<>@\r\n]+ <[^<>@\s]+@[^<>@\s]+\.[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+\.[^<>@\s]+)$",
        description="Sender of our mail, such as Tiffin <orders@example.com>",
    )
    twilio_account_sid: str | None = Field(
        default=None, pattern=r"^AC\w+$", description="AC...; none: no short messages are sent"
    )
    twilio_auth_token: SecretStr | None = Field(default=None, description="That account's token")
    twilio_api_url: str | None = Field(
        default=None, description="Base address of a stand-in for Twilio's API; none: Twilio's"
    )
    sms_from: str | None = Field(
        default=None,
        pattern=r"^(\+\d{5,15}|MG\w+)$",
        description="Sender of short messages: a number with + and country, or MG...",
    )
    sms_timeout_s: Seconds = Field(
        default=15.0, description="How long sending one short message may take"
    )
    notifier_concurrency: int = Field(
        default=8, ge=1, le=500, description="Mails and short messages being sent at one time"
    )
    notification_tries: int = Field(
        default=12, ge=1, le=100, description="After so many failures an operator is waited for"
    )
    notification_first_pause_s: Seconds = Field(
        default=5.0, description="Between the first two tries; each later pause is twice as long"
    )
    notification_longest_pause_s: Seconds = Field(
        default=900.0, description="Longest pause between two tries"
    )
    notification_max_age_s: Seconds = Field(
        default=86_400.0, description="What happened longer ago is not told any more"
    )

    order_token_key: SecretStr = Field(
        default=SecretStr(SANDBOX_TOKEN_KEY),
        description="Signs order tokens (HS256): at least 32 random characters",
    )
    platform_jwks_url: str | None = Field(
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

    log_format: Literal["console", "json"] = Field(default="console", description="json or console")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level of Tiffin's own log lines"
    )

    @property
    def livemode(self) -> bool:
        """Whether real money moves: what Stripe's objects must say of themselves."""
        return self.stripe_secret_key.get_secret_value().startswith(LIVE_KEYS)

    @property
    def canonical_url(self) -> str:
        """Base URL that the other workers use for this one, without a slash at its end."""
        host = f"[{self.web_host}]" if ":" in self.web_host else self.web_host
        return (self.web_url or f"http://{host}:{self.web_port}").rstrip("/")

    @field_validator("stripe_webhook_secrets", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator(
        "web_url",
        "public_url",
        "stripe_api_url",
        "stripe_js_url",
        "platform_jwks_url",
        "twilio_api_url",
    )
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be a URL that begins with http:// or https://")
        return value.rstrip("/")

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

    @field_validator("order_token_key")
    @classmethod
    def _is_long(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < SMALLEST_TOKEN_KEY:
            raise ValueError(f"must have at least {SMALLEST_TOKEN_KEY} characters")
        return key

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        wrong = [
            *self._wrong_timing(),
            *self._wrong_kafka(),
            *self._wrong_stripe(),
            *self._wrong_messages(),
            *self._wrong_secrets(),
        ]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def _wrong_timing(self) -> Iterable[str]:
        if self.heartbeat_interval_s * 3 > self.session_timeout_s:
            yield _named("heartbeat_interval_s", "must be at most a third of the session time-out")
        if self.confirm_deadline_s <= self.stripe_write_timeout_s:
            yield _named("confirm_deadline_s", "must be longer than one write to Stripe may take")

    def _wrong_kafka(self) -> Iterable[str]:
        is_asked = self.kafka_protocol.startswith("SASL")
        for name in ("kafka_user", "kafka_password"):
            if (getattr(self, name) is not None) is not is_asked:
                yield _named(name, f"must be set with {PREFIX}KAFKA_PROTOCOL=SASL_..., only there")
        if self.kafka_ca_file is not None:
            if not self.kafka_protocol.endswith("SSL"):
                yield _named("kafka_ca_file", f"needs {PREFIX}KAFKA_PROTOCOL=SSL or SASL_SSL")
            elif not self.kafka_ca_file.is_file():
                yield _named("kafka_ca_file", "must be a file")

    def _wrong_stripe(self) -> Iterable[str]:
        if self.livemode != self.stripe_publishable_key.startswith("pk_live_"):
            yield _named("stripe_publishable_key", "must be of the secret key's mode, test or live")
        if self.livemode and self.stripe_api_url != STRIPE_API:
            yield _named("stripe_api_url", f"must be {STRIPE_API} with a live key")
        if self.livemode and not self.secure_cookies:
            yield _named("secure_cookies", "must be 1 with a live key: cookies hold orders' tokens")
        if self.livemode and self.sandbox:
            yield _named("sandbox", "must not be set with a live key")

    def _wrong_messages(self) -> Iterable[str]:
        if self.smtp_host and not self.mail_from:
            yield _named("mail_from", f"must be set where {PREFIX}SMTP_HOST is")
        if (self.smtp_user is None) != (self.smtp_password is None):
            yield _named("smtp_password", f"must be set where {PREFIX}SMTP_USER is, and only there")
        twilio = ("twilio_account_sid", "twilio_auth_token", "sms_from")
        missing = [name for name in twilio if getattr(self, name) is None]
        if missing and len(missing) < len(twilio):
            yield from (_named(name, "must be set where the others are") for name in missing)
        if self.notification_first_pause_s > self.notification_longest_pause_s:
            yield _named("notification_longest_pause_s", "must not be shorter than the first pause")

    def _wrong_secrets(self) -> Iterable[str]:
        if self.sandbox:
            return
        webhook_secrets = {secret.get_secret_value() for secret in self.stripe_webhook_secrets}
        published = {
            "stripe_secret_key": self.stripe_secret_key.get_secret_value() == SANDBOX_SECRET_KEY,
            "stripe_publishable_key": self.stripe_publishable_key == SANDBOX_PUBLISHABLE_KEY,
            "stripe_webhook_secrets": SANDBOX_WEBHOOK_SECRET in webhook_secrets,
            "order_token_key": self.order_token_key.get_secret_value() == SANDBOX_TOKEN_KEY,
        }
        for name, is_published in published.items():
            if is_published:
                yield _named(name, f"must be set (its default works only with {PREFIX}SANDBOX=1)")
        if self.platform_jwks_url and not self.platform_issuer:
            yield _named("platform_issuer", "must be set where TIFFIN_PLATFORM_JWKS_URL is")
        if self.dev_login:
            yield _named("dev_login", f"works only with {PREFIX}SANDBOX=1")


def load_settings() -> Settings:
    """Read the environment and .env. Raises SettingsError, whose message a person can act on."""
    problems = _misspelt(
        {*os.environ, *(name for file in ENV_FILES for name in dotenv_values(file))}
    )
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [line for part in error.errors() for line in _explain(part)]
    if problems:
        raise SettingsError("\n".join(["These settings can't be used:", *problems])) from None
    return settings


def _named(field: str, problem: str) -> str:
    return f"{PREFIX}{field.upper()}: {problem}"


def _explain(part: ErrorDetails) -> list[str]:
    """Name the variable and what it accepts; never its value, which may be a secret."""
    message = part["msg"].removeprefix("Value error, ")
    if not part["loc"]:
        return message.splitlines()
    field = str(part["loc"][0])
    about = Settings.model_fields[field].description if field in Settings.model_fields else None
    return [_named(field, f"{message} ({about})" if about else message)]


def _misspelt(names: Iterable[str]) -> list[str]:
    """Variables that are surely meant as settings, and would silently be ignored."""
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    problems = []
    for name in sorted(set(names) - known):
        likely = difflib.get_close_matches(name, known, 1, 0.85) if name.startswith(PREFIX) else []
        if likely:
            problems.append(f"{name}: is no setting; did you mean {likely[0]}?")
    return problems
