"""Effects against Stripe's stand-in: whatever fails when, the truth is found and money moves once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs

from app.stripe.effects import EffectsService
from app.stripe.errors import DeclinedError
from app.stripe.gateway import StripeGateway
from app.stripe.reconciler import Reconciler
from models import ids
from models.commands import (
    CancelPayment,
    CommandType,
    ConfirmPayment,
    InitiatePayment,
    NoData,
    RefundPayment,
    ResultKind,
)
from models.events import EventType
from models.graphs import PaymentStatus, RefundStatus
from models.messages import encode
from models.payment import (
    Effect,
    EffectKind,
    PaymentRecord,
    PaymentWork,
)
from models.stripe_facts import IntentFacts
from models.stuck import waiting
from sandbox.stripe import StripeSandbox
from sandbox.stripe.disputes import close_dispute, open_dispute
from sandbox.stripe.faults import Fault
from tables import StoredRecord
from tests.integration.effects_harness import AMOUNT, EffectsHarness

P = PaymentStatus
FAULTS = [
    "timeout_before",
    "timeout_after",
    "drop_before",
    "drop_after",
    "error_500_before",
    "error_500_after",
    "rate_limit",
]
PATHS = {
    "create": "/payment_intents$",
    "confirm": "/confirm$",
    "refund": "/refunds$",
    "cancel": "/cancel$",
}


@pytest.fixture
async def world() -> AsyncIterator[EffectsHarness]:
    async with StripeSandbox(settle_delay_s=None) as stripe:
        yield EffectsHarness(stripe)


@pytest.fixture
async def gateway(world: EffectsHarness) -> AsyncIterator[StripeGateway]:
    made = StripeGateway(
        "sk_test_x", base_url=world.stripe.base_url, write_timeout_s=0.3, rate_per_s=1000
    )
    yield made
    await made.close()


@pytest.fixture
async def effects(world: EffectsHarness, gateway: StripeGateway) -> AsyncIterator[EffectsService]:
    service = world.effects(gateway)
    yield service
    await service.stop()


async def confirm(world: EffectsHarness, method: str = "pm_card_visa") -> None:
    data = ConfirmPayment(payment_method_id=method, return_url="http://localhost/")
    outcome = await world.order(CommandType.CONFIRM_PAYMENT, data)
    assert outcome
    assert outcome.accepted, outcome


async def pay(world: EffectsHarness, method: str = "pm_card_visa") -> None:
    await world.open()
    await confirm(world, method)
    await world.until_status(P.COMPLETED)


def charges(world: EffectsHarness) -> list[str]:
    intent_id = world.known_payment.stripe_intent_id
    return [charge["status"] for charge in world.stripe.state.charges_of(intent_id)]


@pytest.mark.usefixtures("effects")
async def test_paid(world: EffectsHarness, gateway: StripeGateway) -> None:
    await pay(world)
    payment = world.known_payment
    assert (payment.captured, payment.attempt) == (AMOUNT, 1)
    assert payment.receipt_url
    assert charges(world) == ["succeeded"]
    assert [kind for _, kind in world.results()] == [ResultKind.DONE, ResultKind.DONE]
    secret = await gateway.client_secret(payment.stripe_intent_id)
    assert not any(secret.encode() in encode(command) for command in world.commands)


@pytest.mark.usefixtures("effects")
async def test_declined_then_paid(world: EffectsHarness) -> None:
    await world.open()
    await confirm(world, "pm_card_chargeDeclinedInsufficientFunds")
    await world.until_status(P.FAILED)
    assert world.known_payment.failure_reason == "insufficient_funds"
    await confirm(world)
    await world.until_status(P.COMPLETED)
    assert charges(world) == ["failed", "succeeded"]
    assert world.keys("/confirm") == [
        f"confirm:{world.known_payment.payment_id}:{attempt}:1" for attempt in (1, 2)
    ]


@pytest.mark.usefixtures("effects")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", PATHS)
async def test_a_fault_at_any_step_moves_money_once(
    world: EffectsHarness, step: str, fault: str
) -> None:
    world.stripe.api.faults.add(Fault(fault, method="POST", path=PATHS[step]))
    await world.open()
    if step == "cancel":
        await world.order(CommandType.CANCEL_PAYMENT, CancelPayment())
        await world.until_status(P.CANCELLED)
    else:
        await confirm(world)
        await world.until_status(P.COMPLETED)
        await world.order(CommandType.REFUND_PAYMENT, RefundPayment(amount=50_000))
        await world.until(lambda: world.known_payment.refunds)
        assert charges(world) == ["succeeded"]
        refunds = [refund["amount"] for refund in world.stripe.state.refunds.values()]
        assert refunds == [50_000]
        assert world.known_payment.net == AMOUNT - 50_000
    assert len(world.stripe.state.payment_intents) == 1
    tries = {key.rpartition(":")[2] for key in world.keys(PATHS[step].strip("/$"))}
    # Only an answer that Stripe keeps for the key, and that is not the truth, is worth a new one.
    assert tries == ({"1", "2"} if fault == "error_500_before" else {"1"})


@pytest.mark.parametrize("is_released", [True, False])
async def test_crash_between_stripe_and_our_record(
    world: EffectsHarness, gateway: StripeGateway, *, is_released: bool
) -> None:
    first = world.effects(gateway)
    await world.open()
    held = world.stripe.api.faults.add(Fault("hold", path="/confirm$"))
    await confirm(world)
    await world.poll(lambda: held.hits)
    await world.crash(first)
    if is_released:
        held.released.set()
        await world.poll(lambda: charges(world) == ["succeeded"])
    second = world.effects(gateway)
    try:
        if not is_released:
            held.released.set()
        await world.until_status(P.COMPLETED)
        assert charges(world) == ["succeeded"]
        assert world.results()[-1][1] is ResultKind.DONE
        # It looked first, and where that told, it sent nothing more.
        assert len(world.keys("/confirm")) == 1 or not is_released
    finally:
        await second.stop()


async def test_crash_between_our_record_and_stripe(
    world: EffectsHarness, gateway: StripeGateway
) -> None:
    first = world.effects(gateway)
    await world.open()
    await world.crash(first)
    await confirm(world)
    assert world.keys("/confirm") == []
    second = world.effects(gateway)
    try:
        await world.until_status(P.COMPLETED)
        assert charges(world) == ["succeeded"]
    finally:
        await second.stop()


@pytest.mark.parametrize("step", ["create", "refund"])
async def test_a_key_that_stripe_has_forgotten(
    world: EffectsHarness, gateway: StripeGateway, step: str
) -> None:
    first = world.effects(gateway)
    if step == "refund":
        await pay(world)
    fault = world.stripe.api.faults.add(Fault("timeout_after", "POST", PATHS[step], times=None))
    if step == "create":
        data = InitiatePayment(amount=AMOUNT, currency="INR", user_id="guest")
        await world.order(CommandType.INITIATE_PAYMENT, data)
    else:
        await world.order(CommandType.REFUND_PAYMENT, RefundPayment())
    await world.poll(lambda: fault.hits)
    await world.poll(lambda: world.stripe.state.payment_intents)
    await world.crash(first)
    world.stripe.api.faults.clear()
    world.stripe.api.keys.expire(None)
    world.ahead_s = 30 * 3600
    second = world.effects(gateway)
    try:
        if step == "create":
            await world.until(lambda: world.payment is not None)
            assert len(world.stripe.state.payment_intents) == 1
        else:
            await world.until_status(P.REFUNDED)
            assert len(world.stripe.state.refunds) == 1
    finally:
        await second.stop()


@pytest.mark.usefixtures("effects")
async def test_a_refund_asked_for_again_a_day_later_is_the_same_refund(
    world: EffectsHarness,
) -> None:
    await pay(world)
    assert await world.order(CommandType.REFUND_PAYMENT, RefundPayment(amount=1000))
    await world.until(lambda: world.known_payment.refunded == 1000)
    again = next(c for c in world.commands if c.command_type is CommandType.REFUND_PAYMENT)
    world.seen.clear()
    world.stripe.api.keys.expire(None)
    world.ahead_s = 30 * 3600
    await world.send(again)
    outcome = world.outcomes[again.command_id]
    assert outcome
    assert outcome.accepted
    assert not world.record or not world.record.work.effects
    assert len(world.stripe.state.refunds) == 1


@pytest.mark.usefixtures("effects")
async def test_no_charge_in_time_is_not_submitted(world: EffectsHarness) -> None:
    await world.open()
    fault = world.stripe.api.faults.add(Fault("timeout_before", path="/confirm$", times=None))
    await confirm(world)
    await world.poll(lambda: fault.hits > 1)
    assert world.known_payment.status is P.PROCESSING
    world.ahead_s = 100
    await world.until_status(P.FAILED)
    assert world.known_payment.failure_reason == "NOT_SUBMITTED"
    assert set(world.keys("/confirm")) == {f"confirm:{world.known_payment.payment_id}:1:1"}
    world.stripe.api.faults.clear()
    await confirm(world)
    await world.until_status(P.COMPLETED)
    assert charges(world) == ["succeeded"]


async def test_an_old_confirm_is_never_sent(world: EffectsHarness, gateway: StripeGateway) -> None:
    first = world.effects(gateway)
    await world.open()
    await world.crash(first)
    await confirm(world)
    world.ahead_s = 3600
    second = world.effects(gateway)
    try:
        await world.until_status(P.FAILED)
        assert world.keys("/confirm") == []
    finally:
        await second.stop()


@pytest.mark.usefixtures("effects")
async def test_the_error_of_an_earlier_attempt_is_not_believed(world: EffectsHarness) -> None:
    await world.open()
    await confirm(world, "pm_card_visa_chargeDeclined")
    await world.until_status(P.FAILED)
    world.stripe.api.faults.add(Fault("timeout_before", path="/confirm$"))
    await confirm(world)
    await world.until_status(P.COMPLETED, P.FAILED)
    assert world.known_payment.status is P.COMPLETED
    assert charges(world) == ["failed", "succeeded"]


@pytest.mark.usefixtures("effects")
async def test_the_bank_page_of_an_earlier_card_is_not_believed(world: EffectsHarness) -> None:
    await world.open()
    await confirm(world, "pm_card_threeDSecure2Required")
    await world.until(lambda: world.known_payment.next_action)
    world.stripe.api.faults.add(Fault("timeout_before", path="/confirm$"))
    await confirm(world)
    await world.until_status(P.COMPLETED)
    assert charges(world)[-1] == "succeeded"
    assert charges(world).count("succeeded") == 1


@pytest.mark.usefixtures("effects")
async def test_a_cancel_that_comes_too_late(world: EffectsHarness, gateway: StripeGateway) -> None:
    payment = await world.open()
    body = {"payment_method": "pm_card_visa", "return_url": "http://localhost/"}
    await gateway.confirm(payment.stripe_intent_id, body, "from the page")
    await world.order(CommandType.CANCEL_PAYMENT, CancelPayment())
    await world.until_status(P.COMPLETED)
    assert world.results()[-1][1] is ResultKind.CONFLICT


@pytest.mark.usefixtures("effects")
async def test_a_confirm_that_stripe_never_accepts(world: EffectsHarness) -> None:
    await world.open()
    await confirm(world, "pm_nonsense")
    await world.until_status(P.FAILED)
    assert world.known_payment.failure_reason == "INVALID_REQUEST"
    assert world.results()[-1][1] is ResultKind.INVALID


@pytest.mark.usefixtures("effects")
async def test_a_confirm_that_stripe_keeps_failing_ends(world: EffectsHarness) -> None:
    await world.open()
    world.stripe.api.faults.add(Fault("error_500_before", path="/confirm$", times=None))
    await confirm(world)
    await world.until_status(P.FAILED)
    assert world.known_payment.failure_reason == "NOT_SUBMITTED"
    assert len(set(world.keys("/confirm"))) == 5


async def test_results_wait_for_kafka(world: EffectsHarness, effects: EffectsService) -> None:
    payment = await world.open()
    world.stripe.api.faults.add(Fault("latency", path="/confirm$", seconds=0.05))
    await confirm(world)
    world.kafka_fails = 4
    await world.until_status(P.COMPLETED)
    confirmed = [key for key, _ in world.results() if key.startswith("confirm")]
    assert confirmed == [f"confirm:{payment.payment_id}:1:1"]
    assert effects.counters.errors["KafkaUnavailableError"] == 4
    assert effects.counters.results["CONFIRM", "DONE"] == 1
    await world.poll(lambda: effects.pending == 0)


async def test_a_closed_partition_is_left_alone(
    world: EffectsHarness, effects: EffectsService
) -> None:
    await world.open()
    held = world.stripe.api.faults.add(Fault("hold", path="/confirm$"))
    await confirm(world)
    await world.poll(lambda: held.hits)
    effects.closed(0)
    assert effects.pending == 0
    held.released.set()
    await world.poll(lambda: charges(world) == ["succeeded"])
    await world.poll(lambda: effects.counters.in_flight == 0)
    assert len(world.results()) == 1  # that of the create
    # The next owner, here the same worker, finds out.
    world.tell(effects)
    await world.until_status(P.COMPLETED)
    assert len(world.keys("/confirm")) == 1


async def test_an_effect_that_is_not_wanted_any_more_is_given_up(
    world: EffectsHarness, effects: EffectsService
) -> None:
    payment = await world.open()
    fault = world.stripe.api.faults.add(Fault("drop_before", path="/confirm$", times=None))
    await confirm(world)
    await world.poll(lambda: fault.hits)
    # The customer's page had paid meanwhile, and the webhook was first.
    assert world.record
    work = structs.replace(world.record.work, effects={})
    world.record = structs.replace(world.record, work=work)
    world.tell(effects)
    assert effects.pending == 0
    await world.poll(lambda: not effects._tasks)
    assert [key for key, _ in world.results()] == [f"pi:{payment.order_id}:1"]


async def test_misconfigured_is_kept_and_counted(world: EffectsHarness) -> None:
    gateway = StripeGateway("sk_live_x", base_url=world.stripe.base_url)
    effects = world.effects(gateway)
    try:
        data = InitiatePayment(amount=AMOUNT, currency="INR", user_id="guest")
        await world.order(CommandType.INITIATE_PAYMENT, data)
        await world.poll(lambda: effects.counters.errors["MisconfiguredError"] > 2)
        assert effects.pending == 1
        assert world.results() == []
    finally:
        await effects.stop()
        await gateway.close()


@pytest.mark.usefixtures("effects")
async def test_an_intent_that_stripe_does_not_know_ends_the_confirm(world: EffectsHarness) -> None:
    """Nothing was sent that could have been executed: the customer may pay with another order."""
    payment = await world.open()
    del world.stripe.state.payment_intents[payment.stripe_intent_id]
    await confirm(world)
    await world.until_status(P.FAILED)
    assert world.known_payment.failure_code == "resource_missing"
    assert world.record
    assert not world.record.work.effects


async def test_what_may_have_been_charged_is_not_failed_because_the_key_is_of_another_account(
    world: EffectsHarness, gateway: StripeGateway
) -> None:
    first = world.effects(gateway)
    payment = await world.open()
    await world.crash(first)
    await confirm(world)
    hidden = world.stripe.state.payment_intents.pop(payment.stripe_intent_id)
    second = world.effects(gateway)  # it may have been sent before this worker began
    try:
        await world.poll(lambda: second.counters.errors["MisconfiguredError"] > 1)
        assert world.known_payment.status is P.PROCESSING
        world.stripe.state.payment_intents[payment.stripe_intent_id] = hidden
        await world.until_status(P.COMPLETED)
    finally:
        await second.stop()


async def test_a_decline_without_its_intent_is_looked_up(
    world: EffectsHarness, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = gateway.confirm

    async def forgetful(*args: Any) -> IntentFacts:
        try:
            return await honest(*args)
        except DeclinedError as error:
            raise DeclinedError(error.code, error.message, None) from None

    monkeypatch.setattr(gateway, "confirm", forgetful)
    effects = world.effects(gateway)
    try:
        await world.open()
        await confirm(world, "pm_card_visa_chargeDeclined")
        await world.until_status(P.FAILED)
        assert world.known_payment.failure_code == "card_declined"
    finally:
        await effects.stop()


async def test_new_orders_leave_room_for_those_that_pay(
    world: EffectsHarness, gateway: StripeGateway
) -> None:
    effects = world.effects(gateway, concurrency=2)
    try:
        await world.open()
        creates = world.stripe.api.faults.add(Fault("hold", path="/payment_intents$", times=None))
        assert world.record
        for number in range(3):
            key = ids.order_id("guest", str(number))
            effect = Effect(
                effect_id=f"pi:{key}",
                kind=EffectKind.CREATE_INTENT,
                body={"amount": 100, "currency": "usd", "metadata": {"orderId": key}},
                requested_at=round(world.now_s() * 1000) + 1000,
            )
            work = PaymentWork(effects={effect.effect_id: effect})
            record = StoredRecord(key, 1, PaymentRecord(work=work), {}, {}, None)
            effects.updated(1, key, record)
        await world.poll(lambda: creates.hits)
        await confirm(world)
        await world.until_status(P.COMPLETED)
        assert (creates.hits, effects.pending) == (1, 3)
    finally:
        await effects.stop()


# -- the reconciler


@pytest.fixture
async def reconciler(world: EffectsHarness, gateway: StripeGateway) -> AsyncIterator[Reconciler]:
    made = Reconciler(gateway, world, after_s=0.05, interval_s=0.05)
    world.listeners.append(made)
    made.start()
    yield made
    await made.stop()


@pytest.mark.usefixtures("effects")
@pytest.mark.parametrize(("outcome", "status"), [("succeed", P.COMPLETED), ("fail", P.FAILED)])
async def test_a_bank_debit_whose_webhook_never_comes(
    world: EffectsHarness, reconciler: Reconciler, outcome: str, status: P
) -> None:
    payment = await world.open("USD")
    await confirm(world, "pm_usBankAccount_success")
    await world.poll(lambda: reconciler.observed > 1)
    assert world.known_payment.status is P.PROCESSING
    await world.settle(payment_intent=payment.stripe_intent_id, outcome=outcome)
    await world.until_status(status)
    assert reconciler.watched == 0


@pytest.mark.usefixtures("effects")
@pytest.mark.parametrize(
    ("outcome", "status"), [("succeed", RefundStatus.SUCCEEDED), ("fail", RefundStatus.FAILED)]
)
async def test_a_refund_whose_webhook_never_comes(
    world: EffectsHarness, reconciler: Reconciler, outcome: str, status: RefundStatus
) -> None:
    await pay(world, "pm_card_pendingRefund")
    await world.order(CommandType.REFUND_PAYMENT, RefundPayment(amount=1_000))
    await world.poll(lambda: reconciler.observed > 1)
    (refund,) = world.stripe.state.refunds.values()
    await world.settle(refund=refund["id"], outcome=outcome)
    await world.until(lambda: world.known_payment.refunds)
    assert [r.status for r in world.known_payment.refunds.values()] == [status]
    assert reconciler.watched == 0


@pytest.mark.usefixtures("effects")
async def test_a_payment_that_stripe_does_not_know_is_left_to_an_operator(
    world: EffectsHarness, reconciler: Reconciler
) -> None:
    """As with the key of another account: it is asked twice, and again when an operator says so."""
    payment = await world.open("USD")
    await confirm(world, "pm_usBankAccount_success")
    await world.until(lambda: world.record and not world.record.work.effects)
    intents = world.stripe.state.payment_intents
    kept = intents.pop(payment.stripe_intent_id)
    await world.until(lambda: world.record and world.record.work.unknown_since)
    assert (world.known_payment.status, reconciler.watched) == (P.PROCESSING, 0)
    assert [row.rule.state for row in waiting(world.record)] == ["UNKNOWN_AT_STRIPE"]
    intents[payment.stripe_intent_id] = kept
    await world.settle(payment_intent=payment.stripe_intent_id, outcome="succeed")
    await world.order(CommandType.ASK_STRIPE_AGAIN, NoData())
    await world.until_status(P.COMPLETED)


@pytest.mark.usefixtures("effects")
async def test_a_cancel_of_a_payment_that_stripe_does_not_know_is_left_to_an_operator(
    world: EffectsHarness,
) -> None:
    payment = await world.open()
    intents = world.stripe.state.payment_intents
    kept = intents.pop(payment.stripe_intent_id)
    await world.order(CommandType.CANCEL_PAYMENT, CancelPayment())
    await world.until(lambda: world.record and world.record.work.unknown_since)
    assert [row.rule.state for row in waiting(world.record)] == ["UNKNOWN_AT_STRIPE"]
    intents[payment.stripe_intent_id] = kept
    await world.order(CommandType.ASK_STRIPE_AGAIN, NoData())
    await world.until_status(P.CANCELLED)


@pytest.mark.usefixtures("effects")
async def test_a_charge_and_receipt_that_a_webhook_did_not_tell_are_asked_for(
    world: EffectsHarness, reconciler: Reconciler
) -> None:
    payment = await world.open("USD")
    await confirm(world, "pm_usBankAccount_success")
    await world.settle(payment_intent=payment.stripe_intent_id, outcome="succeed")
    intent = world.stripe.state.payment_intents[payment.stripe_intent_id]
    world.webhook("payment_intent.succeeded", {**intent, "latest_charge": None})
    assert world.known_payment.status is P.COMPLETED
    await world.until(lambda: world.known_payment.receipt_url)
    assert world.known_payment.stripe_charge_id == intent["latest_charge"]
    assert reconciler.watched == 0


@pytest.mark.usefixtures("effects")
async def test_a_dispute_decided_twice_in_a_second_ends_as_stripe_has_it(
    world: EffectsHarness, reconciler: Reconciler
) -> None:
    await pay(world, "pm_card_createDispute")
    (dispute,) = world.stripe.state.disputes.values()
    created = int(world.now_s())
    told = dict(dispute)
    close_dispute(world.stripe.state, dispute["id"], "lost")
    close_dispute(world.stripe.state, dispute["id"], "won")
    for kind, status in (("created", "needs_response"), ("closed", "lost"), ("closed", "won")):
        world.dispute_webhook(f"charge.dispute.{kind}", {**told, "status": status}, created)
    await world.until(lambda: world.known_payment.disputes[dispute["id"]].status == "won")
    assert world.record
    assert not world.record.work.doubted_disputes
    assert world.known_payment.net == AMOUNT
    assert reconciler.watched == 0


@pytest.mark.usefixtures("effects")
async def test_a_dispute_that_the_key_may_not_read_keeps_nothing_else_from_being_observed(
    world: EffectsHarness, gateway: StripeGateway
) -> None:
    rights = {"payment_intent_write", "charge_write"}
    world.stripe.state.permissions["sk_test_x"] = frozenset(rights)
    patient = Reconciler(gateway, world, after_s=3600, interval_s=0.2, in_doubt_interval_s=0.05)
    world.listeners.append(patient)
    patient.start()
    try:
        payment = await world.open("USD")
        await confirm(world, "pm_usBankAccount_success")
        await world.settle(payment_intent=payment.stripe_intent_id, outcome="succeed")
        intent = world.stripe.state.payment_intents[payment.stripe_intent_id]
        world.webhook("payment_intent.succeeded", {**intent, "latest_charge": None})
        charge = world.stripe.state.charges[intent["latest_charge"]]
        dispute = open_dispute(world.stripe.state, charge, reason="general", inquiry=False)
        created = int(world.now_s())
        for amount in (AMOUNT - 100, AMOUNT):
            world.dispute_webhook("charge.dispute.updated", {**dispute, "amount": amount}, created)
        await world.until(lambda: world.known_payment.receipt_url)
        assert world.record
        assert world.record.work.doubted_disputes == (dispute["id"],)
        (wait,) = (each for each in waiting(world.record) if each.rule.state == "IN_DOUBT")
        assert (wait.what, wait.rule.actor) == (dispute["id"], "OPERATOR")
        world.stripe.state.permissions.clear()
        await world.poll(lambda: world.record and not world.record.work.doubted_disputes)
        assert not [each for each in waiting(world.record) if each.rule.state == "IN_DOUBT"]
    finally:
        await patient.stop()


@pytest.mark.usefixtures("effects")
async def test_nothing_is_asked_while_a_confirm_is_in_flight(
    world: EffectsHarness, reconciler: Reconciler
) -> None:
    await world.open()
    held = world.stripe.api.faults.add(Fault("timeout_before", path="/confirm$", times=3))
    await confirm(world)
    await world.poll(lambda: held.hits)
    assert world.known_payment.status is P.PROCESSING
    assert reconciler.watched == 0
    await world.until_status(P.COMPLETED)
    assert EventType.PAYMENT_FAILED not in world.types()
    assert reconciler.observed == 0


@pytest.mark.usefixtures("effects")
async def test_a_failed_3d_secure_is_asked_about_at_once(
    world: EffectsHarness, gateway: StripeGateway
) -> None:
    """Its webhook names no charge; nobody waits for the pause that is made without news."""
    patient = Reconciler(gateway, world, after_s=3600, interval_s=3600)
    world.listeners.append(patient)
    patient.start()
    try:
        payment = await world.open()
        await confirm(world, "pm_card_threeDSecure2Required")
        await world.until(lambda: world.known_payment.next_action)
        assert patient.observed == 0
        await world.authenticate(payment.stripe_intent_id, "fail")
        intent = world.stripe.state.payment_intents[payment.stripe_intent_id]
        world.webhook("payment_intent.payment_failed", intent)
        await world.until_status(P.FAILED)
        assert world.known_payment.failure_code == "payment_intent_authentication_failure"
        assert patient.observed == 1
    finally:
        await patient.stop()


@pytest.mark.usefixtures("effects")
async def test_a_question_in_doubt_that_stripe_does_not_answer_is_put_again_soon(
    world: EffectsHarness, gateway: StripeGateway
) -> None:
    patient = Reconciler(gateway, world, after_s=3600, interval_s=3600, in_doubt_interval_s=0.05)
    world.listeners.append(patient)
    patient.start()
    try:
        payment = await world.open()
        await confirm(world, "pm_card_threeDSecure2Required")
        await world.until(lambda: world.known_payment.next_action)
        await world.authenticate(payment.stripe_intent_id, "fail")
        world.stripe.api.faults.add(Fault("error_500_before", method="GET", times=3))
        intent = world.stripe.state.payment_intents[payment.stripe_intent_id]
        world.webhook("payment_intent.payment_failed", intent)
        await world.until_status(P.FAILED)
        assert patient.errors
    finally:
        await patient.stop()


@pytest.mark.usefixtures("effects")
async def test_the_reconciler_leaves_a_closed_partition(
    world: EffectsHarness, reconciler: Reconciler
) -> None:
    await world.open()
    await confirm(world, "pm_card_threeDSecure2Required")
    await world.poll(lambda: reconciler.observed)
    reconciler.closed(1)
    assert reconciler.watched == 1
    reconciler.closed(0)
    assert reconciler.watched == 0


@pytest.mark.usefixtures("effects")
async def test_the_reconciler_outlives_stripe(
    world: EffectsHarness, reconciler: Reconciler
) -> None:
    await world.open()
    await confirm(world, "pm_card_threeDSecure2Required")
    fault = Fault("error_500_before", method="GET", times=None)
    world.stripe.api.faults.add(fault)
    await world.poll(lambda: reconciler.errors)
    world.stripe.api.faults.clear()
    observed = reconciler.observed
    await world.poll(lambda: reconciler.observed > observed)
