"""Finds orders for operators: by reference, any id, a customer's data, amount or last digits of a card.

Each partition is asked for the first few keys that begin with what was asked for (models/lookup.py), so a
search costs the same whether there are a hundred old orders or a hundred million. Other workers are sent
hashes, and no address holds a person's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from models import ids, lookup
from models.lookup import PERSONAL, Kind
from models.messages import to_rfc3339_or_none
from models.order_state import OrderRecord
from tables import NotOwnerError
from web import auth
from web.bodies import read_json, validated
from web.cards import has_card_number
from web.context import CONTEXT, ORDERS, PAYMENTS, TIMELINE, Context
from web.fanout import PARTITIONS, over_partitions
from web.ops_shapes import Found, SearchBody, SearchView
from web.order_views import PLACED
from web.problems import ProblemError
from web.tokens import Identity, Role
from web.writes import json_response

MOST_FOUND: Final = 20
"""Of one partition, table and term; as many are answered, the latest."""
SEARCH: Final = "Tiffin-Search"
"""What the other workers are asked for: a `Plan` as JSON."""
QUERY: Final = {
    "q": "an order's reference, or the id of an order, payment, command, event, refund, message, or of an "
    "object or event of Stripe; anything else is searched for by POST"
}
TABLES: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.ID: (PAYMENTS, TIMELINE), Kind.CARD: (PAYMENTS,), Kind.AMOUNT: (ORDERS,),
    Kind.EMAIL: (ORDERS,), Kind.PHONE: (ORDERS,), Kind.NAME: (ORDERS,),
}  # fmt: skip
"""Where the rows of each kind of term are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to look up, without any text of the one who asks.

    order: how order ids begin, with the kind that it is found by. rows: how keys begin, by kind.
    """

    order: tuple[str, str] | None
    rows: Mapping[Kind, tuple[str, ...]]


PLAN: Final = TypeAdapter(Plan)


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


def plan_of(text: str, *, personal: bool) -> Plan:
    """How a text is looked for. personal: as a person's data, an amount or a card's digits, too."""
    order, begins = None, ids.reference_prefix(text)
    if ids.is_order_id(text):
        order = text, "order"
    elif begins is not None:
        order = begins, "reference"
    asked = lookup.asked_for(text)
    kinds = asked.keys() if personal else {Kind.ID} & asked.keys()
    return Plan(
        order,
        {kind: tuple(lookup.prefix(kind, term) for term in asked[kind]) for kind in kinds},
    )


def _validated(text: str) -> SearchBody:
    return validated(SearchBody, {"q": text})


def _plan_of_worker(request: web.Request) -> Plan:
    """Raises ProblemError (400) for what no worker asks."""
    if auth.is_worker(request, request.app[CONTEXT].deps):
        try:
            plan = PLAN.validate_json(request.headers.get(SEARCH, ""))
        except ValidationError:
            pass
        else:
            if all(row.startswith(lookup.FIND) for rows in plan.rows.values() for row in rows):
                return plan
    raise ProblemError("BAD_REQUEST")


async def _over_partitions(
    request: web.Request, identity: Identity, plan: Plan
) -> web.StreamResponse:
    context, found = request.app[CONTEXT], list[SearchView]()

    async def share(partition: int) -> Any:
        return _share(context, partition, plan)

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        orders = [Found.model_validate(row) for each in shares.values() for row in each["orders"]]
        orders.sort(key=lambda order: order.placed_at or "", reverse=True)
        is_cut = len(orders) > MOST_FOUND or any(each["isCut"] for each in shares.values())
        found.append(
            SearchView(orders=tuple(orders[:MOST_FOUND]), is_cut=is_cut, incomplete=missing)
        )
        return json_response(found[0])

    headers = {SEARCH: PLAN.dump_json(plan).decode()}
    answer = await over_partitions(request, ORDERS, share, merged, headers=headers)
    kinds = sorted(PERSONAL & plan.rows.keys())
    if kinds and found:
        operations = context.deps.operations
        if operations is None:
            raise ProblemError("NOT_FOUND")
        await operations.note_search(identity.issued_by, kinds, len(found[0].orders))
    return answer


def _share(context: Context, partition: int, plan: Plan) -> dict[str, Any]:
    """Orders of an owned partition. Raises NotOwnerError, NotReadyError."""
    if partition not in context.tables[ORDERS].open_partitions():
        raise NotOwnerError(ORDERS)
    found: dict[str, list[str]] = {}
    is_cut = False
    if plan.order is not None:
        begins, by = plan.order
        for key in context.tables[ORDERS].keys(partition, begins, MOST_FOUND):
            found.setdefault(key, []).append(by)
    for kind, rows in plan.rows.items():
        for table in TABLES[kind]:
            for row in rows:
                keys = context.tables[table].keys(partition, row, MOST_FOUND + 1)
                is_cut = is_cut or len(keys) > MOST_FOUND
                for key in keys[:MOST_FOUND]:
                    by_kinds = found.setdefault(lookup.order_of_row(key), [])
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
    row = Found(
        order_id=order_id,
        reference=ids.reference(order_id),
        by=tuple(by),
        status=order.status if order else PLACED,
        amount=known.amount,
        currency=known.currency,
        restaurant_id=known.restaurant_id or (placed.restaurant_id if placed else ""),
        placed_at=to_rfc3339_or_none(placed.placed_at) if placed else None,
    )
    return row.model_dump(mode="json", by_alias=True)
