"""What a try at an effect reports."""

from __future__ import annotations

from typing import cast

import pytest
from msgspec import structs

from app.stripe.effect_attempt import (
    MAX_MISMATCHED_TRIES,
    MISMATCH_WAIT_S,
    EffectAttempt,
    EffectAttemptRunner,
)
from app.stripe.errors import (
    IDEMPOTENCY_MISMATCH,
    DeclinedError,
    InvalidError,
    MisconfiguredError,
)
from app.stripe.gateway import StripeGateway
from models.commands import ResultKind
from models.payment import Effect, EffectKind
from models.stripe_facts import UNKNOWN_OBJECT, IntentFacts, parse_intent


@pytest.mark.parametrize("kind", [EffectKind.CREATE_INTENT, EffectKind.REFUND, EffectKind.CANCEL])
async def test_a_decline_of_anything_but_a_charge_is_a_refusal(kind: EffectKind) -> None:
    """No answer of Stripe's stand-in is one; what Stripe may answer some day must not hang."""

    class Declines:
        async def _decline(self, *_: object) -> None:
            raise DeclinedError("card_declined", "no", None)

        create_intent = cancel = refund = _decline

        async def find_intent(self, *_: object, **__: object) -> None:
            return None

        async def list_refunds(self, *_: object) -> list[object]:
            return []

        async def retrieve_intent(self, _: str) -> IntentFacts:
            return parse_intent(
                {"id": "pi_1", "status": "processing", "amount": 1, "currency": "inr"}
            )

    effect = Effect(
        effect_id="e", kind=kind, intent_id="pi_1", requested_at=0,
        body={"metadata": {"refundId": "refund_1"}},
    )  # fmt: skip
    runner = EffectAttemptRunner(cast("StripeGateway", Declines()), 90, lambda: 1.0)
    result = await runner.run(EffectAttempt("order_1", effect, "c", {}, is_unknown=False))
    assert result
    assert result.result is ResultKind.INVALID


@pytest.mark.parametrize("status", ["requires_payment_method", "requires_action"])
async def test_a_confirm_that_is_too_late_tells_how_the_intent_was_found(status: str) -> None:
    """From that time on older news is old; an action that waits may be this attempt's."""

    class Undone:
        async def retrieve_intent(self, _: str) -> IntentFacts:
            return parse_intent(
                {"id": "pi_1", "status": status, "amount": 1, "currency": "inr"}, as_of=200
            )

    effect = Effect(
        effect_id="e", kind=EffectKind.CONFIRM, intent_id="pi_1", attempt=2, requested_at=0, body={}
    )
    runner = EffectAttemptRunner(cast("StripeGateway", Undone()), 90, lambda: 200.0)
    result = await runner.run(EffectAttempt("order_1", effect, "c", {}, is_unknown=True))
    assert result
    assert (result.result, result.code) == (ResultKind.NOT_SUBMITTED, "no_charge_in_time")
    is_told = status == "requires_payment_method"
    assert (result.intent.as_of if result.intent else None) == (200 if is_told else None)


@pytest.mark.parametrize("is_unknown", [True, False])
@pytest.mark.parametrize("kind", [EffectKind.CANCEL, EffectKind.CONFIRM])
async def test_a_write_to_an_intent_that_stripe_does_not_know_comes_to_an_end(
    kind: EffectKind, *, is_unknown: bool
) -> None:
    """What is sure to have charged nothing is refused; a confirm that may have been made is not."""

    class Missing:
        async def _missing(self, *_: object) -> None:
            raise InvalidError(UNKNOWN_OBJECT, "No such payment_intent")

        retrieve_intent = cancel = confirm = _missing

    effect = Effect(effect_id="e", kind=kind, intent_id="pi_1", attempt=1, requested_at=0, body={})
    now_s = [1.0]
    runner = EffectAttemptRunner(cast("StripeGateway", Missing()), 90, lambda: now_s[0])
    attempt = EffectAttempt("order_1", effect, "c", {}, is_unknown=is_unknown)
    may_be_charged = kind is EffectKind.CONFIRM and is_unknown
    if may_be_charged:
        with pytest.raises(MisconfiguredError):
            await runner.run(attempt)
        now_s[0] = 91.0
    result = await runner.run(attempt)
    assert result
    expected = ResultKind.CONFLICT if may_be_charged else ResultKind.INVALID
    assert (result.result, result.code, result.intent) == (expected, UNKNOWN_OBJECT, None)


@pytest.mark.parametrize("kind", [EffectKind.CREATE_INTENT, EffectKind.REFUND])
async def test_a_write_that_was_begun_with_another_mark_is_made_anew_once_that_one_is_over(
    kind: EffectKind,
) -> None:
    """A worker that knew another platform id began it, and Stripe keeps a 500 for the key."""
    now_s = 1000.0

    class Mismatches:
        async def _refuse(self, *_: object) -> None:
            raise InvalidError(IDEMPOTENCY_MISMATCH)

        create_intent = refund = _refuse

        async def find_intent(self, *_: object, **__: object) -> None:
            return None

        async def list_refunds(self, *_: object) -> list[object]:
            return []

    effect = Effect(
        effect_id="e", kind=kind, intent_id="pi_1", requested_at=0,
        body={"metadata": {"refundId": "refund_1"}},
    )  # fmt: skip
    runner = EffectAttemptRunner(cast("StripeGateway", Mismatches()), 90, lambda: now_s)
    attempt = EffectAttempt("order_1", effect, "c", {}, is_unknown=False)
    assert await runner.run(attempt) is None, "the other request may be under way"
    now_s += MISMATCH_WAIT_S
    result = await runner.run(attempt)
    assert result
    assert (result.result, result.code) == (ResultKind.TRY_AGAIN, IDEMPOTENCY_MISMATCH)
    attempt.effect = structs.replace(effect, tries=MAX_MISMATCHED_TRIES)
    result = await runner.run(attempt)
    assert result
    assert result.result is ResultKind.INVALID, "it does not go on for ever unseen"


async def test_a_refund_whose_answer_cannot_be_read_is_looked_up_before_it_is_asked_for_again() -> (
    None
):
    """It may have been made, and after a day Stripe has forgotten its key."""
    asked: list[str] = []

    class Unreadable:
        async def refund(self, *_: object) -> None:
            asked.append("refund")
            raise ValueError("amount: expected int")

        async def list_refunds(self, *_: object) -> list[object]:
            asked.append("list")
            return []

    effect = Effect(
        effect_id="e", kind=EffectKind.REFUND, intent_id="pi_1", requested_at=0,
        body={"metadata": {"refundId": "refund_1"}},
    )  # fmt: skip
    runner = EffectAttemptRunner(cast("StripeGateway", Unreadable()), 90, lambda: 1.0)
    attempt = EffectAttempt("order_1", effect, "c", {}, is_unknown=False)
    for _ in range(2):
        with pytest.raises(ValueError, match="amount"):
            await runner.run(attempt)
    assert asked == ["refund", "list", "refund"]
