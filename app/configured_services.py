"""The services as the settings have them decide: what they go by is in no other place."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import agents
from agents.notifications import NotificationPolicy
from agents.orders.transitions import Deadlines
from agents.payments.transitions import PaymentPolicy
from agents.service import Service
from agents.takings import TakingsPolicy
from app.settings import Settings, SettingsError
from app.settings.field_types import named
from models.money import read_minimum_charges
from models.notification import Channel
from models.payment_methods import OfferedMethods, read_payment_methods
from models.retention import Retention
from models.times import DAY_MS
from tables import Limits
from web.catalogue import FOLDER, Catalogue, load_catalogue


def decide_by(
    settings: Settings, catalogue: Catalogue, methods: OfferedMethods, channels: frozenset[Channel]
) -> tuple[Service[Any], ...]:
    """The services. methods: what may be paid with. channels: by which customers are told."""
    policy = NotificationPolicy(
        channels, settings.notification_tries,
        int(settings.notification_repeat_after_s * 1000),
    )  # fmt: skip
    deadlines = Deadlines(
        payment_ms=int(settings.payment_deadline_s * 1000),
        kitchen_ms=int(settings.kitchen_deadline_s * 1000),
    )
    payments = PaymentPolicy(
        methods, expires_ms=deadlines.payment_ms, late_ms=int(settings.late_payment_s * 1000)
    )
    retention = Retention(
        contact_ms=int(settings.contact_kept_days * DAY_MS),
        details_ms=int(settings.details_kept_days * DAY_MS),
    )
    takings = TakingsPolicy(
        {each.id: ZoneInfo(each.time_zone) for each in catalogue.restaurants.values()},
        settings.takings_kept_days,
    )
    return agents.services(deadlines, policy, payments, retention, takings)


def limits_of(settings: Settings) -> Limits:
    """How much a task takes on."""
    return Limits(outcome_ttl_s=int(settings.outcomes_kept_hours * 3600))


def channels_of(settings: Settings) -> frozenset[Channel]:
    """By which customers are told: a channel is missing where its settings are."""
    channels = set()
    if settings.smtp_host and settings.mail_from:
        channels.add(Channel.EMAIL)
    if settings.twilio_account_sid and settings.twilio_auth_token and settings.sms_from:
        channels.add(Channel.SMS)
    return frozenset(channels)


def catalogue_of(settings: Settings) -> Catalogue:
    """Restaurants and dishes. Raises SettingsError, CatalogueError."""
    return load_catalogue(settings.catalogue_dir or FOLDER, minimum_charges(settings))


def minimum_charges(settings: Settings) -> Mapping[str, int]:
    """The operator's minimums by currency, in minor units. Raises SettingsError."""
    try:
        return read_minimum_charges(settings.minimum_charges)
    except ValueError as error:
        wrong = named("minimum_charges", str(error))
        raise SettingsError(f"These settings can't be used:\n{wrong}") from None


def payment_methods(settings: Settings, catalogue: Catalogue) -> OfferedMethods:
    """What the Payment Element may offer for the catalogue's currencies. Raises SettingsError."""
    currencies = {each.currency for each in catalogue.restaurants.values()}
    try:
        return read_payment_methods(settings.payment_methods, currencies)
    except ValueError as error:
        wrong = named("payment_methods", str(error))
        raise SettingsError(f"These settings can't be used:\n{wrong}") from None
