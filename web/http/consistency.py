"""Consistency tokens: a write answers with one, and a read that sends it back holds that write.

A token names the last sequence that the write emitted into each topic, and the version of each record
that it changed. It is opaque to clients and unsigned: a made-up one makes only its own reader wait.
"""

import base64
import time
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Annotated, Final

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.topics import TOPICS
from tables import StoredRecord
from web.http.context import Context
from web.http.decoding import DecodingError, base64_json
from web.http.problems import ProblemError

HEADER: Final = "Consistency-Token"
PARAMETER: Final = "consistencyToken"
LONGEST: Final = 2000

Count = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Name = Annotated[str, Field(max_length=100)]


class Token(BaseModel):
    """positions: topic, producer and sequence. versions: of records, by service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: Name
    positions: tuple[tuple[Name, Name, Count], ...] = Field(default=(), max_length=20)
    versions: dict[Name, Count] = Field(default_factory=dict, max_length=20)

    def text(self) -> str:
        """As it travels."""
        packed = orjson.dumps(self.model_dump())
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    def is_covered_by(
        self, service: str, inputs: Collection[str], record: StoredRecord | None
    ) -> bool:
        """Whether a service's record holds the write, as far as the write is in topics that it reads."""
        if (record.version if record else 0) < self.versions.get(service, 0):
            return False
        return all(
            record is not None and record.sequences.get(f"{topic}/{producer}", 0) >= sequence
            for topic, producer, sequence in self.positions
            if topic in inputs
        )

    def covering(self, service: str, record: StoredRecord, positions: Mapping[str, int]) -> "Token":
        """A token that also covers a service's record, as it is now, and what it emitted until then."""
        added = tuple((topic, service, sequence) for topic, sequence in positions.items())
        versions = {**self.versions, service: max(record.version, self.versions.get(service, 0))}
        return Token(order=self.order, positions=self.positions + added, versions=versions)


def token_of_request(request: web.Request, order_id: str) -> Token | None:
    """The token that a read came with, in the header or the query. Raises ProblemError (400)."""
    text = request.headers.get(HEADER) or request.query.get(PARAMETER)
    if not text:
        return None
    try:
        token = Token.model_validate(base64_json(text, LONGEST))
    except (DecodingError, ValidationError):
        token = None
    if token is None or any(topic not in TOPICS for topic, _, _ in token.positions):
        accepted = "the token of a write's answer, unchanged"
    elif token.order != order_id:
        accepted = "a token of this order"
    else:
        return token
    raise ProblemError("CONSISTENCY_TOKEN_INVALID", errors=[(HEADER, f"accepted: {accepted}")])


async def hold(context: Context, order_id: str, token: Token | None, parts: Iterable[str]) -> None:
    """Wait until each part of a view holds the write. Raises ProblemError (504) after the bound."""
    if token is None:
        return
    until = time.monotonic() + context.deps.bounds.consistency_s
    try:
        for part in parts:
            if part in context.tables:
                within_s = max(0.0, until - time.monotonic())
                table = context.tables[part]
                is_covered = partial(token.is_covered_by, part, table.service.inputs)
                await table.wait(order_id, is_covered, within_s)
    except TimeoutError:
        raise ProblemError(
            "CONSISTENCY_TIMEOUT", "Read without the token to see what is there now."
        ) from None
