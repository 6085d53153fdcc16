"""What a restaurant took on a day, from the worker that sums it up."""

from functools import cached_property
from typing import Final

from models.levels import Level
from models.takings import DayTakings, Takings
from web.api.restaurant_day import RestaurantDay
from web.http.api_model import ApiModel
from web.http.context import state_of
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.http.scatter_gather import Gather, Missing, Shares

TAKINGS: Final = "takings"
PATH: Final = "/kitchen/takings"


class CurrencyTakings(ApiModel):
    """Amounts in minor units. orders: that were paid on the day. gross: captured. net: gross - refunded."""

    currency: str
    orders: int
    gross: int
    refunded: int
    net: int


class DayTakingsView(ApiModel):
    """day: in timeZone. isKnown: whether the worker that sums it up has answered."""

    day: str
    time_zone: str
    is_known: bool
    sums: tuple[CurrencyTakings, ...]


class ShowTakings(Gather[list[CurrencyTakings], DayTakingsView]):
    """A restaurant's takings of a day: one partition is asked, the restaurant's."""

    service, open_services, share_type = TAKINGS, (TAKINGS,), list[CurrencyTakings]

    def __init__(self, call: AnyCall) -> None:
        super().__init__(call)
        self.path = PATH

    @cached_property
    def about(self) -> RestaurantDay:
        """Whose day. Raises ProblemError (400) for an operator who names no restaurant."""
        found = RestaurantDay.of(self.call)
        if not found.restaurant_id:
            raise ProblemError(
                "VALIDATION_FAILED", errors=[("restaurantId", "accepted: a restaurant's id")]
            )
        return found

    async def prepare(self) -> None:
        """The other worker is asked for the same day, also at midnight."""
        restaurant_id = self.about.restaurant_id or ""
        self.only = {self._table().partition_of(restaurant_id)}
        self.query = {"day": self.about.day.isoformat(), "restaurantId": restaurant_id}

    async def share(self, partition: int) -> list[CurrencyTakings]:
        """Of the partition that has the restaurant."""
        self.context.check_open(TAKINGS, partition)
        record = self.context.record(TAKINGS, self.about.restaurant_id or "")
        by_currency = state_of(record, Takings).days.get(self.about.day.isoformat(), {})
        return [_view(currency, sums) for currency, sums in sorted(by_currency.items())]

    async def merged(
        self, shares: Shares[list[CurrencyTakings]], missing: Missing
    ) -> DayTakingsView:
        """A day without payments is shown as 0 of the restaurant's currency."""
        restaurant = self.context.deps.catalogue.restaurants.get(self.about.restaurant_id or "")
        sums = [each for share in shares.values() for each in share]
        if not sums and restaurant:
            sums = [_view(restaurant.currency, DayTakings())]
        return DayTakingsView(
            day=self.about.day.isoformat(), time_zone=self.about.zone.key, sums=tuple(sums),
            is_known=not missing and self._table().levels().highest >= Level.V0_2,
        )  # fmt: skip


def _view(currency: str, sums: DayTakings) -> CurrencyTakings:
    return CurrencyTakings(
        currency=currency,
        orders=sums.orders,
        gross=sums.gross,
        refunded=sums.refunded,
        net=sums.net,
    )
