"""docker-compose.yml and the Dockerfile against settings, topics and what the sandbox really takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.settings import (
    PREFIX,
    PUBLISHED_SECRETS,
    SANDBOX_WEBHOOK_SECRET,
    STRIPE_API,
    Settings,
    SettingsError,
    load_settings,
)
from app.settings.example import COMMAND, SET_BY_COMPOSE, example
from sandbox.stripe.__main__ import main as stripe_command
from tables.limits import MESSAGE_BYTES
from tests.contract.compose import (
    ROOT,
    MissingVariableError,
    Rendered,
    env_file,
    interpolate,
    read,
    render,
)

KNOWN = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
OWN = {f"{PREFIX}{name.upper()}" for name in SET_BY_COMPOSE}
SANDBOX_ENV = ROOT / "sandbox" / "compose.env"
TEST_KEYS = {
    "TIFFIN_STRIPE_SECRET_KEY": "sk_test_abc",
    "TIFFIN_STRIPE_PUBLISHABLE_KEY": "pk_test_abc",
    "TIFFIN_STRIPE_WEBHOOK_SECRETS": "whsec_abc",
    "TIFFIN_ORDER_TOKEN_KEY": "0123456789" * 4,
}
LIVE_KEYS = TEST_KEYS | {
    "TIFFIN_STRIPE_SECRET_KEY": "sk_live_abc",
    "TIFFIN_STRIPE_PUBLISHABLE_KEY": "pk_live_abc",
}
LIVE = LIVE_KEYS | {
    "TIFFIN_SECURE_COOKIES": "1",
    "TIFFIN_PUBLIC_URL": "https://eat.example",
    "TIFFIN_TRUSTED_PROXIES": "1",
    "TIFFIN_PLATFORM_JWKS_URL": "https://id.example/keys",
    "TIFFIN_PLATFORM_ISSUER": "https://id.example",
    "TIFFIN_SMTP_HOST": "smtp.example",
    "TIFFIN_SMTP_USER": "tiffin",
    "TIFFIN_SMTP_PASSWORD": "mail-secret",
    "TIFFIN_MAIL_FROM": "Tiffin <orders@eat.example>",
    "TIFFIN_TWILIO_ACCOUNT_SID": "ACabc",
    "TIFFIN_TWILIO_AUTH_TOKEN": "sms-secret",
    "TIFFIN_SMS_FROM": "+15005550006",
    "TIFFIN_METRICS_TOKEN": "0123456789abcdef",
}
LOOPBACK = "127.0.0.1"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own variable: its libraries read it where TIFFIN_TRACES is set."""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read()


def image_settings() -> dict[str, str]:
    text = (ROOT / "Dockerfile").read_text()
    return dict(re.findall(rf"({PREFIX}\w+)=(\S+)", text))


def worker_names(compose: dict[str, Any]) -> list[str]:
    return [name for name in compose["services"] if name.startswith("worker-")]


def start(rendered: Rendered, name: str) -> Settings:
    """The settings of a container. Raises SettingsError, whose message is what it says then."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {**image_settings(), **environment(rendered, name)}.items():
            patch.setenv(variable, value)
        return load_settings()


def environment(rendered: Rendered, name: str) -> dict[str, str]:
    found: dict[str, str] = rendered.services[name]["environment"]
    return found


def started(variables: Mapping[str, str], *profiles: str) -> list[Settings]:
    """The settings of the command that makes the topics and of all workers."""
    rendered = render(variables, *profiles)
    return [start(rendered, name) for name in ("topics", *rendered.workers)]


def refused(variables: Mapping[str, str]) -> set[str]:
    """The variables that the container that makes the topics names, before any worker starts."""
    with pytest.raises(SettingsError) as caught:
        start(render(variables), "topics")
    for secret in TEST_KEYS.values():
        assert secret not in str(caught.value)
    return set(re.findall(r"TIFFIN_[A-Z_]+(?=:)", str(caught.value)))


def test_three_workers_with_a_folder_and_an_address_of_their_own(compose: dict[str, Any]) -> None:
    workers = [compose["services"][name] for name in worker_names(compose)]
    assert len(workers) == 3
    assert len({w["environment"]["TIFFIN_WEB_URL"] for w in workers}) == 3
    assert len({w["volumes"][0] for w in workers}) == 3
    for worker in workers:
        source, _, target = worker["volumes"][0].partition(":")
        assert source in compose["volumes"]
        assert target == image_settings()["TIFFIN_DATA_DIR"]
        assert worker["restart"] == "always"


def test_every_setting_reaches_a_worker() -> None:
    """One that is added to app/settings is added to docker-compose.yml, or is a container's own."""
    given = {name: f"as-{name.lower()}" for name in KNOWN - OWN}
    rendered = render(given)
    mounted = {"TIFFIN_CATALOGUE_DIR", "TIFFIN_KAFKA_CA_FILE"}
    for number, name in enumerate(rendered.workers, 1):
        seen = environment(rendered, name)
        assert {name for name in seen if name.startswith("OTEL_")} == {ENDPOINT}
        del seen[ENDPOINT]
        assert set(seen) | set(image_settings()) == KNOWN
        assert seen.pop("TIFFIN_GROUP_INSTANCE_ID") == f"as-tiffin_group_instance_id-{number}"
        assert seen.pop("TIFFIN_WEB_URL") == f"http://{name}:6066"
        passed = {variable: seen[variable] for variable in seen if variable not in mounted}
        assert passed == {variable: given[variable] for variable in passed}
        sources = {
            each["target"]: each["source"] for each in rendered.services[name]["volumes"][1:]
        }
        for variable in mounted:
            assert sources[seen[variable]] == given[variable]


def test_what_nobody_sets_is_as_the_settings_have_it() -> None:
    rendered = render({})
    passed = environment(rendered, "worker-1")
    assert {name: value for name, value in passed.items() if value} == {
        "TIFFIN_KAFKA_BOOTSTRAP": "kafka:9092",
        "TIFFIN_BIND": LOOPBACK,
        "TIFFIN_WEB_URL": "http://worker-1:6066",
        ENDPOINT: "http://jaeger:4318",
    }
    for settings in started(TEST_KEYS):
        fields = Settings.model_fields
        differing = {name for name in fields if getattr(settings, name) != fields[name].default}
        assert differing - {"web_url"} == {
            *PUBLISHED_SECRETS, "kafka_bootstrap", "bind", "data_dir", "web_host", "log_format",
        }  # fmt: skip


def test_the_sandbox_pays_at_the_stand_in() -> None:
    variables = env_file(SANDBOX_ENV)
    rendered = render(variables)
    assert {"stripe", "mailpit"} <= set(rendered.services)
    for name in ("topics", *rendered.workers):
        settings = start(rendered, name)
        assert settings.stripe_api_url == "http://stripe:12111"
        assert settings.smtp_host == "mailpit"
        assert settings.sandbox
        assert settings.dev_login
        assert settings.is_local
    public = settings.stripe_js_url
    assert f"--public-url={public}" in rendered.services["stripe"]["command"]
    assert set(variables) - {"COMPOSE_PROFILES"} <= KNOWN


@pytest.mark.parametrize("variables", [TEST_KEYS, TEST_KEYS | {"TIFFIN_SANDBOX": "0"}, LIVE])
def test_real_keys_go_to_stripe_itself(variables: dict[str, str]) -> None:
    assert not {"stripe", "mailpit"} & set(render(variables).services)
    for settings in started(variables):
        assert settings.stripe_api_url == STRIPE_API
        key = settings.stripe_secret_key.get_secret_value()
        assert key == variables["TIFFIN_STRIPE_SECRET_KEY"]
        assert settings.livemode is key.startswith("sk_live_")
        assert settings.stripe_js_url is None
        assert not settings.sandbox
        assert not settings.dev_login


def test_live_settings_all_arrive() -> None:
    for settings in started(LIVE):
        assert settings.secure_cookies
        assert settings.public_url == "https://eat.example"
        assert settings.trusted_proxies == 1
        assert settings.platform_jwks_url == "https://id.example/keys"
        assert settings.smtp_password.get_secret_value() == "mail-secret"
        assert settings.twilio_auth_token.get_secret_value() == "sms-secret"


def test_what_is_missing_is_named_before_a_worker_starts() -> None:
    published = {f"{PREFIX}{name.upper()}" for name in PUBLISHED_SECRETS}
    assert refused({}) == published
    assert refused(env_file(ROOT / ".env.example")) == published
    assert refused(LIVE_KEYS) == {"TIFFIN_SECURE_COOKIES"}
    assert refused(LIVE | {"TIFFIN_SMTP_PASSWORD": ""}) == {"TIFFIN_SMTP_PASSWORD"}
    assert refused(LIVE | env_file(SANDBOX_ENV)) >= {"TIFFIN_SANDBOX", "TIFFIN_STRIPE_API_URL"}


def test_ports_are_bound_to_this_machine_alone_unless_said() -> None:
    everything = ("sandbox", "watch", "kafka-ui")
    assert set(render({}, *everything).ports().values()) == {LOOPBACK}
    assert len(render({}, *everything).ports()) == 9
    opened = render({"TIFFIN_BIND": "0.0.0.0"}, *everything).ports()
    # The pages of tools ask nobody who he is.
    assert {port for port, address in opened.items() if address != LOOPBACK} == {
        6066, 6067, 6068, 12111
    }  # fmt: skip


def test_the_sandbox_is_opened_to_other_machines_only_when_that_is_said_twice() -> None:
    opened = env_file(SANDBOX_ENV) | {"TIFFIN_BIND": "0.0.0.0"}
    assert refused(opened) == {"TIFFIN_SANDBOX"}
    assert all(each.dev_login for each in started(opened | {"TIFFIN_SANDBOX_OPEN": "1"}))
    # What asks for staff's real sign-in may be reached from anywhere.
    assert not any(each.dev_login for each in started(TEST_KEYS | {"TIFFIN_BIND": "0.0.0.0"}))


def test_the_example_is_what_the_command_makes() -> None:
    assert (ROOT / ".env.example").read_text() == example(), f"run {COMMAND}"


def test_the_example_has_every_setting_with_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = re.sub(
        r"^# (?=TIFFIN_\w+=)", "", (ROOT / ".env.example").read_text(), flags=re.MULTILINE
    )
    (tmp_path / ".env").write_text(text)
    assert set(env_file(tmp_path / ".env")) == KNOWN
    monkeypatch.setenv("TIFFIN_SANDBOX", "1")
    assert load_settings() == Settings(sandbox=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A-${A}", "a-a"),
        ("$$A ${E} ${N}", "$A  "),
        ("${A:-x} ${E:-x} ${E-x} ${N:-x} ${N-x}", "a x  x x"),
        ("${A:+x} ${E:+x} ${E+x} ${N:+x}", "x  x "),
        ("${N:-${E:-${A}b}c}d", "abcd"),
        ("${A:?no} ${E?no}", "a "),
    ],
)
def test_variables_are_put_in_as_compose_does(text: str, value: str) -> None:
    assert interpolate(text, {"A": "a", "E": ""}) == value


def test_a_variable_that_must_be_set_is_named() -> None:
    with pytest.raises(MissingVariableError, match="N is missing a value: say it"):
        interpolate("${N:?say it}", {})


def test_topics_are_made_before_a_worker_starts(compose: dict[str, Any]) -> None:
    assert compose["services"]["topics"]["command"] == ["topics"]
    for name in worker_names(compose):
        depends = compose["services"][name]["depends_on"]
        assert depends["topics"]["condition"] == "service_completed_successfully"


def test_kafka_takes_the_largest_record_of_a_changelog(compose: dict[str, Any]) -> None:
    kafka = compose["services"]["kafka"]["environment"]
    assert kafka["KAFKA_MESSAGE_MAX_BYTES"] >= MESSAGE_BYTES
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_stand_in_is_started_with_options_that_it_has(compose: dict[str, Any]) -> None:
    module, *arguments = compose["services"]["stripe"]["command"]
    given = dict(argument.split("=", 1) for argument in arguments)
    options = {option for parameter in stripe_command.params for option in parameter.opts}
    assert module == "sandbox.stripe"
    assert set(given) <= options
    assert given["--webhook-secret"] == SANDBOX_WEBHOOK_SECRET
    assert given["--webhook-url"].endswith("/webhooks/stripe")
    assert compose["services"]["stripe"]["profiles"] == ["sandbox"]


def test_the_image_holds_every_package_that_it_runs() -> None:
    text = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text()
    for package in ("app", "agents", "models", "tables", "web", "sandbox"):
        assert f"COPY {package} {package}" in text
        assert f"!{package}" in ignored.splitlines()
    assert "USER tiffin" in text
    assert "HEALTHCHECK" in text


def test_docker_itself_accepts_the_file() -> None:
    docker = shutil.which("docker") or ""
    version = [docker, "compose", "version"]
    if not docker or subprocess.run(version, capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    subprocess.run([docker, "compose", "--profile", "*", "config", "--quiet"], cwd=ROOT, check=True)


def test_our_containers_are_locked_down() -> None:
    services = render(LIVE, "sandbox").services
    ours = {name for name, each in services.items() if each.get("image", "").startswith("tiffin-")}
    assert ours == {"topics", "worker-1", "worker-2", "worker-3", "stripe"}
    for name in ours:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]


CADDYFILE = ROOT / "deploy" / "proxy" / "Caddyfile"


def test_the_proxy_asks_every_worker_and_only_ready_ones() -> None:
    text = CADDYFILE.read_text()
    (upstreams,) = re.findall(r"reverse_proxy (.*) \{", text)
    workers = {f"{name}:6066" for name in render(LIVE).workers}
    assert set(upstreams.split()) == workers
    assert "health_uri /readyz" in text
    mounted = read()["services"]["proxy"]["volumes"][0].split(":")[0]
    assert (ROOT / mounted).resolve() == CADDYFILE


@pytest.mark.skipif(shutil.which("caddy") is None, reason="caddy is not installed")
def test_caddy_takes_its_file() -> None:
    argv = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
