"""The types of Stripe's events as docs/stripe-events.md shows them; run as a module, it writes that page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from models.stripe_events import (
    ENDPOINT_EVENT_TYPES,
    EVENT_GROUP_REASONS,
    EVENT_TYPE_RULES,
    EventUse,
)

PAGE: Final = Path(__file__).parents[2] / "docs" / "stripe-events.md"

HEAD: Final = """\
# Types of Stripe's events

What is done with each type of Stripe's events, and why. The table is code
([models/stripe_events.py](../models/stripe_events.py)); this page is printed from it
(`python -m tests.support.event_types_page`), and a test holds it against all types that the installed SDK
knows: with a new SDK, a new type fails the test until somebody decides.

| use | meaning |
|---|---|
| applied | its facts go to the payment that it belongs to ([stripe-facts.md](stripe-facts.md)) |
| noted | it changes no payment; operators find it in the audit (`/ops/audit`, `WEBHOOK_RECEIVED`) |
| ignored | it is counted, and no more |

An event is answered 200 and counted in `tiffin_stripe_events_total{type,result}`, whatever its use. Not so an
applied or noted one for which Stripe or Kafka could not be asked (503: Stripe sends it again), and one that
can't be read or is of the other mode (400). These and thin events (200, logged) are not counted. A type that
is not here is counted as `undecided` and logged.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_types(), *_subscription(), *_groups()])


def _types() -> Iterator[str]:
    yield "## Types that can concern a payment\n"
    yield "| type | use | what for, or why not |"
    yield "|---|---|---|"
    for use in EventUse:
        for kind, rule in EVENT_TYPE_RULES.items():
            if rule.use is use:
                yield f"| `{kind}` | {rule.use} | {rule.why} |"
    yield ""


def _subscription() -> Iterator[str]:
    yield "## What the endpoint is subscribed to\n"
    yield "`enabled_events` of the webhook endpoint at Stripe:\n"
    yield "```"
    yield from ENDPOINT_EVENT_TYPES
    yield "```\n"


def _groups() -> Iterator[str]:
    yield "## Types that concern no payment\n"
    yield "All types that begin with one of these words are ignored.\n"
    yield "| first word | why |"
    yield "|---|---|"
    groups_by_reason: dict[str, list[str]] = {}
    for group, reason in EVENT_GROUP_REASONS.items():
        groups_by_reason.setdefault(reason, []).append(group)
    for reason, groups in groups_by_reason.items():
        yield f"| {', '.join(f'`{group}`' for group in groups)} | {reason} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
