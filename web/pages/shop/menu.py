"""A restaurant's menu as a page, and the pictures of its dishes."""

from aiohttp import web

from web.http import auth
from web.http.context import CONTEXT
from web.http.problems import ProblemError
from web.pages import pictures
from web.pages.assets import asset_of
from web.pages.render import render
from web.pages.shop.cart import priced_cart


async def show_restaurant(request: web.Request) -> web.StreamResponse:
    """A menu beside the cart; `?vegetarian=1` shows only such dishes."""
    deps = request.app[CONTEXT].deps
    restaurant = deps.catalogue.restaurants.get(request.match_info["restaurant_id"])
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
    auth.set_guest_cookie(request, response, deps, auth.new_guest())
    return response


async def show_picture(request: web.Request) -> web.StreamResponse:
    """A dish's picture, drawn from its id; a dish that nobody drew gets one by its restaurant's cuisine."""
    catalogue = request.app[CONTEXT].deps.catalogue
    restaurant = catalogue.restaurants.get(request.match_info["restaurant_id"])
    dish = restaurant.by_id.get(request.match_info["dish_id"]) if restaurant else None
    if restaurant is None or dish is None:
        raise ProblemError("NOT_FOUND")
    drawn = pictures.picture(dish.id, restaurant.cuisine)
    response = asset_of(drawn.encode(), ".svg").response(request)
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response
