"""deploy/kubernetes against Kubernetes' own schemas, and against what the workers really have and take."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from app.metrics.catalogue import METRICS
from app.settings import PREFIX, Settings, load_settings
from tests.contract.compose import ROOT
from web.routes import ROUTES

BASE: Final = ROOT / "deploy" / "kubernetes"
SELECTOR: Final = {"app.kubernetes.io/name": "tiffin"}
VERSIONS: Final = ("1.29", "1.37")
"""Of Kubernetes: an old one, and the newest that the validator knows."""
CUSTOM: Final = {"ServiceMonitor", "ScaledObject", "Kustomization", "Component"}
"""Kinds that are no part of Kubernetes itself."""
SECRETS: Final = {
    "TIFFIN_STRIPE_SECRET_KEY": "sk_test_abc",
    "TIFFIN_STRIPE_WEBHOOK_SECRETS": "whsec_abc",
    "TIFFIN_ORDER_TOKEN_KEY": "0123456789" * 4,
    "TIFFIN_METRICS_TOKEN": "0123456789abcdef",
}


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


FILES: Final = sorted(BASE.rglob("*.yaml"))
ALL: Final = {
    f"{document['kind']} {document.get('metadata', {}).get('name', path.parent.name)}": document
    for path in FILES
    for document in documents(path)
}


def worker() -> dict[str, Any]:
    container: dict[str, Any] = ALL["StatefulSet tiffin"]["spec"]["template"]["spec"]["containers"][
        0
    ]
    return container


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = ALL["StatefulSet tiffin"]["spec"]["template"]["spec"]
    return spec


def loaded(variables: dict[str, str]) -> Settings:
    """Settings in the image, with these."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {"TIFFIN_WEB_HOST": "0.0.0.0", **variables}.items():
            patch.setenv(variable, value)
        return load_settings()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [name for name in ALL if name.split()[0] not in CUSTOM])
def test_kubernetes_takes_it(name: str, version: str) -> None:
    kubernetes_validate.validate(ALL[name], version, strict=True)


def test_the_validator_finds_a_wrong_field() -> None:
    wrong = {**ALL["PodDisruptionBudget tiffin"], "spec": {"maxUnavailabel": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_file_is_a_resource_of_its_kustomization() -> None:
    for path in FILES:
        if path.name == "kustomization.yaml":
            named = documents(path)[0]["resources"]
            assert set(named) == {each.name for each in path.parent.glob("*.yaml")} - {path.name}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
@pytest.mark.parametrize(
    "component", [None, *(path.name for path in (BASE / "components").iterdir())]
)
def test_kustomize_renders_it(component: str | None, tmp_path: Path) -> None:
    overlay = BASE
    if component:
        shutil.copytree(BASE, tmp_path / "base")
        overlay = tmp_path / "overlay"
        overlay.mkdir()
        (overlay / "kustomization.yaml").write_text(
            f"resources: [../base]\ncomponents: [../base/components/{component}]\n"
        )
    done = subprocess.run(
        ["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kinds = {each["kind"] for each in yaml.safe_load_all(done.stdout)}
    assert {"StatefulSet", "PodDisruptionBudget", "NetworkPolicy"} <= kinds


def test_settings_are_known_and_start_a_worker() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    given = ALL["ConfigMap tiffin-settings"]["data"]
    own = {each["name"]: each.get("value", "tiffin-0") for each in worker()["env"]}
    own = {name: text.replace("$(POD)", "tiffin-0") for name, text in own.items()}
    assert own.pop("POD") == "tiffin-0"
    assert given.keys() | own.keys() | SECRETS.keys() <= known
    settings = loaded({**given, **own, **SECRETS})
    assert settings.group_instance_id == "tiffin-0"
    assert settings.canonical_url == "http://tiffin-0.tiffin-workers:6066"


def test_no_secret_is_in_the_files() -> None:
    given = ALL["ConfigMap tiffin-settings"]["data"]
    assert not given.keys() & SECRETS.keys()
    assert [each["secretRef"]["name"] for each in worker()["envFrom"] if "secretRef" in each] == [
        "tiffin"
    ]


def test_probes_and_services_reach_routes_that_are_there() -> None:
    paths = {route.path for route in ROUTES}
    port = worker()["ports"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = worker()[probe]["httpGet"]
        assert asked["path"] in paths
        assert asked["port"] == port["name"]
    assert ALL["ServiceMonitor tiffin"]["spec"]["endpoints"][0]["path"] in paths
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"EXPOSE {port['containerPort']}" in dockerfile
    assert f"--uid {pod()['securityContext']['runAsUser']} " in dockerfile
    assert "TIFFIN_DATA_DIR=/var/lib/tiffin" in dockerfile
    assert {"name": "data", "mountPath": "/var/lib/tiffin"} in worker()["volumeMounts"]


def test_every_selector_finds_the_workers() -> None:
    template = ALL["StatefulSet tiffin"]["spec"]["template"]["metadata"]["labels"]
    assert template == SELECTOR
    for name in ("Service tiffin", "Service tiffin-workers"):
        assert ALL[name]["spec"]["selector"] == SELECTOR
    for name in ("StatefulSet tiffin", "PodDisruptionBudget tiffin", "ServiceMonitor tiffin"):
        assert ALL[name]["spec"]["selector"]["matchLabels"] == SELECTOR
    assert ALL["NetworkPolicy tiffin"]["spec"]["podSelector"]["matchLabels"] == SELECTOR


def test_containers_are_locked_down() -> None:
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["automountServiceAccountToken"] is False
    for container in [*pod()["initContainers"], *pod()["containers"]]:
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] is True
        assert locked["allowPrivilegeEscalation"] is False
        assert locked["capabilities"] == {"drop": ["ALL"]}


def test_no_more_workers_than_partitions() -> None:
    partitions = int(ALL["ConfigMap tiffin-settings"]["data"]["TIFFIN_PARTITIONS"])
    assert ALL["StatefulSet tiffin"]["spec"]["replicas"] <= partitions
    scaled = ALL["ScaledObject tiffin"]["spec"]
    assert scaled["maxReplicaCount"] == partitions
    assert scaled["scaleTargetRef"] == {"kind": "StatefulSet", "name": "tiffin"}
    query = scaled["triggers"][0]["metadata"]["query"]
    assert query.removeprefix("sum(").removesuffix(")") in METRICS


def test_a_worker_has_time_to_end() -> None:
    settings = loaded({**ALL["ConfigMap tiffin-settings"]["data"], **SECRETS})
    assert pod()["terminationGracePeriodSeconds"] >= 2 * settings.rebalance_timeout_s


def test_the_image_is_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert documents(BASE / "kustomization.yaml")[0]["images"] == [
        {"name": "tiffin-worker", "newTag": version}
    ]
