"""Runs histories: `python -m tests.simulation --seed N`, or many: `--seeds 0-199 --jobs 2`."""

from __future__ import annotations

import os
import sys

HASH_SEED = "0"

if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        # Sets of texts would be gone through in another order in each process.
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])

    from tests.simulation.command import main

    main()
