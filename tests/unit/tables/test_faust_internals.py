"""What the project uses of the inside of Faust and aiokafka: an upgrade that moves it fails here first.

The private names are found in the source: none stands outside of tables/faust_internals.py, and each
one there is in the pinned version.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import aiokafka
import mode
import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer import message_accumulator
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.transaction_manager import TransactionManager
from faust import App, Schema
from faust.assignor.partition_assignor import PartitionAssignor
from faust.sensors import Monitor
from faust.stores.rocksdb import RocksDBOptions, Store
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.tables.table import Table
from faust.transport.consumer import Consumer, ConsumerThread
from faust.transport.drivers import aiokafka as driver
from faust.web.base import Web
from faust.web.drivers.aiohttp import Web as AiohttpWeb

import app
import tables
from tables import faust_internals

ROOT = Path(__file__).parents[3]
INTERNALS = Path(faust_internals.__file__)
THEIRS = ("faust", "mode", "aiokafka")
PUBLIC = {"_NOENT", "_TIMED_OUT", "_asdict", "_exit", "_fields", "_replace", "_srcfile"}
"""Documented with their underscore: by confluent-kafka, for named tuples, in `os`, and in the logging HOWTO."""

OWNERS = {
    "_buffered_partitions": Consumer,
    "_builder": BatchBuilder,
    "_check_crcs": fetcher.PartitionRecords,
    "_client": aiokafka.AIOKafkaConsumer,
    "_coordinator": aiokafka.AIOKafkaConsumer,
    "_create_directories": App,
    "_create_worker_consumer": driver.AIOKafkaConsumerThread,
    "_db_for_partition": Store,
    "_dbs": Store,
    "_do_heartbeat": GroupCoordinator,
    "_ensure_consumer": driver.AIOKafkaConsumerThread,
    "_fetch_max_wait_ms": aiokafka.AIOKafkaConsumer,
    "_getmany": driver.Consumer,
    "_new_store_by_url": Collection,
    "_key_deserializer": fetcher.PartitionRecords,
    "_maybe_leave_group": GroupCoordinator,
    "_new_consumer_thread": driver.Consumer,
    "_read_offset": Consumer,
    "_records": fetcher.PartitionRecords,
    "_relative_offset": BatchBuilder,
    "_request_timeout_ms": aiokafka.client.AIOKafkaClient,
    "_runner": AiohttpWeb,
    "_settings_auth": driver.Producer,
    "_settings_default": driver.Producer,
    "_thread": driver.Consumer,
    "_sentinel_task": mode.Worker,
    "_tp": fetcher.PartitionRecords,
    "_txn_manager": aiokafka.AIOKafkaProducer,
    "_unpack_records": fetcher.PartitionRecords,
    "_update_channels": TableManager,
    "_wait_next_records": Consumer,
}
"""Private name -> the class of Faust or aiokafka that has it."""

UNDOCUMENTED = [
    (App, "rebalancing consumer_generation_id on_first_start create_event"),
    (driver.Consumer, "getmany perform_seek seek_wait assignment verify_all_partitions_active"),
    (driver.Consumer, "verify_recovery_event_path"),
    (driver.Consumer, "earliest_offsets highwater highwaters position topic_partitions"),
    (Consumer, "should_stop flow_active"),
    (ConsumerThread, "call_thread thread_loop"),
    (driver.Transport, "Consumer"),
    (GroupCoordinator, "fetch_committed_offsets"),
    (aiokafka.client.AIOKafkaClient, "force_metadata_update"),
    (TransactionManager, "set_pid_and_epoch producer_id producer_epoch"),
    (RocksDBOptions, "as_options open bloom_filter_size block_cache_size"),
    (Store, "rocksdb_options options offset_key persisted_offset set_persisted_offset"),
    (Table, "on_rebalance on_recovery_completed stop"),
    (TableManager, "actives_ready recovery"),
    (Recovery, "active_tps standby_tps active_offsets standby_offsets in_recovery need_recovery"),
    (Recovery, "active_highwaters standby_highwaters signal_recovery_end"),
    (Recovery, "event_timeout_secs flush_timeout_secs"),
    (PartitionAssignor, "table_metadata assigned_actives"),
    (Monitor, "track_tp_end_offset"),
    (Schema, "compile"),
    (fetcher, "MemoryRecords PartitionRecords"),
    (message_accumulator, "BatchBuilder"),
    (fetcher.PartitionRecords, "next_fetch_offset"),
    (Web, "blueprints"),
    (AiohttpWeb, "web_app"),
]
"""Names without an underscore that no manual speaks of."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Private attributes that are used, and methods that are defined; each with whether it is of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            value = node.value
            yield node.attr, isinstance(value, ast.Name) and value.id in {"self", "cls"}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_private(node.name):
            yield node.name, True


def has(owner: object, name: str) -> bool:
    """Whether a class or module has a name, or one of its methods sets or a slot holds it."""
    source = inspect.getsource(owner)
    annotated = getattr(owner, "__annotations__", {})
    is_set = re.search(rf"self\.{name}\b(: [^=]+)? = ", source) is not None
    return hasattr(owner, name) or name in annotated or is_set


def test_the_versions_that_were_measured() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka") == "0.14.0"


def test_each_private_name_has_its_owner() -> None:
    used = {name for name, _ in private_names(ast.parse(INTERNALS.read_text()))}
    assert used == OWNERS.keys()


@pytest.mark.parametrize(("name", "owner"), OWNERS.items(), ids=OWNERS)
def test_a_private_name_exists(name: str, owner: type) -> None:
    assert any(has(each, name) for each in owner.__mro__[:-1])


@pytest.mark.parametrize(("owner", "names"), UNDOCUMENTED)
def test_undocumented_names_exist(owner: type, names: str) -> None:
    owners = getattr(owner, "__mro__", (owner, object))[:-1]
    missing = [name for name in names.split() if not any(has(each, name) for each in owners)]
    assert missing == []


def test_no_private_name_of_another_object_is_used_elsewhere() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for package in ("tables", "app")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != INTERNALS
        for name, is_own in private_names(ast.parse(path.read_text()))
        if not is_own and name not in PUBLIC
    ]
    assert found == []


def our_modules() -> Iterator[str]:
    for package in (tables, app):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield found.name


def test_no_class_of_ours_uses_a_private_name_of_its_base_elsewhere() -> None:
    found = []
    for name in our_modules():
        module = importlib.import_module(name)
        for cls in vars(module).values():
            if not isinstance(cls, type) or cls.__module__ != name or module is faust_internals:
                continue
            bases = [base for base in cls.__mro__ if base.__module__.split(".")[0] in THEIRS]
            if bases:
                source = ast.parse(inspect.getsource(cls))
                found += [
                    f"{name}.{cls.__name__}: {used}"
                    for used, _ in private_names(source)
                    if any(has(base, used) for base in bases)
                ]
    assert found == []


def test_the_fetcher_looks_up_what_is_replaced_by_name() -> None:
    fetched = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "MemoryRecords(part_data[-1])" in fetched
    assert "PartitionRecords(" in fetched
    assert "records.size_in_bytes()" in fetched
    assert "records.has_next()" in fetched
    taken = inspect.getsource(fetcher.FetchResult)
    assert "consumed_to(self._partition_records.next_fetch_offset)" in taken


def test_attributes_are_still_read_where_ours_are_put() -> None:
    client = inspect.getsource(aiokafka.client.AIOKafkaClient)
    assert "request_timeout_ms=self._request_timeout_ms" in client
    kafka = inspect.getsource(aiokafka.AIOKafkaConsumer)
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in kafka
    assert "key_deserializer=self._key_deserializer" in kafka
    assert "self._runner.setup()" in inspect.getsource(AiohttpWeb)
    assert "self._sentinel_task()" in inspect.getsource(mode.Worker)
    assert "venusian.attach(agent, category=SCAN_AGENT)" in inspect.getsource(App.agent)
    assert "self.conf.TableManager(" in inspect.getsource(App)


def test_faust_awaits_the_tables_before_it_recovers_and_opens_them_before_it_seeks() -> None:
    recovered = inspect.getsource(Recovery.on_recovery_completed)
    assert recovered.index("table.on_recovery_completed") < recovered.index("perform_seek")
    assigned = inspect.getsource(App._on_partitions_assigned)
    assert assigned.index("topics.on_partitions_assigned") < assigned.index("tables.on_rebalance")
    rebalanced = inspect.getsource(TableManager.on_rebalance)
    assert rebalanced.index("table.on_rebalance") < rebalanced.index("recovery.on_rebalance")


def test_a_recovery_ends_by_the_notes_and_the_signal() -> None:
    started = inspect.getsource(Recovery)
    assert "self._wait(self.signal_recovery_end.wait())" in started
    assert "self.need_recovery()" in started
    needed = inspect.getsource(Recovery.active_remaining)
    assert "highwater - offsets[tp]" in needed
    assert "self.active_highwaters" in needed
    assert "self.active_offsets" in needed


def test_a_batch_takes_its_first_record_however_large() -> None:
    builder = BatchBuilder(1024, 0)
    assert builder.append(timestamp=None, key=b"k", value=b"x" * 100_000) is not None
    assert builder.append(timestamp=None, key=b"k", value=b"x") is None
