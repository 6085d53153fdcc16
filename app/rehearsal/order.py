"""Rehearses one order: from its history to what this build, or a setting, would have done otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.rehearsal.cascade import Cascade, DeadlineRule, is_deadline_missed
from app.rehearsal.compare import Difference, differences
from app.rehearsal.fold import ServiceFold, ServiceSet, fold, inputs_of
from app.rehearsal.history import OrderHistory, SentRecord
from app.rehearsal.money import MoneyMoved, money_of
from models.commands import CommandType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BEGAN_BEFORE: Final = (
    "it began before, and no table's record of it since is left in Kafka with inputs behind it"
)
DIFFERS_ALREADY: Final = "this build decides it otherwise already, with the settings as they are"


@dataclass(frozen=True, slots=True)
class OrderResult:
    """What came of one order. untold: why nothing can be said of it; "": something can.

    before, after: currency -> money. unanswered: Stripe would have been asked for something that it was not
    asked for.
    """

    order_id: str
    untold: str = ""
    inputs: int = 0
    outputs: int = 0
    differences: Sequence[Difference] = ()
    before: Mapping[str, MoneyMoved] = field(default_factory=dict)
    after: Mapping[str, MoneyMoved] = field(default_factory=dict)
    unanswered: bool = False


def begins_here(history: OrderHistory) -> bool:
    """Whether the order's first record is among those that were read: nothing came or was sent before it."""
    first = min(history.records, key=lambda record: record.at_ms)
    return first.type == CommandType.PLACE_ORDER and history.is_counted_from_one


def rehearse_order(
    build: ServiceSet, history: OrderHistory, rule: DeadlineRule, what_if: ServiceSet | None = None
) -> OrderResult:
    """Decide an order again. what_if: the same build with other settings, which are then what is compared."""
    names = build.services if history.cuts is None else sorted(history.cuts)
    given = {name: lanes for name in names if (lanes := inputs_of(build, history, name))}
    if not given:
        # Whole, without any input: an operator's notes, or records that no service reads.
        return OrderResult(history.order_id, "" if history.cuts is None else BEGAN_BEFORE)
    folds = {name: fold(build, history, name, lanes) for name, lanes in given.items()}
    before = {name: _sent_before(each) for name, each in folds.items()}
    inputs, outputs = sum(len(f.decided) for f in folds.values()), sum(map(len, before.values()))
    is_same = all(each.is_same for each in folds.values())
    if what_if is None:
        orders = folds.get("orders")
        is_missed = orders is not None and is_deadline_missed(history, orders, rule)
        if is_same and not is_missed:
            return OrderResult(history.order_id, inputs=inputs, outputs=outputs)
    elif not is_same:
        return OrderResult(history.order_id, DIFFERS_ALREADY)
    played = Cascade(what_if or build, history, folds, rule).play()
    found = [each for name in folds for each in differences(name, before[name], played.sent[name])]
    was = money_of(before.get("payments", ()))
    now = money_of(played.sent.get("payments", ()), played.payments, played.unanswered)
    return OrderResult(
        history.order_id, inputs=inputs, outputs=outputs, differences=found, before=was, after=now,
        unanswered=bool(played.unanswered),
    )  # fmt: skip


def _sent_before(folded: ServiceFold) -> list[SentRecord]:
    """What a service sent because of the inputs that are decided again."""
    return [sent for decided in folded.decided for sent in decided.was_sent]
