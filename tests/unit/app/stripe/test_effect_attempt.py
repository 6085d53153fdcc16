"""What a try at an effect reports."""

from __future__ import annotations

from typing import cast

import pytest

from app.stripe.effect_attempt import EffectAttempt, EffectAttemptRunner
from app.stripe.errors import DeclinedError
from app.stripe.gateway import StripeGateway
from models.commands import ResultKind
from models.payment import Effect, EffectKind
from models.stripe_facts import IntentFacts, parse_intent


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
