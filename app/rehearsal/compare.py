"""Compares what was sent with what would be sent, and says how it differs: by kind, with the values."""

from __future__ import annotations

from collections import defaultdict, deque
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.rehearsal.history import SentRecord, message_id, message_type, read_body
from models.topics import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ID_FIELDS: Final = frozenset({"eventId", "commandId", "causationId"})
"""They differ where the cause is another one, and say no more than that."""
ID_HEADERS: Final = frozenset({"ce_id", "ce_time"})
"""They repeat what the value says."""


class DifferenceKind(StrEnum):
    """How an output differs."""

    MISSING = "missing"
    ADDITIONAL = "additional"
    TYPE = "another type"
    FIELD = "field"
    HEADER = "header"
    BYTES = "other bytes"


class KindKey(NamedTuple):
    """What differences are counted by. type: that was sent, of an additional output that which would be.

    field: its name with dots, or a header's; "" for other kinds.
    """

    service: str
    kind: DifferenceKind
    topic: str
    type: str
    field: str = ""


class Difference(NamedTuple):
    """One difference of one order; before, after: JSON values, None where there is none."""

    kind: KindKey
    before: Any = None
    after: Any = None


def differences(
    service: str, before: Sequence[SentRecord], after: Sequence[SentRecord]
) -> list[Difference]:
    """Compare what a service sent about one order; each topic in order; repetitions count once."""
    pairs, missing, additional = _paired(before, after)
    found = [each for pair in pairs for each in _differ(service, *pair, leave_out=frozenset())]
    likes, left = _alike(missing, additional)
    for was, now in likes:
        told = list(_differ(service, was, now, leave_out=ID_FIELDS))
        found += told or list(_differ(service, was, now, leave_out=frozenset()))
    for was in missing:
        if was not in {pair[0] for pair in likes}:
            found.append(Difference(_key(service, DifferenceKind.MISSING, was), _told(was)))
    found += [
        Difference(_key(service, DifferenceKind.ADDITIONAL, now), None, _told(now)) for now in left
    ]
    return found


def _paired(
    before: Sequence[SentRecord], after: Sequence[SentRecord]
) -> tuple[list[tuple[SentRecord, SentRecord]], list[SentRecord], list[SentRecord]]:
    """Those that are one and the same output, by its id; and the rest."""
    known: defaultdict[tuple[str, str], deque[SentRecord]] = defaultdict(deque)
    for record in dict.fromkeys(before):
        known[_identity(record)].append(record)
    pairs, additional = [], []
    for record in dict.fromkeys(after):
        same = known[_identity(record)]
        if record in same:
            same.remove(record)
        elif same:
            pairs.append((same.popleft(), record))
        else:
            additional.append(record)
    left = {record for same in known.values() for record in same}
    return pairs, [each for each in dict.fromkeys(before) if each in left], additional


def _identity(record: SentRecord) -> tuple[str, str]:
    if record.topic == DEAD_LETTERS:
        headers = dict(record.headers)
        origin = (headers.get(f"kafka_dlt-original-{part}", b"") for part in ("topic", "offset"))
        return record.topic, b"/".join(origin).decode(errors="replace")
    return record.topic, message_id(read_body(record.value))


def _alike(
    missing: Sequence[SentRecord], additional: Sequence[SentRecord]
) -> tuple[list[tuple[SentRecord, SentRecord]], list[SentRecord]]:
    """Of the rest, those of one topic and type, in order: the same step by another cause."""
    waiting: defaultdict[tuple[str, str], deque[SentRecord]] = defaultdict(deque)
    for record in missing:
        waiting[record.topic, _type(record)].append(record)
    likes, left = [], []
    for record in additional:
        same = waiting[record.topic, _type(record)]
        if same:
            likes.append((same.popleft(), record))
        else:
            left.append(record)
    return likes, left


def _differ(
    service: str, was: SentRecord, now: SentRecord, *, leave_out: frozenset[str]
) -> Iterator[Difference]:
    if was == now:
        return
    before, after = read_body(was.value), read_body(now.value)
    if message_type(before) != message_type(after):
        key = _key(service, DifferenceKind.TYPE, was)
        yield Difference(key, message_type(before), message_type(after))
        return
    count = 0
    flat_before, flat_after = dict(flat(before)), dict(flat(after))
    for name in sorted({*flat_before, *flat_after}):
        values = flat_before.get(name), flat_after.get(name)
        is_present = (name in flat_before) == (name in flat_after)
        if (values[0] == values[1] and is_present) or name in leave_out:
            continue
        count += 1
        yield Difference(_key(service, DifferenceKind.FIELD, was, name), *values)
    for name, old, new in _differing_headers(was, now):
        if name in ID_HEADERS and (count or leave_out):
            continue
        count += 1
        yield Difference(_key(service, DifferenceKind.HEADER, was, name), old, new)
    if not count and not leave_out:
        yield Difference(_key(service, DifferenceKind.BYTES, was))


def _differing_headers(
    was: SentRecord, now: SentRecord
) -> Iterator[tuple[str, str | None, str | None]]:
    for old, new in zip_longest(was.headers, now.headers):
        if old != new:
            name = (old or new or ("", b""))[0]
            yield name, _text(old), _text(new)


def _text(header: tuple[str, bytes] | None) -> str | None:
    return None if header is None else header[1].decode(errors="replace")


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten a JSON value into dotted names and values; lists are values, empty objects are none."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from flat(inner, f"{name}.{key}" if name else key)


def _type(record: SentRecord) -> str:
    return "DEAD_LETTER" if record.topic == DEAD_LETTERS else message_type(read_body(record.value))


def _key(service: str, kind: DifferenceKind, record: SentRecord, field: str = "") -> KindKey:
    return KindKey(service, kind, record.topic, _type(record), field)


def _told(record: SentRecord) -> Any:
    """An output that only one side has: its data; of a dead letter why it is one."""
    if record.topic == DEAD_LETTERS:
        reason = dict(record.headers).get("kafka_dlt-exception-fqcn", b"")
        return {"code": reason.decode(errors="replace")}
    return read_body(record.value).get("data")
