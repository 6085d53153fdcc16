"""The stand-in's objects have exactly the keys of Stripe's examples, and values its SDK knows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import stripe

from sandbox.stripe.objects import CONDITIONAL_KEYS
from sandbox.stripe.state import API_VERSION
from tests.contract.stripe_sandbox.stripe_client import StripeShop, refused

FIXTURES = json.loads((Path(__file__).parent.parent / "stripe_fixtures.json").read_text())[
    "resources"
]


def raw(answer: Any) -> dict[str, Any]:
    """The JSON that the SDK got."""
    body: dict[str, Any] = json.loads(answer.last_response.body)
    return body


def literals(annotation: Any) -> set[str]:
    """All strings of the Literals inside a type."""
    if isinstance(annotation, str):
        return {annotation}
    return set().union(*(literals(part) for part in get_args(annotation)))


def check_keys(resource: dict[str, Any], without: tuple[str, ...] = ()) -> None:
    """Exactly the fixture's keys; those of CONDITIONAL_KEYS may be there too."""
    kind = resource["object"]
    expected = set(FIXTURES[kind]) - set(without)
    extra = set(resource) - expected
    assert expected <= set(resource)
    assert extra <= set(CONDITIONAL_KEYS.get(kind, {}))


async def test_it_speaks_the_version_of_the_sdk() -> None:
    assert stripe.api_version == API_VERSION


async def test_keys_of_every_resource(shop: StripeShop) -> None:
    v1 = shop.client.v1
    intent = await shop.pay("pm_card_createDisputeInquiry")
    charge = await v1.charges.retrieve_async(str(intent.latest_charge))
    refund = await v1.refunds.create_async({"payment_intent": intent.id, "amount": 500})
    dispute = (await v1.disputes.list_async({"payment_intent": intent.id})).data[0]
    token = await shop.control("POST", "/confirmation_token", {"card": "4242424242424242"})
    hook = await v1.webhook_endpoints.create_async(
        {"url": "http://127.0.0.1:9/hook", "enabled_events": ["charge.failed"]}
    )
    method = await v1.payment_methods.retrieve_async(str(charge.payment_method))
    event = (await v1.events.list_async({"limit": 1})).data[0]
    for answer in (
        intent,
        await shop.retrieve(intent.id),
        charge,
        refund,
        await v1.refunds.retrieve_async(refund.id),
        await v1.disputes.retrieve_async(dispute.id),
        await v1.confirmation_tokens.retrieve_async(token["id"]),
        hook,
        await v1.webhook_endpoints.retrieve_async(hook.id),
        method,
        await v1.events.retrieve_async(event.id),
        await v1.balance_transactions.retrieve_async(str(charge.balance_transaction)),
        await v1.accounts.retrieve_current_async(),
        await v1.country_specs.retrieve_async("US"),
        await v1.payment_method_domains.create_async({"domain_name": "eat.example"}),
    ):
        check_keys(raw(answer))
    assert set(raw(method)["card"]) == set(FIXTURES["payment_method"]["card"])
    details = raw(charge)["payment_method_details"]["card"]
    assert set(details) == set(FIXTURES["charge"]["payment_method_details"]["card"])
    evidence = raw(await v1.disputes.retrieve_async(dispute.id))["evidence"]
    assert set(evidence) == set(FIXTURES["dispute"]["evidence"])


async def test_conditional_keys_come_and_go(shop: StripeShop) -> None:
    v1 = shop.client.v1
    intent = await shop.pay("pm_card_pendingRefund")
    refund = await v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.pending_reason == "processing"
    await shop.control("POST", "/settle", {"refund": refund.id, "outcome": "fail"})
    failed = raw(await v1.refunds.retrieve_async(refund.id))
    check_keys(failed)
    assert failed["failure_reason"] == "expired_or_canceled_card"
    assert "pending_reason" not in failed

    created = await v1.webhook_endpoints.create_async(
        {"url": "http://127.0.0.1:9/hook", "enabled_events": ["*"]}
    )
    assert str(created.secret).startswith("whsec_")
    assert "secret" not in raw(await v1.webhook_endpoints.retrieve_async(created.id))

    bank = await shop.pay("pm_usBankAccount_success")
    method = raw(await v1.payment_methods.retrieve_async(str(bank.payment_method)))
    check_keys(method, without=("card",))
    assert "card" not in method


async def test_statuses_codes_and_event_types_are_the_sdks(shop: StripeShop) -> None:
    v1 = shop.client.v1
    seen: set[str] = set()
    for method in ("pm_card_visa", "pm_card_threeDSecure2Required", "pm_usBankAccount_success"):
        seen.add((await shop.pay(method)).status)
    manual = await shop.pay(capture_method="manual")
    seen |= {manual.status, (await shop.create()).status}
    seen.add((await v1.payment_intents.cancel_async(manual.id)).status)
    seen.add((await shop.create(payment_method="pm_card_visa")).status)
    assert seen == literals(stripe.PaymentIntent.__annotations__["status"])

    codes = literals(stripe.PaymentIntent.LastPaymentError.__annotations__["code"])
    for decline in ("pm_card_chargeDeclinedExpiredCard", "pm_card_visa_chargeDeclined"):
        error = await refused(shop.pay(decline))
        assert error.code in codes
    for account in ("accountClosed", "noAccount", "insufficientFunds", "debitNotAuthorized"):
        intent = await shop.pay(f"pm_usBankAccount_{account}")
        await shop.control("POST", "/settle", {"payment_intent": intent.id})
        failed = await shop.retrieve(intent.id)
        assert failed.last_payment_error is not None
        assert failed.last_payment_error.code in codes

    disputed = await shop.pay("pm_card_createDispute")
    dispute = (await v1.disputes.list_async({"payment_intent": disputed.id})).data[0]
    await v1.disputes.close_async(dispute.id)
    await v1.refunds.create_async({"payment_intent": (await shop.pay()).id})
    known = literals(stripe.Event.__annotations__["type"])
    types = set(await shop.event_types())
    assert len(types) > 12
    # charge.refund.updated and the like are all in the SDK's list.
    assert types <= known


# Each request with a parameter that nobody knows: the refusal names what the stand-in accepts.
CALLS: dict[str, Any] = {
    "PaymentIntentCreateParams": lambda v1, p: v1.payment_intents.create_async(
        {"amount": 100, "currency": "usd", **p}
    ),
    "PaymentIntentConfirmParams": lambda v1, p: v1.payment_intents.confirm_async("pi_1", p),
    "PaymentIntentUpdateParams": lambda v1, p: v1.payment_intents.update_async("pi_1", p),
    "PaymentIntentCancelParams": lambda v1, p: v1.payment_intents.cancel_async("pi_1", p),
    "PaymentIntentCaptureParams": lambda v1, p: v1.payment_intents.capture_async("pi_1", p),
    "PaymentIntentListParams": lambda v1, p: v1.payment_intents.list_async(p),
    "RefundCreateParams": lambda v1, p: v1.refunds.create_async(p),
    "RefundListParams": lambda v1, p: v1.refunds.list_async(p),
    "ChargeListParams": lambda v1, p: v1.charges.list_async(p),
    "EventListParams": lambda v1, p: v1.events.list_async(p),
    "DisputeListParams": lambda v1, p: v1.disputes.list_async(p),
    "DisputeModifyParams": lambda v1, p: v1.disputes.update_async("du_1", p),
    "WebhookEndpointCreateParams": lambda v1, p: v1.webhook_endpoints.create_async(p),
    "WebhookEndpointModifyParams": lambda v1, p: v1.webhook_endpoints.update_async("we_1", p),
    "PaymentMethodCreateParams": lambda v1, p: v1.payment_methods.create_async(p),
}


@pytest.mark.parametrize("name", CALLS)
async def test_unknown_parameters_are_refused_and_accepted_ones_are_stripes(
    shop: StripeShop, name: str
) -> None:
    error = await refused(CALLS[name](shop.client.v1, {"surprise": "1"}))
    assert (error.http_status, error.code, error.param) == (400, "parameter_unknown", "surprise")
    accepted = re.search(r"accepts: ([a-z_, ]+)\)", str(error.user_message))
    assert accepted is not None
    names = set(accepted[1].split(", "))
    assert "expand" in names
    # Known only to be refused with a code of its own.
    names.discard("payment_method_types")
    assert names <= set(getattr(stripe.params, name).__annotations__)


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 29, "currency": "gbp"}, "amount_too_small", "amount"),
        ({"amount": 49, "currency": "jpy"}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"amount": 0}, "parameter_invalid_integer", "amount"),
        ({"amount": "25.00"}, "parameter_invalid_integer", "amount"),
        ({"amount": 1234, "currency": "kwd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 1250, "currency": "isk"}, "parameter_invalid_integer", "amount"),
        ({"amount": 25_050, "currency": "ugx"}, "parameter_invalid_integer", "amount"),
        ({"amount": 40, "currency": "krw"}, "amount_too_small", "amount"),
        ({"amount": 49, "currency": "cop"}, "amount_too_small", "amount"),
        ({"amount": 100_000_000, "currency": "ugx"}, "amount_too_large", "amount"),
        ({"amount": 1_000_000_000, "currency": "inr"}, "amount_too_large", "amount"),
        ({"currency": "bgn"}, None, "currency"),
        ({"currency": "xyz"}, None, "currency"),
        ({"metadata": {"k" * 41: "v"}}, None, f"metadata[{'k' * 41}]"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
        ({"expand": ["customer.name"]}, None, "expand"),
        (
            {"payment_method_types": ["card"]},
            "payment_method_types_no_longer_supported",
            "payment_method_types",
        ),
        ({"allowed_payment_method_types": ["card"]}, "parameters_exclusive", None),
        ({"payment_method": "pm_nobody"}, "resource_missing", "payment_method"),
        ({"return_url": "https://shop.example"}, None, "return_url"),
    ],
)
async def test_bad_parameters(
    shop: StripeShop, params: dict[str, Any], code: str | None, param: str | None
) -> None:
    error = await refused(shop.create(**params))
    assert isinstance(error, stripe.InvalidRequestError)
    assert (error.code, error.param) == (code, param)
    assert (await shop.client.v1.payment_intents.list_async()).data == []


async def test_amounts_at_their_limits_are_taken(shop: StripeShop) -> None:
    for amount, currency in (
        (50, "usd"), (50, "jpy"), (50, "krw"), (1230, "kwd"), (1200, "isk"), (1, "clp"), (80_045, "twd"),
        (2_500_000, "ugx"), (17_501, "huf"), (999_999_999_999, "idr"), (9_999_999_999, "cop"),
        (999_999_999, "inr"), (99_999_900, "isk"),
    ):  # fmt: skip
        assert (await shop.create(amount=amount, currency=currency.upper())).currency == currency


async def test_metadata_is_copied_to_the_charge_and_merged_on_update(shop: StripeShop) -> None:
    intent = await shop.pay(metadata={"orderId": "order_7", "cart": "3"})
    charge = await shop.client.v1.charges.retrieve_async(str(intent.latest_charge))
    assert raw(charge)["metadata"] == {"orderId": "order_7", "cart": "3"}
    updated = await shop.client.v1.payment_intents.update_async(
        intent.id, {"metadata": {"cart": "", "table": "5"}}
    )
    assert raw(updated)["metadata"] == {"orderId": "order_7", "table": "5"}
    again = await shop.client.v1.charges.retrieve_async(charge.id)
    assert raw(again)["metadata"] == {"orderId": "order_7", "cart": "3"}


async def test_expand(shop: StripeShop) -> None:
    paid = await shop.pay(expand=["latest_charge.balance_transaction"])
    charge: Any = paid.latest_charge
    assert (charge.status, charge.balance_transaction.net) == ("succeeded", 2500)
    assert charge.refunds is None
    refund = await shop.client.v1.refunds.create_async(
        {"payment_intent": paid.id, "amount": 300, "expand": ["charge.refunds"]}
    )
    refunded: Any = refund.charge
    assert [r.amount for r in refunded.refunds.data] == [300]
    listed = await shop.client.v1.payment_intents.list_async({"expand": ["data.latest_charge"]})
    latest: Any = listed.data[0].latest_charge
    assert latest.amount_refunded == 300


@pytest.mark.parametrize("key", ["sk_live_51abc", "rk_live_51abc", "pk_live_51abc", "nonsense"])
async def test_keys_that_are_not_for_tests_are_refused(shop: StripeShop, key: str) -> None:
    client = stripe.StripeClient(
        key,
        base_addresses={"api": shop.sandbox.base_url},
        http_client=shop.client._requestor._client,
    )
    error = await refused(client.v1.payment_intents.list_async())
    assert isinstance(error, stripe.AuthenticationError)
    assert "stand-in" in str(error) if "live" in key else "sk_test_" in str(error)
    assert "51abc" not in str(error)


async def test_a_card_number_from_a_server_is_refused(shop: StripeShop) -> None:
    card = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2040", "cvc": "123"}
    calls: list[Any] = [
        shop.client.v1.payment_methods.create_async({"type": "card", "card": card}),
        shop.create(confirm=True, payment_method_data={"type": "card", "card": card}),
    ]
    for call in calls:
        assert "generally unsafe" in str(await refused(call))


async def test_what_does_not_exist(shop: StripeShop) -> None:
    missing = await refused(shop.retrieve("pi_nobody"))
    assert (missing.http_status, missing.code) == (404, "resource_missing")
    unknown = await refused(shop.client.v1.customers.list_async())
    assert unknown.http_status == 404
    assert "Unrecognized request URL" in str(unknown)
