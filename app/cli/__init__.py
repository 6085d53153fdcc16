"""All commands of `faust -A app` that are not Faust's own."""

from collections.abc import Iterable

import faust

from app.cli import audit, completion, dead_letters, notifications, orders, skip, stripe, topics
from app.settings import Settings


def register(app: faust.App, settings: Settings, currencies: Iterable[str]) -> None:
    """Add the commands to the app's command line. currencies: of the menus."""
    for command in (orders, topics, audit, dead_letters, notifications, skip, completion):
        command.register(app, settings)
    stripe.register(app, settings, currencies)
