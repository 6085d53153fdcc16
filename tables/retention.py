"""Which ended records a partition task writes anew, for something of them is kept no longer; a few at a time.

What is due, the index says (`Record.dump`). Records of builds that kept no such entries, and all once the
settings are others, are walked through once, by key: how far is a row of the table.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from tables.changelog import RETAINED_KEY
from tables.keys import is_record_key, records_and_rows
from tables.packing import head_of
from tables.record import DUE, TERMINAL, due_entry
from tables.table_index import index_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    import rocksdict

    from models.transition import TransitionService
    from tables.limits import Limits
    from tables.processor import Processor

WALKED_KEYS: Final = 1000
"""Keys at most that one step of the walk looks at: most are of records that are open, or of rows."""
DUE_FIELD: Final = b'"' + DUE.encode()


class RetentionSweep:
    """The sweep of one partition, as long as its task lives.

    Nothing that it meets twice is tried twice: a record that can't be read must not hold up the others.
    """

    def __init__(self, service: TransitionService, limits: Limits) -> None:
        self._at_once = limits.retained_records
        self._settings = f"{limits.outcome_ttl_s} {service.retention}"
        self._tried: frozenset[str] = frozenset()
        self._is_walked = False

    def is_wanted(self, database: rocksdict.Rdict, now_ms: int) -> bool:
        """Whether there is something to do."""
        return not self._is_walked or bool(self._due(database, now_ms, 1))

    def step(
        self, processor: Processor[Any], database: rocksdict.Rdict, now_ms: int
    ) -> list[tuple[bytes, bytes]]:
        """Have some records written with the commit batch that gathers; gives a row to be written behind them.

        Only while no commit batch is under way.
        """
        due = self._due(database, now_ms, self._at_once)
        inputs = processor.commit_batch.records
        found = [entry for entry in due if _key_of(entry) not in inputs]
        self._tried = self._tried.intersection(self._entries(database, now_ms)) | frozenset(found)
        for entry in found:
            processor.retain(_key_of(entry), now_ms, f"{DUE}{entry.partition('/')[0]}")
        return [] if self._is_walked else self._walk(processor, database, now_ms)

    def _due(self, database: rocksdict.Rdict, now_ms: int, count: int) -> list[str]:
        entries = self._entries(database, now_ms)
        return list(islice((entry for entry in entries if entry not in self._tried), count))

    def _entries(self, database: rocksdict.Rdict, now_ms: int) -> Iterator[str]:
        """Time and key of what is due, the longest first; some at most behind those that were tried."""
        now = due_entry(now_ms).removeprefix(DUE)
        most = len(self._tried) + self._at_once
        for entry in islice(index_keys(database, DUE), most):
            if entry.partition("/")[0] > now:
                return
            yield entry

    def _walk(
        self, processor: Processor[Any], database: rocksdict.Rdict, now_ms: int
    ) -> list[tuple[bytes, bytes]]:
        stored = orjson.loads(database.get(RETAINED_KEY) or b"{}")
        is_ours = stored.get("settings") == self._settings
        after = stored.get("after", "") if is_ours else ""
        if after is None:
            self._is_walked = True
            return []
        walked, ended = "", 0
        start = after.encode() + b"\0" if after else b"\1"
        for number, (key, raw) in enumerate(records_and_rows(database, start)):
            if number >= WALKED_KEYS or ended >= self._at_once:
                break
            if is_record_key(key) and raw.startswith(TERMINAL):
                processor.retain(key, now_ms, due_of(raw))
                ended += 1
            walked = key.decode()
        else:
            walked, self._is_walked = "", True
        row = {"settings": self._settings, "after": None if self._is_walked else walked}
        return [(RETAINED_KEY, orjson.dumps(row))]


def _key_of(entry: str) -> bytes:
    return entry.partition("/")[2].encode()


def due_of(raw: bytes) -> str | None:
    """The entry that a stored record has of what is due."""
    head = head_of(raw)
    at = head.rfind(DUE_FIELD)
    return head[at + 1 : head.index(b'"', at + 1)].decode() if at >= 0 else None
