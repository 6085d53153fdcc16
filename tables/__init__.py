"""Where state is kept: the transition engine, which joins streams with partitioned RocksDB tables.

`Engines` runs services (models/transition.py: their contract) on Faust; `StateTable` reads what
they made durable. What a service may count on:

- Every input record of its topics is decided exactly once per key, in each partition's order of
  arrival; redelivered, re-emitted and repeated ones are dropped (by offset; by sequence of an
  engine's own outputs; by id of other senders, 64 per key and topic, and of kept outcomes).
- State is durable before its outputs leave, outputs before offsets are committed. Outputs may be
  sent more than once, byte for byte the same; first occurrences come in order per key and topic.
- `decide` that raises, and a record, output or row above the limits, quarantine the key: the input
  and the key's later ones become dead letters, in order, until one is redriven.
- What can't be parsed becomes a dead letter and changes nothing.
- A worker that lost a partition can't write it after its successor.
- Reading a `StateTable` never blocks; `wait` does, up to its time-out.
"""

from tables.app import make_app
from tables.apply import OMITTED, REDRIVE, SERVICE
from tables.engines import Engines, Position
from tables.limits import Counters, Limits
from tables.record import Quarantine, StoredOutcome, StoredRecord
from tables.views import Listener, NotOwnerError, NotReadyError, StateTable

__all__ = [
    "OMITTED",
    "REDRIVE",
    "SERVICE",
    "Counters",
    "Engines",
    "Limits",
    "Listener",
    "NotOwnerError",
    "NotReadyError",
    "Position",
    "Quarantine",
    "StateTable",
    "StoredOutcome",
    "StoredRecord",
    "make_app",
]
