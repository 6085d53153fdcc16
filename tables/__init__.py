"""The transition engine: runs services on streams, with state in partitioned RocksDB tables.

`ServiceRuntime` runs services (models/transition.py is their contract) on Faust; `StateTable` reads what
they made durable. docs/engine.md shows how it works. What a service may count on:

- Every input record of its topics is decided exactly once per key, in each partition's order of
  arrival; redelivered, re-emitted and repeated ones are dropped (by offset; by sequence of an
  engine's own outputs; by id of other senders, 64 per key and topic, and of kept outcomes).
- State is durable before its outputs leave, outputs before offsets are committed. Outputs may be
  sent more than once, byte for byte the same; first occurrences come in order per key and topic.
- `decide` that raises, and a record, output or row above the limits, quarantine the key: the input
  and the key's later ones become dead letters, in order, until it is released: redriven ones are
  decided meanwhile, so that nothing new overtakes them.
- What can't be parsed becomes a dead letter and changes nothing. Where a batch can't be read at
  all, or an input made the worker fail three times, that one partition stops (`ServiceRuntime.stops`) until
  an operator skips it; everything else goes on.
- A worker that lost a partition can't write it after its successor.
- Reading a `StateTable` never blocks; `wait` does, up to its time-out.
"""

from tables.app import make_app
from tables.commit_batch import CommitReport
from tables.consumed_record import ConsumedRecord, UnreadableBatch, UnreadableRecord
from tables.dead_letters import (
    DEAD_LETTER_HEADERS,
    DEAD_LETTER_ID_HEADER,
    DEAD_LETTER_PREFIX,
    OMITTED_VALUE_HEADER,
    QUARANTINE_HEADER,
    REDRIVE_HEADER,
    RELEASE_HEADER,
    SERVICE_HEADER,
)
from tables.dry_run import DryRunInput, DryRunResult
from tables.limits import Counters, Limits
from tables.record import Quarantine, StoredOutcome, StoredRecord
from tables.recovery_progress import RecoveryProgress
from tables.service_runtime import InputPosition, ServiceRuntime, caught_up
from tables.stops import NotStoppedError, PartitionStop
from tables.table_index import OPEN
from tables.views import BrokenRecordError, Listener, NotOwnerError, NotReadyError, StateTable

__all__ = [
    "DEAD_LETTER_HEADERS",
    "DEAD_LETTER_ID_HEADER",
    "DEAD_LETTER_PREFIX",
    "OMITTED_VALUE_HEADER",
    "OPEN",
    "QUARANTINE_HEADER",
    "REDRIVE_HEADER",
    "RELEASE_HEADER",
    "SERVICE_HEADER",
    "BrokenRecordError",
    "CommitReport",
    "ConsumedRecord",
    "Counters",
    "DryRunInput",
    "DryRunResult",
    "InputPosition",
    "Limits",
    "Listener",
    "NotOwnerError",
    "NotReadyError",
    "NotStoppedError",
    "PartitionStop",
    "Quarantine",
    "RecoveryProgress",
    "ServiceRuntime",
    "StateTable",
    "StoredOutcome",
    "StoredRecord",
    "UnreadableBatch",
    "UnreadableRecord",
    "caught_up",
    "make_app",
]
