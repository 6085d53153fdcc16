"""The application: settings, connections to Kafka, Stripe, mail and SMS, and the factory that wires a worker.

`faust -A app ...` asks for the attribute `app`, which is made then: importing this package does nothing.
"""

import sys
from pathlib import Path
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module 'app' has no attribute {name!r}")
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:  # the `faust` script looks into the checkout only while it imports us
        sys.path.append(root)
    from app.factory import worker_app  # noqa: PLC0415 -- importing `app` must do no I/O

    return worker_app()
