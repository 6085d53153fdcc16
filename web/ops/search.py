"""Finds orders for operators: by reference, any id, a customer's data, amount or last digits of a card.

Each partition is asked for the first few keys that begin with what was asked for (models/search_terms.py), so a
search costs the same whether there are a hundred old orders or a hundred million. Other workers are sent
hashes, and no address holds a person's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from models import ids, search_terms
from models.order import OrderRecord
from models.search_terms import PERSONAL_KINDS, TermKind
from models.times import to_rfc3339_or_none
from tables import NotOwnerError
from web.http import auth
from web.http.bodies import read_json, validated
from web.http.card_numbers import has_card_number
from web.http.commands import json_response
from web.http.context import (
    CONTEXT,
    ORDERS,
    PAYMENTS,
    TIMELINE,
    Context,
)
from web.http.problems import ProblemError
from web.http.scatter_gather import PARTITIONS, scatter_gather
from web.http.tokens import Identity, Role
from web.ops.schemas import FoundOrder, SearchBody, SearchView

MAX_FOUND: Final = 20
"""Of one partition, table and term; as many are answered, the latest."""
SEARCH: Final = "Tiffin-Search"
"""What the other workers are asked for: a `SearchPlan` as JSON."""
QUERY: Final = {
    "q": "an order's reference, or the id of an order, payment, command, event, refund, message, or of an "
    "object or event of Stripe; anything else is searched for by POST"
}
TABLES: Final[Mapping[TermKind, tuple[str, ...]]] = {
    TermKind.ID: (PAYMENTS, TIMELINE), TermKind.CARD: (PAYMENTS,), TermKind.AMOUNT: (ORDERS,),
    TermKind.EMAIL: (ORDERS,), TermKind.PHONE: (ORDERS,), TermKind.NAME: (ORDERS,),
}  # fmt: skip
"""Where the rows of each kind of term are."""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What to look up, without any text of the one who asks.

    order: how order ids begin, with the kind that it is found by. rows: how keys begin, by kind.
    """

    order: tuple[str, str] | None
    rows: Mapping[TermKind, tuple[str, ...]]


SEARCH_PLAN: Final = TypeAdapter(SearchPlan)


async def search_ids(request: web.Request) -> web.StreamResponse:
    """The orders that a reference or an id belongs to."""
    identity = await auth.authorize_staff(request, request.app[CONTEXT].deps, Role.OPERATOR)
    if PARTITIONS in request.headers:
        return await _over_partitions(request, identity, _plan_of_worker(request))
    body = _validated(request.query.get("q", "").strip())
    plan = plan_of(body.q, personal=False)
    if plan.order is None and not plan.rows:
        raise ProblemError("VALIDATION_FAILED", errors=[("q", f"accepted: {QUERY['q']}")])
    return await _over_partitions(request, identity, plan)


async def search(request: web.Request) -> web.StreamResponse:
    """The orders that a text stands for; a search by a person's data is recorded in the audit."""
    context = request.app[CONTEXT]
    identity = await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    if PARTITIONS in request.headers:  # whose answer would not be recorded
        raise ProblemError("BAD_REQUEST")
    body = await read_json(request, SearchBody, context.deps.body_limit_bytes)
    if not any(map(str.isalpha, body.q)) and has_card_number(body.q, phones=[body.q]):
        raise ProblemError("CARD_NUMBER_REFUSED", "Enter its last four digits alone.")
    plan = plan_of(body.q, personal=True)
    return await _over_partitions(request, identity, plan)


def plan_of(text: str, *, personal: bool) -> SearchPlan:
    """How a text is looked for. personal: as a person's data, an amount or a card's digits, too."""
    order, begins = None, ids.reference_prefix(text)
    if ids.is_order_id(text):
        order = text, "order"
    elif begins is not None:
        order = begins, "reference"
    asked = search_terms.parse_search_text(text)
    kinds = asked.keys() if personal else {TermKind.ID} & asked.keys()
    return SearchPlan(
        order,
        {
            kind: tuple(search_terms.row_prefix(kind, term) for term in asked[kind])
            for kind in kinds
        },
    )


def _validated(text: str) -> SearchBody:
    return validated(SearchBody, {"q": text})


def _plan_of_worker(request: web.Request) -> SearchPlan:
    """Raises ProblemError (400) for what no worker asks."""
    if auth.is_worker(request, request.app[CONTEXT].deps):
        try:
            plan = SEARCH_PLAN.validate_json(request.headers.get(SEARCH, ""))
        except ValidationError:
            pass
        else:
            if all(
                row.startswith(search_terms.SEARCH_ROW_PREFIX)
                for rows in plan.rows.values()
                for row in rows
            ):
                return plan
    raise ProblemError("BAD_REQUEST")


async def _over_partitions(
    request: web.Request, identity: Identity, plan: SearchPlan
) -> web.StreamResponse:
    context, found = request.app[CONTEXT], list[SearchView]()

    async def share(partition: int) -> Any:
        return _share(context, partition, plan)

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        orders = [
            FoundOrder.model_validate(row) for each in shares.values() for row in each["orders"]
        ]
        orders.sort(key=lambda order: order.placed_at or "", reverse=True)
        is_cut = len(orders) > MAX_FOUND or any(each["isCut"] for each in shares.values())
        found.append(
            SearchView(orders=tuple(orders[:MAX_FOUND]), is_cut=is_cut, incomplete=missing)
        )
        return json_response(found[0])

    headers = {SEARCH: SEARCH_PLAN.dump_json(plan).decode()}
    answer = await scatter_gather(request, ORDERS, share, merged, headers=headers)
    kinds = sorted(PERSONAL_KINDS & plan.rows.keys())
    if kinds and found:
        operations = context.deps.operations
        if operations is None:
            raise ProblemError("NOT_FOUND")
        await operations.audit_search(identity.issued_by, kinds, len(found[0].orders))
    return answer


def _share(context: Context, partition: int, plan: SearchPlan) -> dict[str, Any]:
    """Orders of an owned partition. Raises NotOwnerError, NotReadyError."""
    if partition not in context.tables[ORDERS].open_partitions():
        raise NotOwnerError(ORDERS)
    found: dict[str, list[str]] = {}
    is_cut = False
    if plan.order is not None:
        begins, by = plan.order
        for key in context.tables[ORDERS].keys(partition, begins, MAX_FOUND):
            found.setdefault(key, []).append(by)
    for kind, rows in plan.rows.items():
        for table in TABLES[kind]:
            for row in rows:
                keys = context.tables[table].keys(partition, row, MAX_FOUND + 1)
                is_cut = is_cut or len(keys) > MAX_FOUND
                for key in keys[:MAX_FOUND]:
                    by_kinds = found.setdefault(search_terms.order_of_row(key), [])
                    if kind not in by_kinds:
                        by_kinds.append(kind)
    shown = (_shown(context, order_id, by) for order_id, by in found.items())
    return {"orders": [each for each in shown if each is not None], "isCut": is_cut}


def _shown(context: Context, order_id: str, by: list[str]) -> Any:
    """None for what is in the timeline and no order (yet)."""
    record = context.record(ORDERS, order_id) if ids.is_order_id(order_id) else None
    if record is None or not isinstance(record.state, OrderRecord):
        return None
    order, placed = record.state.order, record.state.placed
    known = order or placed
    if known is None:
        return None
    row = FoundOrder(
        order_id=order_id,
        reference=ids.reference(order_id),
        by=tuple(by),
        status=record.state.status_shown,
        amount=known.amount,
        currency=known.currency,
        restaurant_id=known.restaurant_id or (placed.restaurant_id if placed else ""),
        placed_at=to_rfc3339_or_none(placed.placed_at) if placed else None,
    )
    return row.model_dump(mode="json", by_alias=True)
