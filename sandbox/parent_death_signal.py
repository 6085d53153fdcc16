"""Become another program that the kernel kills when the parent dies; needs the stdlib only.

Run as ``python -I -S parent_death_signal.py PARENT_PID PROGRAM [ARGUMENT...]``. A program of its own
because Popen's ``preexec_fn`` is unsafe in a process that has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Ask for SIGKILL at the parent's death, then exec; raises OSError when exec fails."""
    parent_pid, program = int(argv[0]), argv[1:]
    if sys.platform == "linux":
        # SIGKILL, because whatever runs here must survive it anyway and a stopped process would
        # not see SIGTERM.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before we could ask
            sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 -- no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
