"""One pending Stripe write: sent, looked up while its fate is unknown, and told apart how it ended.

What decides is always Stripe's word. A write whose answer did not come is looked up; where that
shows nothing, it is sent again with the same key and body, which Stripe executes once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.stripe.errors import (
    IDEMPOTENCY_MISMATCH,
    DeclinedError,
    GatewayError,
    InvalidError,
    MisconfiguredError,
    StateConflictError,
    UnknownOutcomeError,
)
from app.stripe.gateway import StripeGateway
from models import ids
from models.commands import ResultKind, StripeResult
from models.errors import StripeUnavailableError
from models.payment import Effect, EffectKind, is_charge_of_attempt
from models.stripe_facts import UNKNOWN_OBJECT, IntentFacts, one_line

IDEMPOTENCY_KEY_TTL_S: Final = 24 * 3600
"""Stripe keeps the answers of idempotency keys at least this long."""
CREATE_LOOKBACK_S: Final = 3600
"""How far before its latest try an intent may have been created."""
MAX_CONFIRM_TRIES: Final = 5
"""Nobody waits longer at a checkout: then a confirm that Stripe fails to take is NOT_SUBMITTED."""
MISMATCH_WAIT_S: Final = 120
"""After its key was refused for another body: longer than the request with that body can be under way."""
MAX_MISMATCHED_TRIES: Final = 5
"""Then the keys are another platform's: what was asked for fails, and operators see it."""

CONFIRMED_INTENT_STATUSES: Final = frozenset({"succeeded", "processing", "requires_capture"})


@dataclass(slots=True)
class EffectAttempt:
    """A pending effect, and what this process knows of its fate.

    correlation_id: of the payment. charges: payment's attempt -> charge id, where known. is_unknown: it may
    have been made. stored_errors: how often Stripe answered 500, which it keeps for the key. is_final: so
    the key will never bring anything else. mismatched_s: when Stripe first refused the key, as that of another
    body; seconds since the epoch. seen: the payment intent as it was last looked up.
    """

    order_id: str
    effect: Effect
    correlation_id: str
    charges: Mapping[int, str]
    is_unknown: bool
    stored_errors: int = 0
    is_final: bool = False
    mismatched_s: float | None = None
    seen: IntentFacts | None = None


@dataclass(frozen=True, slots=True)
class EffectAttemptRunner:
    """Performs attempts, one step at a time.

    confirm_deadline_s: counted from when the effect was requested; no confirm is sent later.
    """

    gateway: StripeGateway
    confirm_deadline_s: float
    now_s: Callable[[], float]

    async def run(self, attempt: EffectAttempt) -> StripeResult | None:
        """Give the result, or None when it is not known yet: run it again after a pause.

        Raises StripeUnavailableError when Stripe could not be asked; run it again after a pause.
        """
        try:
            return await self._run(attempt)
        except InvalidError as error:
            return self._unreadable(attempt, error)

    def _unreadable(self, attempt: EffectAttempt, error: InvalidError) -> StripeResult:
        """Stripe refuses the look-up: it knows no such object, most likely since the key is of another account.

        A cancel charges nothing. Of another write that may have been made nobody may say that it failed: the
        right key is waited for, for a confirm only until it is late; then payments leaves it to an operator.
        """
        effect = attempt.effect
        is_unknown_object = error.code == UNKNOWN_OBJECT
        kind = ResultKind.INVALID
        if attempt.is_unknown and not (is_unknown_object and effect.kind is EffectKind.CANCEL):
            if not (is_unknown_object and self._is_late(effect)):
                raise MisconfiguredError(
                    f"{error.code}: is the key of this account and mode?"
                ) from None
            kind = ResultKind.CONFLICT
        return _result(effect, kind, code=error.code, message=error.message)

    async def _run(self, attempt: EffectAttempt) -> StripeResult | None:
        if attempt.is_unknown or self._is_late(attempt.effect):
            result = await self._look_up(attempt) or self._conclude(attempt)
            if result:
                return result
        try:
            return await self._send(attempt)
        except UnknownOutcomeError as error:
            attempt.is_unknown = True
            attempt.stored_errors += error.is_stored
            attempt.is_final = error.is_replayed or attempt.stored_errors > 1
        except (GatewayError, StripeUnavailableError):
            raise
        except (
            Exception
        ):  # its answer can't be read: it may have been made, also when the key is forgotten
            attempt.is_unknown = True
            raise
        return await self._look_up(attempt) or self._conclude(attempt)

    async def _send(self, attempt: EffectAttempt) -> StripeResult | None:
        effect = attempt.effect
        try:
            return await self._write(effect)
        except DeclinedError as error:
            if effect.kind is not EffectKind.CONFIRM:
                return await self._refused(attempt, InvalidError(error.code, error.message))
            # Without the intent the charge is not known, and payments could not tell whose it is.
            intent = error.intent or await self._retrieve(attempt)
            return _result(
                effect, ResultKind.DECLINED, intent=intent, code=error.code, message=error.message
            )
        except (StateConflictError, InvalidError) as error:
            return await self._refused(attempt, error)

    async def _write(self, effect: Effect) -> StripeResult:
        key, body = effect.idempotency_key, effect.body
        match effect.kind:
            case EffectKind.CREATE_INTENT:
                intent = await self.gateway.create_intent(body, key)
            case EffectKind.CONFIRM:
                intent = await self.gateway.confirm(effect.intent_id or "", body, key)
            case EffectKind.CANCEL:
                intent = await self.gateway.cancel(effect.intent_id or "", body, key)
            case EffectKind.REFUND:
                refund = await self.gateway.refund(body, key)
                return _result(effect, ResultKind.DONE, refund=refund)
        return _result(effect, ResultKind.DONE, intent=intent)

    async def _refused(
        self, attempt: EffectAttempt, error: StateConflictError | InvalidError
    ) -> StripeResult | None:
        """A refusal is believed only if an earlier try did not do the very thing."""
        effect = attempt.effect
        if isinstance(error, InvalidError):
            done = await self._look_up(attempt, is_thorough=True)
            if not done and self._is_begun_elsewhere(attempt, error):
                return self._conclude_mismatch(attempt)
            return done or _result(
                effect, ResultKind.INVALID, code=error.code, message=error.message
            )
        if effect.kind is EffectKind.CONFIRM:
            await self._retrieve(attempt)
        elif done := await self._look_up(attempt, is_thorough=True):
            return done
        return _result(
            effect, ResultKind.CONFLICT, intent=attempt.seen, code=error.code, message=error.message
        )

    def _is_begun_elsewhere(self, attempt: EffectAttempt, error: InvalidError) -> bool:
        """Whether a worker that knew another mark of ours sent it first, and nothing came of that."""
        effect = attempt.effect
        is_marked = effect.kind in {EffectKind.CREATE_INTENT, EffectKind.REFUND}
        is_mismatch = error.code == IDEMPOTENCY_MISMATCH
        return is_marked and is_mismatch and effect.tries < MAX_MISMATCHED_TRIES

    def _conclude_mismatch(self, attempt: EffectAttempt) -> StripeResult | None:
        """A new key, once the request that began this one can't be under way any more."""
        now_s = self.now_s()
        attempt.mismatched_s = attempt.mismatched_s or now_s
        if now_s - attempt.mismatched_s < MISMATCH_WAIT_S:
            return None
        return _result(attempt.effect, ResultKind.TRY_AGAIN, code=IDEMPOTENCY_MISMATCH)

    def _conclude(self, attempt: EffectAttempt) -> StripeResult | None:
        """What follows when a look-up shows nothing: it is too late, the key is spent, or not yet."""
        effect = attempt.effect
        if self._is_late(effect):
            return _not_submitted(attempt, "no_charge_in_time")
        if not attempt.is_final:
            return None
        if effect.kind is EffectKind.CONFIRM and effect.tries >= MAX_CONFIRM_TRIES:
            return _not_submitted(attempt, "stripe_error")
        return _result(effect, ResultKind.TRY_AGAIN, code="stripe_error")

    async def _look_up(
        self, attempt: EffectAttempt, *, is_thorough: bool = False
    ) -> StripeResult | None:
        """Ask Stripe what became of it; None when nothing tells, or shows, that it was made."""
        match attempt.effect.kind:
            case EffectKind.CREATE_INTENT:
                return await self._look_up_create(attempt, is_thorough=is_thorough)
            case EffectKind.CONFIRM:
                return await self._look_up_confirm(attempt)
            case EffectKind.CANCEL:
                return await self._look_up_cancel(attempt)
            case EffectKind.REFUND:
                return await self._look_up_refund(attempt)

    async def _look_up_create(
        self, attempt: EffectAttempt, *, is_thorough: bool
    ) -> StripeResult | None:
        effect = attempt.effect
        requested_s, now_s = effect.requested_at / 1000, self.now_s()
        is_key_alive = now_s - requested_s < IDEMPOTENCY_KEY_TTL_S
        if is_key_alive and not attempt.is_final and not is_thorough:
            return None  # sending it again with its key tells more than a list
        intent = await self.gateway.find_intent(
            ids.payment_id(attempt.order_id),
            created_after_s=requested_s - CREATE_LOOKBACK_S,
            created_before_s=now_s,
        )
        return _result(effect, ResultKind.DONE, intent=intent) if intent else None

    async def _look_up_confirm(self, attempt: EffectAttempt) -> StripeResult | None:
        effect, seen = attempt.effect, await self._retrieve(attempt)
        # From the second attempt on, what waits for the customer's bank may be an earlier card.
        is_at_the_bank = seen.status == "requires_action" and effect.attempt == 1
        if seen.status in CONFIRMED_INTENT_STATUSES or is_at_the_bank:
            return _result(effect, ResultKind.DONE, intent=seen)
        if seen.status == "canceled":
            return _result(effect, ResultKind.CONFLICT, intent=seen, code="canceled")
        # The error of an earlier attempt stays on the intent: only its charge tells them apart.
        error = seen.error
        if error and is_charge_of_attempt(error.charge_id, effect.attempt, attempt.charges):
            return _result(
                effect, ResultKind.DECLINED, intent=seen, code=error.code, message=error.message
            )
        return None

    async def _look_up_cancel(self, attempt: EffectAttempt) -> StripeResult | None:
        effect, seen = attempt.effect, await self._retrieve(attempt)
        if seen.status == "canceled":
            return _result(effect, ResultKind.DONE, intent=seen)
        if seen.status == "succeeded":
            return _result(effect, ResultKind.CONFLICT, intent=seen, code="succeeded")
        return None

    async def _look_up_refund(self, attempt: EffectAttempt) -> StripeResult | None:
        effect = attempt.effect
        wanted = effect.body["metadata"]["refundId"]
        refunds = await self.gateway.list_refunds(effect.intent_id or "")
        mine = next((refund for refund in refunds if refund.refund_id == wanted), None)
        return _result(effect, ResultKind.DONE, refund=mine) if mine else None

    async def _retrieve(self, attempt: EffectAttempt) -> IntentFacts:
        attempt.seen = await self.gateway.retrieve_intent(attempt.effect.intent_id or "")
        return attempt.seen

    def _is_late(self, effect: Effect) -> bool:
        """A confirm that old is not wanted any more: its customer has been told, or has gone."""
        age_s = self.now_s() - effect.requested_at / 1000
        return effect.kind is EffectKind.CONFIRM and age_s > self.confirm_deadline_s


def _not_submitted(attempt: EffectAttempt, code: str) -> StripeResult:
    """With the intent as it was found: older news of it is of no use any more.

    But what waits for the customer's bank may be this very confirm, whose news is yet to count.
    """
    seen = attempt.seen
    is_undone = seen is not None and seen.status != "requires_action"
    intent = seen if is_undone else None
    return _result(attempt.effect, ResultKind.NOT_SUBMITTED, intent=intent, code=code)


def _result(effect: Effect, kind: ResultKind, **facts: Any) -> StripeResult:
    for name in {"code", "message"} & facts.keys():
        facts[name] = one_line(facts[name])
    key = effect.idempotency_key
    return StripeResult(effect_id=effect.effect_id, idempotency_key=key, result=kind, **facts)
