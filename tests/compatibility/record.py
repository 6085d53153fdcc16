"""Makes a recording with today's code: `python -m tests.compatibility.record NAME`, by hand.

Plays orders on a whole platform (real Kafka, a worker, Stripe's stand-in, the mailbox), and writes down what
they left in Kafka, in RocksDB and at the HTTP API. It is not written unless today's code, replayed, gives
every byte of it again.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer

from sandbox.api_client import RefusedError
from sandbox.card_numbers import VISA
from sandbox.processes import MAX_WAIT_S
from sandbox.staff import Staff
from tests.compatibility import stored
from tests.compatibility.adapter import FAILURE, SERVICES
from tests.compatibility.contents import read_tables, read_topic
from tests.compatibility.day import AGES_S, Day, RecordedPlatform, settings_of
from tests.compatibility.replay import check_sent, replay
from tests.compatibility.scenes import AMERICAN, LONG, deadlines_pass, left_as_they_are
from tests.compatibility.scenes_bad_records import nonsense, quarantined, repeated
from tests.compatibility.schedule import schedule
from tests.compatibility.stored import DEAD_LETTERS, Recording

PARTITIONS = 3
SHORT_S = 6
FULLY_ASKED = 3
"""Of so many orders the API is asked everything."""
PART_S = 120
"""What one part may take on a busy machine."""
RUN = {
    "channels": ["EMAIL", "SMS"],
    "notification_tries": 3,
    "notification_repeat_after_s": AGES_S,
}
RUNS = [
    {**RUN, "payment_deadline_s": SHORT_S, "kitchen_deadline_s": SHORT_S},
    {**RUN, "payment_deadline_s": AGES_S, "kitchen_deadline_s": AGES_S},
]


async def play(platform: RecordedPlatform) -> tuple[dict[str, str], dict[str, Any], list[int]]:
    """Play everything. Gives orders, answers, and when each run's worker was started."""
    starts_ms = [0]
    async with AsyncExitStack() as stack:
        day = await Day(platform, stack).open()
        await _tell(day, deadlines_pass)
        await day.rest()
        starts_ms.append(time.time_ns() // 1_000_000)
        await asyncio.to_thread(platform.change, RUNS[1])
        for part in LONG:
            await _tell(day, part)
        # In the midst of what follows from a payment; the next worker sends again what may not have left.
        somebody = await day.placed("paid while the worker died")
        await somebody.confirm(VISA)
        await asyncio.to_thread(platform.kill)
        await somebody.wait_status("PENDING")
        for part in (quarantined, nonsense, repeated, left_as_they_are):
            await _tell(day, part)
        await day.rest()
        await asyncio.sleep(3)
        await day.rest()
        answers = await ask(day.olga, day.orders)
        await asyncio.to_thread(platform.kill)
        await day.rest()
        again = await ask(day.olga, day.orders)
        kept = {path: answer for path, answer in answers.items() if again[path] == answer}
        print("Not the same after a restart, so left out:", sorted(answers.keys() - kept.keys()))
        return day.orders, kept, starts_ms


async def _tell(day: Day, part: Callable[[Day], Awaitable[None]]) -> None:
    began = time.monotonic()
    async with asyncio.timeout(PART_S):
        await part(day)
    print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)


async def ask(operator: Staff, orders: dict[str, str]) -> dict[str, Any]:
    """What the API says of all orders; a refusal is an answer too."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    paths = [
        "/api/ops/orders?limit=100", "/api/ops/refunds", "/api/ops/disputes",
        "/api/ops/notifications?limit=100", "/api/deliveries", "/api/ops/audit?limit=50",
        *(f"/api/kitchen/orders?restaurantId={each}" for each in ("annapurna-bengaluru", AMERICAN)),
        *(f"/api/reports/payments?by={by}&from={day}&to={day}T23:59:59Z" for by in ("day", "hour")),
    ]  # fmt: skip
    paths += [
        f"/api/ops/dead-letters?limit=100&state={state}"
        for state in ("OPEN", "REDRIVEN", "DISCARDED")
    ]
    for number, order_id in enumerate(orders.values()):
        paths += [
            f"/api/orders/{order_id}", f"/api/orders/{order_id}/timeline",
            f"/api/payments/{order_id}",
        ]  # fmt: skip
        if number < FULLY_ASKED:
            paths += [f"/api/ops/digests/{order_id}", f"/api/ops/search?q={order_id}"]
    return {path: await _ask(operator, path) for path in paths}


async def _ask(operator: Staff, path: str) -> Any:
    try:
        return await operator.get(path)
    except RefusedError as error:
        return {"refused": error.status, "code": error.code}


def main(name: str) -> None:
    """Record."""
    assert not (stored.FOLDER / name).exists(), f"there is a recording {name} already"
    with tempfile.TemporaryDirectory() as folder:
        platform = RecordedPlatform(
            Path(folder), workers=1, settings=settings_of(RUNS[0]), settle_delay_s=-1
        )
        platform.break_at()
        with platform:
            orders, answers, starts_ms = asyncio.run(play(platform))
            platform.workers[0].terminate()
            recording = Recording(name, RUNS, [], orders, answers=answers)
            known = Consumer({"bootstrap.servers": platform.bootstrap, "group.id": "recorder"})
            for topic in sorted(known.list_topics(timeout=MAX_WAIT_S).topics):
                if not topic.startswith("__"):
                    recording.topics[topic] = read_topic(platform.bootstrap, topic)
            known.close()
            recording.tables = read_tables(platform.data_dir(0))
    for record in recording.topics[DEAD_LETTERS]:
        told = {k: v.decode(errors="replace") for k, v in record.headers if v is not None}
        if told.get("kafka_dlt-exception-message") == FAILURE and record.by:
            place = [
                told[f"kafka_dlt-original-{part}"] for part in ("topic", "partition", "offset")
            ]
            failed = (record.by[0], place[0], int(place[1]), int(place[2]))
            recording.failing.append(failed)
    recording.groups = schedule(recording, SERVICES, PARTITIONS, starts_ms)
    for service in SERVICES:
        for partition, replayed in replay(recording, service):
            check_sent(recording, service, partition, replayed)
    folder_of_it = stored.save(recording)
    size = sum(path.stat().st_size for path in folder_of_it.rglob("*") if path.is_file())
    types = Counter(
        kind
        for topic in recording.inputs
        for record in recording.topics[topic]
        for name_, value in record.headers
        if name_ == "ce_type" and (kind := (value or b"").decode())
    )
    print(
        f"{len(orders)} orders, {size} bytes; records of each type: {dict(sorted(types.items()))}"
    )


if __name__ == "__main__":
    main(sys.argv[1])
