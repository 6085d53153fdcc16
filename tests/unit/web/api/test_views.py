"""Records become views: fields of one name, times, money, and what must not pass unseen."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from web.api.views import view_of
from web.http.answers import Money
from web.http.api_model import ApiModel


@dataclass(frozen=True)
class Row:
    name: str = "row"
    count: int = 3
    price: int | None = 250
    currency: str = "INR"
    opened_at: int | None = 0
    since_ms: int = 1_000


@dataclass(frozen=True)
class Other:
    name: str = "other"
    extra: str | None = "extra"


class RowView(ApiModel):
    name: str
    count: int
    price: Money | None = None
    opened_at: str | None = None
    since: str
    extra: str | None = None


def test_numbers_become_times_and_money_where_the_view_has_them() -> None:
    assert view_of(RowView, Row(), Other()) == RowView(
        name="row", count=3, price=Money.of(250, "INR"), opened_at="1970-01-01T00:00:00.000Z",
        since="1970-01-01T00:00:01.000Z", extra="extra",
    )  # fmt: skip


def test_the_first_record_counts_and_what_is_given_before_all() -> None:
    shown = view_of(RowView, Other(), Row(), extra="given", opened_at=5_000, currency="JPY")
    assert (shown.name, shown.extra) == ("other", "given")
    assert shown.opened_at == "1970-01-01T00:00:05.000Z"
    assert shown.price == Money.of(250, "JPY")


def test_what_is_absent_stays_absent() -> None:
    shown = view_of(RowView, Row(price=None, opened_at=None), None)
    assert (shown.price, shown.opened_at, shown.extra) == (None, None, None)


def test_a_field_that_nothing_gives_is_an_error() -> None:
    with pytest.raises(AttributeError, match="RowView its extra"):
        view_of(RowView, Row())


def test_a_value_that_the_view_has_no_field_for_is_an_error() -> None:
    with pytest.raises(ValidationError):
        view_of(RowView, Row(), Other(), colour="red")
