"""The file of differences that are meant: kinds, each with how many orders may have it at most."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from app.rehearsal.compare import DifferenceKind, KindKey
from app.rehearsal.report import RehearsalReport, key_as_json, sorted_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION: Final = 1
NAMES: Final = frozenset({*KindKey._fields, "mostOrders", "reason"})


class AcceptFileError(Exception):
    """The file can't be used; the message says what is wrong."""


def read_accepted(path: Path) -> dict[KindKey, int | None]:
    """Kind -> orders that it is accepted in at most, None: in any number. Raises AcceptFileError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("version") != VERSION:
            raise AcceptFileError(f"{path}: version must be {VERSION}")
        return dict(_entry(path, number, each) for number, each in enumerate(found["accepted"], 1))
    except OSError as error:
        raise AcceptFileError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AcceptFileError(f"{path}: is no file that --write-accept wrote") from None


def _entry(path: Path, number: int, each: Mapping[str, Any]) -> tuple[KindKey, int | None]:
    unknown = sorted(each.keys() - NAMES)
    if unknown:
        raise AcceptFileError(f"{path}: entry {number}: no such field: {', '.join(unknown)}")
    most = each.get("mostOrders")
    if most is not None and (type(most) is not int or most < 1):
        raise AcceptFileError(f"{path}: entry {number}: mostOrders must be a whole number above 0")
    texts = {name: str(each[name]) for name in ("service", "topic", "type")}
    kind = DifferenceKind(each["kind"])
    return KindKey(**texts, kind=kind, field=str(each.get("field", ""))), most


def write_accepted(path: Path, report: RehearsalReport) -> None:
    """Accept what a rehearsal found. Raises AcceptFileError."""
    entries = [{**key_as_json(key), "reason": ""} for key, _ in sorted_kinds(report)]
    text = json.dumps({"version": VERSION, "accepted": entries}, indent=2)
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise AcceptFileError(f"{path}: {error.strerror}") from None


def not_accepted(report: RehearsalReport, accepted: Mapping[KindKey, int | None]) -> list[KindKey]:
    """Kinds that are not accepted, or found in more orders than they may be."""
    return [
        key
        for key, kind in sorted_kinds(report)
        if key not in accepted or ((most := accepted[key]) is not None and kind.orders > most)
    ]


def not_found(report: RehearsalReport, accepted: Mapping[KindKey, int | None]) -> list[KindKey]:
    """Accepted kinds that were not found: told, no failure, for another day's orders may have them."""
    return [key for key in accepted if key not in report.kinds]
