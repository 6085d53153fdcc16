"""A plain loop with the same workload and no guarantee: Kafka's client, RocksDB, a write a record.

No changelog, no transaction; offsets are committed every few seconds, whatever is written by then.
"""

from __future__ import annotations

import os

import orjson
from confluent_kafka import Consumer, KafkaException, Producer
from rocksdict import Options, Rdict

from bench.counting import SESSION_S, counted

READ_AT_ONCE = 1_000


def main() -> None:
    """Run until terminated."""
    servers = {"bootstrap.servers": os.environ["BENCH_BOOTSTRAP"]}
    group = {"group.id": os.environ["BENCH_GROUP"], "auto.offset.reset": "earliest"}
    consumer = Consumer({**servers, **group, "session.timeout.ms": round(1000 * SESSION_S)})
    consumer.subscribe([os.environ["BENCH_INPUT"]])
    producer = Producer({
        **servers, "partitioner": "murmur2_random", "linger.ms": 5, "queue.buffering.max.messages": 1_000_000,
    })  # fmt: skip
    sink = os.environ["BENCH_SINK"]
    orders = Rdict(os.environ["BENCH_DIR"], Options(raw_mode=True))
    while True:
        for record in consumer.consume(READ_AT_ONCE, timeout=0.005):
            if (error := record.error()) is not None:
                raise KafkaException(error)
            key, stored = record.key() or b"", orders.get(record.key())
            found = counted(orjson.loads(stored) if stored else None, orjson.loads(record.value()))
            if found is not None:
                state, event = found
                orders[key] = orjson.dumps(state)
                producer.produce(sink, orjson.dumps(event), key=key)
        producer.poll(0)


if __name__ == "__main__":
    main()
