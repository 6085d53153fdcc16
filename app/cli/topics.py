"""`faust -A app topics`: Kafka's topics against the registry."""

import asyncio
from typing import Any

import faust
from faust.cli import option

from app.cli.http import exit_with
from app.cli.output import console, table
from app.kafka.topics import TopicChange, TopicsError, sync_topics
from app.settings import Settings
from models.times import DAY_MS
from models.wording import counted


def register(app: faust.App, settings: Settings) -> None:
    """Add the command to the app's command line."""

    @app.command(
        option(
            "--check", "check_only", is_flag=True, help="Change nothing; fail if something differs."
        )
    )
    async def topics(self: Any, check_only: bool) -> None:
        """Make Kafka's topics as the registry says, and list them."""
        try:
            reports = await asyncio.to_thread(sync_topics, settings, check_only=check_only)
        except TopicsError as error:
            raise exit_with(str(error)) from None
        columns = ("topic", "partitions", "kept", "written by", "read by", "")
        console(140).print(table(columns, map(_topic_row, reports)))


def _topic_row(report: TopicChange) -> tuple[str, ...]:
    topic = report.topic
    kept = (
        "for ever"
        if topic.retention_ms < 0
        else counted(topic.retention_ms // DAY_MS, "day", "days")
    )
    return (
        topic.name, str(report.partitions), kept, ", ".join(topic.written_by),
        ", ".join(topic.read_by), report.done,
    )  # fmt: skip
