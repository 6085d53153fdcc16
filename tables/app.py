"""A Faust app with the settings that the engine needs; each was measured or follows from a defect."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING, Any

from models.topics import MAX_COMPACTION_LAG_MS, REPLICAS_REQUIRING_MIN_INSYNC
from tables.assignor import GroupAssignor
from tables.faust_internals import AppWithDataFolder, TablesAtOnce, end_at_once, scan_nothing
from tables.limits import BATCH_BYTES, MESSAGE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    import faust

COLLECTOR_THRESHOLDS = (100_000, 50, 100)
"""What tasks have in flight exists just long enough to look old to Python's cyclic collector, which by
default would go through all of it again and again: a third of the throughput. None of it is in
cycles, so it is freed without the collector."""
FETCHED_RECORDS = 6_000
FETCHED_BYTES = 4 * 1024 * 1024
"""At most, of one partition at a time. A backlog should come in large fetches: the more inputs of a key
are in a commit batch, the less each costs."""
STORE_OPTIONS = {
    "block_cache_size": 16 * 1024 * 1024,
    "write_buffer_size": 4 * 1024 * 1024,
    "max_write_buffer_number": 3,
    "max_open_files": 128,
}
"""Of each RocksDB, one a (service, partition): the defaults would take 2 GiB and more each."""


class WorkerApp(AppWithDataFolder):
    """A Faust app with a garbage collector that suits partition tasks."""

    async def on_first_start(self) -> None:
        """Before anything of the app runs."""
        await super().on_first_start()
        # Without collecting first: that would go through all modules, for little that is not used.
        gc.freeze()
        gc.set_threshold(*COLLECTOR_THRESHOLDS)


def make_app(  # noqa: PLR0913 -- settings, each given by name
    app_id: str,
    *,
    broker: str,
    datadir: Path,
    partitions: int,
    replication: int = 1,
    session_timeout_s: float = 6.0,
    heartbeat_interval_s: float = 2.0,
    rebalance_timeout_s: float = 10.0,
    commit_interval_s: float = 1.0,
    instance_id: str | None = None,
    standby_replicas: int = 0,
    **settings: Any,
) -> faust.App:
    """Make the worker's app; `app_id` is the consumer group and the changelogs' prefix.

    `broker` as Faust takes it ("kafka://host:port;..."), `datadir` this worker's own, `instance_id` for
    static membership. `settings` are further ones of Faust's: web_port, broker_credentials, ...
    """
    for name in (
        "aiokafka",
        "faust",
        "mode",
    ):  # their debug calls alone cost a tenth of the throughput
        if logging.getLogger(name).level < logging.INFO:
            logging.getLogger(name).setLevel(logging.INFO)
    end_at_once()
    scan_nothing()
    return WorkerApp(
        app_id,
        broker=broker,
        store="rocksdb://",
        datadir=datadir,
        processing_guarantee="at_least_once",
        topic_partitions=partitions,
        topic_replication_factor=replication,
        topic_disable_leader=True,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=heartbeat_interval_s,
        # Faust's 60 s would stall everybody after one crash.
        broker_rebalance_timeout=rebalance_timeout_s,
        # As short as a group's rounds allow: a broker that hangs is waited for so long.
        broker_request_timeout=max(session_timeout_s, rebalance_timeout_s) + 5.0,
        broker_commit_interval=commit_interval_s,
        broker_max_poll_records=FETCHED_RECORDS,
        consumer_max_fetch_size=FETCHED_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance_id,
        producer_acks=-1,
        producer_linger_ms=0,
        producer_max_batch_size=BATCH_BYTES,
        producer_max_request_size=2 * MESSAGE_BYTES,
        producer_request_timeout=30.0,
        # Tasks drain by themselves; Faust would wait without limit for acks that never come.
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=64,
        recovery_consistency_check=True,
        table_standby_replicas=standby_replicas,
        TableManager=TablesAtOnce,
        PartitionAssignor=GroupAssignor,
        **settings,
    )


def changelog_config(replication: int) -> dict[str, Any]:
    """Settings of a changelog's topic: of three replicas two must have what counts as sent."""
    in_sync = {"min.insync.replicas": 2} if replication >= REPLICAS_REQUIRING_MIN_INSYNC else {}
    # The broker's time, else Kafka refuses the records of a worker whose clock is an hour ahead.
    times = {
        "message.timestamp.type": "LogAppendTime",
        "max.compaction.lag.ms": MAX_COMPACTION_LAG_MS,
    }
    return {"max.message.bytes": MESSAGE_BYTES, **times, **in_sync}
