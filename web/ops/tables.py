"""What a table holds, its rows too, for operators: read in bounded pieces, from an index where one serves."""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

import orjson

from models import ids
from models.delivery import ENDED_STATUSES as ENDED_DELIVERIES
from models.graphs import DeliveryStatus, OrderStatus, PaymentStatus
from models.index_entries import ENDED, SETTLED
from models.notification import NotificationStatus
from models.order import PLACED
from tables import OPEN, BrokenRecordError, StateTable, StoredRecord
from web.http.api_model import ApiModel
from web.http.context import DELIVERIES, ORDERS, PAYMENTS
from web.http.decoding import DecodingError, base64_json, whole_number
from web.http.params import Params, choice_param, limit_param, param, up_to
from web.http.problems import ProblemError
from web.http.route import Call
from web.http.scatter_gather import Gather, Missing, Shares
from web.ops.orders import ENDED_STATES
from web.ops.table_items import (
    Stored,
    TableItem,
    has_ended,
    item_of_record,
    item_of_row,
    statuses_of,
)

log = logging.getLogger("tiffin.web.tables")

MAX_LISTED: Final = 200
MAX_LOOKED_AT: Final = 1_000
"""Records and rows of a partition that one page reads at most: some hundred milliseconds, in slices."""
SLICE_ITEMS: Final = 25
"""Some milliseconds of work; then the worker's other tasks have their turn."""
MAX_KEY_CHARS: Final = 512
TRUE: Final = "true"

STATES: Final = tuple(
    dict.fromkeys((PLACED, *OrderStatus, *PaymentStatus, *DeliveryStatus, *NotificationStatus))
)
NEVER_ENDED: Final[Mapping[str, frozenset[str]]] = {
    ORDERS: frozenset({PLACED, *OrderStatus}) - ENDED_STATES,
    PAYMENTS: frozenset(PaymentStatus) - SETTLED,
    DELIVERIES: frozenset(DeliveryStatus) - ENDED_DELIVERIES,
}
"""Table -> statuses of which all records have not ended: the index of what is open serves them."""
LISTED_AS_ENDED: Final[Mapping[str, frozenset[str]]] = {ORDERS: frozenset(ENDED_STATES)}
"""Table -> statuses by which the index lists what has ended."""


class TableItems(ApiModel):
    """In the order of partitions and keys; from the index, in its order.

    lookedAt: records and rows that were read for this page. next: the `after` of the next page, which may be
    there although this one is not full: a page looks at so many in each partition. incomplete: partitions that
    did not answer.
    """

    items: tuple[TableItem, ...]
    looked_at: int
    next: str | None = None
    incomplete: tuple[int, ...]


class PlacedItem(NamedTuple):
    """place: where in the partition a page that ends with it ends."""

    place: str
    item: TableItem


class TableShare(ApiModel):
    """Of one partition. next: where the next page begins; None: it was read to its end."""

    items: tuple[PlacedItem, ...]
    looked_at: int
    next: str | None


class TableParams(Params):
    """Of the list."""

    key: str = param(
        up_to(MAX_KEY_CHARS), "only keys that begin so: an order's id finds its record and its rows",
        default="",
    )  # fmt: skip
    state: str | None = choice_param(
        STATES,
        "only records with this status: of an order, its payment, its delivery, or one of its messages",
    )
    open: str | None = choice_param(
        (TRUE, "false"), "true: only what has not ended; false: the rest"
    )
    kind: str | None = choice_param(("record", "row"), "only records, or only rows")
    personal: str = param(
        str, "true shows contact and address too, of one order: `key` is its id", default=""
    )
    after: str = param(str, "`next` of the page before", default="")
    limit: int = limit_param(50, MAX_LISTED)


def list_table(call: Call[TableParams, None]) -> "ListTable":
    """A table's records and rows, as they are stored. Raises ProblemError (400, 404)."""
    name, tables, params = call.id_of("table"), call.context.tables, call.params
    if name not in tables:
        known = ", ".join(sorted(tables))
        raise ProblemError("NOT_FOUND", f"There is no such table. There are: {known}.")
    shows_people = params.personal == TRUE
    if shows_people and not ids.is_order_id(params.key):
        raise ProblemError("VALIDATION_FAILED", errors=[("key", "accepted: an order's id, whole")])
    if shows_people:
        extra = {"by": call.identity.issued_by, "table": name, "orderId": params.key}
        log.info("personal data of a stored record shown", extra=extra)
    return ListTable(call, tables[name])


class ListTable(Gather[TableShare, TableItems]):
    """Reads a page of one table."""

    share_type = TableShare

    def __init__(self, call: Call[TableParams, None], table: StateTable) -> None:
        """Raises ProblemError (400) for a cursor that is none."""
        super().__init__(call)
        self.params, self.table = call.params, table
        self.service, self.open_services = table.name, (table.name,)
        self.prefixes = _index_prefixes(table, call.params)
        self.begins = self._read_cursor(call.params.after)
        if call.params.after:
            self.only = self.begins
        elif ids.is_order_id(call.params.key.partition("/")[0]):
            self.only = {table.partition_of(call.params.key.partition("/")[0])}

    async def share(self, partition: int) -> TableShare:
        """Of an owned partition."""
        read: Callable[[int, str], list[tuple[str, str, Stored]]] = (
            self._by_key if self.prefixes is None else self._by_index
        )
        place: str | None = self.begins.get(partition, "")
        found: list[PlacedItem] = []
        looked_at = 0
        while place is not None and looked_at < MAX_LOOKED_AT and len(found) < self.params.limit:
            items = read(partition, place)
            for place, key, stored in items:
                looked_at += 1
                if (item := self._wanted(partition, key, stored)) is not None:
                    found.append(PlacedItem(place, item))
                    if len(found) == self.params.limit:
                        break
            else:
                place = place if len(items) == SLICE_ITEMS else None
            await asyncio.sleep(0)
        return TableShare(items=tuple(found), looked_at=looked_at, next=place)

    async def merged(self, shares: Shares[TableShare], missing: Missing) -> TableItems:
        """Partition by partition."""
        room, items, ends = self.params.limit, list[TableItem](), dict[int, str]()
        for partition, share in sorted(shares.items()):
            taken = share.items[:room]
            room -= len(taken)
            items += (placed.item for placed in taken)
            if len(taken) < len(share.items):
                ends[partition] = taken[-1].place if taken else self.begins.get(partition, "")
            elif share.next is not None:
                ends[partition] = share.next
        return TableItems(
            items=tuple(items),
            looked_at=sum(share.looked_at for share in shares.values()),
            next=_cursor(ends) if ends else None,
            incomplete=missing,
        )

    def _by_key(self, partition: int, place: str) -> list[tuple[str, str, Stored]]:
        items = self.table.items(partition, self.params.key, place, SLICE_ITEMS)
        return [(key, key, stored) for key, stored in items]

    def _by_index(self, partition: int, place: str) -> list[tuple[str, str, Stored]]:
        """The place is the number of a prefix of the index, and what follows it in the last entry."""
        number, _, start = place.partition(":")
        found: list[tuple[str, str]] = []
        for n, prefix in islice(enumerate(self.prefixes or ()), int(number or 0), None):
            entries = self.table.entries(partition, prefix, f"{start}\0" if start else "")
            start = ""
            page = islice(entries, SLICE_ITEMS - len(found))
            found += ((f"{n}:{entry}", entry.rpartition("/")[2]) for entry in page)
        return [(at, key, self._record(key)) for at, key in found]

    def _record(self, key: str) -> Stored:
        try:
            return self.table.get(key)
        except BrokenRecordError:
            return None

    def _wanted(self, partition: int, key: str, stored: Stored) -> TableItem | None:
        """What is shown of it; None where the filters leave it out."""
        params = self.params
        is_row = isinstance(stored, bytes)
        if params.kind not in {None, "row" if is_row else "record"} or not key.startswith(
            params.key
        ):
            return None
        if not isinstance(stored, StoredRecord):
            is_filtered = params.state is not None or params.open is not None
            return None if is_filtered else item_of_row(partition, key, stored)
        is_open = not has_ended(self.table, stored)
        if params.state not in {None, *statuses_of(stored.state)}:
            return None
        if params.open is not None and is_open != (params.open == TRUE):
            return None
        hides_people = params.personal != TRUE
        return item_of_record(self.table, partition, stored, hides_people=hides_people)

    def _read_cursor(self, after: str) -> dict[int, str]:
        """Partition -> where its part of the page begins. Raises ProblemError (400)."""
        if not after:
            return {}
        try:
            told = base64_json(after)
            ends = {
                whole_number(name, 0, self.table.partitions - 1): str(at)
                for name, at in told.items()
            }
            if self.prefixes is not None:
                for at in filter(None, ends.values()):
                    whole_number(at.partition(":")[0], 0, len(self.prefixes))
        except (DecodingError, AttributeError):
            errors = [("after", "accepted: `next` of the page before, with the same filters")]
            raise ProblemError("VALIDATION_FAILED", errors=errors) from None
        return ends


def _index_prefixes(table: StateTable, params: TableParams) -> tuple[str, ...] | None:
    """Of the entries that lead to all that the filters leave; None where the table has to be read."""
    if params.key or params.kind == "row" or not table.service.is_indexed:
        return None
    return tuple(_prefixes(table.name, params)) or None


def _prefixes(name: str, params: TableParams) -> Iterator[str]:
    state, of_open = params.state, f"{OPEN}/"
    if params.open == TRUE or state in NEVER_ENDED.get(name, ()):
        yield of_open
    elif state in LISTED_AS_ENDED.get(name, ()):
        if params.open is None:
            yield of_open
        yield f"{ENDED}{state}/"


def _cursor(ends: Mapping[int, str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({str(p): at for p, at in ends.items()})).decode()
