"""The pages, server-rendered: they call what the API calls, and work without JavaScript where forms can."""

from typing import Final

from aiohttp import web

from web.context import CONTEXT
from web.pages import (
    boards,
    cart,
    checkout,
    links,
    live,
    menu,
    operations,
    ops_notifications,
    ops_order,
    staff,
    tracking,
    your_orders,
)
from web.pages.assets import Assets
from web.pages.errors import as_pages
from web.pages.render import ASSETS, TEMPLATE_ENGINE, make_engine

GET: Final = (
    ("/", your_orders.show_restaurants),
    ("/restaurants/{restaurant_id}", menu.show_restaurant),
    ("/pictures/{restaurant_id}/{dish_id}.svg", menu.show_picture),
    ("/cart/replace", cart.ask_to_replace),
    ("/checkout", checkout.show_checkout),
    ("/o/{link}", links.open_order),
    ("/o/{link}/pay", links.open_payment),
    ("/orders/{order_id}/pay", checkout.show_payment),
    ("/orders/{order_id}", tracking.show_order),
    ("/orders/{order_id}/live", tracking.show_live),
    ("/orders/{order_id}/cancel", tracking.show_cancel),
    ("/login", staff.show_login),
    ("/kitchen", boards.show_kitchen),
    ("/courier", boards.show_courier),
    ("/courier/{order_id}/assign", boards.show_room),
    ("/kitchen/stream", live.stream_kitchen),
    ("/courier/stream", live.stream_courier),
    ("/ops/stream", live.stream_operations),
    ("/boards/changes", live.show_changes),
    ("/ops", operations.show_overview),
    ("/ops/orders", operations.list_orders),
    ("/ops/orders/{order_id}", ops_order.show_order),
    ("/ops/orders/{order_id}/{action}", ops_order.ask),
    ("/ops/search", operations.search_ids),
    ("/ops/stuck", operations.list_stuck),
    ("/ops/dead-letters", operations.list_dead_letters),
    ("/ops/dead-letters/{dead_letter_id}", operations.show_dead_letter),
    ("/ops/payments", operations.report_payments),
    ("/ops/refunds", operations.list_refunds),
    ("/ops/disputes", operations.list_disputes),
    ("/ops/notifications", ops_notifications.show_notifications),
    ("/ops/reconciliation", operations.show_reconciliation),
    ("/ops/lag", operations.show_lag),
    ("/ops/audit", operations.list_audit),
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
    ("/ops/orders/{order_id}/{action}", ops_order.act),
    ("/ops/search", operations.search),
    ("/ops/dead-letters/{dead_letter_id}/redrive", operations.redrive_dead_letter),
    ("/ops/dead-letters/{dead_letter_id}/discard", operations.discard_dead_letter),
)


def setup(app: web.Application) -> None:
    """Mount the pages on an application that has web's context. Reads files; blocks."""
    assets = Assets()
    app[ASSETS] = assets
    app[TEMPLATE_ENGINE] = make_engine(assets)
    app[live.GLANCE] = live.Glance(app[CONTEXT].changes)
    app.middlewares.append(as_pages)
    app.router.add_get("/static/{name:.+}", assets.show)
    for path, handler in GET:
        app.router.add_get(path, handler)
    for path, handler in POST:
        app.router.add_post(path, handler)
