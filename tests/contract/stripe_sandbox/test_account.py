"""The stand-in's account, restricted keys and payment method domains, through the real SDK."""

from __future__ import annotations

import json

import pytest
import stripe

from tests.contract.stripe_sandbox.stripe_client import StripeShop, refused
from tests.contract.stripe_sandbox.test_objects import FIXTURES, raw


async def test_the_account_has_all_that_stripes_has(shop: StripeShop) -> None:
    account = raw(await shop.client.v1.accounts.retrieve_current_async())
    assert set(account["capabilities"]) >= set(FIXTURES["account"]["capabilities"])
    for part in ("business_profile", "requirements", "settings", "tos_acceptance"):
        assert set(account[part]) == set(FIXTURES["account"][part])
    for part, known in FIXTURES["account"]["settings"].items():
        assert set(account["settings"][part]) == set(known), part
    spec = raw(await shop.client.v1.country_specs.retrieve_async("US"))
    assert set(spec["verification_fields"]) == {"company", "individual"}
    assert {"usd", "inr", "kwd"} <= set(spec["supported_payment_currencies"])
    unknown = await refused(shop.client.v1.country_specs.retrieve_async("XX"))
    assert (unknown.http_status, unknown.code) == (404, "resource_missing")


async def test_every_answer_tells_the_time(shop: StripeShop) -> None:
    answer = await shop.client.v1.accounts.retrieve_current_async()
    response = answer.last_response
    assert response
    assert response.headers["date"].endswith("GMT")


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ({"payment_intent_read", "charge_write"}, "rak_payment_intent_write"),
        ({"charge_write"}, "rak_payment_intent_write"),
    ],
)
async def test_a_restricted_key_may_do_what_it_was_granted(
    shop: StripeShop, granted: set[str], missing: str
) -> None:
    key = "rk_test_restricted"
    shop.sandbox.state.permissions[key] = frozenset(granted)
    http = stripe.HTTPXClient()
    client = stripe.StripeClient(
        key, base_addresses={"api": shop.sandbox.base_url}, http_client=http
    )
    error = await refused(client.v1.payment_intents.create_async({}))  # type: ignore[typeddict-item]
    assert isinstance(error, stripe.PermissionError)
    assert f"'{missing}'" in str(error)
    assert key not in json.dumps(error.json_body)
    # A write goes with its reads, and is refused for its parameters once it is allowed.
    assert (await client.v1.charges.list_async()).data == []
    bad = await refused(client.v1.refunds.create_async({}))
    assert isinstance(bad, stripe.InvalidRequestError)
    await http.close_async()  # type: ignore[no-untyped-call]


async def test_a_domain_is_registered_validated_and_disabled(shop: StripeShop) -> None:
    domains = shop.client.v1.payment_method_domains
    shop.sandbox.state.domain_errors["apple_pay"] = "the file is not there"
    made = await domains.create_async({"domain_name": "eat.example"})
    assert made.apple_pay.status_details
    assert (made.apple_pay.status, made.google_pay.status) == ("inactive", "active")
    shop.sandbox.state.domain_errors.clear()
    assert (await domains.retrieve_async(made.id)).apple_pay.status == "inactive"
    assert (await domains.validate_async(made.id)).apple_pay.status == "active"
    assert not (await domains.update_async(made.id, {"enabled": False})).enabled
    assert [d.id for d in (await domains.list_async({"domain_name": "eat.example"})).data] == [
        made.id
    ]
    assert (await domains.list_async({"domain_name": "other.example"})).data == []
    assert (await domains.list_async({"enabled": True})).data == []
    bad = await refused(domains.create_async({"domain_name": "localhost"}))
    assert bad.param == "domain_name"
