"""Where the parts of a running platform answer, and whether they do."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything answers; written to endpoints.json for other tools."""

    kafka: str
    stripe: str
    control: str
    mailbox: str
    workers: tuple[str, ...]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Of what `as_json` gave."""
        return cls(
            kafka=found["kafka"], stripe=found["stripe"], control=found["control"],
            mailbox=found["mailbox"], workers=tuple(found["web"]),
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """As endpoints.json has it."""
        return {
            "kafka": self.kafka,
            "web": list(self.workers),
            "stripe": self.stripe,
            "control": self.control,
            "mailbox": self.mailbox,
        }


def answers(url: str, timeout_s: float = 5.0) -> bool:
    """Whether a GET is answered with 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
