"""What news from Stripe does to what is known of a payment and all that belongs to it: one table.

News may come late, twice and in any order, and from an older API version. Which of two facts is later is
told by Stripe's own time (`StripeFacts.as_of`, whole seconds), not by the order in which they arrive. The
table in docs/stripe-facts.md is printed from here, and a property test holds decide against it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class FactSource(StrEnum):
    """Where a fact comes from.

    RESULT: the answer to a pending effect. LOOKUP: asked for after the attempt's confirm had ended.
    STALE: the answer to an effect that is not pending any more.
    """

    RESULT = "RESULT"
    LOOKUP = "LOOKUP"
    WEBHOOK = "WEBHOOK"
    STALE = "STALE"

    @property
    def is_asked(self) -> bool:
        """It was asked for."""
        return self in {FactSource.RESULT, FactSource.LOOKUP}


class Rule(StrEnum):
    """What happens to a fact."""

    APPLY = "apply"
    """It is Stripe's word."""
    ADD_DETAILS = "add details"
    """Only what is not known yet is taken from it: charge, receipt, due date."""
    ASK = "ask Stripe"
    """It contradicts what is known, and nothing tells which is later."""
    COUNT = "count"
    """A charge that failed without a confirm of ours: it counts towards the limit of attempts."""
    REPORT = "report"
    """It can't be: operators see it as an anomaly."""
    IGNORE = "ignore"


class Age(StrEnum):
    """How old a fact is, against the newest that was taken of the same object.

    ANSWER: to a question about this very attempt, or object, and nothing has changed since the question was
    put. SAME: of the same second, or one of the two has no time.
    """

    ANSWER = "answer"
    NEWER = "newer"
    SAME = "same second"
    OLDER = "older"


def age_of(as_of: int | None, known_as_of: int | None, *, is_answer: bool) -> Age:
    """The age of a fact; both times in seconds since the epoch, None: not known.

    is_answer: it answers a question about this very attempt or object, and nothing has changed since then.
    """
    if is_answer:
        return Age.ANSWER
    if as_of is None or known_as_of is None or as_of == known_as_of:
        return Age.SAME
    return Age.NEWER if as_of > known_as_of else Age.OLDER


class IntentState(StrEnum):
    """What is known of the payment. CONFIRMING: a confirm of ours is under way, its answer decides."""

    PENDING = "PENDING"
    CONFIRMING = "PROCESSING, confirm under way"
    PROCESSING = "PROCESSING"
    AT_THE_BANK = "PROCESSING, the customer's bank asks"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CAPTURED = "COMPLETED or REFUNDED"


class IntentNews(StrEnum):
    """What Stripe says of the intent.

    UNPAID: nothing has failed. DECLINED: a charge failed that is surely this attempt's; EARLIER: an earlier
    attempt's; UNPLACED: one of which nothing tells whose it is.
    """

    UNPAID = "requires_payment_method, nothing failed"
    DECLINED = "requires_payment_method, this attempt's charge failed"
    UNPLACED = "requires_payment_method, a charge failed that can't be placed"
    EARLIER = "requires_payment_method, an earlier attempt's charge failed"
    ACTION = "requires_action"
    PROCESSING = "processing, or a status that is not known"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class RefundNews(StrEnum):
    """What Stripe says of a refund."""

    PENDING = "pending"
    ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class RefundState(StrEnum):
    """What is known of a refund. REFUSED: Stripe refused the request, so there should be none."""

    UNKNOWN = "not known"
    REQUESTED = "PENDING, Stripe has not answered"
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    REFUSED = "FAILED, refused by Stripe"
    ENDED = "FAILED or CANCELLED"


class DisputeNews(StrEnum):
    """What Stripe says of a dispute, against what is known of it."""

    SAME = "nothing else"
    CHANGED = "the same status, another amount, reason, due date or refundability"
    ONWARD = "a later step, still open"
    BACKWARD = "an earlier step, still open"
    CLOSED = "closed, or closed otherwise"


class DisputeState(StrEnum):
    """What is known of a dispute."""

    UNKNOWN = "not known"
    OPEN = "open"
    CLOSED = "closed"


class FraudNews(StrEnum):
    """What Stripe says of an early fraud warning, or a review."""

    OPEN = "actionable, or open"
    CLOSED = "not actionable, or closed"


class FraudState(StrEnum):
    """What is known of it."""

    UNKNOWN = "not known"
    OPEN = "actionable, or open"
    CLOSED = "not actionable, or closed"


_COLUMN: Final = {age: number for number, age in enumerate(Age)}


class Row(NamedTuple):
    """Rules by the age of the news."""

    answer: Rule
    newer: Rule
    same: Rule
    older: Rule

    def by(self, age: Age) -> Rule:
        """The rule for news of this age."""
        return self[_COLUMN[age]]


def _always(rule: Rule) -> Row:
    return Row(rule, rule, rule, rule)


APPLY, DETAILS, ASK = _always(Rule.APPLY), _always(Rule.ADD_DETAILS), _always(Rule.ASK)
IGNORE, COUNT, REPORT = _always(Rule.IGNORE), _always(Rule.COUNT), _always(Rule.REPORT)
LATER = Row(Rule.APPLY, Rule.APPLY, Rule.ASK, Rule.IGNORE)
"""The later one wins; which is later may have to be asked."""
PLACED = Row(Rule.APPLY, Rule.ASK, Rule.ASK, Rule.IGNORE)
"""Only an answer about this attempt says that the attempt has ended."""
LATER_OR_NONE = Row(Rule.APPLY, Rule.APPLY, Rule.IGNORE, Rule.IGNORE)

ANSWER_ONLY = Row(Rule.APPLY, Rule.IGNORE, Rule.IGNORE, Rule.IGNORE)

ATTEMPTS = Row(Rule.APPLY, Rule.APPLY, Rule.APPLY, Rule.ASK)
"""Nobody tries another card within a second: the failure is later than what was under way."""

S, N = IntentState, IntentNews
_UNDER_WAY: Final = {
    N.UNPAID: PLACED, N.DECLINED: ATTEMPTS, N.UNPLACED: PLACED, N.EARLIER: ANSWER_ONLY,
    N.SUCCEEDED: APPLY, N.CANCELED: APPLY,
}  # fmt: skip
INTENT_RULES: Final[Mapping[IntentState, Mapping[IntentNews, Row]]] = {
    S.PENDING: {
        N.UNPAID: IGNORE, N.DECLINED: APPLY, N.UNPLACED: ASK, N.EARLIER: IGNORE, N.ACTION: APPLY,
        N.PROCESSING: APPLY, N.SUCCEEDED: APPLY, N.CANCELED: APPLY,
    },
    S.CONFIRMING: {
        N.UNPAID: ASK, N.DECLINED: ASK, N.UNPLACED: ASK, N.EARLIER: ASK, N.ACTION: IGNORE,
        N.PROCESSING: IGNORE, N.SUCCEEDED: APPLY, N.CANCELED: APPLY,
    },
    S.PROCESSING: {**_UNDER_WAY, N.ACTION: LATER, N.PROCESSING: IGNORE},
    S.AT_THE_BANK: {**_UNDER_WAY, N.ACTION: IGNORE, N.PROCESSING: LATER},
    S.FAILED: {
        N.UNPAID: IGNORE, N.DECLINED: COUNT, N.UNPLACED: COUNT, N.EARLIER: IGNORE,
        N.ACTION: LATER, N.PROCESSING: LATER, N.SUCCEEDED: APPLY, N.CANCELED: APPLY,
    },
    S.CANCELLED: {**dict.fromkeys(N, IGNORE), N.SUCCEEDED: APPLY},
    S.CAPTURED: {**dict.fromkeys(N, IGNORE), N.SUCCEEDED: DETAILS, N.CANCELED: REPORT},
}  # fmt: skip

R, F = RefundState, RefundNews
REFUND_RULES: Final[Mapping[RefundState, Mapping[RefundNews, Row]]] = {
    R.UNKNOWN: dict.fromkeys(F, APPLY),
    R.REQUESTED: dict.fromkeys(F, APPLY),
    R.PENDING: {**dict.fromkeys(F, APPLY), F.PENDING: LATER_OR_NONE, F.ACTION: LATER_OR_NONE},
    R.SUCCEEDED: {**dict.fromkeys(F, IGNORE), F.FAILED: APPLY, F.CANCELED: APPLY},
    R.REFUSED: {**dict.fromkeys(F, IGNORE), F.SUCCEEDED: APPLY},
    R.ENDED: dict.fromkeys(F, IGNORE),
}
"""A refund only goes on, from pending to succeeded to failed, so its own steps tell what is later; a pending
one is asked about anyway."""

D, U = DisputeState, DisputeNews
WINS = Row(Rule.APPLY, Rule.APPLY, Rule.ASK, Rule.ADD_DETAILS)
CLOSES = Row(Rule.APPLY, Rule.APPLY, Rule.APPLY, Rule.ADD_DETAILS)
REOPENED = Row(Rule.APPLY, Rule.APPLY, Rule.ADD_DETAILS, Rule.ADD_DETAILS)
"""Stripe opens and closes some disputes within a second: the open one is the earlier then."""
DISPUTE_RULES: Final[Mapping[DisputeState, Mapping[DisputeNews, Row]]] = {
    D.UNKNOWN: dict.fromkeys(U, APPLY),
    D.OPEN: {
        U.SAME: IGNORE, U.CHANGED: WINS, U.ONWARD: WINS, U.BACKWARD: WINS, U.CLOSED: CLOSES,
    },
    D.CLOSED: {
        U.SAME: IGNORE, U.CHANGED: WINS, U.ONWARD: REOPENED, U.BACKWARD: REOPENED, U.CLOSED: WINS,
    },
}  # fmt: skip

W, V = FraudState, FraudNews
FRAUD_RULES: Final[Mapping[FraudState, Mapping[FraudNews, Row]]] = {
    W.UNKNOWN: dict.fromkeys(V, APPLY),
    W.OPEN: {V.OPEN: IGNORE, V.CLOSED: Row(Rule.APPLY, Rule.APPLY, Rule.APPLY, Rule.IGNORE)},
    W.CLOSED: {V.OPEN: LATER_OR_NONE, V.CLOSED: IGNORE},
}
"""Within a second a warning or a review was opened before it was closed."""
