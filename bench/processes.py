"""What a process takes, as Linux says it in /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def process_s(pid: int | None) -> float:
    """Seconds of CPU so far, system calls included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S  # utime, stime: proc(5)


def resident_bytes(pid: int | None) -> int:
    """Memory that a process holds."""
    return _status_bytes(f"{pid}", "VmRSS")


def own_peak_bytes() -> int:
    """The most memory that this process ever held."""
    return _status_bytes("self", "VmHWM")


def _status_bytes(pid: str, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024
