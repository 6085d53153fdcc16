"""Secrets from files: read as the variable would be, and every way to get it wrong names variable and file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.cli.errors import CommandError, ExitStatus
from app.cli.worker_address import worker_address
from app.secret_files import MAX_BYTES, SecretFileError, secret_from_file
from app.settings import PREFIX, SECRET_VARIABLES, Settings, SettingsError, load_settings
from app.settings.field_types import plain_texts

SECRET = "whsec_of-a-file-0123456789-0123456789"
VALID = {
    "TIFFIN_STRIPE_SECRET_KEY": "sk_test_in-a-file",
    "TIFFIN_STRIPE_WEBHOOK_SECRETS": "whsec_new,whsec_old",
    "TIFFIN_ORDER_TOKEN_KEY": "in-a-file-" * 4,
    "TIFFIN_METRICS_TOKEN": "in-a-file-in-a-file",
}

NEEDED_BESIDE = {
    "SANDBOX": "1",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_abc",
    "KAFKA_PROTOCOL": "SASL_SSL",
    "KAFKA_USER": "tiffin",
    "SMTP_HOST": "smtp.example",
    "SMTP_USER": "tiffin",
    "MAIL_FROM": "orders@eat.example",
    "TWILIO_ACCOUNT_SID": "ACabc",
    "SMS_FROM": "+15005550006",
}
"""Settings without which the secrets have no use, and are refused."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def text_of(settings: Settings, variable: str) -> str:
    return ",".join(plain_texts(getattr(settings, variable.removeprefix(PREFIX).lower())))


def test_every_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in SECRET_VARIABLES:
        file = tmp_path / variable.lower()
        file.write_text(VALID.get(variable, SECRET) + "\n")
        monkeypatch.setenv(f"{variable}_FILE", str(file))
    for name, value in NEEDED_BESIDE.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    settings = load_settings()
    for variable in SECRET_VARIABLES:
        assert text_of(settings, variable) == VALID.get(variable, SECRET)
        assert VALID.get(variable, SECRET) not in repr(settings)


def test_every_field_with_a_secret_is_known() -> None:
    """What is hidden in a repr is what a file may hold; the published key of a page is no secret."""
    hidden = {
        name
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, SecretStr)
        or any(word in name for word in ("password", "secret", "token", "_key"))
    }
    named = {variable.removeprefix(PREFIX).lower() for variable in SECRET_VARIABLES}
    assert named == hidden - {"stripe_publishable_key"}


def test_a_file_may_be_named_in_dotenv(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("in-a-file-" * 4)
    (tmp_path / ".env").write_text("TIFFIN_SANDBOX=1\nTIFFIN_ORDER_TOKEN_KEY_FILE=key\n")
    assert load_settings().order_token_key.get_secret_value() == "in-a-file-" * 4
    assert worker_address().token_key == "in-a-file-" * 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no file"),
        (b"", "is empty"),
        (b" \r\n\n", "is empty"),
        (b"\xff\xfe" + SECRET.encode(), "no UTF-8"),
        (SECRET.encode() * MAX_BYTES, "more than"),
    ],
)
def test_a_file_that_can_not_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("TIFFIN_SANDBOX", "1")
    monkeypatch.setenv("TIFFIN_ORDER_TOKEN_KEY_FILE", str(file))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 1
    assert lines[0].startswith("TIFFIN_ORDER_TOKEN_KEY_FILE: ")
    assert says in lines[0]
    assert str(file) in lines[0]
    assert SECRET not in str(caught.value)
    with pytest.raises(CommandError) as command:
        worker_address()
    assert (command.value.message, command.value.status) == (lines[0], ExitStatus.UNTOLD)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match="can't be read: Is a directory"):
        secret_from_file("TIFFIN_X", {"TIFFIN_X_FILE": str(tmp_path)})


def test_outside_the_sandbox_an_unreadable_file_is_the_only_complaint_about_its_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIFFIN_ORDER_TOKEN_KEY_FILE", "missing")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    named = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert "TIFFIN_ORDER_TOKEN_KEY_FILE" in named
    assert "TIFFIN_ORDER_TOKEN_KEY" not in named
    assert "TIFFIN_STRIPE_SECRET_KEY" in named


def test_both_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    monkeypatch.setenv("TIFFIN_SANDBOX", "1")
    monkeypatch.setenv("TIFFIN_ORDER_TOKEN_KEY", SECRET)
    monkeypatch.setenv("TIFFIN_ORDER_TOKEN_KEY_FILE", "key")
    with pytest.raises(SettingsError, match="TIFFIN_ORDER_TOKEN_KEY is set as well"):
        load_settings()
    monkeypatch.setenv("TIFFIN_ORDER_TOKEN_KEY", "")  # as docker compose passes what nobody set
    assert load_settings().order_token_key.get_secret_value() == SECRET


def test_what_a_file_holds_is_checked_like_any_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("too-short")
    monkeypatch.setenv("TIFFIN_SANDBOX", "1")
    monkeypatch.setenv("TIFFIN_ORDER_TOKEN_KEY_FILE", "key")
    with pytest.raises(SettingsError, match="TIFFIN_ORDER_TOKEN_KEY: must have at least"):
        load_settings()


def test_a_setting_that_is_no_secret_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIFFIN_SANDBOX", "1")
    monkeypatch.setenv("TIFFIN_STRIPE_PUBLISHABLE_KEY_FILE", "key")
    with pytest.raises(SettingsError, match="TIFFIN_STRIPE_PUBLISHABLE_KEY_FILE: is no setting"):
        load_settings()


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=200))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, secret: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any-secret"
    for end in ("", "\n", "\r\n"):
        file.write_bytes((secret + end).encode())
        if secret.strip():
            assert secret_from_file("X", {"X_FILE": str(file)}) == secret.rstrip("\r\n")
