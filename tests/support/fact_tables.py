"""The rules for Stripe's facts as docs/stripe-facts.md shows them; run as a module, it writes that page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agents.payments.fact_rules import (
    DISPUTE_RULES,
    FRAUD_RULES,
    INTENT_RULES,
    REFUND_RULES,
    Age,
    Row,
)

PAGE: Final = Path(__file__).parents[2] / "docs" / "stripe-facts.md"

HEAD: Final = """\
# What Stripe says, and what happens

Stripe's word reaches Tiffin as webhooks, as answers to requests, and as look-ups. It comes late, twice and in
any order, and an endpoint may send an older API version's form. One table says what each piece of news does to
what is known. It is code ([agents/payments/fact_rules.py](../agents/payments/fact_rules.py)), this page is
printed from it, and a property test delivers random true histories in any order, with repetitions and in old
forms, and requires that all of them end in the truth
([tests/unit/agents/payments/test_fact_rules.py](../tests/unit/agents/payments/test_fact_rules.py)).

Which of two facts is later, Stripe's own clock tells, in whole seconds: `created` of a webhook's event, the
Date header of an answer (but of one that is repeated for an idempotency key, which is as old as the first). The
newest time of each object is kept in the payment's work (`seenAt`).

- **answer**: it was asked for, about this very attempt or object, and is not older than what is known.
- **newer**, **older**: than the newest fact that was taken of the same object.
- **same second**: nothing tells; or one of the two has no time, as records of earlier versions.

| rule | meaning |
|---|---|
| apply | it is Stripe's word |
| add details | only what is not known yet is taken: charge, receipt, due date |
| ask Stripe | it contradicts what is known, and which is later can't be told: a look-up decides |
| count | a charge failed without a confirm of ours: at the limit of attempts Stripe cancels the payment |
| report | it can't be: operators see an anomaly |
| ignore | nothing changes |

Whether a failed charge is this attempt's is told by its id: see `is_charge_of_attempt` in
[models/payment.py](../models/payment.py).
"""

TITLES: Final[Mapping[str, Any]] = {
    "Payment intents": INTENT_RULES,
    "Refunds": REFUND_RULES,
    "Disputes": DISPUTE_RULES,
    "Early fraud warnings and reviews": FRAUD_RULES,
}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for title in TITLES for line in _table(title))])


def _table(title: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"| known | news | {' | '.join(Age)} |"
    yield "|---" * (2 + len(Age)) + "|"
    for state, rows in TITLES[title].items():
        by_row: dict[Row, list[str]] = {}
        for news, row in rows.items():
            by_row.setdefault(row, []).append(news)
        for row, news_of_row in by_row.items():
            is_all = len(by_row) == 1
            told = "anything" if is_all else "<br>".join(news_of_row)
            yield f"| {state} | {told} | {' | '.join(row)} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
