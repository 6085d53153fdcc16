"""A worker whose machine's clock is wrong: `faust -A tests.support.clock_shifted_app worker`.

CLOCK_AHEAD_S: by how much it is ahead; below 0: behind.
"""

import os
import time

_AHEAD_S = float(os.environ["CLOCK_AHEAD_S"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _AHEAD_S
time.time_ns = lambda: _time_ns() + int(_AHEAD_S * 1e9)

# Only now, for defaults of arguments are the functions themselves.
from app import factory  # noqa: E402
from app.settings import load_settings  # noqa: E402

app = factory.create_app(load_settings())
