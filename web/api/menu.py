"""Restaurants and menus over HTTP, from the catalogue."""

from aiohttp import web

from models.messages import Message
from web.api.payment_views import Money
from web.catalogue import Restaurant
from web.http import auth
from web.http.commands import json_response
from web.http.context import CONTEXT, Context
from web.http.problems import ProblemError


class RestaurantView(Message):
    """One restaurant."""

    id: str
    name: str
    cuisine: str
    city: str
    currency: str


class RestaurantList(Message):
    """All restaurants."""

    restaurants: tuple[RestaurantView, ...]


class DishView(Message):
    """One dish."""

    id: str
    name: str
    description: str
    price: Money
    vegetarian: bool


class Menu(Message):
    """What a restaurant cooks."""

    restaurant: RestaurantView
    dishes: tuple[DishView, ...]


async def list_restaurants(request: web.Request) -> web.Response:
    """All restaurants."""
    context = request.app[CONTEXT]
    restaurants = context.deps.catalogue.restaurants.values()
    return _cached(
        request, context, RestaurantList(restaurants=tuple(map(_restaurant, restaurants)))
    )


async def show_menu(request: web.Request) -> web.Response:
    """A restaurant's dishes and prices; makes a browser a guest."""
    context = request.app[CONTEXT]
    restaurant = context.deps.catalogue.restaurants.get(request.match_info["restaurant_id"])
    if restaurant is None:
        raise ProblemError("RESTAURANT_UNKNOWN", "accepted: those that GET /api/restaurants lists")
    dishes = tuple(
        DishView(
            id=dish.id,
            name=dish.name,
            description=dish.description,
            price=Money.of(dish.price, restaurant.currency),
            vegetarian=dish.vegetarian,
        )
        for dish in restaurant.dishes
    )
    response = _cached(request, context, Menu(restaurant=_restaurant(restaurant), dishes=dishes))
    auth.set_guest_cookie(request, response, context.deps, auth.new_guest())
    return response


def _restaurant(restaurant: Restaurant) -> RestaurantView:
    return RestaurantView(
        id=restaurant.id,
        name=restaurant.name,
        cuisine=restaurant.cuisine,
        city=restaurant.city,
        currency=restaurant.currency,
    )


def _cached(request: web.Request, context: Context, answer: Message) -> web.Response:
    """The answer, or 304 when the client has it: the catalogue changes with a restart alone."""
    etag = context.deps.catalogue.etag
    known = request.if_none_match or ()
    if any(tag.value in {etag, "*"} for tag in known):
        response = web.Response(status=304)
    else:
        response = json_response(answer)
    response.etag = etag
    response.headers["Cache-Control"] = "private, no-cache"  # it may set a cookie
    return response
