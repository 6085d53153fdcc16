"""What the account is held against, by the settings."""

from __future__ import annotations

import time

import pytest

from app.settings import load_settings
from app.stripe.account_settings import expected_account
from app.stripe.check import ExpectedAccount


def expected(monkeypatch: pytest.MonkeyPatch, **settings: str) -> ExpectedAccount:
    for name, value in {"SANDBOX": "1", **settings}.items():
        monkeypatch.setenv(f"TIFFIN_{name}", value)
    return expected_account(load_settings(), ["USD", "EUR"], now_s=time.time)


def test_the_endpoint_is_that_of_the_public_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert expected(monkeypatch).webhook_url is None
    told = expected(monkeypatch, PUBLIC_URL="https://eat.example/")
    assert told.webhook_url == "https://eat.example/webhooks/stripe"


def test_methods_minimums_and_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    told = expected(
        monkeypatch, PAYMENT_METHODS="card,bancontact", MINIMUM_CHARGES="EUR=1.50", APP_ID="eat"
    )
    assert told.payment_methods == ("card", "bancontact")
    assert (told.minimums, told.currencies) == ({"EUR"}, {"USD", "EUR"})
    assert (told.livemode, told.is_sandbox, told.app_id) == (False, True, "eat")
    assert expected(monkeypatch, PAYMENT_METHODS="automatic").payment_methods == ("card",)
