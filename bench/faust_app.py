"""Faust as its book has it, with the same workload: a table, an agent, at-least-once."""

from __future__ import annotations

import os
from typing import Any

import faust

from bench.counting import SESSION_S, counted

app = faust.App(
    os.environ["BENCH_GROUP"],
    broker=f"kafka://{os.environ['BENCH_BOOTSTRAP']}",
    store="rocksdb://",
    datadir=os.environ["BENCH_DIR"],
    topic_partitions=3,
    broker_session_timeout=SESSION_S,
    broker_heartbeat_interval=SESSION_S / 3,
    web_enabled=False,
)
source = app.topic(os.environ["BENCH_INPUT"], key_type=str, value_serializer="json")
sink = app.topic(os.environ["BENCH_SINK"], key_type=str, value_serializer="json")
orders: Any = app.Table("orders", options={"driver": "rocksdict"})


@app.agent(source)
async def count(stream: Any) -> None:
    """Number each record and send its event."""
    async for key, message in stream.items():
        found = counted(orders.get(key), message)
        if found is not None:
            orders[key], event = found
            await sink.send(key=key, value=event)
