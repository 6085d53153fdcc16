"""Where an id belongs, ours or Stripe's: for operators."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from models import ids
from tables import NotOwnerError
from web import auth
from web.context import CONTEXT, ORDERS, PAYMENTS, TIMELINE, Context
from web.fanout import over_partitions
from web.ops_shapes import Found, SearchView
from web.problems import ProblemError
from web.tokens import Role
from web.writes import json_response

LONGEST_QUERY: Final = 100
MOST_FOUND: Final = 20
SEARCH_PART: Final = 0.8
"""Of the time that workers have to answer; a search that takes longer is incomplete."""
QUERY: Final = {
    "q": "the id of an order, payment, command, event, refund, or of an object or event of Stripe"
}


async def search(request: web.Request) -> web.StreamResponse:
    """The orders that an id belongs to, ours or Stripe's.

    Found are ids in what is stored of an order: its payment (payment, intent, charge, refund and dispute
    ids) and its timeline (events, commands and Stripe's events that led to something). Not found are ids
    that only Stripe has, those of inputs that became dead letters, and of Stripe's events that were dropped
    as repetitions.
    """
    context = request.app[CONTEXT]
    await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    needle = request.query.get("q", "").strip()
    if not (needle.isascii() and needle.replace("_", "").replace("-", "").isalnum()):
        raise ProblemError("VALIDATION_FAILED", errors=[("q", f"accepted: {QUERY['q']}")])
    if not 3 <= len(needle) <= LONGEST_QUERY:
        raise ProblemError(
            "VALIDATION_FAILED", errors=[("q", f"accepted: 3 to {LONGEST_QUERY} characters")]
        )

    async def share(partition: int) -> Any:
        return await _search(context, partition, needle)

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        found = {key: where for each in shares.values() for key, where in each["found"].items()}
        cut = [partition for partition, each in shares.items() if not each["isWhole"]]
        answer = SearchView(
            q=needle,
            orders=tuple(
                Found(order_id=key, where=tuple(where)) for key, where in sorted(found.items())
            ),
            incomplete=tuple(sorted([*missing, *cut])),
        )
        return json_response(answer)

    return await over_partitions(request, ORDERS, share, merged)


async def _search(context: Context, partition: int, needle: str) -> dict[str, Any]:
    """Orders of an owned partition that an id belongs to. Raises NotOwnerError, NotReadyError."""
    if partition not in context.tables[ORDERS].open_partitions():
        raise NotOwnerError(ORDERS)
    if ids.is_order_id(needle):
        orders = context.tables[ORDERS]
        is_here = orders.partition_of(needle) == partition and orders.get(needle) is not None
        return {"found": {needle: [ORDERS]} if is_here else {}, "isWhole": True}
    found: dict[str, list[str]] = {}
    is_whole = True
    for service in (PAYMENTS, TIMELINE):
        within_s = context.deps.bounds.gather_s * SEARCH_PART / 2
        is_whole = await _scan(context, service, partition, needle, found, within_s) and is_whole
    return {"found": found, "isWhole": is_whole}


async def _scan(
    context: Context,
    service: str,
    partition: int,
    needle: str,
    found: dict[str, list[str]],
    within_s: float,
) -> bool:
    """Look through all that is stored of a service in a partition; whether it came to the end."""
    table, quoted, after = context.tables[service], f'"{needle}"'.encode(), ""
    until = time.monotonic() + within_s
    while len(found) < MOST_FOUND:
        keys, after = table.find(partition, quoted, after)
        for key in keys:
            where = found.setdefault(key.partition("/")[0], [])
            if service not in where:
                where.append(service)
        if not after:
            return True
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0)
    return False
