"""Every type of Stripe's events is decided: the table against the installed SDK's list."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import stripe
from stripe.params import WebhookEndpointCreateParams

from models.stripe_events import (
    APPLIED_EVENT_TYPES,
    ENDPOINT_EVENT_TYPES,
    EVENT_GROUP_REASONS,
    EVENT_TYPE_RULES,
    EventUse,
    rule_of_event_type,
)
from tests.support import event_types_page


def sdk_types() -> set[str]:
    """Those that an event may have, and those that an endpoint may be subscribed to."""
    event: Any = stripe.Event.__annotations__["type"]
    endpoint: Any = get_args(WebhookEndpointCreateParams.__annotations__["enabled_events"])[0]
    return (set(get_args(event)) | set(get_args(endpoint))) - {"*"}


def test_the_sdk_has_a_list() -> None:
    assert len(sdk_types()) > 250
    assert "payment_intent.succeeded" in sdk_types()


def test_every_type_of_the_sdk_is_decided() -> None:
    undecided = {kind for kind in sdk_types() if rule_of_event_type(kind).use is EventUse.UNDECIDED}
    assert not undecided, "decide them in models/stripe_events.py"


@pytest.mark.parametrize(
    "kind",
    ["refund.reversed", "charge.dispute.reopened", "payment_record.reported", "review.changed"],
)
def test_a_new_type_and_a_new_group_are_undecided(kind: str) -> None:
    assert rule_of_event_type(kind).use is EventUse.UNDECIDED


def test_the_table_has_no_type_and_no_group_that_the_sdk_does_not_know() -> None:
    assert set(EVENT_TYPE_RULES) <= sdk_types()
    assert set(EVENT_GROUP_REASONS) <= {kind.partition(".")[0] for kind in sdk_types()}


def test_a_group_is_decided_as_a_whole_or_type_by_type() -> None:
    assert not set(EVENT_GROUP_REASONS) & {kind.partition(".")[0] for kind in EVENT_TYPE_RULES}


def test_every_decision_has_a_reason() -> None:
    assert all(rule.why for rule in EVENT_TYPE_RULES.values())
    assert all(EVENT_GROUP_REASONS.values())


def test_the_endpoint_gets_what_is_applied_or_noted() -> None:
    assert set(APPLIED_EVENT_TYPES) < set(ENDPOINT_EVENT_TYPES)
    assert all(
        (rule_of_event_type(kind).use in {EventUse.APPLIED, EventUse.NOTED})
        is (kind in ENDPOINT_EVENT_TYPES)
        for kind in sdk_types()
    )


def test_the_page_of_the_types_is_printed_from_the_table() -> None:
    printed = event_types_page.page()
    assert event_types_page.PAGE.read_text() == printed, "python -m tests.support.event_types_page"


def test_the_applied_types_fit_into_one_list_of_events() -> None:
    """Its `types` takes at most 20 (https://docs.stripe.com/api/events/list)."""
    assert len(APPLIED_EVENT_TYPES) <= 20
