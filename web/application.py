"""Puts API, pages, indexes and middlewares together on an aiohttp application."""

from aiohttp import web

from web.http import middleware
from web.http.change_feed import ChangeFeed, ChangeListener
from web.http.context import CONTEXT, DELIVERIES, NOTIFICATIONS, ORDERS, PAYMENTS, Context
from web.http.deps import WebDeps
from web.http.dispatch import mount
from web.http.forwarding import Forwarder
from web.http.rate_limits import ClientRateLimiter
from web.indexes.notifications import NotificationIndex
from web.indexes.orders import OrderIndex
from web.indexes.waiting import WAITING_SERVICES
from web.pages import api_documents
from web.pages import routes as page_routes
from web.routes import ROUTES


def setup(app: web.Application, deps: WebDeps) -> None:
    """Mount everything on an application that has not started: Faust's own, or a plain one."""
    forwarder = Forwarder(deps)
    changes = ChangeFeed(deps, forwarder, ORDERS)
    listener = ChangeListener(changes)
    limiter = ClientRateLimiter(deps.client_limits, deps.order_tokens.worker_proof)
    context = Context(deps, forwarder, OrderIndex(deps.tables[ORDERS]), changes, limiter)
    # Listeners of changes come last: whoever looks then finds them in the indexes.
    deps.tables[ORDERS].add_listener(context.order_index)
    deps.tables[ORDERS].add_listener(listener)
    if DELIVERIES in deps.tables:
        deps.tables[DELIVERIES].add_listener(context.delivery_index)
        deps.tables[DELIVERIES].add_listener(listener)
    if NOTIFICATIONS in deps.tables:
        context.notification_index = NotificationIndex(deps.tables[NOTIFICATIONS])
        deps.tables[NOTIFICATIONS].add_listener(context.notification_index)
    deps.tables[PAYMENTS].add_listener(deps.money)
    deps.tables[ORDERS].add_listener(deps.money)
    for name in WAITING_SERVICES & deps.tables.keys():
        deps.tables[name].add_listener(deps.waiting.of(name))
    app[CONTEXT] = context
    app.middlewares.extend([middleware.traced, middleware.problems])
    app.on_response_prepare.append(middleware.secured)
    app.cleanup_ctx.append(context.forwarder.opened)
    app.on_shutdown.append(context.stop)
    mount(app, ROUTES)
    api_documents.setup(app)
    page_routes.setup(app)
    app.middlewares.append(middleware.admitted)
