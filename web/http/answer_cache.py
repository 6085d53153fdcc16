"""Bodies of answers that were given, for those who ask the same again and again."""

from collections.abc import Callable, Hashable, Sequence
from typing import Final

MAX_BODIES: Final = 1000
"""Of a worker: a few kilobytes each."""


class AnswerCache:
    """Bodies that are made of records alone: given again as long as a table gives the same objects."""

    def __init__(self) -> None:
        self._bodies: dict[Hashable, tuple[Sequence[object], bytes]] = {}

    def body(self, key: Hashable, records: Sequence[object], make: Callable[[], bytes]) -> bytes:
        """The body under a key; made where it is not known, or was made of other records."""
        known = self._bodies.get(key)
        if known is not None and all(a is b for a, b in zip(known[0], records, strict=True)):
            return known[1]
        body = make()
        if known is None and len(self._bodies) >= MAX_BODIES:
            del self._bodies[next(iter(self._bodies))]
        self._bodies[key] = records, body
        return body
