"""Faults of the mailbox on request: the next messages are refused, delayed or lost."""

from __future__ import annotations

from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PATH = "/_control/faults"


class MailboxFault(BaseModel):
    """What happens to the next messages of a channel.

    refuse: not taken; code is SMTP's reply to RCPT, or HTTP's status. delay: taken, answered after
    so many seconds. drop: taken, and the connection closed in place of an answer.
    """

    model_config = ConfigDict(extra="forbid")

    channel: Literal["EMAIL", "SMS"]
    kind: Literal["refuse", "delay", "drop"]
    times: int = Field(default=1, ge=1)
    code: int = Field(default=451, ge=400, le=599)
    seconds: float = Field(default=1.0, ge=0)


class MailboxFaults:
    """Those that are still to happen, in order; over HTTP they are listed, added to and cleared."""

    def __init__(self) -> None:
        self.armed: list[MailboxFault] = []

    def append(self, fault: MailboxFault) -> None:
        """Arm one."""
        self.armed.append(fault)

    def next(self, channel: str, *kinds: str) -> MailboxFault | None:
        """Take the first of a channel that is of one of the kinds."""
        for fault in self.armed:
            if fault.channel == channel and fault.kind in kinds:
                fault.times -= 1
                if not fault.times:
                    self.armed.remove(fault)
                return fault
        return None

    def routes(self) -> list[web.RouteDef]:
        """Where they are controlled."""
        return [
            web.get(PATH, self._list),
            web.post(PATH, self._add),
            web.delete(PATH, self._clear),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"faults": [fault.model_dump() for fault in self.armed]})

    async def _add(self, request: web.Request) -> web.Response:
        try:
            fault = MailboxFault.model_validate_json(await request.read())
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        self.append(fault)
        return web.json_response(fault.model_dump(), status=201)

    async def _clear(self, _: web.Request) -> web.Response:
        self.armed.clear()
        return web.json_response({"faults": []})
