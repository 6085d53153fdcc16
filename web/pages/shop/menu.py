"""A restaurant's menu as a page."""

from aiohttp import web

from web.http import auth
from web.http.problems import ProblemError
from web.http.route import AnyCall
from web.pages.render import render
from web.pages.shop.cart import priced_cart


def show_restaurant(call: AnyCall) -> web.Response:
    """A menu beside the cart; `?vegetarian=1` shows only such dishes."""
    deps, request = call.context.deps, call.request
    restaurant = deps.catalogue.restaurants.get(call.id_of("restaurant_id"))
    if restaurant is None:
        raise ProblemError("RESTAURANT_UNKNOWN")
    only_vegetarian = request.query.get("vegetarian") == "1"
    response = render(
        request,
        "menu.html",
        restaurant=restaurant,
        dishes=[dish for dish in restaurant.dishes if dish.vegetarian or not only_vegetarian],
        only_vegetarian=only_vegetarian,
        priced=priced_cart(request),
    )
    auth.set_guest_cookie(request, response, deps)
    return response
