"""The application: settings, connections to Kafka, Stripe, mail and SMS, and the factory that wires a worker.

`faust -A app ...` asks for the attribute `app`, which is made then: importing this package does nothing.
What is made depends on the command: a worker takes longer to import than most commands take to run.
"""

import gc
import sys
from pathlib import Path
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module 'app' has no attribute {name!r}")
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:  # the `faust` script looks into the checkout only while it imports us
        sys.path.append(root)
    # Modules stay: a collector that goes through them all, again and again, is a tenth of the imports' time.
    gc.disable()
    try:
        from app.entry import app_for  # noqa: PLC0415 -- importing `app` must do no I/O

        return app_for(sys.argv)
    finally:
        gc.enable()
