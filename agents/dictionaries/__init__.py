"""What ended records are packed with (tables/packing.py): of each service, texts that its records are full of.

A file is one dictionary, `SERVICE.NUMBER.txt`; numbers begin with 1. It is made of records as they are
stored, what differs from order to order taken out; what is most usual stands last. A file that workers have
packed with is never changed: once records have come to look otherwise, a next one may serve better.
"""

from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


@cache
def dictionaries_of(service: str) -> tuple[bytes, ...]:
    """A service's dictionaries, by number from 1. Raises FileNotFoundError."""
    found: list[bytes] = []
    for number in count(1):
        path = FOLDER / f"{service}.{number}.txt"
        if not path.exists():
            break
        found.append(path.read_bytes())
    if not found:
        raise FileNotFoundError(f"{FOLDER / service}.1.txt: records are packed with it")
    return tuple(found)
