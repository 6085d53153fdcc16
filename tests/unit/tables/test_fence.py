"""A task opens only over a database that holds the whole changelog, whatever Faust says."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import sentinel

import pytest
import rocksdict

from tables.fence import ProducerFence

KEY = b"__faust\0offset__"


@pytest.mark.parametrize(
    ("stored", "is_recovered"),
    [(None, False), (b"6", False), (b"7", True), (b"8", True)],
    ids=["nothing", "cut off one before", "just there", "beyond"],
)
def test_recovered_means_up_to_the_claim(
    tmp_path: Path, stored: bytes | None, is_recovered: bool
) -> None:
    database = rocksdict.Rdict(str(tmp_path / "db"), options=rocksdict.Options(raw_mode=True))
    if stored is not None:
        database.put(KEY, stored)
    fence = ProducerFence(sentinel.producer, epoch=1, offset=7)
    assert fence.is_recovered(database, KEY) is is_recovered
    database.close()
