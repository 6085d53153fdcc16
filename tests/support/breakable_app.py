"""A worker whose services fail on request: `faust -A tests.support.breakable_app worker`.

BREAKAGE names a JSON file: "service/order" -> types of messages at which it raises, "*" for all.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import agents
from agents.service import Service
from app import factory
from app.settings import load_settings
from models.transition import Decision, Input, ReadRow

BREAKAGE = Path(os.environ["BREAKAGE"])


def breakable(service: Service[Any]) -> Service[Any]:
    def decide(state: Any, record: Input, read: ReadRow) -> Decision:
        message = record.message
        of_type = getattr(message, "command_type", None) or getattr(message, "event_type", "")
        broken = json.loads(BREAKAGE.read_text()).get(f"{service.name}/{record.key}", ())
        if "*" in broken or of_type in broken:
            raise RuntimeError("broken on request")
        return service.decide(state, record, read)

    return replace(service, decide=decide)


_services = agents.services
agents.services = lambda *settings: tuple(map(breakable, _services(*settings)))

app = factory.create_app(load_settings())
