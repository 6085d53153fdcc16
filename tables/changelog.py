"""Tells which records of a changelog topic the engine wrote; any others would overwrite or delete state."""

from __future__ import annotations

import re

import orjson

from tables.fence import FENCE_KEY
from tables.progress import PROGRESS_KEY, TableProgress
from tables.unread import ACCEPTED_KEY

RECORD_PREFIX = re.compile(
    rb'\{("terminal":true,)?"schemaVersion":\d+,"version":\d+,"epoch":-?\d+,"state":'
)
"""How everything that `Record.dump` wrote begins."""


def is_engine_record(key: bytes | None, value: bytes | None) -> bool:
    """Whether a changelog record can be one that the engine wrote.

    Nothing is ever deleted. A service's rows are its own business; their keys have a slash.
    """
    if not key or value is None or key.startswith(b"__faust"):
        return False
    if key[0] == 0:
        return _is_reserved_record(key, value)
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return b"/" in key or RECORD_PREFIX.match(value) is not None


def _is_reserved_record(key: bytes, value: bytes) -> bool:
    try:
        if key == PROGRESS_KEY:
            return TableProgress.load(value) is not None
        if key == ACCEPTED_KEY:
            accepted = orjson.loads(value)
            return isinstance(accepted, list) and all(type(offset) is int for offset in accepted)
    except (orjson.JSONDecodeError, TypeError, ValueError):
        return False
    return key == FENCE_KEY
