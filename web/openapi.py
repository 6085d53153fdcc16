"""OpenAPI 3.1 of the API, made of the table of routes. `python -m web.openapi` prints it."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from web.http.answers import Accepted
from web.http.auth import GUEST_COOKIE
from web.http.bodies import Body
from web.http.consistency import HEADER as CONSISTENCY
from web.http.problems import CODES, CONTENT_TYPE
from web.http.route import Key, Route
from web.http.tokens import Role
from web.routes import ROUTES

_REF: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
TEXT: Final = {"type": "string"}
PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "instance"],
    "properties": {
        "type": TEXT, "title": TEXT, "status": {"type": "integer"}, "code": {"enum": sorted(CODES)},
        "instance": TEXT, "detail": TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": TEXT, "message": TEXT},
            },
        },
    },
}  # fmt: skip


def description(routes: Iterable[Route] = ROUTES) -> dict[str, Any]:
    """The whole document."""
    routes = tuple(routes)
    taken = [(body, "validation") for route in routes if (body := _json_body(route))]
    given = [(route.answer, "serialization") for route in routes if route.answer]
    models: list[Any] = [*taken, *given, (Accepted, "serialization")]
    names, definitions = models_json_schema(models, ref_template=_REF)
    refs = {model: schema for (model, _), schema in names.items()}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tiffin", "version": "1", "summary": "Orders and their payments"},
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Problem": PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "guest": {"type": "apiKey", "in": "cookie", "name": GUEST_COOKIE},
            },
        },
    }


def _json_body(route: Route) -> type[Body] | None:
    return route.body if isinstance(route.body, type) else None


def _operation(route: Route, refs: Mapping[Any, Any]) -> dict[str, Any]:
    name, body = route.operation_id, _json_body(route)
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": (route.run.__doc__ or name).strip().splitlines()[0],
        "parameters": _parameters(route),
        "responses": {
            str(route.status): _answer(refs[route.answer] if route.answer else None),
            "default": {
                "description": "A problem",
                "content": {CONTENT_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}},
            },
        },
    }
    if route.key is not Key.NONE:
        operation["responses"]["202"] = _answer(refs[Accepted], "Under way")
    if body:
        operation["requestBody"] = {
            "required": not route.body_may_be_empty,
            "content": {"application/json": {"schema": refs[body]}},
        }
    if route.access.roles:
        operation["security"] = [{"bearer": []}]
        operation["description"] = f"For: {route.access.text}."
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    names = _PARAMETER.findall(route.path)
    found = [_parameter(name, "path", required=True) for name in names]
    for name, text in route.params.descriptions().items():
        found.append(_parameter(name, "query", description=text))
    if route.key is not Key.NONE:
        key, is_required = {**TEXT, "minLength": 16, "maxLength": 200}, route.key is Key.REQUIRED
        found.append(_parameter("Idempotency-Key", "header", key, required=is_required))
    if route.waits_for and Role.CUSTOMER in route.access.roles:
        found.append(_parameter(CONSISTENCY, "header"))
    return found


def _parameter(
    name: str, place: str, schema: Any = TEXT, *, required: bool = False, **more: str
) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, **more, "schema": schema}


def _answer(schema: Any, text: str = "Done") -> dict[str, Any]:
    if schema is None:
        return {"description": text}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


if __name__ == "__main__":
    json.dump(description(), sys.stdout)
