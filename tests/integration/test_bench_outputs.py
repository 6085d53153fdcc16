"""What the bench counts as a contestant's outputs, on real Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from confluent_kafka import Producer

from bench import workload
from sandbox.kafka import KafkaBroker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    with KafkaBroker(tmp_path / "kafka") as broker:
        workload.make_topic(broker.bootstrap, "sink")
        yield broker.bootstrap


def _event(number: int) -> bytes:
    about = dict.fromkeys(workload.EVENT_FIELDS, "")
    return orjson.dumps({**about, "orderId": "order-1", "number": number})


def test_outputs_are_committed_records_alone(bootstrap: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "bench"})
    producer.init_transactions()
    for number in range(1, 6):
        for is_kept in (False, True):  # each leaves a marker behind, and the first one a record too
            producer.begin_transaction()
            producer.produce("sink", _event(number), key="order-1")
            if is_kept:
                producer.commit_transaction()
            else:
                producer.flush()
                producer.abort_transaction()
    numbers = []
    with workload.Outputs(bootstrap, "sink") as outputs:
        while not outputs.is_at_end:
            numbers += [orjson.loads(record.value() or b"")["number"] for record in outputs.read()]
    assert numbers == [1, 2, 3, 4, 5]
    workload.check(bootstrap, "sink", 5)
    with pytest.raises(workload.WrongOutputError, match="5 events instead of 6"):
        workload.check(bootstrap, "sink", 6)
