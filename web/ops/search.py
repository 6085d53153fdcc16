"""Finds orders for operators: by reference, any id, a customer's data, amount or last digits of a card.

Each partition is asked for the first few keys that begin with what was asked for (models/search_terms.py), so a
search costs the same whether there are a hundred old orders or a hundred million. Other workers are sent
hashes, and no address holds a person's data.
"""

from collections.abc import Mapping
from itertools import islice, product
from typing import Any, ClassVar, Final

from pydantic import Field, ValidationError

from models import ids, search_terms
from models.search_terms import PERSONAL_KINDS, TermKind
from web.api.views import view_of
from web.http import auth
from web.http.api_model import ApiModel
from web.http.bodies import Body, validated
from web.http.card_numbers import has_card_number
from web.http.context import ORDERS, PAYMENTS, TIMELINE, Context
from web.http.params import Params, param
from web.http.problems import ProblemError
from web.http.route import AnyCall, Call
from web.http.scatter_gather import PARTITIONS, Gather, Missing, Shares
from web.indexes.orders import order_entry

MAX_FOUND: Final = 20
"""Of one partition, table and term; as many are answered, the latest."""
SEARCH: Final = "Tiffin-Search"
"""What the other workers are asked for: a `SearchPlan` as JSON."""
ACCEPTED: Final = (
    "an order's reference, or the id of an order, payment, command, event, refund, message, or of an "
    "object or event of Stripe; anything else is searched for by POST"
)
"""In an address."""
TABLES: Final[Mapping[TermKind, tuple[str, ...]]] = {
    TermKind.ID: (PAYMENTS, TIMELINE), TermKind.CARD: (PAYMENTS,), TermKind.AMOUNT: (ORDERS,),
    TermKind.EMAIL: (ORDERS,), TermKind.PHONE: (ORDERS,), TermKind.NAME: (ORDERS,),
}  # fmt: skip
"""Where the rows of each kind of term are."""


class SearchBody(Body):
    """What to look for."""

    may_hold_ids: ClassVar[bool] = True
    q: str = Field(
        min_length=3,
        max_length=100,
        description="3 to 100 characters: an order's reference or id; an id of a payment, event, command, "
        "refund or message, or Stripe's of an object or event; a customer's email, telephone number or "
        "name; an amount; the last four digits of a card",
    )


class FoundOrder(ApiModel):
    """An order that was looked for. by: as what the text was found: "reference", "order", "id", "email"...

    amount: minor units. placedAt: of one that a customer placed.
    """

    order_id: str
    reference: str
    by: tuple[str, ...]
    status: str
    amount: int
    currency: str
    restaurant_id: str
    placed_at: str | None = None


class SearchShare(ApiModel):
    """is_cut: there are more."""

    orders: tuple[FoundOrder, ...]
    is_cut: bool


class SearchView(SearchShare):
    """The latest first. isCut: there are more. incomplete: partitions that did not answer."""

    incomplete: tuple[int, ...]


class SearchPlan(ApiModel):
    """What to look up, without any text of the one who asks.

    order: how order ids begin, with the kind that it is found by. rows: how keys begin, by kind.
    """

    order: tuple[str, str] | None
    rows: Mapping[TermKind, tuple[str, ...]]


class SearchParams(Params):
    """Of the search that has its text in the address."""

    q: str = param(str, ACCEPTED, default="")


def search_ids(call: Call[SearchParams, None]) -> Any:
    """The orders that a reference or an id belongs to."""
    if PARTITIONS in call.request.headers:
        return SearchOrders(call, _plan_of_worker(call))
    body = validated(SearchBody, {"q": call.params.q.strip()})
    plan = plan_of(body.q, personal=False)
    if plan.order is None and not plan.rows:
        raise ProblemError("VALIDATION_FAILED", errors=[("q", f"accepted: {ACCEPTED}")])
    return SearchOrders(call, plan)


def search(call: Call[Params, SearchBody]) -> Any:
    """The orders that a text stands for; a search by a person's data is recorded in the audit."""
    if PARTITIONS in call.request.headers:  # whose answer would not be recorded
        raise ProblemError("BAD_REQUEST")
    text = call.body.q
    if not any(map(str.isalpha, text)) and has_card_number(text, phones=[text]):
        raise ProblemError("CARD_NUMBER_REFUSED", "Enter its last four digits alone.")
    return SearchOrders(call, plan_of(text, personal=True))


def plan_of(text: str, *, personal: bool) -> SearchPlan:
    """How a text is looked for. personal: as a person's data, an amount or a card's digits, too."""
    order, begins = None, ids.reference_prefix(text)
    if ids.is_order_id(text):
        order = text, "order"
    elif begins is not None:
        order = begins, "reference"
    asked = search_terms.parse_search_text(text)
    kinds = asked.keys() if personal else {TermKind.ID} & asked.keys()
    rows = {
        kind: tuple(search_terms.row_prefix(kind, term) for term in asked[kind]) for kind in kinds
    }
    return SearchPlan(order=order, rows=rows)


def _plan_of_worker(call: AnyCall) -> SearchPlan:
    """Raises ProblemError (400) for what no worker asks."""
    if auth.is_worker(call.request, call.context.deps):
        try:
            plan = SearchPlan.model_validate_json(call.request.headers.get(SEARCH, ""))
        except ValidationError:
            pass
        else:
            rows = (row for of_kind in plan.rows.values() for row in of_kind)
            if all(row.startswith(search_terms.SEARCH_ROW_PREFIX) for row in rows):
                return plan
    raise ProblemError("BAD_REQUEST")


class SearchOrders(Gather[SearchShare, SearchView]):
    """Looks a plan up; one by a person's data is recorded in the audit."""

    service, open_services, share_type = ORDERS, (ORDERS,), SearchShare

    def __init__(self, call: AnyCall, plan: SearchPlan) -> None:
        super().__init__(call)
        self.plan = plan
        self.headers = {SEARCH: plan.model_dump_json()}

    async def share(self, partition: int) -> SearchShare:
        """Of an owned partition."""
        found: dict[str, list[str]] = {}
        is_cut, tables = False, self.context.tables
        if self.plan.order is not None:
            begins, by = self.plan.order
            for key in tables[ORDERS].keys(partition, begins, MAX_FOUND):
                found.setdefault(key, []).append(by)
        for kind, rows in self.plan.rows.items():
            for table, row in product(TABLES[kind], rows):
                entries = tables[table].entries(partition, search_terms.entry_prefix(row))
                keys = [
                    *islice(entries, MAX_FOUND + 1),
                    *tables[table].keys(partition, row, MAX_FOUND + 1),
                ]
                is_cut = is_cut or len(keys) > MAX_FOUND
                for key in keys:
                    by_kinds = found.setdefault(search_terms.order_of_row(key), [])
                    if kind not in by_kinds:
                        by_kinds.append(kind)
        shown = (_shown(self.context, order_id, by) for order_id, by in found.items())
        return SearchShare(orders=tuple(each for each in shown if each is not None), is_cut=is_cut)

    async def merged(self, shares: Shares[SearchShare], missing: Missing) -> SearchView:
        """The latest first. Raises ProblemError (404) where nothing can be recorded."""
        orders = [order for share in shares.values() for order in share.orders]
        orders.sort(key=lambda order: order.placed_at or "", reverse=True)
        is_cut = len(orders) > MAX_FOUND or any(share.is_cut for share in shares.values())
        found = tuple(orders[:MAX_FOUND])
        if kinds := sorted(PERSONAL_KINDS & self.plan.rows.keys()):
            by = self.call.identity.issued_by
            await self.context.operations.audit_search(by, kinds, len(found))
        return SearchView(orders=found, is_cut=is_cut, incomplete=missing)


def _shown(context: Context, order_id: str, by: list[str]) -> FoundOrder | None:
    """None for what is in the timeline and no order (yet)."""
    record = context.record(ORDERS, order_id) if ids.is_order_id(order_id) else None
    entry = order_entry(order_id, record) if record else None
    if record is None or entry is None:
        return None
    reference = ids.reference(order_id)
    return view_of(FoundOrder, entry, record.state.placed, reference=reference, by=tuple(by))
