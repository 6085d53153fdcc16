"""What settings are made of: kinds of values that several parts have, and how a wrong one is named."""

from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

PREFIX: Final = "TIFFIN_"


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL that begins with http:// or https://")
    return value.rstrip("/")


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, AfterValidator(_url)]
COMMA_SEPARATED: Final = BeforeValidator(_split)
"""With NoDecode: a tuple, given as text between commas."""


def named(field: str, problem: str) -> str:
    """A line about a setting, as its variable is called."""
    return f"{PREFIX}{field.upper()}: {problem}"
