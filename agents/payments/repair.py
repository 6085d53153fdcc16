"""Makes a payment anew from its events. What is open at Stripe no event tells: Stripe is asked."""

from agents.payments.transitions import PaymentDecisionBuilder
from agents.repair import begin_repair, end_repair
from models.commands import RepairState
from models.events import PaymentCompleted, PaymentFailed
from models.transition import Outcome


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
    builder.change(
        charges={**charges, **work.charges},
        refunds={key: each for key, each in work.refunds.items() if key not in known.refunds},
        doubted_disputes=tuple(key for key, each in known.disputes.items() if each.is_open),
        initiation=None, unknown_since=None, repaired_at=builder.at_ms,
    )  # fmt: skip
    return end_repair(builder, data, ("outcomes", "work under way"))
