"""Disputes over HTTP: the list of all of them, for operators."""

from collections.abc import Mapping
from typing import Final

from models.messages import Message
from web.api.payment_views import DisputeView, dispute_view
from web.http.context import PAYMENTS
from web.http.params import Params, choice_param, limit_param
from web.http.scatter_gather import Gather
from web.indexes.money import DisputeEntry

MAX_LISTED: Final = 1000
STATES: Final = ("OPEN", "CLOSED")


class DisputeRow(DisputeView):
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


class DisputeParams(Params):
    """Of the list."""

    state: str | None = choice_param(STATES)
    limit: int = limit_param(100, MAX_LISTED)


class ListDisputes(Gather[list[DisputeRow], DisputeRows]):
    """Disputes of all workers, open or closed or both."""

    service, open_services, share_type = PAYMENTS, (PAYMENTS,), list[DisputeRow]

    async def share(self, partition: int) -> list[DisputeRow]:
        """Of an owned partition."""
        params = self.call.params
        rows = [
            _row(entry)
            for entry in self.context.deps.money.disputes(partition)
            if params.state is None or entry.dispute.is_open is (params.state == "OPEN")
        ]
        return _in_order(rows)[: params.limit]

    async def merged(
        self, shares: Mapping[int, list[DisputeRow]], missing: tuple[int, ...]
    ) -> DisputeRows:
        """The open ones first."""
        rows = _in_order([row for share in shares.values() for row in share])
        return DisputeRows(disputes=tuple(rows[: self.call.params.limit]), incomplete=missing)


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
