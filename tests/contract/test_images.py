"""Container images by digest: which are pinned, and that `pin` asks the registry that Docker would ask."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from click.testing import CliRunner

from sandbox import images
from sandbox.images import Image, ImageError, digest_of, images_in, pinned

ROOT: Final = Path(__file__).parents[2]
NOT_PINNED: Final = {
    "apache/kafka:4.1.0", "axllent/mailpit:v1.27", "caddy:2.10", "ghcr.io/astral-sh/uv:0.9",
    "ghcr.io/kafbat/kafka-ui:v1.3.0", "grafana/grafana:12.1.0", "jaegertracing/jaeger:2.10.0",
    "prom/prometheus:v3.5.0", "python:3.12-slim",
}  # fmt: skip
"""Until somebody whose machine reaches their registries runs `pin` (CONTRIBUTING.md, Releases), and takes them
out here."""
INDEX: Final = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
DIGEST: Final = f"sha256:{hashlib.sha256(INDEX).hexdigest()}"


class Registry(BaseHTTPRequestHandler):
    """A registry of one image, `team/tool:1.2`, that gives a token to whoever asks, as Docker Hub does."""

    said = DIGEST

    def do_GET(self) -> None:
        here = f"http://{self.headers['Host']}"
        path = urlsplit(self.path)
        if path.path == "/token":
            assert parse_qs(path.query)["scope"] == ["repository:team/tool:pull"]
            self._answer(200, json.dumps({"token": "let-me-pull"}).encode())
        elif self.headers["Authorization"] != "Bearer let-me-pull":
            scope = f'Bearer realm="{here}/token",service="it",scope="repository:team/tool:pull"'
            self._answer(401, b"", {"WWW-Authenticate": scope})
        elif path.path == "/v2/team/tool/manifests/1.2":
            assert "image.index" in self.headers["Accept"]
            self._answer(200, INDEX, {"Docker-Content-Digest": self.said})
        else:
            self._answer(404, b"")

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests are quiet."""


@pytest.fixture
def registry() -> Iterator[str]:
    """Its host and port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def named() -> list[Image]:
    return [image for file in images.FILES for image in images_in((ROOT / file).read_text())]


def test_every_image_has_a_version_and_those_without_a_digest_are_known() -> None:
    assert all(image.tag and image.tag != "latest" for image in named())
    assert {str(image) for image in named() if not image.digest} == NOT_PINNED


def test_no_other_file_names_an_image() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    given = {each["image"] for each in compose if not each["image"].startswith("tiffin-")}
    found = {str(image) for image in images_in((ROOT / "docker-compose.yml").read_text())}
    assert found == given
    for path in (ROOT / "deploy").rglob("*.yaml"):
        assert re.findall(r"image: (?!tiffin-)", path.read_text()) == [], path


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("python", ("registry-1.docker.io", "library/python")),
        ("apache/kafka", ("registry-1.docker.io", "apache/kafka")),
        ("ghcr.io/astral-sh/uv", ("ghcr.io", "astral-sh/uv")),
        ("localhost:5000/a/b", ("localhost:5000", "a/b")),
    ],
)
def test_a_name_is_read_as_docker_does(name: str, place: tuple[str, str]) -> None:
    assert Image(name, "1", "").place == place


def test_images_are_pinned_and_stages_and_ours_are_not(registry: str) -> None:
    old = "0" * 64
    dockerfile = (
        f"FROM {registry}/team/tool:1.2 AS build\nCOPY --from={registry}/team/tool:1.2 /uv /bin/\n"
        f"FROM {registry}/team/tool:1.2@sha256:{old}\nCOPY --from=build /app /app\nFROM build AS last\n"
    )
    now = pinned(dockerfile)
    whole = f"{registry}/team/tool:1.2@{DIGEST}"
    assert now == (
        f"FROM {whole} AS build\nCOPY --from={whole} /uv /bin/\n"
        f"FROM {whole}\nCOPY --from=build /app /app\nFROM build AS last\n"
    )
    assert pinned(now) == now
    compose = f"  a:\n    image: {registry}/team/tool:1.2 # why\n  b:\n    image: tiffin-worker\n"
    assert pinned(compose) == compose.replace("tool:1.2", f"tool:1.2@{DIGEST}")


@pytest.mark.parametrize("reference", ["team/other:1.2", "team/tool:9", "team/tool"])
def test_an_image_that_is_not_there_is_an_error(registry: str, reference: str) -> None:
    with pytest.raises(ImageError, match=re.escape(f"{registry}/{reference}")):
        pinned(f"FROM {registry}/{reference}\n")


def test_a_digest_that_is_not_the_manifests_is_an_error(
    registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "said", f"sha256:{'1' * 64}")
    with pytest.raises(ImageError, match="its manifest has"):
        digest_of(Image(f"{registry}/team/tool", "1.2", ""))


def test_the_command_writes_all_files_or_none(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose, dockerfile = tmp_path / "docker-compose.yml", tmp_path / "Dockerfile"
    compose.write_text(f"image: {registry}/team/tool:1.2\n")
    dockerfile.write_text(f"FROM {registry}/team/tool:9\n")
    monkeypatch.setattr(images, "ROOT", tmp_path)
    run = CliRunner().invoke
    assert "404" in run(images.cli, ["pin"]).output
    assert DIGEST not in compose.read_text()
    assert run(images.cli, []).exit_code == 1
    dockerfile.write_text(f"FROM {registry}/team/tool:1.2\n")
    assert run(images.cli, ["pin"]).exit_code == 0
    assert DIGEST in compose.read_text()
    assert DIGEST in dockerfile.read_text()
    assert run(images.cli, []).exit_code == 0
