"""The bench's work, for contestants in Python that keep a key's ids themselves."""

from __future__ import annotations

from typing import Any

from models import ids

SESSION_S = 6.0
"""After which a killed member of a group is given up; the engine's own, the others' are 45 and 60 s."""
REMEMBERED = 64
"""Ids that a key remembers, as many as the engine does."""


def counted(
    known: dict[str, Any] | None, message: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A key's new record and its event; None for a message whose id is known."""
    token = ids.token(message["eventId"])
    seen = known["ids"] if known else ""
    if token in seen:
        return None
    seen = (seen + token)[-REMEMBERED * ids.TOKEN_CHARS :]
    number = known["number"] + 1 if known else 1
    event = {
        "eventId": ids.event_id(message["eventId"], "bench", 1),
        "eventType": "ORDER_CREATED",
        "orderId": message["orderId"],
        "number": number,
        "padding": message["padding"],
    }
    return {"number": number, "last": message["eventType"], "ids": seen}, event
