"""Settings name what is wrong, never show a secret, and refuse what would cost real money."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog

from app import settings as settings_module
from app.logs import configure_logs
from app.settings import PREFIX, STRIPE_API, Settings, SettingsError, load_settings

LIVE = {
    "STRIPE_SECRET_KEY": "sk_live_abc",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_abc",
    "STRIPE_WEBHOOK_SECRETS": "whsec_abc",
    "ORDER_TOKEN_KEY": "0123456789" * 4,
    "SECURE_COOKIES": "1",
}
TEST_MODE = LIVE | {
    "STRIPE_SECRET_KEY": "sk_test_abc",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_abc",
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    return load_settings()


def refusal(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **values)
    return str(caught.value)


def test_sandbox_needs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, SANDBOX="1")
    assert not settings.livemode
    assert settings.canonical_url == "http://127.0.0.1:6066"


@pytest.mark.parametrize(
    "values",
    [
        {"WEB_HOST": "127.0.0.2"},
        {"WEB_HOST": "::1"},
        {"WEB_HOST": "localhost"},
        {"WEB_HOST": "0.0.0.0", "BIND": "127.0.0.1"},
        {"WEB_HOST": "0.0.0.0", "BIND": "[::1]"},
        {"WEB_HOST": "0.0.0.0", "SANDBOX_OPEN": "1"},
    ],
)
def test_the_sandbox_is_this_machines_alone_unless_said(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str]
) -> None:
    assert load(monkeypatch, SANDBOX="1", DEV_LOGIN="1", **values).dev_login


def test_an_empty_one_is_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TIFFIN_PUBLIC_URL=\nTIFFIN_WEB_PORT=7000\n")
    settings = load(monkeypatch, **TEST_MODE, SMTP_HOST="", WEB_PORT="")
    assert (settings.public_url, settings.smtp_host, settings.web_port) == (None, None, 7000)
    assert "TIFFIN_STRIPE_SECRET_KEY: must be set" in refusal(monkeypatch, STRIPE_SECRET_KEY="")


def test_outside_the_sandbox_every_published_secret_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = refusal(monkeypatch)
    named = set(re.findall(r"TIFFIN_[A-Z_]+(?=:)", message))
    assert named == {
        "TIFFIN_STRIPE_SECRET_KEY",
        "TIFFIN_STRIPE_PUBLISHABLE_KEY",
        "TIFFIN_STRIPE_WEBHOOK_SECRETS",
        "TIFFIN_ORDER_TOKEN_KEY",
    }


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        **TEST_MODE | {"STRIPE_WEBHOOK_SECRETS": "whsec_new, whsec_old", "ALLOWED_ORIGINS": ""},
    )
    secrets = [secret.get_secret_value() for secret in settings.stripe_webhook_secrets]
    assert secrets == ["whsec_new", "whsec_old"]
    assert settings.allowed_origins == ()


def test_live_keys_at_stripe_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **LIVE)
    assert settings.livemode
    assert settings.stripe_api_url == STRIPE_API


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (LIVE | {"STRIPE_API_URL": "http://127.0.0.1:9000"}, "STRIPE_API_URL"),
        (LIVE | {"STRIPE_PUBLISHABLE_KEY": "pk_test_abc"}, "STRIPE_PUBLISHABLE_KEY"),
        (LIVE | {"SECURE_COOKIES": "0"}, "SECURE_COOKIES"),
        (TEST_MODE | {"CLIENT_READS_PER_MIN": "-1"}, "CLIENT_READS_PER_MIN"),
        (TEST_MODE | {"METRICS_TOKEN": "short"}, "METRICS_TOKEN"),
        (TEST_MODE | {"STRIPE_PUBLISHABLE_KEY": "pk_live_abc"}, "STRIPE_PUBLISHABLE_KEY"),
        (LIVE | {"STRIPE_SECRET_KEY": "rk_live_abc", "SANDBOX": "1"}, "SANDBOX"),
        (LIVE | {"ORDER_TOKEN_KEY": settings_module.SANDBOX_TOKEN_KEY}, "ORDER_TOKEN_KEY"),
        (LIVE | {"STRIPE_WEBHOOK_SECRETS": "whsec_x,nonsense"}, "STRIPE_WEBHOOK_SECRETS"),
        (LIVE | {"STRIPE_WEBHOOK_SECRETS": " , "}, "STRIPE_WEBHOOK_SECRETS"),
        (TEST_MODE | {"DEV_LOGIN": "yes"}, "DEV_LOGIN"),
        ({"SANDBOX": "1", "WEB_HOST": "0.0.0.0"}, "SANDBOX"),
        ({"SANDBOX": "1", "WEB_HOST": "::"}, "SANDBOX"),
        ({"SANDBOX": "1", "WEB_HOST": "a-name-of-this-machine"}, "SANDBOX"),
        ({"SANDBOX": "1", "WEB_HOST": "127.0.0.1", "BIND": "192.168.1.5"}, "SANDBOX"),
        ({"SANDBOX": "1", "PARTITIONS": "0"}, "PARTITIONS"),
        ({"SANDBOX": "1", "PARTITIONS": "three"}, "PARTITIONS"),
        ({"SANDBOX": "1", "KAFKA_BOOTSTRAP": "kafka"}, "KAFKA_BOOTSTRAP"),
        ({"SANDBOX": "1", "KAFKA_PROTOCOL": "TLS"}, "KAFKA_PROTOCOL"),
        ({"SANDBOX": "1", "KAFKA_USER": "u", "KAFKA_PROTOCOL": "SASL_SSL"}, "KAFKA_PASSWORD"),
        ({"SANDBOX": "1", "KAFKA_USER": "u"}, "KAFKA_USER"),
        ({"SANDBOX": "1", "KAFKA_CA_FILE": "/etc/passwd"}, "KAFKA_CA_FILE"),
        (
            {"SANDBOX": "1", "KAFKA_PROTOCOL": "SSL", "KAFKA_CA_FILE": "/nonesuch"},
            "KAFKA_CA_FILE",
        ),
        ({"SANDBOX": "1", "WEB_URL": "worker-1:6066"}, "WEB_URL"),
        ({"SANDBOX": "1", "SESSION_TIMEOUT_S": "3"}, "HEARTBEAT_INTERVAL_S"),
        ({"SANDBOX": "1", "SESSION_TIMEOUT_S": "inf"}, "SESSION_TIMEOUT_S"),
        ({"SANDBOX": "1", "CONFIRM_DEADLINE_S": "20"}, "CONFIRM_DEADLINE_S"),
        ({"SANDBOX": "1", "STRIPE_WRITE_TIMEOUT_S": "80"}, "STRIPE_WRITE_TIMEOUT_S"),
        ({"SANDBOX": "1", "ORDER_TOKEN_KEY": "short"}, "ORDER_TOKEN_KEY"),
        ({"SANDBOX": "1", "STRIPE_SECRET_KEY": "whsec_mixed_up"}, "STRIPE_SECRET_KEY"),
        ({"SANDBOX": "1", "LOG_FORMAT": "xml"}, "LOG_FORMAT"),
        (
            {"SANDBOX": "1", "PLATFORM_CLIENT_ID": "c", "PUBLIC_URL": "https://eat.example"},
            "PLATFORM_ISSUER",
        ),
        (
            {"SANDBOX": "1", "PLATFORM_CLIENT_ID": "c", "PLATFORM_ISSUER": "https://id.example"},
            "PUBLIC_URL",
        ),
    ],
)
def test_a_wrong_one_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], named: str
) -> None:
    message = refusal(monkeypatch, **values)
    assert re.findall(r"TIFFIN_[A-Z_]+(?=:)", message) == [f"{PREFIX}{named}"]
    for secret in ("ORDER_TOKEN_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRETS"):
        if len(value := values.get(secret, "").strip(" ,")) > 3:
            assert value not in message


def test_a_misspelt_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TIFFIN_SANDBOX=1\nTIFFIN_KAFKA_BOOTSTRAPS=kafka:9092\n")
    message = refusal(monkeypatch, STRIPE_WEBHOOK_SECRET="whsec_x")
    assert "TIFFIN_STRIPE_WEBHOOK_SECRET: is no setting" in message
    assert "did you mean TIFFIN_STRIPE_WEBHOOK_SECRETS?" in message
    assert "TIFFIN_KAFKA_BOOTSTRAPS: is no setting" in message


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("TIFFIN_SANDBOX=1\nTIFFIN_PARTITIONS=5\nTIFFIN_WEB_PORT=7000\n")
    settings = load(monkeypatch, PARTITIONS="7")
    assert (settings.partitions, settings.web_port) == (7, 7000)


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = repr(load(monkeypatch, **LIVE))
    for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRETS", "ORDER_TOKEN_KEY"):
        assert LIVE[name] not in shown


def test_every_setting_has_a_description() -> None:
    assert [name for name, text in Settings.descriptions().items() if not text] == []


def test_importing_settings_imports_nothing_of_the_project() -> None:
    code = (
        "import sys, app.settings\n"
        "ours = {'agents', 'web', 'tables', 'models', 'sandbox'}\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ours))"
    )
    root = Path(settings_module.__file__).parents[2]
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.usefixtures("_restored_logging")
def test_log_lines_carry_the_context_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "INFO")
    structlog.contextvars.bind_contextvars(orderId="order_1", traceparent="00-aa-bb-01")
    try:
        card = "4242424242424242"
        int(card[:4] + "x")
    except ValueError:
        structlog.stdlib.get_logger("app.x").exception("it failed", clientSecret="pi_1_secret_2")
    logging.getLogger("tiffin.engine").warning("lane %s", 3, extra={"partition": 2})
    logging.getLogger("stripe").info("Post details body=4242424242424242")
    text = capsys.readouterr().err
    first, second = map(orjson.loads, text.splitlines())
    assert (first["orderId"], first["traceparent"]) == ("order_1", "00-aa-bb-01")
    assert first["clientSecret"] == "***"
    assert (second["message"], second["partition"]) == ("lane 3", 2)
    assert "4242424242424242" not in text
