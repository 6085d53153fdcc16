"""Turns a cart into an order at the catalogue's prices; nothing of a price comes from the browser."""

from collections.abc import Sequence

from models import money
from models.commands import Address, Contact, Item, PlaceOrder
from web.api.schemas import CartLine, CreateIntent
from web.catalogue import Catalogue, Restaurant
from web.http.problems import ProblemError


def priced(
    catalogue: Catalogue, body: CreateIntent, customer: str, language: str | None = None
) -> PlaceOrder:
    """The order that a cart makes at the catalogue's prices. Raises ProblemError (400).

    language: that the customer reads; None is the platform's.
    """
    restaurant = catalogue.restaurants.get(body.restaurant_id)
    if restaurant is None:
        raise _invalid(
            "restaurantId", "is not known; accepted: those that GET /api/restaurants lists"
        )
    items = _items(restaurant, body.items)
    amount = sum(item.unit_price * item.quantity for item in items)
    least = catalogue.minimum_charge(restaurant.currency)
    if not money.can_be_charged(amount, restaurant.currency, least):
        accepted = money.limits_text(restaurant.currency, least)
        raise _invalid("items", f"come to a sum that can't be charged; accepted: {accepted}")
    return PlaceOrder(
        restaurant_id=restaurant.id,
        restaurant_name=restaurant.name,
        items=items,
        amount=amount,
        currency=restaurant.currency,
        user_id=customer,
        contact=Contact(**body.contact.model_dump()),
        address=Address(**body.address.model_dump()),
        language=language,
        notes=body.notes,
        allergies=body.allergies,
    )


def _items(restaurant: Restaurant, lines: Sequence[CartLine]) -> tuple[Item, ...]:
    errors, items, seen = [], [], set()
    for index, line in enumerate(lines):
        field = f"items[{index}].dishId"
        dish = restaurant.by_id.get(line.dish_id)
        if dish is None:
            errors.append(
                (field, f"is not on the menu; accepted: the ids of {restaurant.id}'s menu")
            )
        elif line.dish_id in seen:
            errors.append((field, "is there twice; accepted: one line a dish, with its quantity"))
        else:
            seen.add(line.dish_id)
            items.append(
                Item(dish_id=dish.id, name=dish.name, quantity=line.quantity, unit_price=dish.price)
            )
    if errors:
        raise ProblemError("VALIDATION_FAILED", errors=errors)
    return tuple(items)


def _invalid(field: str, message: str) -> ProblemError:
    return ProblemError("VALIDATION_FAILED", errors=[(field, message)])
