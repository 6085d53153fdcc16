"""Where state is kept: the transition engine, which joins streams with partitioned RocksDB tables.

`Engines` runs services (models/transition.py: their contract) on Faust; `StateTable` reads what
they made durable. What a service may count on:

- Every input record of its topics is decided exactly once per key, in each partition's order of
  arrival; redelivered, re-emitted and repeated ones are dropped (by offset; by sequence of an
  engine's own outputs; by id of other senders, 64 per key and topic, and of kept outcomes).
- State is durable before its outputs leave, outputs before offsets are committed. Outputs may be
  sent more than once, byte for byte the same; first occurrences come in order per key and topic.
- `decide` that raises, and a record, output or row above the limits, quarantine the key: the input
  and the key's later ones become dead letters, in order, until it is released: redriven ones are
  decided meanwhile, so that nothing new overtakes them.
- What can't be parsed becomes a dead letter and changes nothing. Where a batch can't be read at
  all, or an input made the worker fail three times, that one partition stops (`Engines.stops`) until
  an operator skips it; everything else goes on.
- A worker that lost a partition can't write it after its successor.
- Reading a `StateTable` never blocks; `wait` does, up to its time-out.
"""

from tables.app import make_app
from tables.engines import Engines, Position
from tables.letters import (
    DEAD_LETTER,
    HEADERS_OMITTED,
    KEY_OMITTED,
    OMITTED,
    QUARANTINE,
    REDRIVE,
    RELEASE,
    SERVICE,
)
from tables.limits import Counters, Limits
from tables.record import Quarantine, StoredOutcome, StoredRecord
from tables.record_batches import Consumed, UnreadableBatch, UnreadableRecord
from tables.rehearsal import Played, Rehearsal, Verdict
from tables.stops import NotStoppedError, Stop
from tables.views import BrokenRecordError, Listener, NotOwnerError, NotReadyError, StateTable

__all__ = [
    "DEAD_LETTER",
    "HEADERS_OMITTED",
    "KEY_OMITTED",
    "OMITTED",
    "QUARANTINE",
    "REDRIVE",
    "RELEASE",
    "SERVICE",
    "BrokenRecordError",
    "Consumed",
    "Counters",
    "Engines",
    "Limits",
    "Listener",
    "NotOwnerError",
    "NotReadyError",
    "NotStoppedError",
    "Played",
    "Position",
    "Quarantine",
    "Rehearsal",
    "StateTable",
    "Stop",
    "StoredOutcome",
    "StoredRecord",
    "UnreadableBatch",
    "UnreadableRecord",
    "Verdict",
    "make_app",
]
