"""What tables/ uses of the inside of Faust and aiokafka: an upgrade that moves it fails here first."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import aiokafka
import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.transaction_manager import TransactionManager
from faust import App
from faust.app.router import Router
from faust.assignor.partition_assignor import PartitionAssignor
from faust.stores.rocksdb import Store
from faust.tables.recovery import Recovery
from faust.tables.table import Table
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver


def test_the_versions_that_were_measured() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka") == "0.14.0"


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            driver.Consumer,
            "getmany perform_seek _getmany _wait_next_records _to_message _new_consumer_thread",
        ),
        (
            driver.Consumer,
            "earliest_offsets highwaters seek_wait assignment verify_all_partitions_active",
        ),
        (fetcher, "MemoryRecords PartitionRecords"),
        (driver.AIOKafkaConsumerThread, "call_thread _ensure_consumer _create_worker_consumer"),
        (driver.Producer, "_settings_default _settings_auth"),
        (driver.Transport, "Consumer"),
        (GroupCoordinator, "_do_heartbeat _maybe_leave_group fetch_committed_offsets"),
        (TransactionManager, "set_pid_and_epoch producer_id producer_epoch"),
        (Store, "_db_for_partition offset_key persisted_offset"),
        (Table, "on_rebalance on_recovery_completed apply_changelog_batch stop"),
        (PartitionAssignor, "table_metadata assigned_actives"),
        (Router, "key_store"),
        (App, "_create_directories on_first_start"),
    ],
)
def test_names_exist(owner: object, names: str) -> None:
    assert [name for name in names.split() if not hasattr(owner, name)] == []


def test_the_fetcher_looks_up_what_is_replaced_by_name() -> None:
    fetched = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "MemoryRecords(part_data[-1])" in fetched
    assert "PartitionRecords(" in fetched
    assert "records.size_in_bytes()" in fetched
    assert "records.has_next()" in fetched
    taken = inspect.getsource(fetcher.FetchResult)
    assert "consumed_to(self._partition_records.next_fetch_offset)" in taken


def test_attributes_that_constructors_set() -> None:
    consumer = inspect.getsource(Consumer.__init__)
    for name in ("_read_offset", "_buffered_partitions"):
        assert f"self.{name} = " in consumer
    assert "self._txn_manager = " in inspect.getsource(aiokafka.AIOKafkaProducer.__init__)
    client = inspect.getsource(aiokafka.client.AIOKafkaClient)
    assert "request_timeout_ms=self._request_timeout_ms" in client
    kafka = inspect.getsource(aiokafka.AIOKafkaConsumer)
    assert "self._coordinator" in kafka
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in kafka


def test_faust_awaits_the_tables_before_it_recovers_and_opens_them_before_it_seeks() -> None:
    recovered = inspect.getsource(Recovery.on_recovery_completed)
    assert recovered.index("table.on_recovery_completed") < recovered.index("perform_seek")
    assigned = inspect.getsource(App._on_partitions_assigned)
    assert assigned.index("topics.on_partitions_assigned") < assigned.index("tables.on_rebalance")
    rebalanced = inspect.getsource(type(App("probe").tables).on_rebalance)
    assert rebalanced.index("table.on_rebalance") < rebalanced.index("recovery.on_rebalance")


def test_a_batch_takes_its_first_record_however_large() -> None:
    builder = aiokafka.producer.message_accumulator.BatchBuilder(1024, 0)
    assert builder.append(timestamp=None, key=b"k", value=b"x" * 100_000) is not None
    assert builder.append(timestamp=None, key=b"k", value=b"x") is None
