"""What the factory makes of the settings."""

from __future__ import annotations

import pytest

from app.factory import minimum_charges
from app.settings import Settings, SettingsError, load_settings


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
