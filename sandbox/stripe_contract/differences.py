"""What two recordings differ in, a line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.stripe_contract.recording import RecordedAnswer, Recording, Shape

MISSING = "(missing)"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. where: `status`, `header x`, `value x`, `shape x`; with what either side says."""

    request: str
    where: str
    stand_in: Any
    stripe: Any

    def __str__(self) -> str:
        """One line."""
        return f"{self.request}: {self.where}: stand-in {self.stand_in!r}, Stripe {self.stripe!r}"


def differences(stand_in: Recording, stripe: Recording) -> list[Difference]:
    """All differences, in the order of the requests."""
    found = []
    for name in dict.fromkeys((*stand_in.answers, *stripe.answers)):
        ours, theirs = stand_in.answers.get(name), stripe.answers.get(name)
        if ours is None or theirs is None:
            mine, other = (MISSING if each is None else "answered" for each in (ours, theirs))
            found.append(Difference(name, "request", mine, other))
            continue
        found += [Difference(name, *each) for each in _of_answers(ours, theirs)]
    return found


def _of_answers(ours: RecordedAnswer, theirs: RecordedAnswer) -> Iterator[tuple[str, Any, Any]]:
    if ours.status != theirs.status:
        yield "status", ours.status, theirs.status
    for name in dict.fromkeys((*ours.headers, *theirs.headers)):
        mine, other = ours.headers.get(name, MISSING), theirs.headers.get(name, MISSING)
        if mine != other:
            yield f"header {name}", mine, other
    # A value that only one side has is told by the shape.
    for name in (name for name in ours.values if name in theirs.values):
        if ours.values[name] != theirs.values[name]:
            yield f"value {name}", ours.values[name], theirs.values[name]
    yield from _of_shapes(ours.shape, theirs.shape, "")


def _of_shapes(ours: Shape, theirs: Shape, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys((*ours, *theirs)):
            inner = f"{path}.{key}" if path else key
            if key not in ours or key not in theirs:
                mine, other = ("is there" if key in each else MISSING for each in (ours, theirs))
                yield f"shape {inner}", mine, other
            else:
                yield from _of_shapes(ours[key], theirs[key], inner)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if ours and theirs:  # an empty list tells nothing of its items
            yield from _of_shapes(ours[0], theirs[0], f"{path}[]")
    elif ours != theirs:
        yield f"shape {path or '(whole)'}", _named(ours), _named(theirs)


def _named(shape: Shape) -> str:
    if isinstance(shape, str):
        return shape
    return "object" if isinstance(shape, dict) else "list"
