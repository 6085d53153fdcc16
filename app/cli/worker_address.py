"""Where a command finds a worker, and with which token: of all settings the few that it needs.

Reading and checking all of them takes as long as the rest of a command, and whoever asks a worker from a
machine of their own has no key of Stripe's. tests/unit/app/cli/test_worker_address.py holds that these are
what the settings say.
"""

import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from dotenv import dotenv_values

from app.cli.errors import CommandError, ExitStatus
from app.secret_files import SecretFileError, secret_from_file

PREFIX: Final = "TIFFIN_"
ENV_FILES: Final = (".sandbox/env", ".env")
TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})


class WorkerAddress(NamedTuple):
    """url: of a worker, without a slash at its end. token_key: signs orders' tokens, where it is set."""

    url: str
    is_sandbox: bool
    token_key: str | None


def worker_address() -> WorkerAddress:
    """What the environment and .env say. Later files win, and the environment over all.

    Raises CommandError when the token key is in a file that can't be read.
    """
    found: dict[str, str] = {}
    files: list[Mapping[str, str | None]] = [dotenv_values(file) for file in ENV_FILES]
    for values in (*files, os.environ):
        found.update({name.upper(): value for name, value in values.items() if value})
    host, port = found.get(f"{PREFIX}WEB_HOST", "127.0.0.1"), found.get(f"{PREFIX}WEB_PORT", "6066")
    authority = f"[{host}]" if ":" in host else host
    url = found.get(f"{PREFIX}WEB_URL", f"http://{authority}:{port}")
    is_sandbox = found.get(f"{PREFIX}SANDBOX", "").lower() in TRUE
    token_key = f"{PREFIX}ORDER_TOKEN_KEY"
    try:
        key = secret_from_file(token_key, found) or found.get(token_key)
    except SecretFileError as error:
        raise CommandError(str(error), ExitStatus.UNTOLD) from None
    return WorkerAddress(url.rstrip("/"), is_sandbox, key)
