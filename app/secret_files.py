"""Secrets from files: TIFFIN_X_FILE names a file whose content is TIFFIN_X (Docker, Kubernetes).

Imports nothing of this project: the command line reads the order-token key through it without the settings.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

SUFFIX: Final = "_FILE"
MAX_BYTES: Final = 16_384
"""A secret is shorter; a longer file is another one than was meant."""


class SecretFileError(Exception):
    """A secret's file that can't be used; the message names the variable and the file, never its content."""


def secrets_from_files(
    variables: Iterable[str], environment: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The secrets that are given as files, by variable, and a line about each that can't be read.

    variables: those that may be given so. environment: variable -> value; an empty value counts as none.
    """
    found, problems = {}, []
    for variable in variables:
        try:
            secret = secret_from_file(variable, environment)
        except SecretFileError as error:
            problems.append(str(error))
        else:
            if secret is not None:
                found[variable] = secret
    return found, problems


def secret_from_file(variable: str, environment: Mapping[str, str]) -> str | None:
    """What the file that VARIABLE_FILE names holds, without line ends at its end; None where none is named.

    Raises SecretFileError when it can't be read, holds nothing, or VARIABLE is set as well.
    """
    named_by = f"{variable}{SUFFIX}"
    path = environment.get(named_by)
    if not path:
        return None
    if environment.get(variable):
        raise SecretFileError(f"{named_by}: {variable} is set as well; set one of the two")
    secret = _content(named_by, Path(path)).rstrip("\r\n")
    if not secret.strip():
        raise SecretFileError(f"{named_by}: the file {path} is empty")
    return secret


def _content(named_by: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode()
    except FileNotFoundError:
        raise SecretFileError(f"{named_by}: there is no file {path}") from None
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it is no UTF-8 text"
        raise SecretFileError(f"{named_by}: the file {path} can't be read: {why}") from None
    if len(content) > MAX_BYTES:
        raise SecretFileError(f"{named_by}: the file {path} has more than {MAX_BYTES} bytes")
    return text
