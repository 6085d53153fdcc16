"""Jars, Kafka's above all: resolved once into a lock file, then downloaded by it and held to their SHA-256.

jgo's pure-Python resolver does Maven's work. A locked jar is fetched by its exact coordinate, so a
start reads no POM and can't drift.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from jgo.maven import MavenContext
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCK_FILE = Path(__file__).with_name("jars.lock.json")
# In the checkout, wherever one stands when starting it.
JARS_DIR = Path(__file__).parents[2] / ".sandbox/jars"
VERSION_ENV = "TIFFIN_SANDBOX_KAFKA"
"""Another version than the locked one, for tests: `make test KAFKA=3.9.2`."""
VERSIONS_DIR = JARS_DIR.with_name("kafka-versions")
KAFKA = "org.apache.kafka:kafka_2.13"
# Kafka logs through slf4j 1.7 and brings log4j2 but not the bridge between the two. The "!" keeps
# the bridge from having a say in the versions of what Kafka brings.
ROOTS = (
    f"{KAFKA}:4.1.0",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3!",
)
# Kafka 3 asks for log4j 1, which the bridge answers.
ROOTS_OF_KAFKA_3 = ("org.apache.logging.log4j:log4j-1.2-api:2.24.3!",)
MAVEN_REPOSITORY_ENV = "TIFFIN_MAVEN_REPOSITORY"
DOWNLOADS_AT_ONCE = 8
HTTP_TIMEOUT_S = 30


class JarError(RuntimeError):
    """A jar can't be had, or is not the one the lock file names."""


@dataclass(frozen=True, order=True)
class LockedJar:
    """One jar of the lock file; `coordinate` is group:artifact:version, `size` is in bytes."""

    coordinate: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """The jar's name in Maven's layout and in ours."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def read_lock(lock_file: Path = LOCK_FILE) -> list[LockedJar]:
    """The jars of a committed lock file; Kafka's unless told otherwise."""
    return [LockedJar(**jar) for jar in json.loads(lock_file.read_text())["jars"]]


def kafka_lock() -> Path:
    """The lock file of the Kafka that is to run; made, and kept in this checkout, for another version.

    Raises JarError when that version can't be resolved.
    """
    version = os.environ.get(VERSION_ENV)
    if not version:
        return LOCK_FILE
    lock_file = VERSIONS_DIR / f"{version}.lock.json"
    if not lock_file.exists():
        VERSIONS_DIR.mkdir(parents=True, exist_ok=True)
        more = ROOTS_OF_KAFKA_3 if version.startswith("3.") else ()
        roots = (f"{KAFKA}:{version}", *ROOTS[1:], *more)
        with tempfile.TemporaryDirectory(dir=VERSIONS_DIR) as folder:
            draft = Path(folder, lock_file.name)
            write_lock(draft, roots)
            draft.replace(lock_file)
    return lock_file


def write_lock(lock_file: Path = LOCK_FILE, roots: Sequence[str] = ROOTS) -> list[LockedJar]:
    """Resolve the roots with all they need, and write the lock file; needs the network.

    Raises JarError when Maven's repository can't be reached.
    """
    with tempfile.TemporaryDirectory() as cache:
        context = _context(Path(cache))
        try:
            direct, transitive = context.resolver.resolve(
                [context.create_dependency(root) for root in roots]
            )
            jars = sorted(
                _measure(f"{d.groupId}:{d.artifactId}:{d.version}", d.artifact.resolve())
                for d in [*direct, *transitive]
            )
        except (requests.RequestException, RuntimeError) as error:
            raise _unreachable("the dependencies", error) from error
    lock = {"roots": roots, "jars": [asdict(jar) for jar in jars]}
    lock_file.write_text(json.dumps(lock, indent=2) + "\n")
    return jars


def ensure_jars(directory: Path = JARS_DIR, jars: Sequence[LockedJar] | None = None) -> list[Path]:
    """The verified jars' paths; blocks while missing ones are downloaded, progress on stderr.

    `jars` defaults to those of `kafka_lock`. Raises JarError that names the jar when its bytes are not
    the locked ones or it can't be downloaded. Several processes may do this at once.
    """
    jars = read_lock(kafka_lock()) if jars is None else jars
    missing = [jar for jar in jars if not (directory / jar.filename).exists()]
    if missing:
        directory.mkdir(parents=True, exist_ok=True)
        _download_all(missing, directory)
    for jar in jars:
        _verify(jar, directory / jar.filename)
    return [directory / jar.filename for jar in jars]


def _download_all(jars: Sequence[LockedJar], directory: Path) -> None:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
    )
    with (
        # Beside the target, so that a jar appears there whole or not at all.
        tempfile.TemporaryDirectory(dir=directory, prefix=".download-") as staging,
        progress,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        task = progress.add_task("Downloading jars", total=sum(jar.size for jar in jars))
        context = _context(Path(staging))
        downloads = {pool.submit(_download, jar, context): jar for jar in jars}
        try:
            for download in as_completed(downloads):
                jar, path = downloads[download], download.result()
                _verify(jar, path)
                path.replace(directory / jar.filename)
                progress.advance(task, jar.size)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _download(jar: LockedJar, context: MavenContext) -> Path:
    try:
        return Path(context.create_dependency(jar.coordinate).artifact.resolve())
    except (requests.RequestException, RuntimeError) as error:
        raise _unreachable(jar.coordinate, error) from error


def _verify(jar: LockedJar, path: Path) -> None:
    found = _measure(jar.coordinate, path)
    if found.sha256 != jar.sha256:
        raise JarError(
            f"{path.name} ({jar.coordinate}) is not the locked jar: its SHA-256 is {found.sha256} "
            f"({found.size} bytes), the lock file says {jar.sha256} ({jar.size} bytes). "
            f"If {path} exists, delete it and start again; if the download keeps differing, "
            "the repository or something on the way to it alters files."
        )


def _measure(coordinate: str, path: Path) -> LockedJar:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return LockedJar(coordinate, digest, path.stat().st_size)


def _context(cache: Path) -> MavenContext:
    repository = os.environ.get(MAVEN_REPOSITORY_ENV)
    remote = {"mirror": repository.rstrip("/")} if repository else None
    return MavenContext(repo_cache=cache, remote_repos=remote, timeout=HTTP_TIMEOUT_S)


def _unreachable(what: str, error: Exception) -> JarError:
    return JarError(
        f"can't download {what}: {error}\n"
        "The first start needs Maven Central once (45 MB); later ones need no network. Behind a "
        f"mirror, name it in {MAVEN_REPOSITORY_ENV}. Offline, copy {JARS_DIR} from a machine that "
        "has it, or name a running broker in TIFFIN_KAFKA_BOOTSTRAP."
    )
