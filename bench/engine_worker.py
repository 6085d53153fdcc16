"""A worker of the engine with one service, as the bench's environment says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from tables import ServiceRuntime, make_app

if TYPE_CHECKING:
    import faust

    from models.transition import TransitionService

PARTITIONS = 3


def worker(service: TransitionService) -> tuple[faust.App, ServiceRuntime]:
    """The app of a worker with every guarantee on, and what runs the service in it."""
    uvloop.install()
    app = make_app(
        os.environ["BENCH_GROUP"],
        broker=f"kafka://{os.environ['BENCH_BOOTSTRAP']}",
        datadir=Path(os.environ["BENCH_DIR"]),
        partitions=PARTITIONS,
        web_enabled=False,
    )
    runtime = ServiceRuntime(app, [service], dead_letter_topic="bench-dlq", partitions=PARTITIONS)
    return app, runtime
