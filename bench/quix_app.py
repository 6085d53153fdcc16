"""A peer: Quix Streams doing the same read-modify-write with a changelog, and one output a record."""

from __future__ import annotations

import os
import uuid
from typing import Any

from quixstreams import Application, State

NAMESPACE = uuid.UUID(int=1)


def transition(message: dict[str, Any], state: State[Any, Any]) -> dict[str, Any]:
    """Count and pass on, as `bench.engine_app` does."""
    known = state.get("record")
    number = known["number"] + 1 if known else 1
    state.set("record", {"number": number, "last": message["eventType"]})
    return {
        "eventId": str(uuid.uuid5(NAMESPACE, f"{message['eventId']}/1")),
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
        processing_guarantee=os.environ.get("BENCH_GUARANTEE", "at-least-once"),  # type: ignore[arg-type]
        commit_interval=1.0,
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic("bench-input", value_deserializer="json"))
    frame = frame.apply(transition, stateful=True)
    frame.to_topic(app.topic(os.environ["BENCH_SINK"], value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main()
