"""`python -m sandbox.images` says which container images are pinned by digest; `pin` asks registries and pins.

A tag can be moved to another image, a digest can't: `name:tag@sha256:...` is the same image for ever, and its
tag stays to be read by people and by tools that propose updates. The digest is that of the tag's index where it
has one, so it holds for every processor architecture.
Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import click
import requests

ROOT: Final = Path(__file__).parents[1]
FILES: Final = ("docker-compose.yml", "Dockerfile")
"""Every file that names images of others; deploy/kubernetes names ours alone."""
OURS: Final = "tiffin-"
REFERENCE: Final = re.compile(
    r"(?P<before>^\s*image:\s*|^FROM\s+|^COPY\s+--from=)(?P<name>[^\s@]+?)(?P<tag>:[\w][\w.-]*)?"
    r"(?P<digest>@sha256:[0-9a-f]{64})?(?=\s|$)",
    re.MULTILINE,
)
STAGE: Final = re.compile(r"^FROM\s.+\sAS\s+(\S+)", re.MULTILINE)
DOCKER_HUB: Final = "registry-1.docker.io"
LOCAL_HOSTS: Final = ("127.0.0.1", "localhost")
"""Registries that are asked without TLS, as Docker does."""
MANIFEST_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TIMEOUT_S: Final = 30
CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


class ImageError(RuntimeError):
    """A registry that did not say what an image's digest is, or a reference without a tag."""


@dataclass(frozen=True, order=True)
class Image:
    """An image as a file names it. tag, digest: "" where it has none."""

    name: str
    tag: str
    digest: str

    @classmethod
    def of(cls, found: re.Match[str]) -> Self:
        """Of a match of REFERENCE."""
        return cls(
            found["name"], (found["tag"] or "").removeprefix(":"), (found["digest"] or "")[1:]
        )

    @property
    def place(self) -> tuple[str, str]:
        """Host of the registry, and the repository there, as Docker reads the name."""
        host, slash, rest = self.name.partition("/")
        if slash and ("." in host or ":" in host or host == "localhost"):
            return host, rest
        return DOCKER_HUB, self.name if slash else f"library/{self.name}"

    def __str__(self) -> str:
        return (
            self.name + (f":{self.tag}" if self.tag else "") + (self.digest and f"@{self.digest}")
        )


def images_in(text: str) -> list[Image]:
    """The images of others that a compose file or a Dockerfile names, each once."""
    return sorted(
        {Image.of(found) for found in REFERENCE.finditer(text) if not _is_ours(found, text)}
    )


def pinned(text: str) -> str:
    """The text with each image of others by the digest that its tag has now. Raises ImageError."""
    digests = {image: digest_of(image) for image in images_in(text)}

    def with_digest(found: re.Match[str]) -> str:
        image = Image.of(found)
        if image not in digests:
            return found[0]
        return f"{found['before']}{image.name}:{image.tag}@{digests[image]}"

    return REFERENCE.sub(with_digest, text)


def digest_of(image: Image) -> str:
    """Ask an image's registry for the digest of its tag. Raises ImageError."""
    if not image.tag:
        raise ImageError(f"{image} has no tag: nobody could say which version was meant")
    host, repository = image.place
    scheme = "http" if host.partition(":")[0] in LOCAL_HOSTS else "https"
    url = f"{scheme}://{host}/v2/{repository}/manifests/{image.tag}"
    headers = {"Accept": ", ".join(MANIFEST_TYPES)}
    try:
        answer = requests.get(url, headers=headers, timeout=TIMEOUT_S)
        if answer.status_code == requests.codes.unauthorized:
            token = _token(answer.headers.get("WWW-Authenticate", ""))
            headers["Authorization"] = f"Bearer {token}"
            answer = requests.get(url, headers=headers, timeout=TIMEOUT_S)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise ImageError(f"{image}: {error}") from error
    digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    said = answer.headers.get("Docker-Content-Digest", digest)
    if said != digest:
        raise ImageError(f"{image}: the registry says {said}, and its manifest has {digest}")
    return digest


def _token(challenge: str) -> str:
    """The token by which anybody may pull.

    Source: https://distribution.github.io/distribution/spec/auth/token/
    """
    fields = dict(CHALLENGE.findall(challenge))
    if not challenge.startswith("Bearer ") or "realm" not in fields:
        raise requests.RequestException(
            f"it wants an authentication that is not known: {challenge!r}"
        )
    realm = fields.pop("realm")
    answer = requests.get(realm, params=fields, timeout=TIMEOUT_S)
    answer.raise_for_status()
    given = answer.json()
    return str(given.get("token") or given["access_token"])


def _is_ours(found: re.Match[str], text: str) -> bool:
    return found["name"].startswith(OURS) or found["name"] in STAGE.findall(text)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> None:
    """Say of each image whether it is pinned by digest; status 1 where one is not."""
    if context.invoked_subcommand is None:
        named = [image for file in FILES for image in images_in((ROOT / file).read_text())]
        for image in named:
            click.echo(f"{'pinned    ' if image.digest else 'not pinned'}  {image}")
        sys.exit(0 if all(image.digest for image in named) else 1)


@cli.command()
def pin() -> None:
    """Ask each registry for its tag's digest, and write it into the files; none is written if one fails."""
    try:
        texts = {ROOT / file: pinned((ROOT / file).read_text()) for file in FILES}
    except ImageError as error:
        raise click.ClickException(str(error)) from error
    for path, text in texts.items():
        path.write_text(text)
        click.echo("\n".join(f"{path.name}  {image}" for image in images_in(text)))


if __name__ == "__main__":
    cli()
