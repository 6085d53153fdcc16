"""The pages, server-rendered: they call what the API calls, and work without JavaScript where forms can."""

from typing import Final

from aiohttp import web

from web.pages import boards, cart, checkout, menu, staff, tracking
from web.pages.assets import Assets
from web.pages.errors import as_pages
from web.pages.render import ASSETS, TEMPLATE_ENGINE, make_engine

GET: Final = (
    ("/", menu.show_restaurants),
    ("/restaurants/{restaurant_id}", menu.show_restaurant),
    ("/pictures/{restaurant_id}/{dish_id}.svg", menu.show_picture),
    ("/cart/replace", cart.ask_to_replace),
    ("/checkout", checkout.show_checkout),
    ("/orders/{order_id}/pay", checkout.show_payment),
    ("/orders/{order_id}", tracking.show_order),
    ("/orders/{order_id}/live", tracking.show_live),
    ("/orders/{order_id}/cancel", tracking.show_cancel),
    ("/login", staff.show_login),
    ("/kitchen", boards.show_kitchen),
    ("/courier", boards.show_courier),
    ("/courier/{order_id}/assign", boards.show_room),
)
POST: Final = (
    ("/cart", cart.change_cart),
    ("/checkout", checkout.place),
    ("/orders/{order_id}/change", checkout.change_order),
    ("/orders/{order_id}/cancel", tracking.cancel),
    ("/login", staff.login),
    ("/logout", staff.logout),
    ("/kitchen/{order_id}/{step}", boards.kitchen_step),
    ("/courier/{order_id}/{step}", boards.courier_step),
)


def setup(app: web.Application) -> None:
    """Mount the pages on an application that has web's context. Reads files; blocks."""
    assets = Assets()
    app[ASSETS] = assets
    app[TEMPLATE_ENGINE] = make_engine(assets)
    app.middlewares.append(as_pages)
    app.router.add_get("/static/{name:.+}", assets.show)
    for path, handler in GET:
        app.router.add_get(path, handler)
    for path, handler in POST:
        app.router.add_post(path, handler)
