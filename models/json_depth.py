"""How deep a JSON value is nested."""

from typing import Any


def is_shallow(value: Any, most: int) -> bool:
    """Whether a JSON value is nested at most so deep."""
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return True
    return False
