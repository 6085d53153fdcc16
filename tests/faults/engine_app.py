"""The worker under attack: `python -m faust -A tests.faults.engine_app worker`, told by the environment."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from tables import Limits, ServiceRuntime, make_app
from tests.faults.engine_services import keyed_services, services

logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"))

RUN = os.environ["RUN"]
app = make_app(
    RUN,
    broker=";".join(f"kafka://{host}" for host in os.environ["BOOTSTRAP"].split(",")),
    datadir=Path(os.environ["DATADIR"]),
    partitions=int(os.environ.get("PARTITIONS", "3")),
    replication=int(os.environ.get("REPLICAS", "1")),
    session_timeout_s=float(os.environ.get("SESSION_S", "6")),
    instance_id=os.environ.get("INSTANCE_ID"),
    standby_replicas=int(os.environ.get("STANDBYS", "0")),
    web_enabled=False,
    canonical_url=os.environ.get("CANONICAL_URL", "http://127.0.0.1:1"),
)
runtime = ServiceRuntime(
    app,
    (keyed_services if "KEYED" in os.environ else services)(RUN)[
        : int(os.environ.get("SERVICES", "2"))
    ],
    dead_letter_topic=f"{RUN}-dlq",
    partitions=int(os.environ.get("PARTITIONS", "3")),
    limits=Limits(**json.loads(os.environ.get("LIMITS", "{}"))),
    topic_name=lambda topic: topic + os.environ.get("TOPIC_SUFFIX", ""),
)

if "STEPPED_OVER" in os.environ:
    transport: Any = app.transport
    stepped_over = json.loads(os.environ["STEPPED_OVER"])

    class SteppingConsumer(transport.Consumer):
        """Never delivers one record: [topic, partition, offset]."""

        async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
            found = await super()._getmany(active_partitions, timeout)
            return {
                tp: [r for r in records if [*tp] != stepped_over[:2] or r.offset != stepped_over[2]]
                for tp, records in found.items()
            }

    transport.Consumer = SteppingConsumer
