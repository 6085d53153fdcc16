"""Settings of what customers are told: the mail server, Twilio, and how often is tried."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from app.settings.field_types import PREFIX, Port, Seconds, SettingsPart, Url, named


class NotificationSettings(SettingsPart):
    """A channel whose server is not named is not used."""

    smtp_host: str | None = None
    """Mail server that takes our mail; none: no mail is sent"""
    smtp_port: Port = 587
    """Its port"""
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    """none, starttls, or tls from the first byte"""
    smtp_user: str | None = None
    """User at the mail server, if it asks"""
    smtp_password: SecretStr | None = None
    """That user's password"""
    smtp_timeout_s: Seconds = 30.0
    """How long sending one mail may take"""
    mail_from: str | None = Field(
        None,
        pattern=r"^([^<>@\r\n]+ <[^<>@\s]+@[^<>@\s]+\.[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+\.[^<>@\s]+)$",
    )
    """Sender of our mail, such as Tiffin <orders@example.com>"""
    twilio_account_sid: str | None = Field(None, pattern=r"^AC\w+$")
    """AC...; none: no short messages are sent"""
    twilio_auth_token: SecretStr | None = None
    """That account's token"""
    twilio_api_url: Url | None = None
    """Base address of a stand-in for Twilio's API; none: Twilio's"""
    sms_from: str | None = Field(None, pattern=r"^(\+\d{5,15}|MG\w+)$")
    """Sender of short messages: a number with + and country, or MG..."""
    sms_timeout_s: Seconds = 15.0
    """How long sending one short message may take"""
    notifier_concurrency: int = Field(8, ge=1, le=500)
    """Mails and short messages being sent at one time"""
    notification_tries: int = Field(12, ge=1, le=100)
    """After so many failures an operator is waited for"""
    notification_first_pause_s: Seconds = 5.0
    """Between the first two tries; each later pause is twice as long"""
    notification_longest_pause_s: Seconds = 900.0
    """Longest pause between two tries"""
    notification_max_age_s: Seconds = 86_400.0
    """What happened longer ago is not told any more"""

    notification_repeat_after_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 900.0
    """Between two messages of a kind about one order, such as of declines; 0: none waits"""
    notifications_per_contact_hour: int = Field(20, ge=0, le=10_000)
    """Messages that one mail address or number gets in an hour from one worker; 0: all"""

    def notification_problems(self) -> Iterable[str]:
        """What does not fit together, a line each."""
        if self.smtp_host and not self.mail_from:
            yield named("mail_from", f"must be set where {PREFIX}SMTP_HOST is")
        if (self.smtp_user is None) != (self.smtp_password is None):
            yield named("smtp_password", f"must be set where {PREFIX}SMTP_USER is, and only there")
        twilio = ("twilio_account_sid", "twilio_auth_token", "sms_from")
        missing = [name for name in twilio if getattr(self, name) is None]
        if missing and len(missing) < len(twilio):
            yield from (named(name, "must be set where the others are") for name in missing)
        if self.notification_first_pause_s > self.notification_longest_pause_s:
            yield named("notification_longest_pause_s", "must not be shorter than the first pause")
