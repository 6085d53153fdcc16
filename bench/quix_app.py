"""Quix Streams with the same workload: read-modify-write with a changelog, one event a record."""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application, State

from models import ids

REMEMBERED = 64
"""Ids that a key remembers, as many as the engine does."""


def count_once(message: dict[str, Any], state: State[Any, Any]) -> dict[str, Any] | None:
    """Count a record unless its id is known, as `bench.engine_app` does; stored as compactly."""
    known = state.get("record")
    token = ids.token(message["eventId"])
    seen = known["ids"] if known else ""
    if token in seen:
        return None
    seen = (seen + token)[-REMEMBERED * ids.TOKEN_CHARS :]
    number = known["number"] + 1 if known else 1
    state.set("record", {"number": number, "last": message["eventType"], "ids": seen})
    return _event(message, number)


def count_all(message: dict[str, Any], state: State[Any, Any]) -> dict[str, Any] | None:
    """Count every record: no ids are remembered, so duplicates count twice."""
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
    if os.environ["BENCH_MODE"] == "once":
        frame = frame.apply(count_once, stateful=True).filter(lambda event: event is not None)
    else:
        frame = frame.apply(count_all, stateful=True)
    frame.to_topic(app.topic(os.environ["BENCH_SINK"], value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main()
