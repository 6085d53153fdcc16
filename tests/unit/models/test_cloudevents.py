"""Headers of records are those of CloudEvents 1.0, by the word of the cloudevents library."""

from __future__ import annotations

from datetime import UTC, datetime

from models.cloudevents import cloudevent_headers, without_content_type
from tests.support import cloudevents

TIME = "2026-11-26T20:00:00.123Z"
HEADERS = cloudevent_headers("evt_1", "PAYMENT_COMPLETED", "/tiffin/payments", TIME)


def test_a_record_is_a_cloudevent() -> None:
    told = {name: value.decode() for name, value in HEADERS}
    event = cloudevents.read(told, "order_1", b'{"orderId":"order_1"}')
    assert event.get_specversion() == "1.0"
    assert (event.get_id(), event.get_type()) == ("evt_1", "PAYMENT_COMPLETED")
    assert event.get_source() == "/tiffin/payments"
    assert event.get_time() == datetime(2026, 11, 26, 20, 0, 0, 123_000, UTC)
    assert event.get_data() == {"orderId": "order_1"}


def test_a_record_without_a_value_is_one_without_data() -> None:
    told = {name: value.decode() for name, value in without_content_type(HEADERS)}
    event = cloudevents.read(told, "order_1", None)
    assert (event.get_id(), event.get_data()) == ("evt_1", None)


def test_each_header_stands_once_whatever_was_asked_before() -> None:
    cloudevent_headers("evt_2", "PAYMENT_COMPLETED", "/tiffin/payments", TIME)
    assert cloudevent_headers("evt_1", "PAYMENT_COMPLETED", "/tiffin/payments", TIME) == HEADERS
    assert len({name for name, _ in HEADERS}) == len(HEADERS)
    other = dict(cloudevent_headers("evt_1", "ORDER_CREATED", "/tiffin/orders", TIME))
    assert (other["ce_type"], other["ce_source"]) == (b"ORDER_CREATED", b"/tiffin/orders")
