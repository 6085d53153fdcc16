"""A worker's start without Kafka, as whoever reads its log meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from sandbox.processes import free_port

ROOT = Path(__file__).parents[3]


def test_kafka_away_at_the_start_is_one_line(tmp_path: Path) -> None:
    settings = {
        "TIFFIN_SANDBOX": "1", "TIFFIN_KAFKA_BOOTSTRAP": "127.0.0.1:1,127.0.0.1:2",
        "TIFFIN_LOG_FORMAT": "json", "TIFFIN_DATA_DIR": str(tmp_path / "data"),
        "TIFFIN_WEB_PORT": str(free_port()),
    }  # fmt: skip
    kept = {name: text for name, text in os.environ.items() if not name.startswith("TIFFIN_")}
    done = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "app", "worker", "--loglevel", "warn"],
        env=kept | settings, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    (line,) = [json.loads(text) for text in done.stderr.splitlines()]
    assert done.returncode == 1
    assert line["level"] == "critical"
    assert line["message"].startswith("Kafka can't be reached")
    assert line["kafka"] == settings["TIFFIN_KAFKA_BOOTSTRAP"]
    assert "Traceback" not in done.stdout
