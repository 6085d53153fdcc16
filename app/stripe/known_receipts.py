"""Whether a payment's receipt is known here, so that a webhook of its success asks Stripe for nothing."""

from collections.abc import Callable

from models.payment import PaymentRecord
from models.stripe_facts import IntentFacts
from tables import BrokenRecordError, NotOwnerError, NotReadyError, StoredRecord


class KnownReceipts:
    """What this worker's payments table says; of payments that another worker owns it knows nothing."""

    def __init__(self, payment: Callable[[str], StoredRecord | None]) -> None:
        """payment: an order's record; raises as `StateTable.get`."""
        self._payment = payment

    def has(self, order_id: str, seen: IntentFacts) -> bool:
        """Whether the receipt of this very charge is in a payment that has been captured.

        The charge's card and time came with it: all are of one look-up, or of one answer.
        """
        try:
            stored = self._payment(order_id)
        except (NotOwnerError, NotReadyError, BrokenRecordError):
            return False
        state: PaymentRecord | None = stored.state if stored else None
        payment = state.payment if state else None
        return (
            payment is not None
            and payment.captured > 0
            and payment.receipt_url is not None
            and payment.stripe_intent_id == seen.intent_id
            and seen.charge_id in {None, payment.stripe_charge_id}
        )
