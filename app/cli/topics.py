"""`faust -A app topics`: Kafka's topics against the registry."""

import asyncio
from typing import Final

from faust.cli import option

from agents import services
from agents.service import topic_uses
from app.cli.command import command
from app.cli.http import exit_with
from app.cli.output import console, table
from app.kafka.topics import TopicChange, TopicsError, sync_topics
from app.settings import Settings
from models.topics import TopicUse

_CHECK_HELP: Final = "Change nothing; fail if something differs."


@command(option("--check", "check_only", is_flag=True, help=_CHECK_HELP))
async def topics(settings: Settings, check_only: bool) -> None:
    """Make Kafka's topics as the registry says, and list them."""
    try:
        reports = await asyncio.to_thread(sync_topics, settings, check_only=check_only)
    except TopicsError as error:
        raise exit_with(str(error)) from None
    columns = ("topic", "partitions", "kept", "written by", "read by", "")
    uses = {use.topic: use for use in topic_uses(services())}
    rows = [_topic_row(report, uses.get(report.topic)) for report in reports]
    console(140).print(table(columns, rows))


def _topic_row(report: TopicChange, use: TopicUse | None) -> tuple[str, ...]:
    """use: None for a table's changelog, which the tables write and read."""
    topic = report.topic
    written_by, read_by = (use.written_by, use.read_by) if use else (topic.clients, topic.clients)
    return (
        topic.name, str(report.partitions), topic.retention, ", ".join(written_by),
        ", ".join(read_by), report.done,
    )  # fmt: skip
