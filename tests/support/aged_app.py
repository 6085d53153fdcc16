"""A worker to which ended orders look old: `faust -A tests.support.aged_app worker`.

AGED_DAYS: by how many days; of its clock only retention is given that time.
"""

import os
from collections.abc import Callable

from app import factory
from app.settings import load_settings
from models.times import DAY_MS
from tables import ServiceRuntime

_AHEAD_MS = int(float(os.environ["AGED_DAYS"]) * DAY_MS)
_remove_due_by = ServiceRuntime.remove_due_by


def _aged(runtime: ServiceRuntime, clock_ms: Callable[[], int | None]) -> None:
    def later_ms() -> int | None:
        now_ms = clock_ms()
        return None if now_ms is None else now_ms + _AHEAD_MS

    _remove_due_by(runtime, later_ms)


ServiceRuntime.remove_due_by = _aged  # type: ignore[assignment, method-assign]
app = factory.create_app(load_settings())
