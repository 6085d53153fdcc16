"""The checks of the account against Stripe's stand-in: what each finds, and that the key is never told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stripe
import structlog

from app.stripe.account import AccountClient, PermissionDeniedError
from app.stripe.account_checks import READS, WRITES, AccountChecks
from app.stripe.account_watch import AccountWatch
from app.stripe.check import Check, CheckState, ExpectedAccount
from app.stripe.endpoint_checks import WEBHOOK_PATH, version_check
from app.stripe.wallet_domains import register_domain
from models.stripe_events import APPLIED_EVENT_TYPES, ENDPOINT_EVENT_TYPES
from sandbox.processes import free_port
from sandbox.stripe import StripeSandbox
from sandbox.stripe.faults import Fault
from sandbox.stripe.state import API_VERSION
from web.routes import ROUTES

KEY = "rk_test_of_the_checks"
URL = f"https://eat.example{WEBHOOK_PATH}"
EXPECTED = ExpectedAccount(
    app_id="eat", is_sandbox=False, livemode=False, webhook_url=URL, currencies={"INR", "USD"},
    minimums=(), max_clock_offset_s=30.0, now_s=time.time,
)  # fmt: skip
OK, WARNING, WRONG, UNKNOWN = CheckState
Run = Callable[..., Awaitable[dict[str, Check]]]


@pytest.fixture
async def sandbox() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(settle_delay_s=None) as running:
        yield running


@pytest.fixture
async def run(sandbox: StripeSandbox) -> Run:
    async def checks(expected: ExpectedAccount = EXPECTED, **more: Any) -> dict[str, Check]:
        async with AccountClient(KEY, base_url=sandbox.base_url) as client:
            found = [each async for each in AccountChecks(client, expected, **more).run()]
        assert KEY not in str(found)
        assert len({each.name for each in found}) == len(found)
        return {each.name: each for each in found}

    return checks


def add_endpoint(sandbox: StripeSandbox, **fields: Any) -> dict[str, Any]:
    made = sandbox.webhooks.create(
        {"url": URL, "enabled_events": list(ENDPOINT_EVENT_TYPES), "api_version": API_VERSION}
        | fields
    )
    return sandbox.state.webhook_endpoints[made["id"]]


def test_the_path_is_that_of_the_route() -> None:
    assert ("POST", WEBHOOK_PATH) in {(route.method, route.path) for route in ROUTES}


async def test_all_is_well(sandbox: StripeSandbox, run: Run) -> None:
    add_endpoint(sandbox)
    found = await run()
    assert {each.state for each in found.values()} == {OK}
    assert not any(each.todo for each in found.values())
    assert list(found) == [
        "mark", "key", "rights", "platforms", "mode", "account", "currencies", "endpoint", "types", "version",
        "clock",
    ]  # fmt: skip
    assert sandbox.state.payment_intents == sandbox.state.refunds == {}, "nothing is made"


async def test_the_page_names_every_check_and_the_sdks_version(
    sandbox: StripeSandbox, run: Run
) -> None:
    add_endpoint(sandbox)
    page = (Path(__file__).parents[2] / "docs/stripe.md").read_text()
    told = page.partition("## What the check says")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z]+) \|", told, re.MULTILINE)
    assert set(rows) - {"check"} == set(await run())
    assert set(re.findall(r"api_version=(\S+)", page)) == {stripe.api_version}


async def test_a_key_that_stripe_refuses_ends_the_checks(sandbox: StripeSandbox) -> None:
    async with AccountClient("sk_live_x", base_url=sandbox.base_url) as client:
        found = [each async for each in AccountChecks(client, EXPECTED).run()]
    assert [(each.name, each.state) for each in found] == [("mark", OK), ("key", WRONG)]
    assert "TIFFIN_STRIPE_SECRET_KEY" in found[-1].todo


async def test_stripe_that_is_away_is_no_fault_of_the_settings() -> None:
    async with AccountClient(KEY, base_url=f"http://127.0.0.1:{free_port()}") as client:
        found = [each async for each in AccountChecks(client, EXPECTED).run()]
    assert (found[-1].name, found[-1].state) == ("key", UNKNOWN)


@pytest.mark.parametrize(
    ("lacking", "state_of"),
    [
        ("payment_intent_write", {"rights": WRONG}),
        ("payment_intent_read", {}),
        ("dispute_read", {"rights": WRONG}),
        ("webhook_read", {"endpoint": UNKNOWN, "types": UNKNOWN, "version": UNKNOWN}),
        ("connected_account_read", {"account": UNKNOWN, "currencies": UNKNOWN}),
    ],
)
async def test_a_restricted_key_that_lacks_something(
    sandbox: StripeSandbox, run: Run, lacking: str, state_of: dict[str, CheckState]
) -> None:
    add_endpoint(sandbox)
    rights = {
        "connected_account_read", "payment_intent_read", "payment_intent_write", "charge_write",
        "dispute_read", "event_read", "webhook_read",
    }  # fmt: skip
    sandbox.state.permissions[KEY] = frozenset(rights)
    assert {each.state for each in (await run()).values()} == {OK}, "these are enough"
    sandbox.state.permissions[KEY] = frozenset(rights - {lacking})
    found = await run()
    assert {name: each.state for name, each in found.items() if each.state is not OK} == state_of
    assert all(lacking in found[name].detail and found[name].todo for name in state_of)


async def test_a_worker_tries_no_write(sandbox: StripeSandbox, run: Run) -> None:
    await run(with_writes=False)
    assert {entry["method"] for entry in sandbox.api.log} == {"GET"}
    assert {f"/v1/{listing}" for listing in READS} <= {entry["path"] for entry in sandbox.api.log}
    sandbox.api.log.clear()
    await run()
    posted = [entry for entry in sandbox.api.log if entry["method"] == "POST"]
    assert [(entry["path"], entry["status"]) for entry in posted] == [
        (f"/v1/{resource}", 400) for resource in WRITES
    ]


@pytest.mark.parametrize(
    ("change", "livemode", "state"),
    [
        ({"capabilities": {"card_payments": "pending"}}, False, WARNING),
        ({"capabilities": {"card_payments": "inactive"}}, True, WRONG),
        ({"capabilities": None}, True, WRONG),
        ({"charges_enabled": False}, True, WRONG),
        ({}, True, OK),
    ],
)
async def test_an_account_that_takes_no_cards(
    sandbox: StripeSandbox, run: Run, change: dict[str, Any], livemode: bool, state: CheckState
) -> None:
    sandbox.state.account.update(change)
    found = (await run(replace(EXPECTED, livemode=livemode)))["account"]
    assert found.state is state
    assert bool(found.todo) is (state is not OK)


async def test_the_account_takes_what_is_offered(sandbox: StripeSandbox, run: Run) -> None:
    expected = replace(EXPECTED, livemode=True, payment_methods=("card", "us_bank_account"))
    del sandbox.state.account["capabilities"]["us_bank_account_ach_payments"]
    told = (await run(expected))["account"]
    assert (told.state, "us_bank_account_ach_payments" in told.detail) == (WRONG, True)
    sandbox.state.account["capabilities"]["us_bank_account_ach_payments"] = "active"
    assert (await run(expected))["account"].state is OK


async def test_currencies_of_the_menus(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await run(replace(EXPECTED, currencies={"USD", "XTS"}))
    assert (found["currencies"].state, "XTS" in found["currencies"].detail) == (WRONG, True)

    only_usd = {
        "default_currency": "usd", "supported_payment_currencies": ["usd", "krw"],
        "supported_bank_account_currencies": {"usd": ["US"]},
    }  # fmt: skip
    monkeypatch.setattr("sandbox.stripe.account.country_spec", lambda *_: only_usd)
    expected = replace(EXPECTED, currencies={"KRW"})
    assert (await run(expected))["currencies"].state is WARNING
    assert (await run(replace(expected, minimums={"KRW"})))["currencies"].state is OK


@pytest.mark.parametrize(
    ("fields", "livemode", "wrong"),
    [
        ({"url": f"https://other.example{WEBHOOK_PATH}"}, True, {"endpoint": WRONG}),
        ({"url": f"https://other.example{WEBHOOK_PATH}"}, False, {"endpoint": WARNING}),
        ({"enabled_events": list(APPLIED_EVENT_TYPES)}, True, {"types": WARNING}),
        ({"enabled_events": ["payment_intent.succeeded"]}, False, {"types": WRONG}),
        ({"enabled_events": ["*"]}, False, {}),
        ({"api_version": "2020-08-27"}, False, {"version": WRONG}),
        ({"api_version": "2026-09-30.dahlia"}, False, {"version": WRONG}),
        ({"api_version": "2026-09-30.endive"}, False, {}),
        ({"api_version": None}, False, {"version": UNKNOWN}),
    ],
)
async def test_the_endpoint(
    sandbox: StripeSandbox,
    run: Run,
    fields: dict[str, Any],
    livemode: bool,
    wrong: dict[str, CheckState],
) -> None:
    add_endpoint(sandbox, **fields)
    found = await run(replace(EXPECTED, livemode=livemode))
    assert {name: each.state for name, each in found.items() if each.state is not OK} == wrong
    assert all(found[name].todo for name in wrong)


async def test_an_endpoint_without_a_version_sends_the_accounts(
    sandbox: StripeSandbox, run: Run
) -> None:
    add_endpoint(sandbox, api_version=None)
    sandbox.state.emit("payout.paid", {"id": "po_1", "object": "payout"})
    assert (await run())["version"].state is OK
    sandbox.state.emit("payout.paid", {"id": "po_2", "object": "payout"})
    list(sandbox.state.events.values())[-1]["api_version"] = "2020-08-27"
    told = (await run())["version"]
    assert (told.state, "2020-08-27" in told.detail) == (WRONG, True)
    sandbox.state.webhook_endpoints.clear()
    add_endpoint(sandbox)
    told = (await run())["version"]
    assert (told.state, "lists of events" in told.detail) == (WARNING, True)


async def test_an_endpoint_that_is_disabled_or_there_twice(
    sandbox: StripeSandbox, run: Run
) -> None:
    first = add_endpoint(sandbox)
    add_endpoint(sandbox)
    assert (await run())["endpoint"].state is WARNING
    for each in sandbox.state.webhook_endpoints.values():
        each["status"] = "disabled"
    assert (await run())["endpoint"].state is WRONG
    first["status"] = "enabled"
    assert (await run())["endpoint"].state is OK
    unknown = replace(EXPECTED, webhook_url=None)
    assert (await run(unknown))["endpoint"].state is WARNING
    assert (await run(replace(unknown, is_sandbox=True)))["endpoint"].state is OK


@pytest.mark.parametrize(("offset_s", "state"), [(-120, WRONG), (120, WRONG), (0, OK)])
async def test_the_clock(run: Run, offset_s: float, state: CheckState) -> None:
    expected = replace(EXPECTED, now_s=lambda: time.time() + offset_s)
    assert (await run(expected))["clock"].state is state


async def test_objects_of_the_other_mode(sandbox: StripeSandbox, run: Run) -> None:
    sandbox.state.emit("payout.paid", {"id": "po_1", "object": "payout"})
    assert (await run(replace(EXPECTED, livemode=True)))["mode"].state is WRONG
    assert (await run())["mode"].state is OK


async def test_the_default_app_id_is_told_outside_the_sandbox(run: Run) -> None:
    default = replace(EXPECTED, app_id="tiffin")
    told = (await run(default))["mark"]
    assert (told.state, "TIFFIN_APP_ID" in told.todo) == (WARNING, True)
    assert (await run(replace(default, is_sandbox=True)))["mark"].state is OK


async def test_several_platforms_with_one_app_id_are_named(
    sandbox: StripeSandbox, run: Run
) -> None:
    async with AccountClient(KEY, base_url=sandbox.base_url) as client:
        for mark in (
            {"app": "eat", "platform": "platform_1"},
            {"app": "other", "platform": "x"},
            {},
        ):
            body = {"amount": 5000, "currency": "usd", "metadata": mark}
            await client.post("/v1/payment_intents", **body)
        told = (await run())["platforms"]
        assert (told.state, "platform_1" in told.detail, "other" in told.detail) == (OK, True, True)
        again = {"app": "eat", "platform": "platform_2"}
        await client.post("/v1/payment_intents", amount=5000, currency="usd", metadata=again)
    told = (await run())["platforms"]
    assert (told.state, "platform_1, platform_2" in told.detail) == (WARNING, True)


def test_versions_with_one_release_name_differ_in_additions_alone() -> None:
    ours = "2026-10-28.endive"
    assert version_check("2027-01-28.endive", ours).state is OK
    assert version_check("2026-10-28", ours).state is WRONG
    assert version_check("2023-10-16", "2023-10-16").state is OK
    assert version_check("2022-11-15", "2023-10-16").state is WRONG


# -- at a worker


async def test_a_worker_tells_what_is_wrong_once_and_goes_on(sandbox: StripeSandbox) -> None:
    add_endpoint(sandbox, api_version="2020-08-27")
    watch = AccountWatch(lambda: AccountClient(KEY, base_url=sandbox.base_url), EXPECTED)
    with structlog.testing.capture_logs() as logged:
        await watch.check()
        await watch.check()
    assert [entry["check"] for entry in logged] == ["version"]
    assert logged[0]["log_level"] == "warning"
    assert "2020-08-27" in watch.problem()
    (family,) = watch.collect()
    told = {sample.labels["check"]: sample.labels["state"] for sample in family.samples}
    assert (told["version"], told["key"]) == ("WRONG", "OK")

    sandbox.api.faults.add(Fault("error_500_before", times=None))
    await watch.check()
    assert watch.checks["key"].state is UNKNOWN
    assert "2020-08-27" in watch.problem(), "it is so until Stripe says otherwise"
    unasked = AccountWatch(lambda: AccountClient(KEY, base_url=sandbox.base_url), EXPECTED)
    await unasked.check()
    assert unasked.problem() == "", "what can't be told is nothing wrong"


async def test_one_failed_request_hides_nothing_that_was_wrong(sandbox: StripeSandbox) -> None:
    add_endpoint(sandbox, api_version="2020-08-27")
    watch = AccountWatch(lambda: AccountClient(KEY, base_url=sandbox.base_url), EXPECTED)
    await watch.check()
    sandbox.api.faults.add(Fault("error_500_before", path="webhook_endpoints", times=None))
    await watch.check()
    assert "2020-08-27" in watch.problem()
    assert watch.checks["types"].state is UNKNOWN
    assert watch._is_unasked, "so it is asked again soon"
    sandbox.api.faults.clear()
    sandbox.state.webhook_endpoints.clear()
    add_endpoint(sandbox)
    await watch.check()
    assert (watch.problem(), watch._is_unasked) == ("", False)


async def test_a_worker_tells_payments_of_an_id_that_is_none_of_its_own(
    sandbox: StripeSandbox, run: Run
) -> None:
    add_endpoint(sandbox)
    known: list[str] = []
    worker = replace(EXPECTED, platform_ids=lambda: tuple(known))
    told = (await run(worker))["platforms"]
    assert (told.state, told.is_unasked) == (UNKNOWN, True)
    known.append("platform_new")
    assert (await run(worker))["platforms"].state is OK
    mark = {"app": "eat", "platform": "platform_lost"}
    async with AccountClient(KEY, base_url=sandbox.base_url) as client:
        body = {"amount": 5000, "currency": "inr", "metadata": mark}
        await client.post("/v1/payment_intents", **body)
    told = (await run(worker))["platforms"]
    assert (told.state, "platform_lost" in told.detail) == (WARNING, True)
    known.append("platform_lost")
    assert (await run(worker))["platforms"].state is OK


async def test_an_endpoints_url_may_be_a_secret_and_is_not_told(
    sandbox: StripeSandbox, run: Run
) -> None:
    add_endpoint(sandbox, url="https://user:pw@hooks.example/services/T1/s3cr3t?token=x")
    add_endpoint(sandbox, url=f"https://hooks.example{WEBHOOK_PATH}?token=s3cr3t")
    for expected in (EXPECTED, replace(EXPECTED, webhook_url=None)):
        told = str(await run(expected))
        assert "hooks.example" in told
        assert not any(secret in told for secret in ("s3cr3t", "user:pw"))


async def test_endpoints_of_ours_that_share_the_types_send_them_all(
    sandbox: StripeSandbox, run: Run
) -> None:
    for types in (ENDPOINT_EVENT_TYPES[::2], ENDPOINT_EVENT_TYPES[1::2]):
        add_endpoint(sandbox, enabled_events=list(types))
    assert (await run())["types"].state is OK


# -- wallets


async def test_a_domain_is_registered_once_and_says_what_is_missing(sandbox: StripeSandbox) -> None:
    sandbox.state.domain_errors["apple_pay"] = "the association file can't be read"
    async with AccountClient(KEY, base_url=sandbox.base_url) as client:
        first = await register_domain(client, "eat.example")
        assert (first.done, first.is_complete) == ("registered, validated", False)
        told = {each.name: each.state for each in first.wallets}
        assert told == {"Apple Pay": WRONG, "Google Pay": OK, "Link": OK}
        assert "the association file can't be read" in first.wallets[0].detail
        sandbox.state.domain_errors.clear()
        again = await register_domain(client, "eat.example")
        assert (again.done, again.id, again.is_complete) == ("validated", first.id, True)
        sandbox.state.payment_method_domains[first.id]["enabled"] = False
        assert (await register_domain(client, "eat.example")).done == "enabled"
        assert (await register_domain(client, "eat.example")).done == ""
        sandbox.state.permissions[KEY] = frozenset()
        with pytest.raises(PermissionDeniedError, match="payment_method_domain_read"):
            await register_domain(client, "eat.example")
    assert len(sandbox.state.payment_method_domains) == 1
    assert KEY not in json.dumps(list(sandbox.api.log))
