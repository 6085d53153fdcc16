"""What a rehearsal found: differences by kind, with first orders; their money; what can't be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.rehearsal.compare import DifferenceKind, KindKey
from app.rehearsal.money import MoneyMoved
from models.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.rehearsal.compare import Difference
    from app.rehearsal.order import OrderResult

FIRST_ORDERS: Final = 5
MAX_KINDS: Final = 1_000
"""Kinds of differences that are told apart; what comes beyond them is one kind."""
OTHERS: Final = KindKey("(all)", DifferenceKind.FIELD, "(all)", "(others)")
SHOWN_TEXTS: Final = frozenset(
    {
        "attempt", "bodyHash", "cancelRequested", "causationId", "channel", "code", "commandId", "commandType",
        "correlationId", "currency", "deadline", "effectId", "eventId", "eventType", "failureCode",
        "heldUntil", "idempotencyKey", "issuedAt", "kind", "nextAction", "occurredAt", "orderId", "paymentId",
        "producer", "refundId", "requestedAt", "result", "restaurantId", "retryOf", "status", "stripeChargeId",
        "stripeIntentId", "stripeRefundId", "ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion",
        "content-type", "about", "aboutEventId",
    }
)  # fmt: skip
"""Texts that say nothing of a person. All others are shown only when they are asked for; numbers always are."""


@dataclass(slots=True)
class Example:
    """One order's difference of a kind; JSON values."""

    order_id: str
    before: Any
    after: Any


@dataclass(slots=True)
class KindCount:
    """Differences of a kind. orders: that have it. examples: of the first of them."""

    count: int = 0
    orders: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class Untold:
    """Orders of which nothing can be said, for one reason; the first of them."""

    orders: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RehearsalReport:
    """The sums. Its size does not grow with the number of orders.

    money: currency -> of the orders that differ, before and after. unanswered: orders for which Stripe would
    have been asked for something that it was not asked for.
    """

    orders: int = 0
    inputs: int = 0
    outputs: int = 0
    differing: int = 0
    unanswered: int = 0
    kinds: dict[KindKey, KindCount] = field(default_factory=dict)
    money: dict[str, tuple[MoneyMoved, MoneyMoved]] = field(default_factory=dict)
    untold: dict[str, Untold] = field(default_factory=dict)

    def add(self, result: OrderResult) -> None:
        """Count one order."""
        if result.untold:
            self.say_nothing_of(result.order_id, result.untold)
            return
        self.orders += result.inputs > 0
        self.inputs += result.inputs
        self.outputs += result.outputs
        self.unanswered += result.unanswered
        if not result.differences:
            return
        self.differing += 1
        for currency in sorted({*result.before, *result.after}):
            was, now = self.money.get(currency, (MoneyMoved(), MoneyMoved()))
            added = (each.get(currency, MoneyMoved()) for each in (result.before, result.after))
            before, after = added
            self.money[currency] = was.plus(before), now.plus(after)
        seen: set[KindKey] = set()
        for each in result.differences:
            self._count(result.order_id, each, seen)

    def say_nothing_of(self, order_id: str, why: str) -> None:
        """Count an order of which nothing can be said."""
        untold = self.untold.setdefault(why, Untold())
        untold.orders += 1
        if len(untold.examples) < FIRST_ORDERS:
            untold.examples.append(order_id)

    def _count(self, order_id: str, found: Difference, seen: set[KindKey]) -> None:
        key = found.kind
        if key not in self.kinds and len(self.kinds) >= MAX_KINDS:
            key = OTHERS
        kind = self.kinds.setdefault(key, KindCount())
        kind.count += 1
        if key in seen:
            return
        seen.add(key)
        kind.orders += 1
        if len(kind.examples) < FIRST_ORDERS:
            kind.examples.append(Example(order_id, found.before, found.after))


def sorted_kinds(report: RehearsalReport) -> list[tuple[KindKey, KindCount]]:
    """The kinds, those of most orders first."""
    return sorted(report.kinds.items(), key=lambda item: (-item[1].orders, item[0]))


def masked(value: Any, name: str = "") -> Any:
    """A value without what may be a person's: texts of fields that are not known to say nothing of one."""
    if isinstance(value, dict):
        return {key: masked(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, name) for inner in value]
    if isinstance(value, str) and name.rpartition(".")[2] not in SHOWN_TEXTS:
        return f"({counted(len(value), 'character', 'characters')})"
    return value


def as_json(
    report: RehearsalReport, accepted: Iterable[KindKey] = (), *, with_values: bool = False
) -> dict[str, Any]:
    """The report as JSON values. with_values: texts that may be of persons too."""
    known = frozenset(accepted)
    return {
        "orders": report.orders, "inputs": report.inputs, "outputs": report.outputs,
        "differing": report.differing, "unanswered": report.unanswered,
        "differences": [
            {
                **key_as_json(key), "count": kind.count, "orders": kind.orders, "accepted": key in known,
                "first": [
                    {"orderId": each.order_id, **_values(each, key, with_values=with_values)}
                    for each in kind.examples
                ],
            }
            for key, kind in sorted_kinds(report)
        ],
        "money": {
            currency: {"before": before._asdict(), "after": after._asdict()}
            for currency, (before, after) in sorted(report.money.items())
        },
        "untold": [
            {"why": why, "orders": each.orders, "first": each.examples}
            for why, each in sorted(report.untold.items())
        ],
    }  # fmt: skip


def key_as_json(key: KindKey) -> dict[str, str]:
    """What names a kind, in --json and in a file of accepted differences."""
    return {**key._asdict(), "kind": str(key.kind)}


def _values(each: Example, key: KindKey, *, with_values: bool) -> Mapping[str, Any]:
    name = "eventType" if key.kind is DifferenceKind.TYPE else key.field
    values = {"before": each.before, "after": each.after}
    return values if with_values else {at: masked(value, name) for at, value in values.items()}
