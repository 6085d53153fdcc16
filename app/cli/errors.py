"""How a command ends: the exit statuses, as scripts read them, and the exception that carries one."""

from enum import IntEnum
from typing import Final


class ExitStatus(IntEnum):
    """The exit status of every command of ours; `MEANINGS` says what each is for."""

    OK = 0
    FAILED = 1
    UNTOLD = 2
    UNAVAILABLE = 3
    NO_ACCESS = 4
    NOT_FOUND = 5
    UNDECIDED = 6
    INTERRUPTED = 130


MEANINGS: Final = {
    ExitStatus.OK: "done; what was asked is so",
    ExitStatus.FAILED: "refused by the platform; or a check (`--check`, `audit rebuild`, `rehearse`, "
    "`stripe check`) found something wrong; or an answer at a terminal was no",
    ExitStatus.UNTOLD: "wrong arguments or settings; or a check could tell neither way",
    ExitStatus.UNAVAILABLE: "no worker answers, or it can't do it now: try again",
    ExitStatus.NO_ACCESS: "the token is missing, not valid, or of a role that may not do it",
    ExitStatus.NOT_FOUND: "there is no such order, dead letter, table, ...",
    ExitStatus.UNDECIDED: "taken, and not decided yet: look again, or send it again with the same `--key`",
    ExitStatus.INTERRUPTED: "ended by Ctrl-C",
}
"""Exit status -> what it says."""


class CommandError(Exception):
    """Ends a command. message: what went wrong and what to do about it, for a person."""

    def __init__(self, message: str, status: ExitStatus = ExitStatus.FAILED) -> None:
        super().__init__(message)
        self.message, self.status = message, status
