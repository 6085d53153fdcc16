"""The pages' routes, and what mounts them."""

from typing import Final

from aiohttp import web

from web.api.evidence import Evidence
from web.http.context import CONTEXT
from web.http.dispatch import mount
from web.http.rate_limits import RequestKind
from web.http.route import HTML_RENDERERS, AnyCall, Renderer
from web.pages.assets import Assets
from web.pages.errors import problems_as_pages
from web.pages.interim import raw
from web.pages.ops import (
    dead_letters,
    lists,
    notifications,
    order,
    overview,
    payments_report,
    search,
)
from web.pages.render import ASSETS, TEMPLATE_ENGINE, make_environment, render
from web.pages.shop import cart, checkout, home, menu, order_links, payment, tracking
from web.pages.staff import board_streams, boards, login

GET: Final = (
    ("/", home.show_restaurants),
    ("/restaurants/{restaurant_id}", menu.show_restaurant),
    ("/cart/replace", cart.ask_to_replace),
    ("/checkout", checkout.show_checkout),
    ("/o/{link}", order_links.open_order),
    ("/o/{link}/pay", order_links.open_payment),
    ("/orders/{order_id}/pay", payment.show_payment),
    ("/orders/{order_id}", tracking.show_order),
    ("/orders/{order_id}/live", tracking.show_live),
    ("/orders/{order_id}/cancel", tracking.show_cancel),
    ("/login", login.show_login),
    ("/kitchen", boards.show_kitchen),
    ("/courier", boards.show_courier),
    ("/courier/{order_id}/assign", boards.show_courier_capacity),
    ("/kitchen/stream", board_streams.stream_kitchen),
    ("/courier/stream", board_streams.stream_courier),
    ("/ops/stream", board_streams.stream_operations),
    ("/boards/changes", board_streams.show_changes),
    ("/ops", overview.show_overview),
    ("/ops/orders", lists.list_orders),
    ("/ops/orders/{order_id}", order.show_order),
    ("/ops/orders/{order_id}/{action}", order.show_confirmation),
    ("/ops/search", search.search_ids),
    ("/ops/stuck", lists.list_stuck),
    ("/ops/dead-letters", dead_letters.list_dead_letters),
    ("/ops/dead-letters/{dead_letter_id}", dead_letters.show_dead_letter),
    ("/ops/payments", payments_report.report_payments),
    ("/ops/refunds", lists.list_refunds),
    ("/ops/disputes", lists.list_disputes),
    ("/ops/notifications", notifications.show_notifications),
    ("/ops/reconciliation", lists.show_reconciliation),
    ("/ops/lag", lists.show_lag),
    ("/ops/audit", lists.list_audit),
)


POST: Final = (
    ("/cart", cart.change_cart),
    ("/checkout", checkout.place),
    ("/orders/{order_id}/change", payment.change_order),
    ("/orders/{order_id}/cancel", tracking.cancel),
    ("/login", login.login),
    ("/logout", login.logout),
    ("/kitchen/{order_id}/{step}", boards.kitchen_step),
    ("/courier/{order_id}/{step}", boards.courier_step),
    ("/ops/orders/{order_id}/{action}", order.perform),
    ("/ops/search", search.search),
    ("/ops/dead-letters/{dead_letter_id}/redrive", dead_letters.redrive_dead_letter),
    ("/ops/dead-letters/{dead_letter_id}/discard", dead_letters.discard_dead_letter),
)


def show_evidence(call: AnyCall, evidence: Evidence) -> web.StreamResponse:
    """The evidence of a dispute, to be printed."""
    return render(call.request, "evidence.html", evidence=evidence, identity=call.identity)


def setup(app: web.Application) -> None:
    """Mount the pages on an application that has web's context. Reads files; blocks."""
    assets = Assets()
    html: dict[str, Renderer] = {"evidence": show_evidence}
    app[ASSETS] = assets
    app[TEMPLATE_ENGINE] = make_environment(assets)
    app[overview.OVERVIEW_SNAPSHOT] = overview.OverviewSnapshot(app[CONTEXT].changes)
    app.middlewares.append(problems_as_pages)
    app[HTML_RENDERERS] = html
    rows = [raw("GET", path, handler) for path, handler in GET]
    rows += [raw("POST", path, handler) for path, handler in POST if path != "/checkout"]
    rows.append(raw("POST", "/checkout", checkout.place, counted_as=RequestKind.CREATE))
    mount(app, [raw("GET", "/static/{name:.+}", assets.show), *rows])
