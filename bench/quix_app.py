"""Quix Streams with the same workload: read-modify-write with a changelog, one event a record."""

from __future__ import annotations

import os
from typing import Any

from quixstreams import Application, State

from bench.counting import SESSION_S, counted


def count(message: dict[str, Any], state: State[Any, Any]) -> dict[str, Any] | None:
    """Number a record and give its event; None for one that is known."""
    found = counted(state.get("record"), message)
    if found is None:
        return None
    record, event = found
    state.set("record", record)
    return event


def main() -> None:
    """Run until terminated."""
    app = Application(
        os.environ["BENCH_BOOTSTRAP"],
        consumer_group=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
        state_dir=os.environ["BENCH_DIR"],
        processing_guarantee=os.environ["BENCH_MODE"],  # type: ignore[arg-type]
        commit_interval=float(os.environ["BENCH_COMMIT_S"]),
        consumer_extra_config={"session.timeout.ms": round(1000 * SESSION_S)},
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(os.environ["BENCH_INPUT"], value_deserializer="json"))
    frame = frame.apply(count, stateful=True).filter(lambda event: event is not None)
    frame.to_topic(app.topic(os.environ["BENCH_SINK"], value_serializer="json"))
    app.run()


if __name__ == "__main__":
    main()
