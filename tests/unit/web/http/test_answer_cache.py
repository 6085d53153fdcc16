"""An answer is given again only while it would be made of the same records."""

from __future__ import annotations

import pytest

from web.http import answer_cache
from web.http.answer_cache import AnswerCache


def test_a_body_is_made_once_for_the_same_records() -> None:
    cache, made = AnswerCache(), []

    def make() -> bytes:
        made.append(1)
        return b"%d" % len(made)

    order, payment, changed = object(), object(), object()
    assert cache.body(("a", True), [order, payment, None], make) == b"1"
    assert cache.body(("a", True), [order, payment, None], make) == b"1"
    assert cache.body(("a", False), [order, payment, None], make) == b"2", "another reader's"
    assert cache.body(("a", True), [order, changed, None], make) == b"3"
    assert cache.body(("a", True), [order, changed, object()], make) == b"4"
    assert cache.body(("a", True), [order, payment, None], make) == b"5"


def test_what_can_not_be_made_is_not_remembered() -> None:
    cache = AnswerCache()

    def fail() -> bytes:
        raise KeyError

    with pytest.raises(KeyError):
        cache.body("a", [None], fail)
    assert cache.body("a", [None], lambda: b"made") == b"made"


def test_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache, "MAX_BODIES", 3)
    cache, record = AnswerCache(), object()
    for number in range(10):
        cache.body(number, [record], lambda: b"")
        assert len(cache._bodies) <= 3
    assert cache.body(9, [record], lambda: b"made again") == b""
    assert cache.body(0, [record], lambda: b"made again") == b"made again"
