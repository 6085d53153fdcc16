"""Makes a payment anew from its events. What is open at Stripe no event tells: Stripe is asked."""

from typing import Final

from agents.payments.transitions import PaymentDecisionBuilder
from agents.repair import begin_repair, end_repair
from models.events import PaymentCompleted, PaymentFailed
from models.index_entries import SETTLED
from models.repair import RepairState
from models.times import DAY_MS
from models.transition import Outcome

ASKED_ABOUT_MS: Final = 35 * DAY_MS
"""After a settled payment's last event. Later nothing is under way, and years of them are many."""


def repair(builder: PaymentDecisionBuilder, data: RepairState) -> Outcome:
    """Replace what the events say; a refund or dispute that they don't tell of is learnt by a look-up."""
    found = begin_repair(builder, builder.payment, data)
    if isinstance(found, Outcome):
        return found
    builder.payment, builder.sequence = found.state, found.state.sequence
    charges = {
        event.data.attempt: event.data.stripe_charge_id
        for event in found.own
        if isinstance(event.data, PaymentCompleted | PaymentFailed) and event.data.stripe_charge_id
    }
    known, work = builder.known_payment, builder.work
    is_old = builder.at_ms - known.occurred_at > ASKED_ABOUT_MS and known.status in SETTLED
    builder.change(
        charges={**charges, **work.charges},
        refunds={key: each for key, each in work.refunds.items() if key not in known.refunds},
        doubted_disputes=tuple(key for key, each in known.disputes.items() if each.is_open),
        initiation=None, unknown_since=None, repaired_at=None if is_old else builder.at_ms,
    )  # fmt: skip
    return end_repair(builder, data, ("outcomes", "work under way"))
