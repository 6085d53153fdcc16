"""What settings are made of: kinds of values that several parts have, and how a wrong one is named."""

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

PREFIX: Final = "TIFFIN_"


class SettingsPart(BaseModel):
    """Settings whose descriptions stand below them."""

    # The whole alone checks values; a model of each part would take as long again at every start.
    model_config = ConfigDict(defer_build=True)

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """Setting -> its description, read from the source: a start that goes well needs none."""
        found = {name: field.description or "" for name, field in cls.model_fields.items()}
        for part in reversed(cls.__mro__):
            if issubclass(part, SettingsPart):
                found.update(_docstrings(part))
        return found


def _docstrings(part: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(inspect.getsource(part)).body
    for field, below in itertools.pairwise(
        definition.body if isinstance(definition, ast.ClassDef) else ()
    ):
        match field, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                yield name, inspect.cleandoc(text)


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


def plain_texts(value: str | SecretStr | tuple[SecretStr, ...]) -> tuple[str, ...]:
    """The texts of a secret, or of several."""
    if isinstance(value, str):
        return (value,)
    secrets = value if isinstance(value, tuple) else (value,)
    return tuple(secret.get_secret_value() for secret in secrets)


def named(field: str, problem: str) -> str:
    """A line about a setting, as its variable is called."""
    return f"{PREFIX}{field.upper()}: {problem}"
