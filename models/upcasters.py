"""Versions of a message's data: what makes an earlier version's of it this build's.

A field that is added with a default needs none of this. Where an older reader would misread a change, the
type gets a next version: the code writes it from a level on (models/levels.py), and reads the earlier ones,
which are kept for ever, through the steps here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from models.levels import Level
from models.transition import UnreadableError

Data = dict[str, Any]


class Step(NamedTuple):
    """From one version to the next. since: the level from which on the next one is written.

    up: gives the next version's data of JSON values that a reader of the one before took; may change them.
    """

    since: Level
    up: Callable[[Data], Data]


Steps = Mapping[str, tuple[Step, ...]]
UPCASTERS: Final[Steps] = {}
"""Type of event or command -> its steps, from version 1 on."""


def written_version(kind: str, level: int, steps: Steps = UPCASTERS) -> int:
    """The version of a type's data that is written at a level."""
    return 1 + sum(level >= step.since for step in steps.get(kind, ()))


def upcast(kind: str, version: int, data: Data, steps: Steps = UPCASTERS) -> Data:
    """A version's data as this build's newest has it. Raises UnreadableError for an unknown version."""
    known = steps.get(kind, ())
    newest = 1 + len(known)
    if not 1 <= version <= newest:
        are = "1 is" if newest == 1 else f"1 to {newest} are"
        raise UnreadableError(f"schemaVersion: {version} is not known, {are}")
    for step in known[version - 1 :]:
        data = step.up(data)
    return data
