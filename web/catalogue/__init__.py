"""Restaurants, dishes and prices; one TOML file a restaurant, read and checked once at start.

Prices are integers in Stripe's minor units of the restaurant's currency (docs/money.md). The files
beside this one are the catalogue of the sandbox; a setting names another folder.
"""

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from babel import Locale, UnknownLocaleError
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from models import money

FOLDER: Final = Path(__file__).parent

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Price = Annotated[int, Field(strict=True, gt=0, le=money.MAXIMUM_CHARGE)]


class CatalogueError(Exception):
    """The catalogue can't be used; the text names each file, field and what is accepted."""


class Entry(BaseModel):
    """Base of what a catalogue file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dish(Entry):
    """One dish; price in minor units of the restaurant's currency."""

    id: Id
    name: Text
    description: str = ""
    price: Price
    vegetarian: bool = False


class Restaurant(Entry):
    """One restaurant with its menu; locale and time zone are those of what its customers are sent."""

    id: Id
    name: Text
    cuisine: Text
    city: Text
    currency: str
    locale: str = "en"
    time_zone: str = "UTC"
    dishes: tuple[Dish, ...] = Field(min_length=1)

    @field_validator("currency")
    @classmethod
    def _currency_is_known(cls, currency: str) -> str:
        if currency not in money.CURRENCIES:
            known = ", ".join(sorted(money.CURRENCIES))
            raise ValueError(f"{currency} is none that Stripe charges; accepted: {known}")
        return currency

    @field_validator("locale")
    @classmethod
    def _locale_is_known(cls, locale: str) -> str:
        try:
            return str(Locale.parse(locale))
        except (ValueError, UnknownLocaleError):
            raise ValueError("is not known; accepted: such as en or en_IN") from None

    @field_validator("time_zone")
    @classmethod
    def _time_zone_is_known(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError("is not known; accepted: IANA names such as Asia/Kolkata") from None

    @model_validator(mode="after")
    def _dishes_are_sound(self) -> Self:
        for dish_id, count in Counter(dish.id for dish in self.dishes).items():
            if count > 1:
                raise ValueError(f"dishes: the id {dish_id} is there {count} times")
        rules = money.rules_of(self.currency)
        uneven = [dish for dish in self.dishes if dish.price % rules.step]
        dear = [dish for dish in self.dishes if dish.price > rules.maximum]
        if uneven:
            raise ValueError(
                f"dishes: {self._prices(uneven)}; accepted: multiples of {rules.step}, as Stripe charges "
                f"{self.currency} in steps of {money.decimal_text(rules.step, self.currency)}"
            )
        if dear:
            raise ValueError(
                f"dishes: {self._prices(dear)}; accepted: up to {rules.maximum}, the most that Stripe "
                f"charges in {self.currency}"
            )
        return self

    def _prices(self, dishes: Iterable[Dish]) -> str:
        return ", ".join(
            f"the price of {dish.id} is {dish.price} "
            f"({money.decimal_text(dish.price, self.currency)} {self.currency})"
            for dish in dishes
        )

    @cached_property
    def by_id(self) -> Mapping[str, Dish]:
        """The dishes by their ids."""
        return {dish.id: dish for dish in self.dishes}


@dataclass(frozen=True)
class Catalogue:
    """All restaurants by id.

    minimum_charges: the operator's, by currency, in minor units; Stripe's own hold for the others.
    """

    restaurants: Mapping[str, Restaurant]
    minimum_charges: Mapping[str, int] = field(default_factory=dict)

    def minimum_charge(self, currency: str) -> int:
        """The least that an order may come to, in minor units."""
        return self.minimum_charges.get(currency, money.minimum_charge(currency))

    @cached_property
    def currencies(self) -> frozenset[str]:
        """Of all menus."""
        return frozenset(each.currency for each in self.restaurants.values())

    @cached_property
    def etag(self) -> str:
        """Changes with anything in the catalogue: the value of a strong HTTP entity tag."""
        content = [restaurant.model_dump() for restaurant in self.restaurants.values()]
        return hashlib.sha256(orjson.dumps(content)).hexdigest()[:24]


def load_catalogue(
    folder: Path = FOLDER, minimum_charges: Mapping[str, int] | None = None
) -> Catalogue:
    """Read every *.toml of a folder. Raises CatalogueError, which names all that is wrong."""
    wrong: list[str] = []
    restaurants: dict[str, Restaurant] = {}
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        wrong.append(f"{folder}: there is no *.toml file in it")
    for path in paths:
        try:
            restaurant = Restaurant.model_validate(tomllib.loads(path.read_text("utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            wrong.append(f"{path.name}: not TOML in UTF-8: {error}")
        except ValidationError as error:
            wrong.extend(f"{path.name}: {text}" for text in _texts(error))
        else:
            if restaurant.id in restaurants:
                wrong.append(f"{path.name}: id: {restaurant.id} is another restaurant's")
            restaurants[restaurant.id] = restaurant
    if wrong:
        raise CatalogueError("The catalogue is wrong.\n" + "\n".join(f"  {text}" for text in wrong))
    return Catalogue(restaurants, minimum_charges or {})


def _texts(error: ValidationError) -> Iterator[str]:
    for part in error.errors(include_url=False, include_context=False):
        message = part["msg"].removeprefix("Value error, ")
        field = _place(part["loc"])
        given: Any = part.get("input")
        shown = f" (it is {given!r})" if isinstance(given, str | int | float) else ""
        yield f"{field}: {message}{shown}" if field else message


def _place(loc: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
