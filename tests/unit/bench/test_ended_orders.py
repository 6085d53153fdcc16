"""Ended orders that are written again under other ids."""

from __future__ import annotations

import random

from aiokafka.partitioner import murmur2

from agents.dictionaries import dictionaries_of
from bench.ended_orders import footprints, template_of
from models import ids
from tables.packing import PACKED, head_of, pack, unpack

ORDER = ids.order_id("guest", "one")
EVENT = ids.event_id("cmd_1", "orders", 1)
INTENT = "pi_3abcdEFGH1234567890wxyz"
ROWS = {
    (
        "x-orders-changelog",
        ORDER.encode(),
    ): f'{{"state":{{"order":"{ORDER}","status":"PAYMENT_COMPLETED",'
    f'"intent":"{INTENT}","code":"requires_authentication"}}}}'.encode(),
    ("x-timeline-changelog", f"{ORDER}/000001".encode()): f'["{EVENT}","{ORDER}"]'.encode(),
    ("x-timeline-changelog", f"find/abc-DEF_1234/94f7bdd0/{ORDER}".encode()): b"",
}


def test_a_copy_differs_in_its_ids_alone() -> None:
    template = template_of(ORDER, ROWS)
    partition, rows = template.copy(random.Random(1))
    assert [topic for topic, _, _ in rows] == [topic for topic, _ in ROWS]
    (_, key, value), (_, entry, said), (_, term, _) = rows
    order = key.decode()
    assert ids.is_order_id(order)
    assert order != ORDER
    assert partition == murmur2(key) & 0x7FFFFFFF
    assert entry == f"{order}/000001".encode()
    assert value.startswith(f'{{"state":{{"order":"{order}","status":"PAYMENT_COMPLETED",'.encode())
    assert value.endswith(b'"code":"requires_authentication"}}')
    assert said.endswith(f'","{order}"]'.encode())
    assert term.startswith(b"find/")
    assert term.endswith(f"/94f7bdd0/{order}".encode())
    for old in (ORDER, EVENT, INTENT, "abc-DEF_1234"):
        assert not any(old.encode() in part for row in rows for part in row[1:])
    assert [len(part) for row in rows for part in row[1:]] == [
        len(part) for (_, key), value in ROWS.items() for part in (key, value)
    ]


def test_copies_differ_from_each_other() -> None:
    template = template_of(ORDER, ROWS)
    copies = [template.copy(random.Random(number))[1] for number in range(3)]
    assert len({row[1] for rows in copies for row in rows}) == 3 * len(ROWS)


def test_a_footprint_is_rows_and_bytes_an_order() -> None:
    found = footprints([template_of(ORDER, ROWS)])
    assert found["x-orders-changelog"].rows == 1
    assert found["x-timeline-changelog"].rows == 2
    assert found["x-orders-changelog"].size == sum(
        len(key) + len(value) for (topic, key), value in ROWS.items() if "orders" in topic
    )


def test_a_packed_record_is_packed_again_with_its_other_ids() -> None:
    topic, key = "x-orders-changelog", ORDER.encode()
    record = f'{{"terminal":true,"state":{{"order":"{ORDER}"}}}}'.encode()
    dictionaries = dictionaries_of("orders")
    index = b',"index":[["f/abc-DEF_12/94f7bdd0"],{"DELIVERED":1}]'
    template = template_of(ORDER, {(topic, key): pack(record, dictionaries, index)})
    ((_, other, packed),) = template.copy(random.Random(1))[1]
    assert packed.startswith(PACKED)
    assert unpack(packed, dictionaries) == record.replace(key, other)
    head = head_of(packed)
    assert b"abc-DEF_12" not in head
    assert head.endswith(b'/94f7bdd0"],{"DELIVERED":1}]}')
    assert len(head) == len(head_of(pack(record, dictionaries, index)))
