"""Routes of the API as handlers, for pages that are not rows of the dispatcher yet; goes with the last one."""

import functools
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from aiohttp import web

from web.api import payments
from web.http import auth, consistency
from web.http.commands import CommandRequest, forwarded_to_owner, perform
from web.http.context import Context
from web.http.dispatch import dispatch
from web.http.params import order_id_of
from web.http.route import Call, Route, context_of
from web.http.scatter_gather import PARTITIONS, Gather
from web.http.tokens import Identity, Role
from web.routes import ROUTES

ROUTE_OF_NAME: Final = {route.operation_id: route for route in ROUTES}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def handler(name: str) -> Handler:
    """A route of the API by its operationId, answering with JSON."""
    return functools.partial(dispatch, ROUTE_OF_NAME[name])


def raw(method: str, path: str, run: Handler, **more: Any) -> Route:
    """A row whose handler does everything itself."""
    return Route(
        method=method, path=path, run=lambda call: run(call.request), is_page=True,
        name=path, **more,
    )  # fmt: skip


async def reader(
    request: web.Request, *parts: str, roles: tuple[Role, ...] = (Role.CUSTOMER, Role.OPERATOR)
) -> tuple[Context, str, Identity, web.StreamResponse | None]:
    """What a page of one order begins with: who asks, the owner's answer, and the token's wait."""
    context, order_id = context_of(request), order_id_of(request)
    identity = await auth.authorize(request, context.deps, order_id, *roles)
    token = consistency.token_of_request(request, order_id)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is None:
        await consistency.hold(context, order_id, token, parts)
    return context, order_id, identity, forwarded


async def cancel_payment(context: Context, write: CommandRequest) -> None:
    """Cancel a payment and wait for Stripe's word."""
    body: Any = write.body
    await perform(context, payments.cancel_command(context, write.key, body, write.identity))


async def scatter_gather(
    request: web.Request,
    service_name: str,
    share: Callable[[int], Awaitable[Any]],
    merged: Callable[[Mapping[int, Any], tuple[int, ...]], web.StreamResponse],
    *,
    only: Collection[int],
    within_s: float,
) -> web.StreamResponse:
    """A `Gather` of functions."""

    class _Asked(Gather[Any, web.StreamResponse]):
        service, share_type = service_name, Any

        async def share(self, partition: int) -> Any:
            return await share(partition)

        async def merged(
            self, shares: Mapping[int, Any], missing: tuple[int, ...]
        ) -> web.StreamResponse:
            return merged(shares, missing)

    route = Route(method="GET", path=request.path, run=_Asked)
    asked = _Asked(Call(context_of(request), request, route))
    asked.only, asked.within_s = only, within_s
    if PARTITIONS in request.headers:
        return await asked.shares_response()
    return await asked.collect()
