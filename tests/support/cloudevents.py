"""Records as a consumer elsewhere reads them: by the cloudevents library, and by the files in docs/schemas."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from cloudevents.core.exceptions import BaseCloudEventException
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
REQUIRED = {"ce_id", "ce_source", "ce_specversion", "ce_type"}
"""The library fills in what is missing of them, but for type and source."""
JSON = "application/json"
ONE_KIND = {
    "payment-webhook-received": "WebhookReceived",
    "reconciliation": "ReconciliationReport",
    "worker-clocks": "WorkerClock",
    "platform-identity": "PlatformId",
    "platform-partitions": "PartitionsState",
    "restaurant-takings": "TakingsChange",
}
"""Topic -> the only kind of its records."""
DEAD_LETTERS = "payment-events-dlq"
MARKER = "tiffin-marker"
"""Header of a record among the dead letters that says what an operator did with one."""


def read(headers: Mapping[str, str], key: str | None, value: bytes | None) -> BaseCloudEvent:
    """The record as a CloudEvent. Raises AssertionError."""
    assert headers.keys() >= REQUIRED, f"no {REQUIRED - headers.keys()}"
    encoded = {name: text.encode() for name, text in headers.items()}
    # The library's types leave out records without a value, which the binding has: events without data.
    try:
        event = from_kafka_event(KafkaMessage(encoded, key, value))
    except (BaseCloudEventException, ValueError) as error:
        raise AssertionError(f"no CloudEvent: {error}") from error
    assert event.get_datacontenttype() == (None if value is None else JSON), headers
    return event


def check(topic: str, headers: Mapping[str, str], key: str | None, value: bytes | None) -> None:
    """Raise AssertionError unless a record of ours is a valid CloudEvent of its type's schema.

    A dead letter has the headers and the bytes of its origin: it is a CloudEvent if that was one.
    """
    is_dead_letter = topic == DEAD_LETTERS and MARKER not in headers
    if is_dead_letter and "ce_specversion" not in headers:
        return
    event = read(headers, key, value)
    if topic != DEAD_LETTERS and value is not None:
        error = best_match(_validator(topic, event.get_type()).iter_errors(event.get_data()))
        assert error is None, f"{event.get_type()} {error.json_path}: {error.message}"


@functools.cache
def _validator(topic: str, type_: str) -> Any:
    folder = "commands" if topic.endswith("-commands") else "events"
    path = f"records/{ONE_KIND[topic]}" if topic in ONE_KIND else f"{folder}/{type_}"
    schema = json.loads((SCHEMAS / f"{path}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
