"""The gateway on the real SDK against Stripe's stand-in: every kind of answer gets its typed error."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import orjson
import pytest
import stripe
from msgspec import structs

from app.stripe.errors import (
    DeclinedError,
    GatewayError,
    InvalidError,
    MisconfiguredError,
    RetryableError,
    StateConflictError,
    UnknownOutcomeError,
)
from app.stripe.event_intake import EventIntake
from app.stripe.gateway import Listing, StripeGateway
from app.stripe.rate_limit import Priority, RateLimiter
from app.stripe.webhooks import reduce_webhook, verify_webhook
from models import ids
from models.errors import InvalidSignatureError, StripeUnavailableError
from models.events import WebhookNoted
from models.messages import encode
from models.stripe_facts import IntentFacts, RefundFacts
from sandbox.processes import free_port
from sandbox.stripe import StripeSandbox, fraud, refunds
from sandbox.stripe.faults import Fault

ORDER = ids.order_id("guest", "a-key")
PAYMENT = ids.payment_id(ORDER)
CREATE = {
    "amount": 250_000,
    "currency": "inr",
    "automatic_payment_methods": {"enabled": True},
    "metadata": {"orderId": ORDER, "paymentId": PAYMENT},
}
CONFIRM = {
    "payment_method": "pm_card_visa",
    "return_url": "http://localhost/",
    "use_stripe_sdk": True,
    "expand": ["latest_charge"],
}


@pytest.fixture
async def sandbox() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(settle_delay_s=None) as running:
        yield running


@pytest.fixture
async def gateway(sandbox: StripeSandbox) -> AsyncIterator[StripeGateway]:
    made = StripeGateway(
        "sk_test_x", base_url=sandbox.base_url, write_timeout_s=0.5, rate_per_s=1000
    )
    yield made
    await made.close()


@pytest.fixture
async def patient(sandbox: StripeSandbox) -> AsyncIterator[StripeGateway]:
    """A gateway that no busy machine is too slow for."""
    made = StripeGateway("sk_test_x", base_url=sandbox.base_url, rate_per_s=1000)
    yield made
    await made.close()


async def new_intent(gateway: StripeGateway, key: str = "pi:1:1") -> IntentFacts:
    return await gateway.create_intent(CREATE, key)


async def paid_intent(gateway: StripeGateway) -> IntentFacts:
    intent = await new_intent(gateway)
    return await gateway.confirm(intent.intent_id, CONFIRM, "confirm:1:1:1")


def card(name: str) -> dict[str, Any]:
    return CONFIRM | {"payment_method": name}


async def test_create_gives_the_facts_and_keeps_the_secret(gateway: StripeGateway) -> None:
    intent = await new_intent(gateway)
    assert (intent.status, intent.amount, intent.currency) == (
        "requires_payment_method",
        250_000,
        "INR",
    )
    secret = await gateway.client_secret(intent.intent_id)
    assert secret.startswith(f"{intent.intent_id}_secret_")
    assert secret not in encode(intent).decode()
    assert await gateway.order_of(intent.intent_id) == ORDER


async def test_client_secret_of_another_workers_intent(
    sandbox: StripeSandbox, gateway: StripeGateway
) -> None:
    intent = await new_intent(gateway)
    other = StripeGateway("sk_test_x", base_url=sandbox.base_url)
    try:
        assert await other.client_secret(intent.intent_id) == await gateway.client_secret(
            intent.intent_id
        )
    finally:
        await other.close()


async def test_a_repeated_write_is_the_same_write(gateway: StripeGateway) -> None:
    first = await new_intent(gateway)
    assert (await new_intent(gateway)).intent_id == first.intent_id
    with pytest.raises(InvalidError, match="idempotency_error"):
        await gateway.create_intent(CREATE | {"amount": 99_900}, "pi:1:1")


async def test_confirm_brings_charge_and_receipt(gateway: StripeGateway) -> None:
    paid = await paid_intent(gateway)
    assert (paid.status, paid.amount_received) == ("succeeded", 250_000)
    assert paid.charge_id
    assert paid.receipt_url


async def test_three_d_secure_is_no_error(gateway: StripeGateway) -> None:
    intent = await new_intent(gateway)
    seen = await gateway.confirm(intent.intent_id, card("pm_card_threeDSecure2Required"), "c")
    assert (seen.status, seen.next_action) == ("requires_action", "use_stripe_sdk")


@pytest.mark.parametrize(
    ("name", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
async def test_a_decline_brings_its_charge(
    gateway: StripeGateway, name: str, code: str, decline_code: str
) -> None:
    intent = await new_intent(gateway)
    with pytest.raises(DeclinedError) as caught:
        await gateway.confirm(intent.intent_id, card(name), "c")
    assert caught.value.code == code
    assert caught.value.intent
    error = caught.value.intent.error
    assert error
    assert error.decline_code == decline_code
    assert error.charge_id == (await gateway.retrieve_intent(intent.intent_id)).charge_id


async def test_too_late_is_a_conflict(gateway: StripeGateway) -> None:
    paid = await paid_intent(gateway)
    with pytest.raises(StateConflictError, match="payment_intent_unexpected_state"):
        await gateway.cancel(paid.intent_id, {}, "cancel:1:1")
    with pytest.raises(StateConflictError):
        await gateway.confirm(paid.intent_id, CONFIRM, "confirm:1:2:1")
    await gateway.refund({"payment_intent": paid.intent_id}, "refund:1:1")
    with pytest.raises(StateConflictError, match="charge_already_refunded"):
        await gateway.refund({"payment_intent": paid.intent_id}, "refund:2:1")


F = TypeVar("F", IntentFacts, RefundFacts)


def undated(facts: F) -> F:
    """As a webhook's object, or one of a list, shows it: it does not say when."""
    assert facts.as_of is not None
    return structs.replace(facts, as_of=None)


async def test_refunds_carry_our_id(gateway: StripeGateway) -> None:
    paid = await paid_intent(gateway)
    body = {
        "payment_intent": paid.intent_id,
        "amount": 50_000,
        "metadata": {"refundId": "refund_1", "orderId": ORDER},
    }
    made = await gateway.refund(body, "refund:refund_1:1")
    assert (made.refund_id, made.amount, made.status) == ("refund_1", 50_000, "succeeded")
    assert await gateway.list_refunds(paid.intent_id) == [undated(made)]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (lambda g, _: g.create_intent(CREATE | {"amount": 1}, "k"), "amount_too_small"),
        (lambda g, i: g.confirm(i, card("pm_nonsense"), "k"), "resource_missing"),
        (lambda g, _: g.retrieve_intent("pi_nonsense"), "resource_missing"),
        (lambda g, i: g.refund({"payment_intent": i, "amount": 5}, "k"), "invalid_request_error"),
    ],
)
async def test_what_stripe_never_accepts_is_invalid(
    gateway: StripeGateway, request_: Callable[[StripeGateway, str], Awaitable[Any]], code: str
) -> None:
    intent = await new_intent(gateway)
    with pytest.raises(InvalidError) as caught:
        await request_(gateway, intent.intent_id)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("fault", "is_executed"),
    [
        ("timeout_before", False),
        ("timeout_after", True),
        ("drop_before", False),
        ("drop_after", True),
        ("error_500_before", False),
        ("error_500_after", True),
    ],
)
async def test_an_outcome_that_is_unknown_is_not_guessed(
    sandbox: StripeSandbox, gateway: StripeGateway, fault: str, *, is_executed: bool
) -> None:
    intent = await new_intent(gateway)
    sandbox.api.faults.add(Fault(fault, path="/confirm$"))
    with pytest.raises(UnknownOutcomeError) as caught:
        await gateway.confirm(intent.intent_id, CONFIRM, "c")
    is_500 = fault.startswith("error_500")
    assert (caught.value.is_stored, caught.value.is_replayed) == (is_500, False)
    seen = await gateway.retrieve_intent(intent.intent_id)
    assert (seen.status == "succeeded") == is_executed
    if is_500:
        with pytest.raises(UnknownOutcomeError) as caught:
            await gateway.confirm(intent.intent_id, CONFIRM, "c")
        assert caught.value.is_replayed
    else:
        assert (await gateway.confirm(intent.intent_id, CONFIRM, "c")).status == "succeeded"
    assert len(sandbox.state.charges_of(intent.intent_id)) == (1 if not is_500 else is_executed)


async def test_a_key_in_use_is_not_executed(sandbox: StripeSandbox, gateway: StripeGateway) -> None:
    intent = await new_intent(gateway)
    held = sandbox.api.faults.add(Fault("hold", path="/confirm$"))
    with pytest.raises(UnknownOutcomeError, match="timeout"):
        await gateway.confirm(intent.intent_id, CONFIRM, "c")
    with pytest.raises(RetryableError) as caught:
        await gateway.confirm(intent.intent_id, CONFIRM, "c")
    assert not caught.value.throttled
    held.released.set()
    for _ in range(200):
        if (await gateway.retrieve_intent(intent.intent_id)).status == "succeeded":
            break
    assert (await gateway.confirm(intent.intent_id, CONFIRM, "c")).status == "succeeded"
    assert len(sandbox.state.charges_of(intent.intent_id)) == 1


@pytest.mark.parametrize(
    ("code", "throttled"),
    [("rate_limit", True), ("lock_timeout", False), ("payment_intent_rate_limit_exceeded", False)],
)
async def test_429_is_retryable(
    sandbox: StripeSandbox, gateway: StripeGateway, code: str, *, throttled: bool
) -> None:
    sandbox.api.faults.add(Fault("rate_limit", path="payment_intents$", code=code))
    with pytest.raises(RetryableError) as caught:
        await new_intent(gateway)
    assert caught.value.throttled == throttled
    assert (await new_intent(gateway)).status == "requires_payment_method"


async def test_nothing_was_sent_when_nobody_listens() -> None:
    gateway = StripeGateway("sk_test_x", base_url=f"http://127.0.0.1:{free_port()}")
    try:
        with pytest.raises(RetryableError, match="ClientConnectorError"):
            await new_intent(gateway)
    finally:
        await gateway.close()
    with pytest.raises(RetryableError):
        await new_intent(gateway)


async def test_wrong_keys_and_addresses_are_misconfigured(sandbox: StripeSandbox) -> None:
    live = StripeGateway("sk_live_x", base_url=sandbox.base_url)
    elsewhere = StripeGateway("sk_test_x", base_url=f"{sandbox.base_url}/nowhere")
    try:
        for gateway in (live, elsewhere):
            with pytest.raises(MisconfiguredError):
                await new_intent(gateway)
    finally:
        await live.close()
        await elsewhere.close()


async def test_a_lost_create_is_found_by_its_payment(
    sandbox: StripeSandbox, gateway: StripeGateway
) -> None:
    for number in range(3):
        await gateway.create_intent(CREATE | {"metadata": {"paymentId": "other"}}, f"k{number}")
    sandbox.api.faults.add(Fault("timeout_after", path="payment_intents$"))
    with pytest.raises(UnknownOutcomeError):
        await new_intent(gateway)
    made = next(i for i in sandbox.state.payment_intents.values() if "orderId" in i["metadata"])
    at = made["created"]
    found = await gateway.find_intent(PAYMENT, created_after_s=at, created_before_s=at)
    assert found
    assert found.intent_id == made["id"]
    later = at + 1000
    assert not await gateway.find_intent(PAYMENT, created_after_s=later, created_before_s=later)


async def test_lists_go_through_all_pages(patient: StripeGateway) -> None:
    paid = await paid_intent(patient)
    many = 103
    for number in range(many):
        body = {"payment_intent": paid.intent_id, "amount": 100}
        await patient.refund(body, f"refund:{number}")
    refunds = await patient.list_refunds(paid.intent_id)
    assert len({refund.stripe_refund_id for refund in refunds}) == many
    wanted = {"types": ["refund.created"], "created": {"gte": 0}}
    pages = [page async for page in patient.pages(Listing.EVENTS, wanted)]
    assert [len(page) for page in pages] == [100, 3]
    listed = [event["data"]["object"]["id"] for page in pages for event in page]
    assert listed == [refund.stripe_refund_id for refund in refunds]


async def test_objects_are_found_by_id_with_the_mark_of_who_made_them(
    gateway: StripeGateway,
) -> None:
    paid = await paid_intent(gateway)
    charge = await gateway.find(Listing.CHARGES, paid.charge_id or "")
    assert charge
    assert gateway.mark.order_id(charge["metadata"]) == ORDER
    assert await gateway.find(Listing.REFUNDS, "re_unknown") is None


async def test_errors_carry_no_body_and_no_secret(gateway: StripeGateway) -> None:
    intent = await new_intent(gateway)
    secret = await gateway.client_secret(intent.intent_id)
    with pytest.raises(GatewayError) as caught:
        await gateway.confirm(intent.intent_id, card("pm_card_visa_chargeDeclined"), "c")
    error: BaseException | None = caught.value
    assert error
    assert error.__suppress_context__
    assert secret not in f"{error!r} {error} {vars(error)}"


async def test_the_urgent_goes_first_and_429_stops_all() -> None:
    limiter = RateLimiter(1000)
    limiter.throttled(0.05)
    served: list[Priority] = []

    async def ask(priority: Priority) -> None:
        await limiter.acquire(priority)
        served.append(priority)

    asked = [Priority.POLL, Priority.LOOK_UP, Priority.MONEY, Priority.CREATE, Priority.MONEY]
    tasks = [asyncio.create_task(ask(priority)) for priority in asked]
    gone = asyncio.create_task(ask(Priority.MONEY))
    await asyncio.sleep(0)
    assert served == []
    gone.cancel()
    await asyncio.gather(*tasks)
    assert served == sorted(asked)


# -- webhooks


def signed(event: dict[str, Any], secret: str, **at: int) -> tuple[bytes, str]:
    payload = orjson.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(payload.decode(), secret, **at)
    return payload, header


EVENT = {"id": "evt_1", "object": "event", "type": "payment_intent.canceled"}


def test_any_of_the_secrets_verifies() -> None:
    payload, header = signed(EVENT, "whsec_old")
    verify_webhook(payload, header, ["whsec_new", "whsec_old"], 300)


@pytest.mark.parametrize(
    ("payload", "header", "secrets"),
    [
        (*signed(EVENT, "whsec_other"), ["whsec_1"]),
        (*signed(EVENT, "whsec_1", timestamp=1_700_000_000), ["whsec_1"]),
        (b"{}", signed(EVENT, "whsec_1")[1], ["whsec_1"]),
        (orjson.dumps(EVENT), "", ["whsec_1"]),
        (orjson.dumps(EVENT), "t=1,v0=aa", ["whsec_1"]),
        (orjson.dumps(EVENT), "nonsense", ["whsec_1"]),
        (*signed(EVENT, "whsec_1"), []),
        (b"\xff", signed(EVENT, "whsec_1")[1], ["whsec_1"]),
    ],
)
def test_a_wrong_signature_is_refused(payload: bytes, header: str, secrets: list[str]) -> None:
    with pytest.raises(InvalidSignatureError):
        verify_webhook(payload, header, secrets, 300)


async def event_of(sandbox: StripeSandbox, kind: str) -> dict[str, Any]:
    return next(e for e in reversed(sandbox.state.events.values()) if e["type"] == kind)


async def test_a_success_comes_with_its_receipt(
    sandbox: StripeSandbox, gateway: StripeGateway
) -> None:
    paid = await paid_intent(gateway)
    received = await reduce_webhook(gateway, await event_of(sandbox, "payment_intent.succeeded"))
    assert received
    assert (received.order_id, received.intent) == (ORDER, undated(paid))


async def test_of_a_success_whose_receipt_is_known_stripe_is_asked_nothing(
    sandbox: StripeSandbox, gateway: StripeGateway
) -> None:
    paid = await paid_intent(gateway)
    event, asked = await event_of(sandbox, "payment_intent.succeeded"), len(sandbox.api.log)
    received = await reduce_webhook(gateway, event, lambda order_id, _: order_id == ORDER)
    assert received
    assert received.intent.charge_id == paid.charge_id
    assert len(sandbox.api.log) == asked


async def test_a_success_goes_without_its_receipt_when_stripe_is_away(
    sandbox: StripeSandbox, gateway: StripeGateway
) -> None:
    paid = await paid_intent(gateway)
    sandbox.api.faults.add(Fault("error_500_before", method="GET", times=None))
    received = await reduce_webhook(gateway, await event_of(sandbox, "payment_intent.succeeded"))
    assert received
    without = {"receipt_url": None, "card_last4": None, "charged_at": None}
    assert received.intent == structs.replace(undated(paid), **without)


async def test_a_dispute_and_a_foreign_refund_find_their_order(sandbox: StripeSandbox) -> None:
    async def fresh(request: Callable[[StripeGateway], Awaitable[Any]]) -> Any:
        """A worker that has never seen the intent."""
        gateway = StripeGateway("sk_test_x", base_url=sandbox.base_url)
        try:
            return await request(gateway)
        finally:
            await gateway.close()

    intent = await fresh(new_intent)
    await fresh(lambda g: g.confirm(intent.intent_id, card("pm_card_createDisputeInquiry"), "c"))
    await fresh(lambda g: g.refund({"payment_intent": intent.intent_id, "amount": 7_500}, "r"))
    dispute = await event_of(sandbox, "charge.dispute.created")
    received = await fresh(lambda g: reduce_webhook(g, dispute))
    assert (received.order_id, received.dispute.intent_id) == (ORDER, intent.intent_id)
    for kind in ("refund.created", "charge.refunded"):
        event = await event_of(sandbox, kind)
        received = await fresh(partial(reduce_webhook, event=event))
        assert (received.order_id, received.refund.amount) == (ORDER, 7_500)
        assert received.refund.refund_id is None
    sandbox.api.faults.add(Fault("error_500_before", method="GET", times=None))
    with pytest.raises(UnknownOutcomeError):
        await fresh(lambda g: reduce_webhook(g, dispute))


async def test_a_charge_refunded_tells_every_refund_and_none_is_lost(
    sandbox: StripeSandbox, gateway: StripeGateway, patient: StripeGateway
) -> None:
    """Endpoints of API versions before 2024-10-28 get nothing else of a refund made by hand."""
    paid = await paid_intent(gateway)
    for amount in (700, 800, 900):
        refunds.create(sandbox.state, {"payment_intent": paid.intent_id, "amount": amount})
    told = await event_of(sandbox, "charge.refunded")
    received = await reduce_webhook(patient, told)
    assert received
    assert received.refund
    assert received.refund.amount == 900
    assert [refund.amount for refund in received.more_refunds] == [700, 800]
    sandbox.api.faults.add(Fault("error_500_before", method="GET", times=None))
    with pytest.raises(StripeUnavailableError):
        await reduce_webhook(gateway, told)


async def test_what_is_not_ours_is_left_alone(
    sandbox: StripeSandbox, gateway: StripeGateway
) -> None:
    for metadata in ({}, {"orderId": "order 66 of another shop"}):
        body = CREATE | {"metadata": metadata}
        intent = await gateway.create_intent(body, f"pi:{metadata}")
        await gateway.cancel(intent.intent_id, {}, f"cancel:{metadata}")
        event = await event_of(sandbox, "payment_intent.canceled")
        assert await reduce_webhook(gateway, event) is None


async def test_no_read_outlives_its_bound(sandbox: StripeSandbox) -> None:
    gateway = StripeGateway("sk_test_x", base_url=sandbox.base_url, read_timeout_s=0.2)
    try:
        intent = await new_intent(gateway)
        sandbox.api.faults.add(Fault("timeout_before", method="GET", times=None))
        with pytest.raises(UnknownOutcomeError, match="timeout"):
            await gateway.retrieve_intent(intent.intent_id)
    finally:
        await gateway.close()


@pytest.mark.parametrize("kind", ["radar.early_fraud_warning.created", "review.opened"])
@pytest.mark.parametrize("names_intent", [True, False])
async def test_a_warning_and_a_review_find_their_order(
    sandbox: StripeSandbox, gateway: StripeGateway, kind: str, names_intent: bool
) -> None:
    """Older API versions name the charge alone; who the customer is stays at Stripe."""
    paid = await paid_intent(gateway)
    charge = sandbox.state.charges[paid.charge_id or ""]
    fraud.warn(sandbox.state, charge, "misc")
    fraud.open_review(sandbox.state, charge, "rule")
    event = orjson.loads(orjson.dumps(await event_of(sandbox, kind)))
    if not names_intent:
        del event["data"]["object"]["payment_intent"]
    received = await reduce_webhook(gateway, event)
    assert received
    assert received.order_id == ORDER
    facts = received.fraud_warning or received.review
    assert facts
    assert facts.intent_id == (paid.intent_id if names_intent else None)
    assert "203.0.113" not in encode(received).decode()
    assert "Bengaluru" not in encode(received).decode()


async def test_a_warning_of_an_unknown_charge_is_of_no_order(gateway: StripeGateway) -> None:
    thing = {"id": "issfr_1", "actionable": True, "charge": "ch_unknown", "fraud_type": "misc"}
    event = {
        "id": "evt_1", "type": "radar.early_fraud_warning.created", "created": 1,
        "data": {"object": thing},
    }  # fmt: skip
    assert await reduce_webhook(gateway, event) is None

    async def not_noted(_: str, noted: WebhookNoted, _order: str) -> None:
        raise AssertionError(noted)

    intake = EventIntake(gateway, not_noted)
    assert await intake.take(event) is None
    assert intake.counts == {("radar.early_fraud_warning.created", "no_order"): 1}
