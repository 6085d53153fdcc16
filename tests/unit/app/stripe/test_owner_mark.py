"""Whose an object at Stripe is, by its metadata."""

from __future__ import annotations

import pytest

from app.stripe.owner_mark import OwnerMark
from models import ids

ORDER = ids.order_id("guest", "a-key")
OURS = {"app": "tiffin", "platform": "platform_1"}


def mark(platform_id: str | None = "platform_1") -> OwnerMark:
    return OwnerMark("tiffin", lambda: (platform_id, "platform_former") if platform_id else ())


@pytest.mark.parametrize(
    ("metadata", "may_be", "is_surely"),
    [
        (OURS, True, True),
        (OURS | {"platform": "platform_former"}, True, True),
        ({"app": "tiffin"}, True, False),
        ({}, True, False),
        (None, True, False),
        (OURS | {"platform": "platform_2"}, False, False),
        (OURS | {"app": "another"}, False, False),
        ({"platform": "platform_1"}, True, False),
    ],
)
def test_what_is_ours(metadata: dict[str, str] | None, may_be: bool, is_surely: bool) -> None:
    assert mark().may_be_ours(metadata) is may_be
    assert mark().is_surely_ours(metadata) is is_surely
    named = {**(metadata or {}), "orderId": ORDER}
    assert mark().order_id(named) == (ORDER if may_be else None)


def test_while_our_id_is_not_known_nothing_of_this_app_is_missed_and_nothing_touched() -> None:
    for metadata in (OURS, OURS | {"platform": "platform_2"}, {"app": "tiffin"}):
        assert mark(None).may_be_ours(metadata)
        assert not mark(None).is_surely_ours(metadata)


def test_an_order_is_named_by_an_id_of_our_form() -> None:
    assert mark().order_id(OURS | {"orderId": "1017"}) is None
    assert mark().order_id(OURS) is None


def test_the_mark_is_added_to_the_metadata() -> None:
    body = {"amount": 1, "metadata": {"orderId": ORDER}}
    assert mark().marked(body) == {"amount": 1, "metadata": {"orderId": ORDER, **OURS}}
    assert mark(None).marked(body)["metadata"] == {"orderId": ORDER, "app": "tiffin"}
    former = {"orderId": ORDER, **OURS, "platform": "platform_former"}
    assert mark().all_marked(body) == [
        mark().marked(body), {"amount": 1, "metadata": former}, mark(None).marked(body),
    ]  # fmt: skip
    assert len(mark(None).all_marked(body)) == 1, "no body is tried twice"


def test_before_kafka_has_told_our_id_another_id_of_this_app_can_not_be_told() -> None:
    pending = OwnerMark("tiffin", tuple, lambda: True)
    assert pending.can_not_tell(OURS)
    for metadata in ({"app": "tiffin"}, OURS | {"app": "another"}, {}, None):
        assert not pending.can_not_tell(metadata)
    assert not mark(None).can_not_tell(OURS), "the topic is missing"
    assert not mark().can_not_tell(OURS)


def test_an_id_that_is_none_of_ours_is_found() -> None:
    assert mark().strange_id(OURS | {"platform": "platform_2"}) == "platform_2"
    for metadata in (OURS, OURS | {"platform": "platform_former"}, {"app": "tiffin"}, None):
        assert mark().strange_id(metadata) is None
    assert mark().strange_id(OURS | {"app": "another", "platform": "platform_2"}) is None
    assert mark(None).strange_id(OURS) is None
