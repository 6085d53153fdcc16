"""What the factory makes of the settings."""

from __future__ import annotations

import pytest

from app.configured_services import minimum_charges, payment_methods
from app.settings import Settings, SettingsError, load_settings
from web.catalogue import load_catalogue


def settings(monkeypatch: pytest.MonkeyPatch, text: str) -> Settings:
    monkeypatch.setenv("TIFFIN_SANDBOX", "1")
    monkeypatch.setenv("TIFFIN_MINIMUM_CHARGES", text)
    return load_settings()


def test_minimum_charges_are_minor_units_by_currency(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(monkeypatch, "KRW=700, UGX=2000,EUR=1.50")
    assert minimum_charges(given) == {"KRW": 700, "UGX": 200_000, "EUR": 150}
    assert minimum_charges(settings(monkeypatch, "")) == {}


def test_a_minimum_charge_that_can_not_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as raised:
        minimum_charges(settings(monkeypatch, "KRW=700,KWD=0.165"))
    accepted = "accepted: 0.010 to 99999.990 KWD, in steps of 0.010"
    assert f"TIFFIN_MINIMUM_CHARGES: KWD=0.165: {accepted}" in str(raised.value)


@pytest.mark.parametrize(
    ("given", "offered"),
    [("", ("card",)), ("card, us_bank_account", ("card", "us_bank_account")), ("automatic", None)],
)
def test_payment_methods_that_the_menus_can_be_paid_with(
    monkeypatch: pytest.MonkeyPatch, given: str, offered: tuple[str, ...] | None
) -> None:
    monkeypatch.setenv("TIFFIN_PAYMENT_METHODS", given)
    assert payment_methods(settings(monkeypatch, ""), load_catalogue()) == offered


def test_a_payment_method_that_no_menu_can_be_paid_with_ends_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIFFIN_PAYMENT_METHODS", "card,bancontact")
    with pytest.raises(SettingsError, match="TIFFIN_PAYMENT_METHODS: bancontact: it takes EUR"):
        payment_methods(settings(monkeypatch, ""), load_catalogue())
