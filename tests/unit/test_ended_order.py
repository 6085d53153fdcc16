"""What a delivered order leaves behind in all tables, at once and after its times: rows and bytes, counted."""

from __future__ import annotations

from hashlib import sha256

import pytest

from agents.dictionaries import FOLDER, dictionaries_of
from tables.packing import pack, unpack
from tests.support.ended_order import delivered_order, swept_order

MAX_RECORD_BYTES = {
    "payments": 680, "orders": 1_110, "deliveries": 480, "notifications": 810, "analytics": 320,
    "timeline": 1_650,
}  # fmt: skip
"""With keys, and with what it is found by. Before ended records were packed: 2,393, 3,563, 1,197, 3,149, 691
and 16,699, in 100 rows."""
MAX_ORDER_BYTES = {0: 4_950, 1.1: 4_350, 31: 3_000, 181: 2_700}
"""Days after its end -> of all its records: its outcomes, its messages and search ids, its contact are gone.
5,141 for ever before anything went."""
USED = {
    "analytics.1.txt": "0e73e7c159ce9a287c2ec658da28248ec167f09b3758b3db2670e0d2ba75f5cd",
    "deliveries.1.txt": "7faafd06f5d1d5d07ad2adef75e4fed3b17de1431c1096e9ce2c90b0a68a37bb",
    "notifications.1.txt": "8500f007c19e5fbb3e7e12768e484bd7e63ce90ce2632c829f600a76e23bac12",
    "orders.1.txt": "1cf470c9685d94a11af832d1c2db360efe94ca6ab5902cb71a457034b11719a9",
    "payments.1.txt": "7226bc9262a35b7b3bc2fbf04b3b967edc78e9efb6e5acf382bf387f034c9709",
    "timeline.1.txt": "57cf0a1ff0c4d5f9a382a37eb27f8ed603638ed3f10bbfabb1f9892bfcaf92f6",
    "timeline.2.txt": "fef6f9b6e58f4633d01d2502d6c75da43d9f39729316bf46528ab5e24674d9c3",
}
"""Dictionaries that records are packed with: who changes one makes them unreadable."""


@pytest.mark.parametrize("service", MAX_RECORD_BYTES)
def test_an_ended_order_is_one_small_record_a_service(service: str) -> None:
    order_id, kept = delivered_order()
    own = {k: v for k, v in kept[service].tables.items() if order_id.encode() in k}
    assert list(own) == [order_id.encode()]
    assert sum(len(key) + len(value) for key, value in own.items()) <= MAX_RECORD_BYTES[service]


@pytest.mark.parametrize("days", MAX_ORDER_BYTES)
def test_an_ended_order_shrinks_as_its_times_pass(days: float) -> None:
    order_id, kept = swept_order(days)
    key = order_id.encode()
    assert all([k for k in each.tables if key in k] == [key] for each in kept.values())
    size = sum(len(key) + len(each.tables[key]) for each in kept.values())
    assert size <= MAX_ORDER_BYTES[days]


def test_what_a_dictionary_once_packed_is_read() -> None:
    record = b'{"a":"PAYMENT_COMPLETED"}'
    for service in MAX_RECORD_BYTES:
        known = dictionaries_of(service)
        for number in range(len(known) + 1):
            assert unpack(pack(record, known[:number]), known) == record


def test_no_dictionary_is_changed() -> None:
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.txt")}
    assert found == USED
