"""A platform whose workers run builds of their own: a release's wheel, this checkout, or a copy of it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.platform import ROOT, Platform
from tests.support.tutorial import apply, blocks_of, copy_tree

if TYPE_CHECKING:
    from sandbox.processes import Supervised

RELEASES: Final = ROOT / "tests/golden/releases"


def installed(version: str, folder: Path) -> Path:
    """A release's wheel, unpacked; its dependencies are those of this environment."""
    zipfile.ZipFile(RELEASES / f"tiffin-{version}-py3-none-any.whl").extractall(folder / version)
    return folder / version


NEXT_RELEASE: Final = {
    "models/levels.py": {
        "    V0_2 = 2\n": "    V0_2 = 2\n    V0_3 = 3\n",
        "    Level.V0_2: (\n": (
            '    Level.V0_3: ("payments are thanked for",),\n    Level.V0_2: (\n'
        ),
    },
    "models/events.py": {
        '    STATE_REPAIRED = "STATE_REPAIRED"\n': (
            '    STATE_REPAIRED = "STATE_REPAIRED"\n    PAYMENT_THANKED = "PAYMENT_THANKED"\n'
        ),
        "class StateRepaired(Message):\n": (
            "class PaymentThanked(Message):\n    by: ShortText\n\n\nclass StateRepaired(Message):\n"
        ),
        "    E.STATE_REPAIRED: _audit(StateRepaired, Level.V0_2),\n": (
            "    E.STATE_REPAIRED: _audit(StateRepaired, Level.V0_2),\n"
            "    E.PAYMENT_THANKED: _audit(PaymentThanked, Level.V0_3),\n"
        ),
        "    receipt_url: Url | None\n    attempt: Count\n": (
            "    receipt_url: Url | None\n    attempt: Count\n    thanks: ShortText | None = None\n"
        ),
    },
    "agents/payments/transitions.py": {
        "    PaymentProcessing,\n": "    PaymentProcessing,\n    PaymentThanked,\n",
        "            cancel_requested=cancelled,\n        )\n": (
            "            cancel_requested=cancelled,\n"
            "            thanks='warm' if self.input.level >= 3 else None,\n        )\n"
            "        if self.input.level >= 3:\n"
            "            self.emit(EventType.PAYMENT_THANKED, PaymentThanked(by='us'))\n"
        ),
    },
}
"""File -> what is changed in it: a level, with which an event of a new type and a new field begin."""


def next_release(folder: Path) -> Path:
    """This checkout with the services of docs/extend.md, and with NEXT_RELEASE."""
    copy_tree(folder)
    for block in blocks_of(ROOT / "docs/extend.md"):
        if block.path:
            apply(block, folder)
    for name, changes in NEXT_RELEASE.items():
        text = (folder / name).read_text()
        for before, after in changes.items():
            assert text.count(before) == 1, f"{name} has {before!r} {text.count(before)} times"
            text = text.replace(before, after)
        (folder / name).write_text(text)
    return folder


class MixedPlatform(Platform):
    """Its worker of number n runs the build in the folder `builds[n]`."""

    builds: list[Path]

    def _make_worker(self, number: int) -> Supervised:
        worker = super()._make_worker(number)
        worker.cwd = self.builds[number]
        return worker

    def replace(self, number: int, build: Path, *, is_killed: bool = False) -> None:
        """Stop a worker, or kill it, and start it with another build. Does not wait until it is ready."""
        worker = self.workers[number]
        if is_killed:
            worker.kill()
        worker.terminate()
        self.builds[number] = worker.cwd = build
        worker.start()
