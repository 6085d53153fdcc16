"""Settings: every one with its description, from TIFFIN_* variables and .env, validated at the start.

A file a part of the application. Imports nothing of this project but its own parts and app/secret_files.py,
because sandbox/ and bench/ read it too.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.secret_files import SUFFIX, secrets_from_files
from app.settings.field_types import PREFIX, Seconds, named, plain_texts
from app.settings.kafka import KafkaSettings
from app.settings.notifications import NotificationSettings
from app.settings.stripe import (
    SANDBOX_PUBLISHABLE_KEY,
    SANDBOX_SECRET_KEY,
    SANDBOX_WEBHOOK_SECRET,
    STRIPE_API,
    StripeSettings,
)
from app.settings.web import SANDBOX_TOKEN_KEY, AccessSettings, WebSettings

__all__ = [
    "PREFIX", "PUBLISHED_SECRETS", "SANDBOX_PUBLISHABLE_KEY", "SANDBOX_SECRET_KEY", "SANDBOX_TOKEN_KEY",
    "SANDBOX_WEBHOOK_SECRET", "SECRET_VARIABLES", "STRIPE_API", "Settings", "SettingsError", "load_settings",
]  # fmt: skip

ENV_FILES: Final = (".sandbox/env", ".env")
"""The later one wins; the first is there while `make demo` runs, so that `faust -A app` finds it."""


PUBLISHED_SECRETS: Final = {
    "stripe_secret_key": SANDBOX_SECRET_KEY,
    "stripe_publishable_key": SANDBOX_PUBLISHABLE_KEY,
    "stripe_webhook_secrets": SANDBOX_WEBHOOK_SECRET,
    "order_token_key": SANDBOX_TOKEN_KEY,
}
"""Defaults that only a sandbox may have: outside it these must be set."""


class SettingsError(Exception):
    """Settings that can't be used; the message names each variable and what is accepted."""

    exit_status = 2


class Settings(
    KafkaSettings, WebSettings, AccessSettings, StripeSettings, NotificationSettings, BaseSettings
):
    """Everything that can be set. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        defer_build=False,
        env_prefix=PREFIX,
        env_file=ENV_FILES,
        env_ignore_empty=True,  # `TIFFIN_X=` in .env, or an unset one in docker-compose.yml
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    sandbox: bool = False
    """This is a laptop or a test: well-known secrets and the development login work"""
    sandbox_open: bool = False
    """Other machines may reach the sandbox, whose secrets and sign-in are everybody's"""
    payment_deadline_s: Seconds = 1800.0
    """After how long an unpaid order expires"""
    late_payment_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 900.0
    """So long after it expired an order's money is still taken and cooked for; what comes later goes back"""
    courier_limit: int = Field(1, ge=1, le=100)
    """How many deliveries one courier may have at a time"""
    delivery_code: bool = False
    """Customers see four digits, which couriers enter when they hand over; set it once every worker runs a
    release that has it"""
    kitchen_deadline_s: Seconds = 600.0
    """After how long an order that no kitchen accepted is cancelled"""
    outcomes_kept_hours: Annotated[float, Field(ge=1, le=24 * 365, allow_inf_nan=False)] = 24.0
    """So long an ended order keeps what its commands led to, and answers a repeated Idempotency-Key with it"""
    details_kept_days: Annotated[float, Field(ge=1, le=36_500, allow_inf_nan=False)] = 30.0
    """So long an ended order keeps its messages, and is found by the ids of events, commands and messages"""
    contact_kept_days: Annotated[float, Field(ge=1, le=36_500, allow_inf_nan=False)] = 180.0
    """So long an ended order keeps contact, address, notes and allergies; disputes come for 120 days"""
    takings_kept_days: int = Field(35, ge=1, le=400)
    """So many days that are over a restaurant's takings keep"""
    traces: bool = False
    """Spans are sent by OTLP to OTEL_EXPORTER_OTLP_ENDPOINT (docs/tracing.md)"""
    log_format: Literal["console", "json"] = "console"
    """json or console"""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least level of Tiffin's own log lines"""

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        parts = (
            self.kafka_problems, self.stripe_problems, self.notification_problems,
            self._secret_problems, self._sign_in_problems,
        )  # fmt: skip
        if wrong := [line for part in parts for line in part()]:
            raise ValueError("\n".join(wrong))
        return self

    def _secret_problems(self) -> Iterable[str]:
        """What costs or loses money, or lets anybody in, outside the sandbox."""
        if self.livemode and not self.secure_cookies:
            yield named("secure_cookies", "must be 1 with a live key: cookies hold orders' tokens")
        if self.livemode and self.sandbox:
            yield named("sandbox", "must not be set with a live key")
        if self.sandbox:
            if not (self.is_local or self.sandbox_open):
                where = "TIFFIN_BIND" if self.bind else "TIFFIN_WEB_HOST"
                loopback = f"{where} must be a loopback address, such as 127.0.0.1"
                problem = f"anybody signs in as staff, so {loopback}, or {PREFIX}SANDBOX_OPEN=1"
                yield named("sandbox", problem)
            return
        for name, published in PUBLISHED_SECRETS.items():
            if published in plain_texts(getattr(self, name)):
                yield named(name, f"must be set (its default works only with {PREFIX}SANDBOX=1)")
        if self.platform_jwks_url and not self.platform_issuer:
            yield named("platform_issuer", "must be set where TIFFIN_PLATFORM_JWKS_URL is")
        if (self.smtp_host or self.twilio_account_sid) and not self.public_url:
            yield named("public_url", "must be set where messages are sent, which link to it")
        if self.dev_login:
            yield named("dev_login", f"works only with {PREFIX}SANDBOX=1")

    def _sign_in_problems(self) -> Iterable[str]:
        for name in ("platform_issuer", "public_url"):
            if self.platform_client_id and not getattr(self, name):
                yield named(name, f"must be set where {PREFIX}PLATFORM_CLIENT_ID is")


SECRET_VARIABLES: Final = tuple(
    f"{PREFIX}{name.upper()}"
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation)
)
"""Those that a file may hold, named by the same variable with _FILE at its end."""


def load_settings() -> Settings:
    """Read the environment and .env. Raises SettingsError, whose message a person can act on."""
    given = _given()
    secrets, unreadable = secrets_from_files(SECRET_VARIABLES, given)
    problems = [*_misspelt(set(given)), *unreadable]
    not_to_blame = tuple(line.partition(f"{SUFFIX}:")[0] + ":" for line in unreadable)
    values: dict[str, Any] = {
        variable.removeprefix(PREFIX).lower(): secret for variable, secret in secrets.items()
    }
    try:
        settings = Settings(**values)
    except ValidationError as error:
        lines = [line for part in error.errors() for line in _explain(part)]
        problems += [line for line in lines if not line.startswith(not_to_blame)]
    if problems:
        raise SettingsError("\n".join(["These settings can't be used:", *problems])) from None
    return settings


def _given() -> Mapping[str, str]:
    """All variables, as the environment and the files have them; names in capitals, empty ones left out."""
    sources: list[Mapping[str, str | None]] = [dotenv_values(file) for file in ENV_FILES]
    return {
        name.upper(): value
        for source in (*sources, os.environ)
        for name, value in source.items()
        if value
    }


def _explain(part: ErrorDetails) -> list[str]:
    """Name the variable and what it accepts; never its value, which may be a secret."""
    message = part["msg"].removeprefix("Value error, ")
    if not part["loc"]:
        return message.splitlines()
    field = str(part["loc"][0])
    about = Settings.descriptions().get(field)
    return [named(field, f"{message} ({about})" if about else message)]


def _misspelt(names: set[str]) -> list[str]:
    """Variables that are surely meant as settings, and would silently be ignored."""
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    known |= {f"{variable}{SUFFIX}" for variable in SECRET_VARIABLES}
    problems = []
    for name in sorted(names - known):
        likely = difflib.get_close_matches(name, known, 1, 0.85) if name.startswith(PREFIX) else []
        if likely:
            problems.append(f"{name}: is no setting; did you mean {likely[0]}?")
    return problems
