"""Commands find a worker by a few settings, read without the others: they say what the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import settings
from app.cli import worker_address

SANDBOX = {"TIFFIN_SANDBOX": "1", "TIFFIN_SANDBOX_OPEN": "1"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TIFFIN_WEB_PORT": "7000"},
        {"TIFFIN_WEB_HOST": "::1", "TIFFIN_WEB_PORT": ""},
        {"TIFFIN_WEB_HOST": "worker-1"},
        {"TIFFIN_WEB_URL": "http://worker-2:6066/"},
        {"tiffin_web_url": "https://eat.example"},
        {"TIFFIN_ORDER_TOKEN_KEY": "x" * 40},
        {"TIFFIN_SANDBOX": "true"},
        {"TIFFIN_SANDBOX": "Yes"},
    ],
    ids=str,
)
@pytest.mark.parametrize("is_in_file", [False, True], ids=["environment", ".env"])
def test_it_is_what_the_settings_say(
    environment: dict[str, str], is_in_file: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {**SANDBOX, **environment}
    monkeypatch.chdir(tmp_path)
    if is_in_file:
        (tmp_path / ".env").write_text("".join(f"{name}={text}\n" for name, text in given.items()))
    for name, text in ({} if is_in_file else given).items():
        monkeypatch.setenv(name, text)
    known, found = settings.load_settings(), worker_address.worker_address()
    assert (found.url, found.is_sandbox) == (known.canonical_url, known.sandbox)
    key = known.order_token_key.get_secret_value()
    assert (found.token_key or settings.SANDBOX_TOKEN_KEY) == key


@pytest.mark.parametrize("said", ["0", "false", "no", "", "off"])
def test_what_is_no_sandbox(said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIFFIN_SANDBOX", said)
    assert not worker_address.worker_address().is_sandbox


def test_nothing_is_read_from_elsewhere() -> None:
    assert worker_address.ENV_FILES == settings.ENV_FILES
    assert worker_address.PREFIX == settings.PREFIX
