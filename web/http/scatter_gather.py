"""Answers what concerns every partition: each worker answers for its own, one of them merges.

The worker that a client asks gives each partition to its owner, by name, in the header `PARTITIONS`; so
no partition is counted twice while they move, and one that nobody answered for is named.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar

import orjson
from aiohttp import web
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from tables import NotOwnerError, NotReadyError, StateTable
from web.http.decoding import DecodingError, whole_number
from web.http.problems import ProblemError
from web.http.route import AnyCall

PARTITIONS: Final = "Tiffin-Partitions"
"""Marks a request of another worker: for which partitions it wants an answer, such as "0,2"."""

S = TypeVar("S")
R = TypeVar("R")
Shares: TypeAlias = Mapping[int, S]
"""Partition -> its share."""
Missing: TypeAlias = tuple[int, ...]
"""Partitions without one, in order."""

log = logging.getLogger("tiffin.web.scatter_gather")


class Gather(Generic[S, R]):
    """One question to all partitions of a service's table; subclasses say `share` and `merged`.

    service: whose partitions. open_services: those that must answer for a partition, else it counts as
    missing: an index shows nothing of a partition that is not ours, which must not be taken for empty.
    share_type: of what `share` gives, as workers send it to each other. only: the partitions that are
    asked, None for all. within_s: how long the others have, `Bounds.gather_s` by default. headers: what
    they are told beside the client's. query: what they are asked, if that is not what the client asked:
    a default that depends on the time must be the same for all. path: where they answer, if that is not where
    the client asked.
    """

    service: str
    open_services: tuple[str, ...] = ()
    share_type: ClassVar[Any]

    def __init__(self, call: AnyCall) -> None:
        self.call, self.context = call, call.context
        self.only: Collection[int] | None = None
        self.within_s: float | None = None
        self.headers: Mapping[str, str] = {}
        self.query: Mapping[str, str] | None = None
        self.path = call.request.path

    async def prepare(self) -> None:
        """What the worker that was asked by the client needs before the others are asked."""

    async def share(self, partition: int) -> S:
        """This worker's answer for one partition.

        May raise NotOwnerError and NotReadyError; gives other tasks their turn when it is long.
        """
        raise NotImplementedError

    async def merged(self, shares: Shares[S], missing: Missing) -> R:
        """The result, of what has been answered."""
        raise NotImplementedError

    async def collect(self) -> R:
        """Ask everybody; within `within_s` whatever the other workers do. Raises ProblemError (404)."""
        table = self._table()
        await self.prepare()
        wanted = range(table.partitions) if self.only is None else sorted(self.only)
        mine = [partition for partition in table.owned_partitions() if partition in wanted]
        others: dict[URL, list[int]] = {}
        for partition in wanted:
            owner = table.owner_of_partition(partition)
            if partition not in mine and owner is not None and owner != self.context.deps.own_url:
                others.setdefault(owner, []).append(partition)
        found = await asyncio.gather(
            self._own(mine), *(self._theirs(owner, asked) for owner, asked in others.items())
        )
        shares = {partition: share for each in found for partition, share in each.items()}
        return await self.merged(shares, tuple(p for p in wanted if p not in shares))

    async def shares_response(self) -> web.Response:
        """The answer to another worker that asks for its share. Raises ProblemError (400, 404)."""
        shares = await self._own(_requested_partitions(self.call.request, self._table()))
        dumped = {
            str(partition): _adapter(self.share_type).dump_python(share, mode="json", by_alias=True)
            for partition, share in shares.items()
        }
        return web.Response(body=orjson.dumps(dumped), content_type="application/json")

    def _table(self) -> StateTable:
        table = self.context.tables.get(self.service)
        if table is None:
            raise ProblemError("NOT_FOUND", f"This application runs no {self.service}.")
        return table

    async def _own(self, partitions: Iterable[int]) -> dict[int, S]:
        shares = {}
        for partition in partitions:
            try:
                for service in self.open_services:
                    self.context.check_open(service, partition)
                shares[partition] = await self.share(partition)
            except (NotOwnerError, NotReadyError):
                continue
            await asyncio.sleep(0)  # others get their turn between two partitions
        return shares

    async def _theirs(self, owner: URL, asked: list[int]) -> dict[int, S]:
        request, bounds = self.call.request, self.context.deps.bounds
        query = request.query if self.query is None else self.query
        url = request.rel_url.with_path(self.path).with_query(query)
        sent = {**self.headers, PARTITIONS: ",".join(map(str, asked))}
        body = await self.context.forwarder.ask(
            request, owner.join(url), sent, self.within_s or bounds.gather_s
        )
        try:
            answered = orjson.loads(body or b"{}")
            return {
                partition: _adapter(self.share_type).validate_python(answered[str(partition)])
                for partition in asked
                if str(partition) in answered
            }
        except (orjson.JSONDecodeError, ValidationError) as error:
            # Something else answers there, or a worker of another release.
            extra = {"owner": str(owner), "error": type(error).__name__}
            log.warning("a worker's share can't be read", extra=extra)
            return {}


@cache
def _adapter(share_type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(share_type)


def _requested_partitions(request: web.Request, table: StateTable) -> list[int]:
    texts = request.headers[PARTITIONS].split(",", maxsplit=table.partitions)
    try:
        asked = {whole_number(text, 0, table.partitions - 1) for text in texts}
    except DecodingError:
        accepted = f"accepted: numbers from 0 to {table.partitions - 1}"
        raise ProblemError("VALIDATION_FAILED", errors=[(PARTITIONS, accepted)]) from None
    return sorted(asked)
