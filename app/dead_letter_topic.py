"""The dead-letter topic folded: dead letters, and markers of what operators did with them. Pure.

A dead letter that was redriven in vain comes back under its name; a marker settles the life that it
names, so it does not matter in which order a marker and a new life arrive.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import orjson
import structlog

from app.kafka_reads import by_name
from models.topics import DEAD_LETTERS
from tables import DEAD_LETTER, OMITTED, QUARANTINE, SERVICE
from web.ops_ports import Letter, LetterState, Origin, Settled

log = structlog.stdlib.get_logger(__name__)

MARKER: Final = "tiffin-marker"
"""Header of a marker: the state that it puts a dead letter into."""
DLT: Final = "kafka_dlt-"
MOST_KEPT: Final = 20_000


def marker(letter: Letter, state: LetterState, settled: Settled) -> bytes:
    """The value of a marker; the record has the dead letter's key and the header MARKER."""
    return orjson.dumps(
        {
            "deadLetterId": letter.name,
            "origin": list(letter.origin),
            "state": state,
            "by": settled.by,
            "reason": settled.reason,
            "at": settled.at_ms,
        }
    )


class Letters:
    """The fold. Bounded: the oldest settled ones are forgotten, then new open ones are left out."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self.left_out = 0
        self._letters: dict[str, Letter] = {}
        self._of_key: dict[tuple[str, bytes | None], dict[str, Letter]] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._highest: OrderedDict[tuple[str, bytes | None, int], int] = OrderedDict()

    def all(self) -> Iterable[Letter]:
        """In the order in which they came."""
        return self._letters.values()

    def get(self, name: str) -> Letter | None:
        """By name."""
        return self._letters.get(name)

    def open_of(self, service: str, key: bytes | None) -> list[Letter]:
        """The open ones of one key and service, in the order in which they came."""
        found = self._of_key.get((service, key), {}).values()
        return sorted(found, key=lambda letter: letter.first_offset)

    def highest(self, service: str, key: bytes, since_ms: int) -> int:
        """The highest number in a quarantine that has been seen."""
        return self._highest.get((service, key, since_ms), 0)

    def has_room(self) -> bool:
        """Whether reading again would show some of those that were left out."""
        return self.left_out > 0 and len(self._letters) - len(self._settled) < self._most // 2

    def take(
        self, offset: int, at_ms: int, key: bytes | None, value: bytes | None, headers: Any
    ) -> Letter | None:
        """Fold the next record of the topic and give the dead letter that it is, if it is one.

        at_ms: its timestamp.
        """
        named = by_name((name, part or b"") for name, part in headers)
        if MARKER in named:
            self._settle(value)
            return None
        letter = _letter(offset, at_ms, key, named)
        if letter.number:
            self._note_number(letter)
        known = self._letters.get(letter.name)
        if known is None:
            if len(self._letters) >= self._most and not self._forget_one():
                self.left_out += 1
                return letter
            self._letters[letter.name] = letter
            self._opened(letter)
        elif letter.origin not in known.origins:  # else sent again after a crash
            known.origins.append(letter.origin)
            known.offset, known.died_ms = letter.offset, letter.died_ms
            known.error, known.message = letter.error, letter.message
            known.omitted_bytes, known.number = letter.omitted_bytes, letter.number
            known.state, known.settled = LetterState.OPEN, None
            self._opened(known)
        return letter

    def _opened(self, letter: Letter) -> None:
        self._settled.pop(letter.name, None)
        self._of_key.setdefault((letter.service, letter.key), {})[letter.name] = letter

    def _settle(self, value: bytes | None) -> None:
        try:
            told = orjson.loads(value or b"")
            letter = self._letters.get(told["deadLetterId"])
            state = LetterState(told["state"])
            settled = Settled(str(told["by"]), str(told["reason"]), int(told["at"]))
            origin = Origin(*told["origin"])
        except (ValueError, KeyError, TypeError):
            log.warning("a marker can't be read")
            return
        if letter is None or letter.origin != origin or letter.state is not LetterState.OPEN:
            return
        letter.state, letter.settled = state, settled
        self._settled[letter.name] = None
        place = (letter.service, letter.key)
        self._of_key[place].pop(letter.name, None)
        if not self._of_key[place]:
            del self._of_key[place]

    def _forget_one(self) -> bool:
        if not self._settled:
            return False
        name, _ = self._settled.popitem(last=False)
        del self._letters[name]
        return True

    def _note_number(self, letter: Letter) -> None:
        place = (letter.service, letter.key, letter.since_ms)
        self._highest[place] = max(letter.number, self._highest.pop(place, 0))
        if len(self._highest) > self._most:
            self._highest.popitem(last=False)


def _letter(offset: int, at_ms: int, key: bytes | None, named: Any) -> Letter:
    """Read a dead letter; one that no engine of ours wrote is its own origin."""
    service = named.get(SERVICE, "")
    try:
        origin = Origin(
            named[f"{DLT}original-topic"],
            int(named[f"{DLT}original-partition"]),
            int(named[f"{DLT}original-offset"]),
        )
        name = f"{service}:{origin.topic}:{origin.partition}:{origin.offset}"
    except (KeyError, ValueError):
        origin, name = Origin(DEAD_LETTERS, 0, offset), f"{service}:{DEAD_LETTERS}:0:{offset}"
    since, _, number = named.get(QUARANTINE, "").partition(":")
    omitted = named.get(OMITTED, "")
    return Letter(
        name=named.get(DEAD_LETTER) or name,
        first_offset=offset,
        offset=offset,
        key=key,
        service=service,
        origins=[origin],
        error=named.get(f"{DLT}exception-fqcn", ""),
        message=named.get(f"{DLT}exception-message", ""),
        died_ms=at_ms,
        since_ms=int(since) if since.isdigit() else 0,
        number=int(number) if number.isdigit() else 0,
        omitted_bytes=int(omitted) if omitted.isdigit() else 0,
    )
