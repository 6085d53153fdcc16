"""Prints each paid order, and goes on where it stopped."""

import json
import os
import signal
import sys
import threading
from typing import Any

from confluent_kafka import Consumer, KafkaException

TOPIC = "payment-completed"


def main() -> None:
    """Read until SIGINT or SIGTERM."""
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ.get("KAFKA", "localhost:8013"),
            "group.id": os.environ.get("GROUP", "paid-orders-python"),
            "auto.offset.reset": "earliest",  # the first time; later the group's place counts
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([TOPIC])
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.is_set():
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            raise KafkaException(record.error())
        try:
            print_paid(json.loads(record.value()))
        except (ValueError, TypeError, LookupError) as error:  # it is no event of ours
            where = f"{record.topic()}/{record.partition()}/{record.offset()}"
            print(f"Passed over {where}: {error!r}", file=sys.stderr)
        consumer.commit(record, asynchronous=False)
    consumer.close()


def print_paid(event: dict[str, Any]) -> None:
    """Amounts are whole minor units of the currency: 26500 INR is 265.00 rupees."""
    data = event["data"]
    print(event["orderId"], data["amount"], data["currency"], event["eventId"], flush=True)


if __name__ == "__main__":
    main()
