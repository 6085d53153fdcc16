"""Digests of the tables, for the rebuild proof: of a partition as a stream, of one order with its state."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any, Final

import orjson
from aiohttp import web

from models import rebuild
from models.messages import Message
from tables import NotOwnerError, NotReadyError
from web.http.auth import authorize_staff
from web.http.commands import forwarded_to_owner, json_response
from web.http.context import CONTEXT, ORDERS, Context
from web.http.decoding import DecodingError, whole_number
from web.http.deps import Table
from web.http.params import order_id_of
from web.http.problems import ProblemError
from web.http.tokens import Role

SLICE_RECORDS: Final = 50
"""Some milliseconds of work; then the worker's lanes have their turn."""
QUERY: Final = {"partition": "Which partition: a number from 0"}

log = logging.getLogger("tiffin.web.digests")


class DerivedState(Message):
    """What the service's events alone give; sha256 is of the state's JSON with sorted names."""

    service: str
    sequence: int
    sha256: str
    state: dict[str, Any]


class DerivedStates(Message):
    """One order's, of each service that has it."""

    order_id: str
    states: tuple[DerivedState, ...]


async def stream_digests(request: web.Request) -> web.StreamResponse:
    """A partition's digests, a JSON line each, from the worker that owns it.

    The first line names the services, the last one is {"end": true}: without it something is missing.
    """
    context = request.app[CONTEXT]
    await authorize_staff(request, context.deps, Role.OPERATOR)
    partition = _partition(request, context)
    table = context.tables[ORDERS]
    forwarded = await context.forwarder.forwarded_partition(request, partition, table)
    if forwarded is not None:
        return forwarded
    services = [service for service in rebuild.EVENT_FOLDS if service in context.tables]
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    count = 0
    try:
        await response.write(_line({"partition": partition, "services": services}))
        for service in services:
            for lines in _slices(context.tables[service], service, partition):
                count += len(lines)
                await response.write(b"".join(lines))
                await asyncio.sleep(0)
    except (NotOwnerError, NotReadyError):
        # Its head has gone out: the missing end says that the partition has moved.
        log.info("partition moved while its digests were read", extra={"partition": partition})
        await response.write_eof()
        return response
    await response.write(_line({"end": True, "digests": count}))
    await response.write_eof()
    return response


async def show_derived(request: web.Request) -> web.StreamResponse:
    """An order's states as its events alone give them, with their digests."""
    context = request.app[CONTEXT]
    await authorize_staff(request, context.deps, Role.OPERATOR)
    order_id = order_id_of(request)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    states = []
    for service in rebuild.EVENT_FOLDS:
        record = context.record(service, order_id)
        state = rebuild.derived_state(service, record.state if record else None)
        if state is not None:
            digest = rebuild.digest(state)
            states.append(
                DerivedState(
                    service=service, sequence=digest.sequence, sha256=digest.sha256,
                    state=rebuild.as_json(state),
                )
            )  # fmt: skip
    return json_response(DerivedStates(order_id=order_id, states=tuple(states)))


def _slices(table: Table, service: str, partition: int) -> Iterator[list[bytes]]:
    after = ""
    while records := table.scan(partition, after, SLICE_RECORDS):
        after = records[-1].key
        lines = []
        for record in records:
            state = rebuild.derived_state(service, record.state)
            if state is not None:
                digest = rebuild.digest(state)
                lines.append(_line([service, record.key, digest.sequence, digest.sha256]))
        yield lines


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _partition(request: web.Request, context: Context) -> int:
    most = context.tables[ORDERS].partitions - 1
    try:
        return whole_number(request.query.get("partition", ""), 0, most)
    except DecodingError as error:
        errors = [("partition", f"accepted: {error}")]
        raise ProblemError("VALIDATION_FAILED", errors=errors) from None
