"""What metrics and traces are told of a request to Stripe."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from app.stripe.errors import (
    DeclinedError,
    InvalidError,
    MisconfiguredError,
    RetryableError,
    StateConflictError,
    UnknownOutcomeError,
)
from models import tracing

RequestAnswered = Callable[[str, str, float], None]
"""What a request did ("payment_intents.confirm"), how it ended ("ok", or of OUTCOMES), seconds it took."""

OUTCOMES: Final[dict[type[BaseException] | None, str]] = {
    None: "ok", DeclinedError: "declined", StateConflictError: "conflict", InvalidError: "invalid",
    RetryableError: "not_executed", UnknownOutcomeError: "unknown",
    MisconfiguredError: "misconfigured",
}  # fmt: skip
"""By what was raised."""
INTERRUPTED: Final = "interrupted"
"""The worker stops, or a defect of ours."""


class ObservedRequest:
    """A context manager around one request: a span, and a call of `answered` with what became of it."""

    def __init__(self, answered: RequestAnswered, method: str, path: str) -> None:
        self._answered, self._operation = answered, operation_of(method, path)
        self._began_s = time.monotonic()
        self._stack = ExitStack()

    def begin(self) -> None:
        """It has had its turn, and is sent now."""
        self._began_s = time.monotonic()

    @property
    def took_s(self) -> float:
        """Since it was sent."""
        return time.monotonic() - self._began_s

    def __enter__(self) -> Self:
        name, kind = f"stripe {self._operation}", tracing.SpanKind.CLIENT
        self._stack.enter_context(tracing.span(name, kind))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._answered(self._operation, OUTCOMES.get(kind, INTERRUPTED), self.took_s)
        self._stack.__exit__(kind, error, traceback)


def operation_of(method: str, path: str) -> str:
    """What a request does, without the ids in its path: "payment_intents.confirm"."""
    _, _, resource, *rest = path.split("/")
    verbs = ("create", "update") if method == "post" else ("list", "retrieve")
    return f"{resource}.{rest[1] if len(rest) > 1 else verbs[len(rest)]}"
