"""A platform whose workers run builds of their own: a release's wheel, this checkout, or a copy of it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.platform import ROOT, Platform

if TYPE_CHECKING:
    from sandbox.processes import Supervised

RELEASES: Final = ROOT / "tests/golden/releases"


def installed(version: str, folder: Path) -> Path:
    """A release's wheel, unpacked; its dependencies are those of this environment."""
    zipfile.ZipFile(RELEASES / f"tiffin-{version}-py3-none-any.whl").extractall(folder / version)
    return folder / version


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
