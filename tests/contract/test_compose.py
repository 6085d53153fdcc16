"""docker-compose.yml and the Dockerfile against settings, topics and what the sandbox really takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import PREFIX, SANDBOX_WEBHOOK_SECRET, Settings, load_settings
from sandbox.stripe.__main__ import main as stripe_command
from tables.limits import MESSAGE_BYTES

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def with_defaults(value: object) -> str:
    """As compose fills a variable in that nobody has set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


def image_settings() -> dict[str, str]:
    text = (ROOT / "Dockerfile").read_text()
    return dict(re.findall(rf"({PREFIX}\w+)=(\S+)", text))


def worker_names(compose: dict[str, Any]) -> list[str]:
    return [name for name in compose["services"] if name.startswith("worker-")]


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


def test_settings_of_every_worker_are_accepted(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*worker_names(compose), "topics"]:
        service = compose["services"][name]
        variables = {**image_settings(), **service["environment"]}
        assert set(variables) <= KNOWN
        with monkeypatch.context() as patch:
            for variable, value in variables.items():
                patch.setenv(variable, with_defaults(value))
            settings = load_settings()
        assert settings.kafka_bootstrap == "kafka:9092"
        if name != "topics":
            assert settings.canonical_url == f"http://{name}:{settings.web_port}"
            assert service["ports"][0].endswith(f":{settings.web_port}")


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
