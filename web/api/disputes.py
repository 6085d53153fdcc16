"""Disputes over HTTP: the list of all of them, for operators."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from models.messages import Message
from tables import NotOwnerError
from web.api.payment_views import Dispute, dispute_view
from web.http import auth
from web.http.commands import json_response
from web.http.context import CONTEXT, PAYMENTS
from web.http.params import limit_of, one_of
from web.http.scatter_gather import scatter_gather
from web.http.tokens import Role
from web.indexes.money import DisputeEntry

MAX_LISTED: Final = 1000
STATES: Final = ("OPEN", "CLOSED")
QUERY: Final = {
    "state": f"one of {', '.join(STATES)}; all by default",
    "limit": f"at most so many, 1 to {MAX_LISTED}; 100 by default",
}


class DisputeRow(Dispute):
    """One dispute of the list. evidence: where its bundle is."""

    order_id: str
    payment_id: str
    evidence: str


class DisputeRows(Message):
    """The open ones first, those whose evidence is due soonest at the top; then the latest.

    incomplete: partitions whose disputes are missing here.
    """

    disputes: tuple[DisputeRow, ...]
    incomplete: tuple[int, ...]


async def list_disputes(request: web.Request) -> web.StreamResponse:
    """Disputes of all workers, open or closed or both."""
    context = request.app[CONTEXT]
    await auth.authorize_staff(request, context.deps, Role.OPERATOR)
    limit, state = limit_of(request, 100, MAX_LISTED), one_of(request, "state", STATES)

    async def share(partition: int) -> Any:
        if partition not in context.tables[PAYMENTS].open_partitions():
            raise NotOwnerError(PAYMENTS)
        rows = [
            _row(entry)
            for entry in context.deps.money.disputes(partition)
            if state is None or entry.dispute.is_open is (state == "OPEN")
        ]
        return [row.model_dump(mode="json", by_alias=True) for row in _in_order(rows)[:limit]]

    def merged(shares: Mapping[int, Any], missing: tuple[int, ...]) -> web.Response:
        rows = [DisputeRow.model_validate(row) for found in shares.values() for row in found]
        answer = DisputeRows(disputes=tuple(_in_order(rows)[:limit]), incomplete=missing)
        return json_response(answer)

    return await scatter_gather(request, PAYMENTS, share, merged)


def _row(entry: DisputeEntry) -> DisputeRow:
    shown = dispute_view(entry.dispute, entry.currency)
    where = f"/api/payments/{entry.order_id}/disputes/{entry.dispute.dispute_id}/evidence"
    return DisputeRow(
        **dict(shown), order_id=entry.order_id, payment_id=entry.payment_id, evidence=where
    )


def _in_order(rows: list[DisputeRow]) -> list[DisputeRow]:
    latest = sorted(rows, key=lambda row: row.opened_at or "", reverse=True)
    return sorted(latest, key=lambda row: (not row.is_open, _due(row)))


def _due(row: DisputeRow) -> str:
    return (row.evidence_due_by or "~") if row.is_open else ""
