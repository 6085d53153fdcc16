"""Answers what concerns every partition: each worker answers for its own, one of them merges.

The worker that a client asks gives each partition to its owner, by name, in the header `PARTITIONS`; so
no partition is counted twice while they move, and one that nobody answered for is named.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web
from yarl import URL

from tables import NotOwnerError, NotReadyError
from web.http.context import CONTEXT, Context
from web.http.decoding import DecodingError, whole_number
from web.http.deps import Table
from web.http.problems import ProblemError

PARTITIONS: Final = "Tiffin-Partitions"
"""Marks a request of another worker: for which partitions it wants an answer, such as "0,2"."""

Share = Callable[[int], Awaitable[Any]]
Merge = Callable[[Mapping[int, Any], tuple[int, ...]], web.StreamResponse]


async def scatter_gather(
    request: web.Request,
    service: str,
    share: Share,
    merged: Merge,
    *,
    query: Mapping[str, str] | None = None,
    only: Collection[int] | None = None,
    within_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer a GET that concerns every partition of a service's table.

    share: this worker's answer for one partition, as JSON values; may raise NotOwnerError and
        NotReadyError, and must give other tasks their turn when it is long.
    merged: makes the client's answer of the shares by partition, and of the partitions without one,
        in order. A client is answered within `Bounds.gather_s` whatever the other workers do.
    query: what the other workers are asked, if that is not what the client asked: a default that
        depends on the time must be the same for all.
    only: the partitions that it concerns, None for all. within_s: instead of `Bounds.gather_s`.
    headers: what the other workers are told beside the client's.
    Who may ask is checked before: the other workers are sent the same headers and check them as well.
    """
    context = request.app[CONTEXT]
    table = context.tables.get(service)
    if table is None:
        raise ProblemError("NOT_FOUND", f"This application runs no {service}.")
    if PARTITIONS in request.headers:
        shares = await _own(_requested_partitions(request, table), share)
        body = orjson.dumps({str(partition): value for partition, value in shares.items()})
        return web.Response(body=body, content_type="application/json")
    url = request.rel_url if query is None else request.rel_url.with_query(query)
    wanted = range(table.partitions) if only is None else sorted(only)
    ask_s = within_s or context.deps.bounds.gather_s

    async def theirs(owner: URL, asked: list[int]) -> dict[int, Any]:
        sent = {**(headers or {}), PARTITIONS: ",".join(map(str, asked))}
        return await _ask_worker(request, context, owner.join(url), asked, sent, ask_s)

    shares = await _gather(context, table, share, wanted, theirs)
    missing = tuple(p for p in wanted if p not in shares)
    return merged(shares, missing)


async def _gather(
    context: Context,
    table: Table,
    share: Share,
    wanted: Iterable[int],
    theirs: Callable[[URL, list[int]], Awaitable[dict[int, Any]]],
) -> dict[int, Any]:
    mine = [partition for partition in table.owned_partitions() if partition in wanted]
    others: dict[URL, list[int]] = {}
    for partition in wanted:
        owner = table.owner_of_partition(partition)
        if partition not in mine and owner is not None and owner != context.deps.own_url:
            others.setdefault(owner, []).append(partition)
    found = await asyncio.gather(
        _own(mine, share),
        *(theirs(owner, asked) for owner, asked in others.items()),
    )
    return {partition: value for shares in found for partition, value in shares.items()}


async def _own(partitions: Iterable[int], share: Share) -> dict[int, Any]:
    shares = {}
    for partition in partitions:
        try:
            shares[partition] = await share(partition)
        except (NotOwnerError, NotReadyError):
            continue
    return shares


async def _ask_worker(
    request: web.Request,
    context: Context,
    url: URL,
    asked: list[int],
    headers: Mapping[str, str],
    within_s: float,
) -> dict[int, Any]:
    body = await context.forwarder.ask(request, url, headers, within_s)
    try:
        answered = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:  # something else answers there, or a worker of another time
        return {}
    return {
        partition: answered[str(partition)] for partition in asked if str(partition) in answered
    }


def _requested_partitions(request: web.Request, table: Table) -> list[int]:
    texts = request.headers[PARTITIONS].split(",", maxsplit=table.partitions)
    try:
        asked = {whole_number(text, 0, table.partitions - 1) for text in texts}
    except DecodingError:
        accepted = f"accepted: numbers from 0 to {table.partitions - 1}"
        raise ProblemError("VALIDATION_FAILED", errors=[(PARTITIONS, accepted)]) from None
    return sorted(asked)
