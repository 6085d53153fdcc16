"""Who may ask: the JSON API, Stripe's webhook, tokens, and forwarding to the worker that owns an order."""

from aiohttp import web

from web import described, middleware, pages
from web.changes import Changes, DeliveryChanges, OrderChanges
from web.context import CONTEXT, DELIVERIES, NOTIFICATIONS, ORDERS, PAYMENTS, Context
from web.forwarding import Forwarder
from web.indexes import OrderIndex
from web.limits import Limiter
from web.notification_index import NotificationIndex
from web.ports import WebDeps
from web.routes import ROUTES
from web.waiting import WAITED


def setup(app: web.Application, deps: WebDeps) -> None:
    """Mount everything on an application that has not started: Faust's own, or a plain one."""
    forwarder = Forwarder(deps)
    changes = Changes(deps, forwarder, ORDERS)
    limiter = Limiter(deps.client_limits, deps.order_tokens.worker_proof)
    context = Context(deps, forwarder, OrderIndex(deps.tables[ORDERS]), changes, limiter)
    # Changes are told last: who looks then finds them in the indexes.
    deps.tables[ORDERS].add_listener(context.order_index)
    deps.tables[ORDERS].add_listener(OrderChanges(changes))
    if DELIVERIES in deps.tables:
        deps.tables[DELIVERIES].add_listener(context.delivery_index)
        deps.tables[DELIVERIES].add_listener(DeliveryChanges(changes))
    if NOTIFICATIONS in deps.tables:
        context.notification_index = NotificationIndex(deps.tables[NOTIFICATIONS])
        deps.tables[NOTIFICATIONS].add_listener(context.notification_index)
    deps.tables[PAYMENTS].add_listener(deps.money.payments)
    deps.tables[ORDERS].add_listener(deps.money.orders)
    for name in WAITED & deps.tables.keys():
        deps.tables[name].add_listener(deps.waiting.of(name))
    app[CONTEXT] = context
    app.middlewares.extend([middleware.traced, middleware.problems])
    app.on_response_prepare.append(middleware.secured)
    app.cleanup_ctx.append(context.forwarder.opened)
    app.on_shutdown.append(context.stop)
    for route in ROUTES:
        add = app.router.add_get if route.method == "GET" else app.router.add_post
        add(route.path, route.handler)
    described.setup(app)
    pages.setup(app)
    # Innermost, so that what they refuse is shown as a page, or as a problem, like all else.
    app.middlewares.extend([limiter.limited, middleware.path_names])
