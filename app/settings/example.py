"""`python -m app.settings.example >.env.example`: every setting with its description and default."""

import inspect
import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.secret_files import SUFFIX
from app.settings import PREFIX, PUBLISHED_SECRETS, SECRET_VARIABLES, Settings
from app.settings.kafka import KafkaSettings
from app.settings.notifications import NotificationSettings
from app.settings.stripe import StripeSettings
from app.settings.web import AccessSettings, WebSettings

SECTIONS: Final = {
    "Stripe": StripeSettings,
    "Kafka": KafkaSettings,
    "Web": WebSettings,
    "Access": AccessSettings,
    "Notifications": NotificationSettings,
    "Orders and logs": Settings,
}
SET_BY_COMPOSE: Final = ("data_dir", "web_host", "web_port", "web_url")
"""Of each container's own; docker-compose.yml does not take them from .env."""

HEAD: Final = """\
# Settings for .env, which workers, commands and docker compose read; the process's environment wins.
# Made from app/settings: {command}
# What is commented out shows the default; an empty value counts as none. Single quotes go around a
# value that holds $ or #. A secret may be in a file instead, named by the variable with _FILE at its end:
{secrets}
# docker compose gives each container its own {by_compose}."""
COMMAND: Final = ".venv/bin/python -m app.settings.example >.env.example"

REQUIRED_HEADING: Final = "# --- Needed outside the sandbox (TIFFIN_SANDBOX=1, a laptop or a test)"
BOUNDS: Final = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def example() -> str:
    """The whole of .env.example. It loads no settings, so it needs none."""
    by_compose = ", ".join(_variable(name) for name in SET_BY_COMPOSE)
    files = textwrap.fill(", ".join(f"{name}{SUFFIX}" for name in SECRET_VARIABLES) + ".", 100)
    secrets = textwrap.indent(files, "# ")
    head = HEAD.format(command=COMMAND, by_compose=by_compose, secrets=secrets)
    parts = [head, REQUIRED_HEADING]
    fields, abouts = Settings.model_fields, Settings.descriptions()
    parts += [_entry(name, fields[name], abouts[name]) for name in PUBLISHED_SECRETS]
    for title, section in SECTIONS.items():
        about = inspect.getdoc(section) or ""
        parts.append(f"# --- {title}: {about}")
        parts += [
            _entry(name, fields[name], abouts[name])
            for name in inspect.get_annotations(section)
            if name in fields and name not in PUBLISHED_SECRETS
        ]
    return "\n\n".join(parts) + "\n"


def _entry(name: str, field: FieldInfo, description: str) -> str:
    accepted = "; ".join(_accepted(field, description))
    about = f"# {description}" + (f" ({accepted})" if accepted else "")
    if name in PUBLISHED_SECRETS:
        return f"{about}\n{_variable(name)}="
    return f"{about}\n# {_variable(name)}={_text(field.default)}"


def settings_table() -> Iterator[str]:
    """The same as Markdown: a heading and a table for each section."""
    fields, abouts = Settings.model_fields, Settings.descriptions()
    for title, section in SECTIONS.items():
        yield f"## {title}\n\n{inspect.getdoc(section) or ''}\n"
        yield "| variable | default | what it is |\n|---|---|---|"
        for name in inspect.get_annotations(section):
            if name in fields:
                yield _row(name, fields[name], abouts[name])
        yield ""


def _row(name: str, field: FieldInfo, description: str) -> str:
    accepted = "; ".join(_accepted(field, description))
    about = " ".join(description.split()) + (f" ({accepted})" if accepted else "")
    if _variable(name) in SECRET_VARIABLES:
        about += f"; or the name of a file in `{_variable(name)}{SUFFIX}`"
    default = _text(field.default) if name not in PUBLISHED_SECRETS else ""
    shown = f"`{default}`" if default else ""
    return f"| `{_variable(name)}` | {shown} | {about} |".replace(" <", " \\<")


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _accepted(field: FieldInfo, description: str) -> Iterator[str]:
    """What the type and the bounds of a setting say, unless its description does."""
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        if not all(choice in description for choice in choices):
            yield ", ".join(choices)
    elif field.annotation is bool:
        yield "0 or 1"
    for limit, (name, word) in itertools.product(field.metadata, BOUNDS.items()):
        if hasattr(limit, name):
            yield f"{word} {_text(getattr(limit, name))}"


def _text(value: Any) -> str:
    """A default as it would be written in .env."""
    match value:
        case None | SecretStr():
            return ""
        case bool():
            return str(int(value))
        case float():
            return f"{value:g}"
        case tuple():
            return ",".join(map(str, value))
        case str() | int() | Path():
            return str(value)
    raise TypeError(f"no text for a default of type {type(value).__name__}")


if __name__ == "__main__":
    print(example(), end="")  # noqa: T201 -- a command's output
