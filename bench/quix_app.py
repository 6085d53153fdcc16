"""A peer: Quix Streams doing the same read-modify-write with a changelog, and one output a record."""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application, State

from models import ids

REMEMBERED = 64
"""Ids of the sender that a key remembers, as the engine does."""


def counted(message: dict[str, Any], state: State[Any, Any]) -> dict[str, Any] | None:
    """Count and pass on what was not seen before, as `bench.engine_app` does; kept as compactly."""
    known = state.get("record")
    token = ids.token(message["eventId"])
    seen = known["ids"] if known else ""
    if token in seen:
        return None
    seen = (seen + token)[-REMEMBERED * ids.TOKEN_CHARS :]
    number = known["number"] + 1 if known else 1
    state.set("record", {"number": number, "last": message["eventType"], "ids": seen})
    return _event(message, number)


def trusting(message: dict[str, Any], state: State[Any, Any]) -> dict[str, Any] | None:
    """Less work: what the sender sent twice counts twice."""
    known = state.get("record")
    number = known["number"] + 1 if known else 1
    state.set("record", {"number": number, "last": message["eventType"]})
    return _event(message, number)


def _event(message: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "eventId": ids.event_id(message["eventId"], "bench", 1),
        "eventType": "ORDER_CREATED",
        "orderId": message["orderId"],
        "number": number,
        "padding": message["padding"],
    }


def main() -> None:
    """Run until terminated."""
    app = Application(
        os.environ["BENCH_BOOTSTRAP"],
        consumer_group=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
        state_dir=os.environ["BENCH_DIR"],
        processing_guarantee=os.environ["BENCH_GUARANTEE"],  # type: ignore[arg-type]
        commit_interval=float(os.environ["BENCH_COMMIT_S"]),
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(os.environ["BENCH_INPUT"], value_deserializer="json"))
    if os.environ["BENCH_WORK"] == "counted":
        frame = frame.apply(counted, stateful=True).filter(lambda event: event is not None)
    else:
        frame = frame.apply(trusting, stateful=True)
    frame.to_topic(app.topic(os.environ["BENCH_SINK"], value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main()
