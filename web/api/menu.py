"""Restaurants and menus over HTTP, from the catalogue."""

from aiohttp import web

from web.api.views import view_of
from web.http import auth
from web.http.answers import Money, json_answer
from web.http.api_model import ApiModel
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call


class RestaurantView(ApiModel):
    """One restaurant."""

    id: str
    name: str
    cuisine: str
    city: str
    currency: str


class RestaurantList(ApiModel):
    """All restaurants."""

    restaurants: tuple[RestaurantView, ...]


class DishView(ApiModel):
    """One dish."""

    id: str
    name: str
    description: str
    price: Money
    vegetarian: bool


class Menu(ApiModel):
    """What a restaurant cooks."""

    restaurant: RestaurantView
    dishes: tuple[DishView, ...]


def list_restaurants(call: Call[Params, None]) -> RestaurantList:
    """All restaurants."""
    known = call.context.deps.catalogue.restaurants.values()
    return RestaurantList(restaurants=tuple(view_of(RestaurantView, each) for each in known))


def show_menu(call: Call[Params, None]) -> Menu:
    """A restaurant's dishes and prices; makes a browser a guest."""
    restaurant = call.context.deps.catalogue.restaurants.get(call.id_of("restaurant_id"))
    if restaurant is None:
        raise ProblemError("RESTAURANT_UNKNOWN", "accepted: those that GET /api/restaurants lists")
    dishes = tuple(
        view_of(DishView, dish, currency=restaurant.currency) for dish in restaurant.dishes
    )
    return Menu(restaurant=view_of(RestaurantView, restaurant), dishes=dishes)


def menu_answer(call: Call[Params, None], menu: Menu) -> web.Response:
    """With a guest's cookie."""
    response = cached_answer(call, menu)
    auth.set_guest_cookie(call.request, response, call.context.deps)
    return response


def cached_answer(call: Call[Params, None], result: ApiModel) -> web.Response:
    """The answer, or 304 when the client has it: the catalogue changes with a restart alone."""
    etag = call.context.deps.catalogue.etag
    known = call.request.if_none_match or ()
    has_it = any(tag.value in {etag, "*"} for tag in known)
    response = web.Response(status=304) if has_it else json_answer(call, result)
    response.etag = etag
    response.headers["Cache-Control"] = "private, no-cache"  # it may set a cookie
    return response
