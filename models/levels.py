"""The platform's level: which meanings its records may have, from which moment on.

Workers of two builds run beside each other while a platform is upgraded. A newer build reads what it knows
whatever the level is. It writes what older builds would misread only once an operator has said that the
upgrade is finished (`faust -A app level finish`): until then the older build can come back. The level is kept
in Kafka (app/platform_level.py), and never goes down. Decided in docs/adr/0016-a-level-gates-new-meanings.md.

Where code asks: decisions `record.level >= Level.X` of their `Input`, everything else
`PlatformLevel.active(Level.X)`. Both go by a time of Kafka's, so that all workers begin at the same record, and
whoever decides the past again decides it at the level of then.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple


class Level(IntEnum):
    """One for each release that writes something new; named after it."""

    V0_1 = 1
    V0_2 = 2


FIRST_RELEASE: Final = "0.1.0"
"""Does not say which build it is."""
OLDEST: Final = Level.V0_1
"""Of a platform that no level was ever written for: all builds understand it."""
LATEST: Final = max(Level)
"""The highest that this build understands; a new platform begins with it."""
BEGINS: Final[Mapping[Level, tuple[str, ...]]] = {
    Level.V0_1: ("what release 0.1.0 wrote",),
    Level.V0_2: (
        "the end of an upgrade is in the audit, as UPGRADE_FINISHED",
        "operators may have states made anew from their events, which the audit has as STATE_REPAIRED",
        "revoked tokens of staff are in the audit, as STAFF_REVOKED",
        "the number of partitions may be raised, after which topics have other names",
        "what each restaurant takes a day is summed up, told by the topic restaurant-takings",
    ),
}
"""What may be written from a level on, for operators; each is a line of `level show`."""


class LevelChange(NamedTuple):
    """A level, and since when it is the platform's, in milliseconds since the epoch by Kafka's clock."""

    level: int
    from_ms: int


class LevelHistory(tuple[LevelChange, ...]):
    """The platform's levels in order, each higher than the one before, the first from the beginning on."""

    __slots__ = ()

    @property
    def highest(self) -> int:
        """The last one, which may begin in a moment only."""
        return self[-1].level if self else OLDEST

    def at(self, time_ms: int) -> int:
        """The level that holds for what Kafka took at a time."""
        for change in reversed(self):
            if time_ms >= change.from_ms:
                return change.level
        return OLDEST

    def raised(self, level: int, from_ms: int) -> "LevelHistory":
        """With one more change; one that is not higher than the last, or not later, changes what it can.

        A level that is known already is not taken again: its first record counts. One that would begin before
        the last one begins with it.
        """
        if level <= self.highest:
            return self
        return LevelHistory((*self, LevelChange(level, max([from_ms, *(c.from_ms for c in self)]))))


def client_id(version: str) -> str:
    """How a worker names itself to Kafka, so that every worker sees the builds of all."""
    return f"tiffin-{version}-level-{LATEST:d}"


class Build(NamedTuple):
    """What a live worker runs.

    host: its address as Kafka sees it. partitions: that it owns. version: "" of builds that do not say, which
    are of 0.1.0 or before. understands: the highest level that it does.
    """

    host: str
    partitions: tuple[int, ...]
    version: str
    understands: int

    @property
    def where(self) -> str:
        """The worker, for a person."""
        owned = f"of partitions {', '.join(map(str, self.partitions))} " if self.partitions else ""
        return f"the worker {owned}at {self.host}"


def build_of(client: str, host: str, partitions: tuple[int, ...]) -> Build:
    """The build of a worker by its client id."""
    name, _, rest = client.partition("-")
    version, mark, number = rest.rpartition("-level-")
    if name == "tiffin" and mark and number.isascii() and number.isdecimal():
        return Build(host, partitions, version, int(number))
    return Build(host, partitions, "", OLDEST)


def why_not(target: int, builds: Sequence[Build]) -> list[str]:
    """Why the level can't be raised to a target while these builds run, a line each; empty: it can."""
    if not builds:
        return [
            "no worker is in the group: workers are being restarted, or its members are changing"
        ]
    return [
        f"{build.where} runs {build.version or f'release {FIRST_RELEASE}'}, which understands level "
        f"{build.understands} at most"
        for build in builds
        if build.understands < target
    ]
