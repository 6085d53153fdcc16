"""Base of what the API takes and gives: validated, and described in OpenAPI, by pydantic."""

from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from models.messages import Message, convert, full_values


class ApiModel(BaseModel):
    """camelCase on the wire, unknown fields refused, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


def omitted_if_empty() -> Any:
    """A collection that is empty by default, and then not written."""
    return Field(default=(), exclude_if=lambda value: not value)


class _AsMessage:
    """Lets pydantic read, write and describe a message of models/."""

    def __get_pydantic_core_schema__(self, kind: Any, _: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any) -> Message:
            message: Message = value if isinstance(value, kind) else convert(kind, value)
            return message

        written = core_schema.plain_serializer_function_ser_schema(full_values)
        return core_schema.no_info_plain_validator_function(
            read, serialization=written, metadata={"kind": kind}
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, _: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        kind = schema["metadata"]["kind"]
        described: dict[str, Any] = msgspec.json.schema(kind)["$defs"][kind.__name__]
        return described


AS_MESSAGE: Final = _AsMessage()
"""In the annotation of a field: Annotated[Contact, AS_MESSAGE]."""
