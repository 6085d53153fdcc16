"""`faust -A app topics`: Kafka's topics against the registry."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from faust.cli import option

from app.cli.command import command, settings
from app.cli.errors import CommandError
from app.cli.http import JSON_OPTION
from app.cli.output import print_json, print_list

if TYPE_CHECKING:
    from app.kafka.topics import TopicChange
    from models.topics import TopicUse

_CHECK_HELP: Final = "Change nothing; fail if something differs."


@command(
    option("--check", "check_only", is_flag=True, help=_CHECK_HELP),
    JSON_OPTION,
    examples=("topics --check", "topics --json"),
)
async def topics(check_only: bool, as_json: bool) -> None:
    """Make Kafka's topics as the registry says, and list them."""
    from aiokafka.errors import KafkaError  # noqa: PLC0415 -- --help needs no services, and no Kafka
    from confluent_kafka import KafkaException  # noqa: PLC0415

    from agents import services  # noqa: PLC0415
    from agents.service import topic_uses  # noqa: PLC0415
    from app.kafka.topics import TopicsError, sync_topics  # noqa: PLC0415
    from app.partitions.state import read_generation  # noqa: PLC0415
    from models.generations import base_topic  # noqa: PLC0415

    def sync() -> list[TopicChange]:
        found = settings()
        try:
            generation = read_generation(found)
        except (KafkaError, KafkaException, TimeoutError) as error:
            raise TopicsError(
                f"Kafka at {found.kafka_bootstrap} does not answer ({type(error).__name__}). Is it running, "
                "and are TIFFIN_KAFKA_BOOTSTRAP and what else begins with TIFFIN_KAFKA right?"
            ) from None
        return sync_topics(found, generation, check_only=check_only)

    try:
        reports = await asyncio.to_thread(sync)
    except TopicsError as error:
        raise CommandError(str(error)) from None
    uses = {use.topic.name: use for use in topic_uses(services())}
    rows = [_topic_row(report, uses.get(base_topic(report.topic.name))) for report in reports]
    if as_json:
        names = ("topic", "partitions", "kept", "writtenBy", "readBy", "done")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    columns = ("topic", "partitions", "kept", "written by", "read by", "")
    joined = (
        (row[0], row[1], row[2], ", ".join(row[3]), ", ".join(row[4]), row[5]) for row in rows
    )
    print_list(columns, joined)


def _topic_row(report: TopicChange, use: TopicUse | None) -> tuple[Any, ...]:
    """use: None for a table's changelog, which the tables write and read."""
    topic = report.topic
    written_by, read_by = (use.written_by, use.read_by) if use else (topic.clients, topic.clients)
    return topic.name, report.partitions, topic.retention, written_by, read_by, report.done
