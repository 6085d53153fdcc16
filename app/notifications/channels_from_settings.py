"""The ways to reach customers that the settings set up."""

from app.notifications.channels import MessageChannel
from app.notifications.mail import Mailer
from app.notifications.sms import TwilioSms
from app.settings import Settings
from models.notification import Channel


def message_channels(settings: Settings) -> dict[Channel, MessageChannel]:
    """A channel is missing where its settings are."""
    channels: dict[Channel, MessageChannel] = {}
    if settings.smtp_host and settings.mail_from:
        password = settings.smtp_password
        channels[Channel.EMAIL] = Mailer(
            settings.smtp_host,
            settings.smtp_port,
            security=settings.smtp_security,
            user=settings.smtp_user,
            password=password.get_secret_value() if password else None,
            sender=settings.mail_from,
            timeout_s=settings.smtp_timeout_s,
        )
    if settings.twilio_account_sid and settings.twilio_auth_token and settings.sms_from:
        channels[Channel.SMS] = TwilioSms(
            settings.twilio_account_sid,
            settings.twilio_auth_token.get_secret_value(),
            sender=settings.sms_from,
            timeout_s=settings.sms_timeout_s,
            api_url=settings.twilio_api_url,
        )
    return channels
