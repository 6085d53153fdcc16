"""Digests of the tables, for the rebuild proof: of a partition as a stream, of one order with its state."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any, Final

import orjson
from aiohttp import web

from models import rebuild
from tables import NotOwnerError, NotReadyError, StateTable
from web.api.views import view_of
from web.http.api_model import ApiModel
from web.http.context import ORDERS
from web.http.decoding import DecodingError, whole_number
from web.http.params import Params, param
from web.http.problems import ProblemError
from web.http.route import Call, Owner

SLICE_RECORDS: Final = 50
"""Some milliseconds of work; then the worker's other tasks have their turn."""
log = logging.getLogger("tiffin.web.digests")


class DerivedState(ApiModel):
    """What the service's events alone give; sha256 is of the state's JSON with sorted names."""

    service: str
    sequence: int
    sha256: str
    state: dict[str, Any]


class DerivedStates(ApiModel):
    """One order's, of each service that has it."""

    order_id: str
    states: tuple[DerivedState, ...]


class DigestParams(Params):
    """partition: "" without one, which is refused."""

    partition: str = param(str, "Which partition: a number from 0", default="")


async def partition_of(call: Call[DigestParams, None]) -> int:
    """The partition that is asked for. Raises ProblemError (400)."""
    most = call.context.tables[ORDERS].partitions - 1
    try:
        return whole_number(call.params.partition, 0, most)
    except DecodingError as error:
        errors = [("partition", f"accepted: {error}")]
        raise ProblemError("VALIDATION_FAILED", errors=errors) from None


def owner_of_partition(call: Call[DigestParams, None]) -> Owner:
    """The worker that owns the partition."""
    return Owner(ORDERS, call.subject)


async def stream_digests(call: Call[DigestParams, None]) -> web.StreamResponse:
    """A partition's digests, a JSON line each, from the worker that owns it.

    The first line names the services, the last one is {"end": true}: without it something is missing.
    """
    partition: int = call.subject
    tables = call.context.tables
    services = [service for service in rebuild.EVENT_FOLDS if service in tables]
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(call.request)
    count = 0
    try:
        await response.write(_line({"partition": partition, "services": services}))
        for service in services:
            for lines in _slices(tables[service], service, partition):
                count += len(lines)
                await response.write(b"".join(lines))
                await asyncio.sleep(0)
        await response.write(_line({"end": True, "digests": count}))
    except (NotOwnerError, NotReadyError):
        # Its head has gone out: the missing end says that the partition has moved.
        log.info("partition moved while its digests were read", extra={"partition": partition})
    await response.write_eof()
    return response


def show_derived(call: Call[Params, None]) -> DerivedStates:
    """An order's states as its events alone give them, with their digests."""
    states = []
    for service in rebuild.EVENT_FOLDS:
        record = call.context.record(service, call.order_id)
        state = rebuild.derived_state(service, record.state if record else None)
        if state is not None:
            shown, digest = rebuild.as_json(state), rebuild.digest(state)
            states.append(view_of(DerivedState, digest, service=service, state=shown))
    return DerivedStates(order_id=call.order_id, states=tuple(states))


def _slices(table: StateTable, service: str, partition: int) -> Iterator[list[bytes]]:
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
