"""docker-compose.yml as Docker Compose renders it: variables put in, profiles chosen, environments resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"[A-Za-z_]\w*")
OPERATOR = re.compile(r":?[-?+]")


class MissingVariableError(Exception):
    """`${NAME:?message}` of a variable that nobody has set."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What `docker compose up` starts: service name -> service, its `environment` what a container gets."""

    services: dict[str, dict[str, Any]]

    @property
    def workers(self) -> dict[str, dict[str, Any]]:
        return {name: it for name, it in self.services.items() if name.startswith("worker-")}

    def ports(self) -> dict[int, str]:
        """Port on the host -> address that it is bound to."""
        found = {}
        for service in self.services.values():
            for port in service.get("ports", ()):
                address, published, _ = port.rsplit(":", 2)
                found[int(published)] = address
        return found


def read() -> dict[str, Any]:
    """The file as it is."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def env_file(path: Path) -> dict[str, str]:
    """The variables of a .env file."""
    return {name: value or "" for name, value in dotenv_values(path, interpolate=False).items()}


def render(variables: Mapping[str, str], *profiles: str) -> Rendered:
    """With these variables in the shell or .env. Raises MissingVariableError, ValueError."""
    chosen = {*profiles, *variables.get("COMPOSE_PROFILES", "").split(",")}
    services = {}
    for name, service in _interpolated(read()["services"], variables).items():
        if "profiles" not in service or chosen & set(service["profiles"]):
            given = service.get("environment", {})
            resolved = {
                key: variables.get(key) if value is None else str(value)
                for key, value in given.items()
            }
            environment = {key: value for key, value in resolved.items() if value is not None}
            services[name] = {**service, "environment": environment}
    return Rendered(services)


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case str():
            return interpolate(value, variables)
        case dict():
            return {key: _interpolated(item, variables) for key, item in value.items()}
        case list():
            return [_interpolated(item, variables) for item in value]
    return value


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in: $$, $NAME, ${NAME} and ${NAME<op>word} with the operators - :- ? :? + :+."""
    done, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        done.append(text[at:dollar])
        if text.startswith("$$", dollar):
            done.append("$")
            at = dollar + 2
        elif text.startswith("${", dollar):
            at = _closing(text, dollar + 2)
            done.append(_expand(text[dollar + 2 : at - 1], variables))
        elif name := NAME.match(text, dollar + 1):
            done.append(variables.get(name[0], ""))
            at = name.end()
        else:
            raise ValueError(f"invalid interpolation format: {text}")
    return "".join([*done, text[at:]])


def _closing(text: str, at: int) -> int:
    """Where the text after the brace is that ends an expression; braces within are pairs."""
    depth = 1
    for place in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return place + 1
    raise ValueError(f"invalid interpolation format: {text}")


def _expand(expression: str, variables: Mapping[str, str]) -> str:
    name = NAME.match(expression)
    if name is None:
        raise ValueError(f"invalid interpolation format: ${{{expression}}}")
    value, rest = variables.get(name[0]), expression[name.end() :]
    if not rest:
        return value or ""
    operator = OPERATOR.match(rest)
    if operator is None:
        raise ValueError(f"invalid interpolation format: ${{{expression}}}")
    is_set = bool(value) if operator[0].startswith(":") else value is not None
    word = rest[operator.end() :]
    match operator[0][-1], is_set:
        case ("-", False) | ("+", True):
            return interpolate(word, variables)
        case "+", False:
            return ""
        case "?", False:
            raise MissingVariableError(f"required variable {name[0]} is missing a value: {word}")
    return value or ""
