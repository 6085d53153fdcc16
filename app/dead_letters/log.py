"""The dead-letter topic folded: dead letters, and markers of what operators did with them. Pure.

A dead letter whose redrive failed comes back under its name. A marker resolves the failure that it names, so
it does not matter in which order a marker and the next failure arrive.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
import structlog

from app.kafka.headers import decoded_headers
from models.dead_letter import DeadLetter, DeadLetterState, RecordLocation, Resolution
from models.topics import DEAD_LETTERS
from tables import (
    DEAD_LETTER_ID_HEADER,
    DEAD_LETTER_PREFIX,
    OMITTED_VALUE_HEADER,
    QUARANTINE_HEADER,
    SERVICE_HEADER,
)

log = structlog.stdlib.get_logger(__name__)

MARKER: Final = "tiffin-marker"
"""Header of a marker: the state that it puts a dead letter into."""
MAX_DEAD_LETTERS: Final = 20_000
MAX_TEXT_CHARS: Final = 500
MAX_HEADER_DIGITS: Final = 19
_SERVICE: Final = re.compile(r"[\w-]{1,100}", re.ASCII)
_TOPIC: Final = re.compile(r"[\w.-]{1,249}", re.ASCII)
_NAME: Final = re.compile(r"[\w-]{0,100}:[\w.-]{1,249}:\d{1,10}:\d{1,19}", re.ASCII)
"""The form of a dead letter's name, which is in URLs and in the audit."""
_CONTROLS: Final = dict.fromkeys([*range(32), *range(127, 160)])


def marker(letter: DeadLetter, state: DeadLetterState, settled: Resolution) -> bytes:
    """The value of a marker; the record has the dead letter's key and the header MARKER."""
    return orjson.dumps(
        {
            "deadLetterId": letter.name, "origin": list(letter.origin), "state": state,
            "by": settled.by, "reason": settled.reason, "at": settled.at_ms,
        }
    )  # fmt: skip


class DeadLetterLog:
    """The fold. Bounded: the oldest settled ones are forgotten, then new open ones are left out."""

    def __init__(self, most: int = MAX_DEAD_LETTERS) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self.left_out = 0
        self._letters: dict[str, DeadLetter] = {}
        self._of_key: dict[tuple[str, bytes | None], dict[str, DeadLetter]] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._highest: OrderedDict[tuple[str, bytes | None, int], int] = OrderedDict()

    def all(self) -> Iterable[DeadLetter]:
        """In the order in which they came."""
        return self._letters.values()

    def get(self, name: str) -> DeadLetter | None:
        """By name."""
        return self._letters.get(name)

    def open_for_key(self, service: str, key: bytes | None) -> list[DeadLetter]:
        """The open ones of one key and service, in the order in which they came."""
        found = self._of_key.get((service, key), {}).values()
        return sorted(found, key=lambda letter: letter.first_offset)

    def highest(self, service: str, key: bytes, since_ms: int) -> int:
        """The highest number in a quarantine that has been seen."""
        return self._highest.get((service, key, since_ms), 0)

    def can_load_more(self) -> bool:
        """Whether reading again would show some of those that were left out."""
        return self.left_out > 0 and len(self._letters) - len(self._settled) < self._most // 2

    def take(
        self, offset: int, at_ms: int, key: bytes | None, value: bytes | None, headers: Any
    ) -> DeadLetter | None:
        """Fold the next record of the topic and give the dead letter that it is, if it is one.

        at_ms: its timestamp.
        """
        named = decoded_headers(headers)
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
            known.offset, known.dead_lettered_ms = letter.offset, letter.dead_lettered_ms
            known.error, known.message = letter.error, letter.message
            known.omitted_bytes, known.number = letter.omitted_bytes, letter.number
            known.state, known.settled = DeadLetterState.OPEN, None
            self._opened(known)
        return letter

    def _opened(self, letter: DeadLetter) -> None:
        self._settled.pop(letter.name, None)
        self._of_key.setdefault((letter.service, letter.key), {})[letter.name] = letter

    def _settle(self, value: bytes | None) -> None:
        try:
            told = orjson.loads(value or b"")
            letter = self._letters.get(told["deadLetterId"])
            state = DeadLetterState(told["state"])
            by, reason = _line(str(told["by"])), _line(str(told["reason"]))
            settled = Resolution(by, reason, int(told["at"]))
            origin = RecordLocation(*told["origin"])
        except (ValueError, KeyError, TypeError, OverflowError):
            log.warning("a marker can't be read")
            return
        if letter is None or letter.origin != origin or letter.state is not DeadLetterState.OPEN:
            return
        letter.state, letter.settled = state, settled
        self._settled[letter.name] = None
        place = (letter.service, letter.key)
        self._of_key[place].pop(letter.name, None)
        if not self._of_key[place]:
            del self._of_key[place]

    def _forget_one(self) -> bool:
        if self._settled:
            del self._letters[self._settled.popitem(last=False)[0]]
            return True
        return False

    def _note_number(self, letter: DeadLetter) -> None:
        place = (letter.service, letter.key, letter.since_ms)
        self._highest[place] = max(letter.number, self._highest.pop(place, 0))
        if len(self._highest) > self._most:
            self._highest.popitem(last=False)


def _letter(offset: int, at_ms: int, key: bytes | None, named: Mapping[str, str]) -> DeadLetter:
    """Read a dead letter; one that this application's engine did not write is its own origin."""

    def text(name: str) -> str:
        return named.get(f"{DEAD_LETTER_PREFIX}{name}", "")

    service = named.get(SERVICE_HEADER, "")
    service = service if _SERVICE.fullmatch(service) else ""
    topic, at = text("original-topic"), _number(text("original-offset"), 2**63)
    partition = _number(text("original-partition"), 2**31)
    origin = RecordLocation(DEAD_LETTERS, 0, offset)
    if _TOPIC.fullmatch(topic) and partition is not None and at is not None:
        origin = RecordLocation(topic, partition, at)
    name = f"{service}:{origin.topic}:{origin.partition}:{origin.offset}"
    told = named.get(DEAD_LETTER_ID_HEADER, "")
    since, _, number = named.get(QUARANTINE_HEADER, "").partition(":")
    return DeadLetter(
        name=told if _NAME.fullmatch(told) else name, first_offset=offset, offset=offset, key=key,
        service=service, origins=[origin], error=_line(text("exception-fqcn")),
        message=_line(text("exception-message")), dead_lettered_ms=at_ms,
        since_ms=_number(since, 2**63) or 0, number=_number(number, 2**31) or 0,
        omitted_bytes=_number(named.get(OMITTED_VALUE_HEADER, ""), 2**31) or 0,
    )  # fmt: skip


def _number(text: str, end: int) -> int | None:
    """A header's whole number below `end`; None for anything else."""
    is_one = text.isascii() and text.isdigit() and len(text) <= MAX_HEADER_DIGITS
    return int(text) if is_one and int(text) < end else None


def _line(text: str) -> str:
    """On one line, its beginning: whoever wrote it."""
    return " ".join(text.split()).translate(_CONTROLS)[:MAX_TEXT_CHARS]
