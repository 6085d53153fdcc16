"""Which restaurant's which day a request is about: in the restaurant's own time zone, today by default."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo

from models.takings import day_of
from web.http.decoding import DecodingError
from web.http.params import Params, param
from web.http.route import AnyCall
from web.http.tokens import Role

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def read_day(text: str) -> date:
    """Read a day. Raises DecodingError."""
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        found = date.fromisoformat(text)
        if found.year not in range(1970, 2100):
            raise ValueError
    except ValueError:
        raise DecodingError("a day such as 2026-11-27") from None
    return found


class DayParams(Params):
    """restaurant_id: a kitchen sees its own whatever it says."""

    restaurant_id: str | None = param(str, "of one restaurant, for an operator")
    day: date | None = param(read_day, "in the restaurant's time zone; today by default")


@dataclass(frozen=True, slots=True)
class RestaurantDay:
    """restaurant_id: None: of all restaurants, for an operator; their day is UTC's."""

    restaurant_id: str | None
    zone: ZoneInfo
    day: date

    @classmethod
    def of(cls, call: AnyCall) -> Self:
        """What a call with `DayParams` asks for."""
        identity, params = call.identity, call.params
        is_operator = identity.role is Role.OPERATOR
        restaurant_id = params.restaurant_id if is_operator else identity.restaurant_id or ""
        restaurant = call.context.deps.catalogue.restaurants.get(restaurant_id or "")
        zone = ZoneInfo(restaurant.time_zone if restaurant else "UTC")
        return cls(restaurant_id, zone, params.day or day_of(call.context.deps.now_ms(), zone))

    @property
    def bounds_ms(self) -> tuple[int, int]:
        """When the day begins and ends, in milliseconds since the epoch."""
        days = (self.day, self.day + timedelta(days=1))
        begin, end = (datetime.combine(each, time(), self.zone).timestamp() for each in days)
        return round(begin * 1000), round(end * 1000)
