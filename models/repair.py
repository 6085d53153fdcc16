"""What a repair is made from: the data of REPAIR_ORDER, REPAIR_PAYMENT and REPAIR_DELIVERY."""

from typing import Annotated, Final

from msgspec import Meta

from models.fields import Count
from models.messages import Message

MAX_REPAIR_EVENTS: Final = 500
StoredEvent = Annotated[str, Meta(min_length=1, max_length=20_000)]
"""An event as it lies in its topic."""


class RepairState(Message):
    """An operator's: make a state anew from its events, which were read from the topics kept for ever.

    liveSequence: of the last event in the state that is to be replaced, 0 where there is none. events: the
    service's own, all of them, in their order; for deliveries those of the order as well. auditSequence: of
    the service's last record of the order in the audit.
    """

    live_sequence: Count
    audit_sequence: Count
    events: Annotated[tuple[StoredEvent, ...], Meta(min_length=1, max_length=MAX_REPAIR_EVENTS)]
