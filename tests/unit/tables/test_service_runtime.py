"""The configuration of changelogs."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.payments import PAYMENTS
from tables import ServiceRuntime, make_app


@pytest.mark.parametrize(("replicas", "wanted"), [(1, None), (2, None), (3, 2)])
def test_changelogs_too_are_at_two_replicas_before_they_count(
    tmp_path: Path, replicas: int, wanted: int | None
) -> None:
    app = make_app(
        "a", broker="kafka://127.0.0.1:1", datadir=tmp_path, partitions=3, replication=replicas
    )
    ServiceRuntime(app, [PAYMENTS], dead_letter_topic="dlq", partitions=3)
    config = app.tables["payments"].changelog_topic.config or {}
    assert config.get("min.insync.replicas") == wanted
    assert config["max.message.bytes"] > 0
    assert config["message.timestamp.type"] == "LogAppendTime"
