"""Parameters of a query: read by their declarations, and every wrong one is named."""

from __future__ import annotations

from typing import ClassVar

import pytest
from multidict import MultiDict

from web.http.params import (
    Params,
    choice_param,
    cursor_param,
    limit_param,
    param,
    time_ms,
)
from web.http.problems import ProblemError

TIME = time_ms("a time", years=range(1970, 2100))


class ListParams(Params):
    state: str | None = choice_param(("OPEN", "CLOSED"))
    since_ms: int | None = param(TIME, "the beginning", name="since")
    before: tuple[int, str] | None = cursor_param(r"(\d+)-([a-z]+)")
    limit: int = limit_param(50, 500)


class StrictParams(Params):
    is_strict: ClassVar[bool] = True

    place_name: str | None = param(str, "where")


def wrong(kind: type[Params], *query: tuple[str, str]) -> dict[str, str]:
    with pytest.raises(ProblemError) as caught:
        kind.read(MultiDict(query))
    assert caught.value.code == "VALIDATION_FAILED"
    return dict(caught.value.errors)


def test_defaults_and_values() -> None:
    assert ListParams.read(MultiDict()) == ListParams()
    query = MultiDict(state="OPEN", since="2026-11-20", before="7-abc", limit="500", other="x")
    assert ListParams.read(query) == ListParams(
        state="OPEN", since_ms=1_795_132_800_000, before=(7, "abc"), limit=500
    )


def test_every_wrong_one_is_named_with_what_is_accepted() -> None:
    query = [("state", "open"), ("since", "2026-11-20T10:00:00"), ("before", "x"), ("limit", "501")]
    assert wrong(ListParams, *query) == {
        "state": "accepted: OPEN, CLOSED",
        "since": "accepted: a time",
        "before": "accepted: `next` of the page before",
        "limit": "accepted: a whole number from 1 to 500",
    }


def test_strict_ones_take_nothing_unknown_and_nothing_twice() -> None:
    assert wrong(StrictParams, ("x", "1"), ("placeName", "a"), ("placeName", "b")) == {
        "x": "accepted: placeName",
        "placeName": "accepted: once",
    }


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [("1970-01-01T01:00:00+01:00", 0), ("1970-01-01T01:00:00 01:00", 0), ("1970-01-01", 0),
     ("2026-11-20T18:30:00.123Z", 1_795_199_400_123)],
)  # fmt: skip
def test_times(text: str, at_ms: int) -> None:
    assert TIME(text) == at_ms


def test_descriptions_are_by_the_names_in_the_query() -> None:
    assert ListParams.descriptions() == {
        "state": "one of OPEN, CLOSED; all by default",
        "since": "the beginning",
        "before": "`next` of the page before",
        "limit": "at most so many, 1 to 500; 50 by default",
    }
