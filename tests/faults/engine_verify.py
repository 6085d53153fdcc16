"""The verifier: reads Kafka and every RocksDB, and decides all inputs anew to know what must be there."""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import rocksdict

from models.transition import Input, InputIdentity
from tables.packing import PACKED, unpack
from tables.record import TERMINAL
from tests.faults.engine_run import PARTITIONS, Run
from tests.faults.engine_services import CountingService
from tests.support.kafka_topics import Read, read_all

OFFSET_KEY = b"__faust\0offset__"
OUTCOMES_KEPT_MS = 24 * 3600 * 1000
INDEX_PREFIXES = (b"\0index", b"\0sums")
CLAIM, PROGRESS = b"\0claim", b"\0progress"


class Report(NamedTuple):
    """What a run was like; `faults` must be empty."""

    faults: Tally[str]
    decided: int
    outputs: int
    duplicates: int
    stores: int


Reader = Callable[[str, str, int], list[Read]]


def verify(
    run: Run,
    read: Reader = read_all,
    *,
    foreign_keys: Collection[bytes] = frozenset(),
    letters: int = 0,
) -> Report:
    """Check a finished run, its workers ended; raises AssertionError that names every fault.

    read: gives a topic's records without those that are not the engine's; foreign_keys: keys that such
    records have in changelogs; letters: how many dead letters there must be.
    """
    faults: Tally[str] = Tally()
    decided = outputs = duplicates = stores = 0
    sent = {topic: dict(keys) for topic, keys in run.sent.items()}
    for service in run.services:
        changelog = read(run.bootstrap, run.changelog(service), PARTITIONS)
        faults.update(_versions_going_back(changelog))
        final = {r.key: r.value for r in changelog if not r.key.startswith(b"\0")}
        expected, rows = _replay(service, final, sent, faults)
        decided += sum(len(events) for events in expected.values())
        seen, repeated = _check_outputs(run, service, expected, faults, read)
        sent[service.outputs] = {
            key: [orjson.loads(value) for value in values] for key, values in expected.items()
        }
        outputs, duplicates = outputs + seen, duplicates + repeated
        stored_rows = {key: value for key, value in final.items() if b"/" in key}
        faults["rows differ"] += stored_rows != rows
        stores += _check_stores(run, service, changelog, faults, foreign_keys)
    faults["dead letters"] += len(read(run.bootstrap, run.dead_letter_topic, 1)) - letters
    bad = {name: count for name, count in faults.items() if count}
    assert not bad, f"{run.name}: {bad}"
    return Report(faults, decided, outputs, duplicates, stores)


def _versions_going_back(changelog: list[Read]) -> Tally[str]:
    newest: dict[bytes, tuple[int, int]] = {}
    faults: Tally[str] = Tally()
    for record in changelog:
        if record.key.startswith(b"\0") or b"/" in record.key:
            continue
        stored = orjson.loads(unpack(record.value, ()))
        stamp = (stored["epoch"], stored["version"])
        before = newest.get(record.key, (-1, -1))
        faults["versions going back"] += stamp < before or stamp[1] < before[1]
        newest[record.key] = stamp
    return faults


def _replay(
    service: CountingService,
    final: dict[bytes, bytes],
    sent: dict[str, dict[str, list[dict[str, Any]]]],
    faults: Tally[str],
) -> tuple[dict[str, list[bytes]], dict[bytes, bytes]]:
    """Decide each key's inputs in the order it applied them; give its outputs and all rows."""
    wanted: defaultdict[str, dict[tuple[str, str], dict[str, Any]]] = defaultdict(dict)
    for topic in service.inputs:
        for key, messages in sent[topic].items():
            wanted[key].update({(topic, str(m["id"])): m for m in messages})
    faults["unknown keys"] += len(
        {k for k in final if b"/" not in k} - {k.encode() for k in wanted}
    )
    outputs: dict[str, list[bytes]] = {}
    rows: dict[bytes, bytes] = {}
    faults["nothing packed"] += not any(value.startswith(PACKED) for value in final.values())
    for key, due in wanted.items():
        raw = final.get(key.encode())
        if raw is None:
            faults["lost keys"] += 1
            continue
        stored = orjson.loads(unpack(raw, ()))
        applied = [(topic, id_) for topic, id_ in stored["state"]["applied"]]
        faults["applied twice"] += len(applied) - len(set(applied))
        faults["lost inputs"] += len(due.keys() - set(applied))
        faults["invented inputs"] += len(set(applied) - due.keys())
        faults["gaps in an upstream's sequence"] += stored["state"]["gaps"]
        faults["quarantined"] += "quarantine" in stored
        state = service.load(None)
        outputs[key] = []
        for topic, id_ in applied:
            message = due.get((topic, id_))
            if message is None:
                continue
            identity = InputIdentity(id_, message.get("producer", ""), message.get("sequence", 0))
            given = Input(topic, key, identity, message, 0)
            decision = service.decide(state, given, lambda row: rows.get(row.encode()))
            state = decision.state
            outputs[key] += [output.value for output in decision.outputs]
            rows.update({row.encode(): value for row, value in decision.rows.items()})
        faults["states differ"] += state != stored["state"]
    return outputs, rows


def _check_outputs(
    run: Run,
    service: CountingService,
    expected: dict[str, list[bytes]],
    faults: Tally[str],
    read: Reader,
) -> tuple[int, int]:
    """First occurrences complete, equal and in sequence, duplicates identical; (seen, repeated)."""
    first: defaultdict[bytes, dict[str, bytes]] = defaultdict(dict)
    repeated = 0
    records = read(run.bootstrap, service.outputs + run.suffix, PARTITIONS)
    for record in records:
        output = orjson.loads(record.value)
        seen = first[record.key]
        if output["id"] in seen:
            repeated += 1
            faults["duplicates not identical"] += seen[output["id"]] != record.value
        else:
            faults["outputs out of sequence"] += output["sequence"] != len(seen) + 1
            seen[output["id"]] = record.value
        faults["trace not carried on"] += [name for name, _ in record.headers] != ["traceparent"]
    for key, values in expected.items():
        seen_values = list(first.pop(key.encode(), {}).values())
        faults["outputs lost"] += max(0, len(values) - len(seen_values))
        faults["outputs wrong"] += seen_values != values
    faults["outputs of unknown keys"] += len(first)
    return len(records), repeated


def _index_of(records: dict[bytes, bytes], has: int) -> dict[bytes, bytes]:
    """The index that a store must hold beside its records, at the changelog offset `has`."""
    index: dict[bytes, bytes] = {}
    total = 0
    for key, value in records.items():
        if b"/" not in key and not key.startswith(b"\0"):
            record = orjson.loads(unpack(value, ()))
            n = record["state"]["n"]
            index[b"\0index/tens/%04d/%b" % (n // 10, key)] = b""
            if not value.startswith(TERMINAL):
                index[b"\0index/open/" + key] = b""
            elif outcomes := record.get("outcomes"):
                due_ms = max(outcome[6] for outcome in outcomes.values()) + OUTCOMES_KEPT_MS
                index[b"\0index/due/%011x/%b" % (due_ms, key)] = b""
            total += n
    if total:
        index[b"\0sums"] = orjson.dumps({"n": total})
    if has >= 0:
        index[b"\0indexed"] = b"%d v1" % has
    return index


def _check_stores(
    run: Run,
    service: CountingService,
    changelog: list[Read],
    faults: Tally[str],
    foreign_keys: Collection[bytes],
) -> int:
    """Every RocksDB holds exactly the fold of its changelog up to the offset it says it has."""
    checked = 0
    for path in sorted((run.folder / "data").glob(f"*/**/{service.name}-*.db")):
        if "-lost-" in str(path):
            continue
        database = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
        stored = {bytes(key): bytes(value) for key, value in database.items()}
        database.close()
        has = int(stored.pop(OFFSET_KEY, b"-1"))
        partition = _partition_of(path)
        fold = {r.key: r.value for r in changelog if r.partition == partition and r.offset <= has}
        fold = {key: value for key, value in fold.items() if key not in foreign_keys}
        stored = {key: value for key, value in stored.items() if key not in foreign_keys}
        index = {key: stored.pop(key) for key in list(stored) if key.startswith(INDEX_PREFIXES)}
        faults["indexes that differ from the records"] += not foreign_keys and index != _index_of(
            fold, has
        )
        faults["stores that differ from their changelog"] += stored != fold
        checked += 1
    return checked


def _partition_of(path: Path) -> int:
    found = re.search(r"-(\d+)\.db$", path.name)
    assert found is not None
    return int(found[1])
