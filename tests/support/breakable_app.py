"""A worker whose services fail on request: `faust -A tests.support.breakable_app worker`.

BREAKAGE names a JSON file: "service/order" -> types of messages at which it raises, "*" for all.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import factory
from app.settings import load_settings
from models.transition import Decision, Input

BREAKAGE = Path(os.environ["BREAKAGE"])


def breakable(kind: Any) -> Any:
    class Breakable(kind):
        def decide(
            self, state: Any, record: Input, read: Callable[[str], bytes | None]
        ) -> Decision:
            message = record.message
            of_type = getattr(message, "command_type", None) or getattr(message, "event_type", "")
            broken = json.loads(BREAKAGE.read_text()).get(f"{self.name}/{record.key}", ())
            if "*" in broken or of_type in broken:
                raise RuntimeError("broken on request")
            decision: Decision = super().decide(state, record, read)
            return decision

    return Breakable


for _name in ("AnalyticsService", "OrdersService", "PaymentsService", "TimelineService"):
    setattr(factory, _name, breakable(getattr(factory, _name)))

app = factory.create_app(load_settings())
