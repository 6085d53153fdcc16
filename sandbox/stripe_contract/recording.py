"""A recording of answers: status, error, telling values and shape; no id, no message, no key.

So a recording may be kept, and two of them compared, whichever account and time they are of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Shape = Any
"""An object is a mapping of its keys' shapes, a list [] or [shape of its items]; else the name of a type."""

FREE_KEYS = frozenset({"metadata", "supported_bank_account_currencies"})
"""Mappings whose keys are data."""
TELLING = frozenset(
    {
        "amount", "amount_captured", "amount_received", "amount_refunded", "cancellation_reason",
        "capture_method", "captured", "code", "confirmation_method", "currency", "decline_code",
        "failure_code", "has_more", "livemode", "network_status", "object", "paid", "param", "reason",
        "refunded", "status", "type",
    }
)  # fmt: skip
"""Names of fields whose values are compared; none holds an id, a time or what differs by account."""
PRESENT = ("date", "idempotency-key", "request-id", "stripe-version")
"""Headers of which it counts that they are there."""
COMPARED = ("idempotent-replayed", "stripe-should-retry", "content-type")
"""Headers whose values are compared."""


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """One answer. values: dotted path -> value; headers: name -> value, or that it is there."""

    status: int
    headers: Mapping[str, str]
    values: Mapping[str, Any]
    shape: Shape


@dataclass(slots=True)
class Recording:
    """Answers by `scenario / request`, in the order in which they were asked for."""

    answers: dict[str, RecordedAnswer] = field(default_factory=dict)

    def add(self, name: str, status: int, headers: Mapping[str, str], body: Any) -> None:
        """Reduce an answer and keep it. Raises ValueError when the name was used before."""
        if name in self.answers:
            raise ValueError(f"asked twice: {name}")
        known = {key.lower(): value for key, value in headers.items()}
        kept = {key: "is there" for key in PRESENT if key in known}
        kept |= {key: known[key].partition(";")[0] for key in COMPARED if key in known}
        values = dict(_telling(body, ""))
        self.answers[name] = RecordedAnswer(status, kept, values, shape_of(body))

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            name: {
                "status": each.status, "headers": each.headers, "values": each.values,
                "shape": each.shape,
            }
            for name, each in self.answers.items()
        }  # fmt: skip

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Recording:
        """What `as_json` gave. Raises KeyError and TypeError for anything else."""
        return cls({name: RecordedAnswer(**each) for name, each in told.items()})


def shape_of(value: Any, key: str = "") -> Shape:
    """Keys and types of a JSON value; the items of a list are merged into one."""
    if isinstance(value, dict):
        return "map" if key in FREE_KEYS else {k: shape_of(v, k) for k, v in sorted(value.items())}
    if isinstance(value, list):
        shapes = [shape_of(item) for item in value]
        return [merged(shapes)] if shapes else []
    return "null" if value is None else type(value).__name__


def merged(shapes: list[Shape]) -> Shape:
    """One shape for all: keys of any of them, types joined by `or`."""
    if all(isinstance(each, dict) for each in shapes):
        keys = sorted({key for each in shapes for key in each})
        return {key: merged([each[key] for each in shapes if key in each]) for key in keys}
    if all(isinstance(each, list) for each in shapes):
        inner = [item for each in shapes for item in each]
        return [merged(inner)] if inner else []
    names = {each if isinstance(each, str) else _kind(each) for each in shapes}
    return " or ".join(sorted(names))


def _kind(shape: Shape) -> str:
    return "object" if isinstance(shape, dict) else "list"


def _telling(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in FREE_KEYS:
                continue
            inner = f"{path}.{key}" if path else key
            if key in TELLING and not isinstance(item, dict | list):
                yield inner, item
            else:
                yield from _telling(item, inner)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _telling(item, f"{path}[{place}]")
