"""All commands of `faust -A app` that are not Faust's own."""

import faust

from app.cli import audit, completion, dead_letters, notifications, orders, skip, topics
from app.settings import Settings


def register(app: faust.App, settings: Settings) -> None:
    """Add the commands to the app's command line."""
    for command in (orders, topics, audit, dead_letters, notifications, skip, completion):
        command.register(app, settings)
