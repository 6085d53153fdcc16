"""How far a worker has come with reading its changelogs, and how long that will still take."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tables.hosted_service import HostedServices

LOG = logging.getLogger("tiffin.engine")

LOG_INTERVAL_S: Final = 5.0
RATE_WINDOW_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class RecoveryProgress:
    """What is left to read of the changelogs of a worker, standby replicas that are far behind with it.

    partitions: changelogs with something left; rows_left: at most, for compaction has removed some;
    seconds_left: None while that can't be told.
    """

    partitions: int = 0
    rows_left: int = 0
    seconds_left: int | None = None


class RecoveryWatch:
    """Measures and logs the progress of a worker's tables. progress: as of the last look."""

    def __init__(self, services: HostedServices) -> None:
        self.progress = RecoveryProgress()
        self._services = services
        self._looks: deque[tuple[float, int]] = deque()
        self._began: tuple[float, int] | None = None
        self._logged_s = -math.inf

    def look(self) -> None:
        """Measure, and log it from time to time; call it about once a second."""
        now_s, taken = time.monotonic(), self._taken()
        known = [hosted.table.rows_left() for hosted in self._services]
        if None in known:
            return  # in a rebalance
        left = [rows for each in known if each for rows in each.values()]
        if not left:
            self._end(now_s, taken)
            return
        if self._began is None:
            self._began = (now_s, taken)
        self._looks.append((now_s, taken))
        while now_s - self._looks[0][0] > RATE_WINDOW_S:
            self._looks.popleft()
        seconds = self._seconds(sum(left), now_s, taken)
        self.progress = RecoveryProgress(len(left), sum(left), seconds)
        if now_s - self._logged_s >= LOG_INTERVAL_S:
            self._logged_s = now_s
            LOG.info("recovering tables", extra=asdict(self.progress))

    def _end(self, now_s: float, taken: int) -> None:
        if self._began is not None:
            since_s, before = self._began
            facts = {"rows": taken - before, "took_s": round(now_s - since_s, 1)}
            LOG.info("tables are recovered", extra=facts)
        self.progress, self._began = RecoveryProgress(), None
        self._looks.clear()

    def _taken(self) -> int:
        return sum(hosted.table.rows_taken for hosted in self._services)

    def _seconds(self, rows: int, now_s: float, taken: int) -> int | None:
        """How long so many rows will take at the rate of the last seconds."""
        since_s, before = self._looks[0]
        return round(rows * (now_s - since_s) / (taken - before)) if taken > before else None
