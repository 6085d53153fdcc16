"""The pages' routes: who gets which query or command, and what renders its result."""

import functools
from typing import Any, Final

from aiohttp import web

from web.api import deliveries, kitchen, orders, takings
from web.api import kitchen_history as kitchen_history_queries
from web.api.restaurant_day import DayParams
from web.api.schemas import CancelOrderBody
from web.http.bodies import Body, EmptyBody
from web.http.context import CONTEXT, NOTIFICATIONS, ORDERS, TIMELINE
from web.http.dispatch import mount
from web.http.rate_limits import RequestKind
from web.http.route import (
    HTML_RENDERERS,
    PUBLIC,
    Access,
    AnyCall,
    Form,
    Key,
    Renderer,
    Route,
    of_order,
    owner_of_order,
    staff,
)
from web.http.tokens import Role
from web.ops import dead_letters as dead_letter_queries
from web.ops import notifications as notification_queries
from web.ops import search as searches
from web.ops.search import SearchBody
from web.pages import preferences
from web.pages.assets import Assets
from web.pages.errors import problems_as_pages
from web.pages.ops import dead_letters, notifications, order, overview, runbooks, search
from web.pages.ops.lists import LISTS, OPERATORS
from web.pages.render import ASSETS, TEMPLATE_ENGINES, make_environments
from web.pages.shop import cart, checkout, home, payment, reorder, tracking
from web.pages.staff import board_streams, boards, kitchen_history, login

CUSTOMER, KITCHEN = Role.CUSTOMER, Role.KITCHEN
COURIER, OPERATOR = Role.COURIER, Role.OPERATOR


def _get(path: str, run: Any, *, access: Access, **more: Any) -> Route:
    return Route(method="GET", path=path, run=run, access=access, is_page=True, **more)


def _post(path: str, run: Any, *, access: Access, **more: Any) -> Route:
    more = {"body": Form(), **more}
    return Route(method="POST", path=path, run=run, access=access, is_page=True, **more)


def _order_page(path: str, run: Any, **more: Any) -> Route:
    """A page of one order, by its owner; for its customer and for operators."""
    defaults = {"access": tracking.ORDER_READERS, "waits_for": orders.PARTS}
    return _get(path, run, owner=owner_of_order, **{**defaults, **more})


def _step(board: str, name: str, run: Any, body: type[Body] = EmptyBody, **more: Any) -> Route:
    """A button of a board."""
    return _post(
        f"{board}/{{order_id}}/{name}", run, body=Form(body), key=Key.OPTIONAL,
        renderer=boards.after_step(board), rescue=boards.after_refused_step(board), **more,
    )  # fmt: skip


_kitchen_step = functools.partial(
    _step, "/kitchen", access=of_order(KITCHEN, OPERATOR), owner=owner_of_order, order_must_exist=True
)  # fmt: skip
_courier_step = functools.partial(_step, "/courier", access=of_order(COURIER))


def show_file(call: AnyCall) -> web.Response:
    """A static file."""
    return call.request.app[ASSETS].response(call.request, call.id_of("name"))


SHOP: Final = (
    _get("/", home.ListBrowserOrders, access=PUBLIC, renderer=home.show_restaurants),
    _get("/restaurants/{restaurant_id}", home.show_menu, access=PUBLIC),
    _post("/cart", cart.change_cart, access=PUBLIC),
    _get("/cart/replace", cart.ask_to_replace, access=PUBLIC),
    _get("/checkout", checkout.show_checkout, access=PUBLIC),
    _post("/checkout", checkout.place, access=PUBLIC, resolve=checkout.prepare, owner=checkout.owner_of_cart,
          rescue=checkout.place_later, counted_as=RequestKind.CREATE),
    _get("/o/{link}", functools.partial(tracking.open_link, ""), access=PUBLIC),
    _get("/o/{link}/pay", functools.partial(tracking.open_link, "/pay"), access=PUBLIC),
    _order_page("/orders/{order_id}/pay", payment.show_payment),
    _order_page("/orders/{order_id}", functools.partial(tracking.show_order, "order.html"),
                access=tracking.BACK_FROM_BANK),
    _order_page("/orders/{order_id}/live", functools.partial(tracking.show_order, "order_live.html")),
    _order_page("/orders/{order_id}/cancel", tracking.show_cancel),
    _post("/orders/{order_id}/cancel", tracking.cancel, access=of_order(CUSTOMER), owner=owner_of_order,
          body=Form(CancelOrderBody, lambda _, form: {"reason": form.get("reason", "")}),
          order_must_exist=True, renderer=tracking.to_order, rescue=tracking.cancel_later),
    _order_page("/orders/{order_id}/again", reorder.ask_to_replace, access=of_order(CUSTOMER),
                waits_for=(ORDERS,), order_must_exist=True),
    _post("/orders/{order_id}/again", reorder.order_again, access=of_order(CUSTOMER),
          owner=owner_of_order, order_must_exist=True),
    _post("/orders/{order_id}/change", payment.change_order, access=of_order(CUSTOMER),
          owner=owner_of_order, renderer=payment.back_to_cart, rescue=payment.change_later),
)  # fmt: skip
STAFF: Final = (
    _post("/preferences", preferences.choose, access=PUBLIC),
    _get("/login", login.show_login, access=PUBLIC),
    _post("/login", login.login, access=PUBLIC),
    _get("/login/start", login.begin_sign_in, access=PUBLIC),
    _get("/login/callback", login.end_sign_in, access=PUBLIC),
    _post("/logout", login.logout, access=PUBLIC),
    _get("/kitchen", kitchen.ListKitchenOrders, params=kitchen.KitchenParams,
         access=staff(KITCHEN, OPERATOR), renderer=boards.show_kitchen),
    _get("/kitchen/stream", board_streams.stream_kitchen, access=staff(KITCHEN, OPERATOR)),
    _get(kitchen_history.HISTORY, kitchen_history_queries.ListKitchenHistory, access=staff(KITCHEN, OPERATOR),
         params=kitchen_history_queries.HistoryParams, renderer=kitchen_history.show_history),
    _get(takings.PATH, takings.ShowTakings, access=staff(KITCHEN, OPERATOR), params=DayParams,
         renderer=kitchen_history.show_takings),
    _order_page("/kitchen/{order_id}/ticket", kitchen_history.show_ticket, waits_for=(ORDERS,),
                access=of_order(KITCHEN, OPERATOR), order_must_exist=True),
    _kitchen_step("accept", kitchen.accept_order),
    _kitchen_step("reject", kitchen.reject_order, kitchen.RejectBody),
    _kitchen_step("start-preparing", kitchen.start_preparing),
    _kitchen_step("ready", kitchen.mark_ready),
    _get("/courier", deliveries.ListDeliveries, params=deliveries.DeliveryParams,
         access=staff(COURIER, OPERATOR), renderer=boards.show_courier),
    _get("/courier/stream", board_streams.stream_courier, access=staff(COURIER, OPERATOR)),
    _get("/courier/{order_id}/assign", boards.show_courier_capacity, access=staff(COURIER)),
    _courier_step("assign", deliveries.assign_delivery, owner=deliveries.assign_owner),
    _courier_step("pick-up", deliveries.pick_up_delivery, owner=deliveries.delivery_owner),
    _courier_step("deliver", deliveries.complete_delivery, deliveries.DeliverBody,
                  owner=deliveries.delivery_owner),
    _get("/boards/changes", board_streams.show_changes, access=board_streams.WORKERS),
)  # fmt: skip
OPERATIONS: Final = (
    overview.ROUTE,
    _get("/ops/stream", board_streams.stream_operations, access=OPERATORS),
    *LISTS,
    *runbooks.ROUTES,
    _get("/ops/search", searches.search_ids, params=searches.SearchParams, access=OPERATORS,
         renderer=search.show_found, rescue=search.show_refused),
    _post("/ops/search", searches.search, access=OPERATORS, renderer=search.show_found,
          body=Form(SearchBody, lambda _, form: {"q": form.get("q", "")}), rescue=search.show_refused),
    _get("/ops/notifications", notification_queries.list_notifications, access=OPERATORS,
         params=notification_queries.NotificationListParams, drops_empty=True,
         resolve=notification_queries.order_of, owner=notification_queries.owner_if_of_order,
         waits_for=(NOTIFICATIONS,), renderer=notifications.show_notifications,
         rescue=notifications.show_refused),
    *(make(f"/ops/dead-letters/{{dead_letter_id}}{path}", run, access=OPERATORS,
           params=dead_letter_queries.DeadLetterParams, resolve=dead_letter_queries.find_dead_letter,
           owner=dead_letter_queries.owner_of_letter, renderer=dead_letters.show_dead_letter)
      for make, path, run in (
          (_get, "", dead_letter_queries.show_dead_letter),
          *((_post, f"/{name}", functools.partial(dead_letters.act, name)) for name in dead_letters.ACTIONS),
      )),
    _order_page("/ops/orders/{order_id}", order.show_order, access=of_order(OPERATOR),
                waits_for=(*orders.PARTS, TIMELINE), order_must_exist=True),
    *(_order_page(f"/ops/orders/{{order_id}}/{name}", functools.partial(order.ask, name),
                  access=of_order(OPERATOR)) for name in order.ACTIONS),
    *(_post(f"/ops/orders/{{order_id}}/{name}", functools.partial(order.act, name),
            access=of_order(OPERATOR), owner=owner_of_order, key=Key.REQUIRED, key_param="key")
      for name in order.ACTIONS),
)  # fmt: skip
FILES: Final = _get("/static/{name:.+}", show_file, access=PUBLIC)
PAGES: Final = (*SHOP, *STAFF, *OPERATIONS)


def setup(app: web.Application) -> None:
    """Mount the pages on an application that has web's context. Reads files; blocks."""
    app[ASSETS] = Assets()
    app[TEMPLATE_ENGINES] = make_environments(app[ASSETS])
    app[overview.OVERVIEW_SNAPSHOT] = overview.OverviewSnapshot(app[CONTEXT].changes)
    renderers: dict[str, Renderer] = {"evidence": order.show_evidence}
    app[HTML_RENDERERS] = renderers
    app.middlewares.append(problems_as_pages)
    mount(app, [FILES, *PAGES])
