"""All of Tiffin on one machine: Kafka, Stripe's stand-in, the mailbox and supervised workers, on free ports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

from app.settings import (
    SANDBOX_PUBLISHABLE_KEY,
    SANDBOX_SECRET_KEY,
    SANDBOX_WEBHOOK_SECRET,
)
from models.wording import counted
from sandbox.endpoints import Endpoints, answers
from sandbox.kafka import KafkaBroker, external_bootstrap
from sandbox.processes import (
    MAX_WAIT_S,
    Supervised,
    free_port,
    port_or_free,
    run_to_end,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_DIR = ROOT / ".sandbox"
SANDBOX_TWILIO_SID = "ACtiffin"
# Behind the first worker's port.
_STRIPE, _MAILBOX, _SMTP, _KAFKA = 10, 11, 12, 13
BAD_SETTINGS_EXIT = 2
"""Exit status of a worker whose settings or catalogue can't be used."""


class PlatformError(RuntimeError):
    """A part did not start; the message names it, its log's last lines, and what to do."""


class Platform:
    """Starts, holds and stops the parts. Methods block; use a thread from async code."""

    def __init__(
        self,
        folder: Path = DEFAULT_DIR,
        *,
        workers: int = 3,
        keep: bool = False,
        settings: Mapping[str, str] | None = None,
        settle_delay_s: float | None = None,
        app: str = "app",
        first_port: int | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """settings: further TIFFIN_* variables of the workers. keep: last run's data goes on.

        app: the workers' Faust app; another one than Tiffin's makes its own topics.
        first_port: of the first worker; the others' follow, Stripe's is 10 above it, the mailbox's 11, SMTP's
        12, Kafka's 13. What of them is taken is replaced by a free one, as all are without it.
        """
        self.folder, self.keep, self.progress = folder, keep, progress
        self.app = app
        self.settle_delay_s = settle_delay_s
        self._extra_settings = dict(settings or {})
        named = external_bootstrap()
        self._first_port = first_port
        self._ports = [self._port(number) for number in range(workers)]
        self._stripe_port, self._mailbox_port = self._port(_STRIPE), self._port(_MAILBOX)
        self._smtp_port = self._port(_SMTP)
        self.broker = (
            None if named else KafkaBroker(folder / "kafka", self._port(_KAFKA), keep=keep)
        )
        self._named_bootstrap = named or ""
        self.workers: list[Supervised] = []
        self.stripe: Supervised | None = None
        self.mailbox: Supervised | None = None

    def _port(self, step: int) -> int:
        return free_port() if self._first_port is None else port_or_free(self._first_port + step)

    @property
    def has_its_ports(self) -> bool:
        """Whether the workers listen where `first_port` says."""
        wanted = self._first_port
        return wanted is None or self._ports == list(range(wanted, wanted + len(self._ports)))

    @property
    def bootstrap(self) -> str:
        """Kafka's host:port."""
        return self.broker.bootstrap if self.broker else self._named_bootstrap

    @property
    def app_id(self) -> str:
        """The workers' id, so their consumer group's."""
        return self.environment().get("TIFFIN_APP_ID", "tiffin")

    @property
    def endpoints(self) -> Endpoints:
        """Where everything answers."""
        stripe = f"http://127.0.0.1:{self._stripe_port}"
        workers = tuple(f"http://127.0.0.1:{port}" for port in self._ports)
        mailbox = f"http://127.0.0.1:{self._mailbox_port}"
        return Endpoints(self.bootstrap, stripe, f"{stripe}/_control", mailbox, workers)

    def settings(self, worker: int = 0) -> dict[str, str]:
        """TIFFIN_* variables of one worker."""
        return {
            "TIFFIN_SANDBOX": "1",
            "TIFFIN_DEV_LOGIN": "1",
            "TIFFIN_KAFKA_BOOTSTRAP": self.bootstrap,
            "TIFFIN_STRIPE_API_URL": self.endpoints.stripe,
            "TIFFIN_STRIPE_SECRET_KEY": SANDBOX_SECRET_KEY,
            "TIFFIN_STRIPE_PUBLISHABLE_KEY": SANDBOX_PUBLISHABLE_KEY,
            "TIFFIN_STRIPE_WEBHOOK_SECRETS": SANDBOX_WEBHOOK_SECRET,
            "TIFFIN_SMTP_HOST": "127.0.0.1",
            "TIFFIN_SMTP_PORT": str(self._smtp_port),
            "TIFFIN_SMTP_SECURITY": "none",
            "TIFFIN_MAIL_FROM": "Tiffin <orders@tiffin.example>",
            "TIFFIN_TWILIO_API_URL": self.endpoints.mailbox,
            "TIFFIN_TWILIO_ACCOUNT_SID": SANDBOX_TWILIO_SID,
            "TIFFIN_TWILIO_AUTH_TOKEN": "sandbox",
            "TIFFIN_SMS_FROM": "+15005550006",
            "TIFFIN_WEB_PORT": str(self._ports[worker]),
            "TIFFIN_DATA_DIR": str(self.data_dir(worker)),
            # All simulated customers have one address.
            "TIFFIN_CLIENT_CREATES_PER_MIN": "0",
            "TIFFIN_CLIENT_WRITES_PER_MIN": "0",
            "TIFFIN_CLIENT_READS_PER_MIN": "0",
            "TIFFIN_CLIENT_REQUESTS_AT_ONCE": "0",
            # However slow the machine is: a test or a demo that is about overload says so.
            "TIFFIN_ADMISSION_MAX_DELAY_S": "0",
            "TIFFIN_NOTIFICATIONS_PER_CONTACT_HOUR": "0",
            **self._extra_settings,
        }

    def data_dir(self, worker: int) -> Path:
        """Where a worker keeps its tables."""
        return self.folder / "workers" / str(worker + 1)

    def environment(self, worker: int = 0) -> dict[str, str]:
        """The whole environment of one worker, or of a command that talks to it."""
        local = {"PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1,localhost"}
        return {**os.environ, **local, **self.settings(worker)}

    def start(self) -> Endpoints:
        """Start everything and wait until it is ready. Raises PlatformError, BrokerError, JarError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.keep:
            shutil.rmtree(self.folder / "workers", ignore_errors=True)
        self.progress("Starting Stripe's stand-in and the mailbox")
        self.stripe, self.mailbox = self._start_stripe(), self._start_mailbox()
        self._start_kafka()
        self._wait(self.stripe, f"{self.endpoints.stripe}/_control")
        self._wait(self.mailbox, f"{self.endpoints.mailbox}/_control/faults")
        if self.app == "app":
            self.progress("Making the topics")
            self.run_cli("topics")
        self.progress(f"Starting {counted(len(self._ports), 'worker', 'workers')}")
        self.workers = [self._make_worker(n) for n in range(len(self._ports))]
        for worker in self.workers:
            worker.start()
        self.wait_ready()
        self._write_endpoints()
        return self.endpoints

    def _start_kafka(self) -> None:
        if self.broker is None:
            self.progress(f"Using Kafka at {self.bootstrap} (TIFFIN_KAFKA_BOOTSTRAP)")
            return
        self.progress("Starting Kafka")
        self.broker.start()

    def _start_stripe(self) -> Supervised:
        argv = [
            sys.executable, "-m", "sandbox.stripe", "--port", str(self._stripe_port),
            "--webhook-url", f"{self.endpoints.workers[0]}/webhooks/stripe",
            "--webhook-secret", SANDBOX_WEBHOOK_SECRET,
        ]  # fmt: skip
        if self.settle_delay_s is not None:
            argv += ["--settle-delay", str(self.settle_delay_s)]
        return self._start_part("Stripe's stand-in", argv, "stripe.log")

    def _start_mailbox(self) -> Supervised:
        argv = [
            sys.executable, "-m", "sandbox.mailbox.server", "--port", str(self._mailbox_port),
            "--smtp-port", str(self._smtp_port),
        ]  # fmt: skip
        return self._start_part("The mailbox", argv, "mailbox.log")

    def _start_part(self, name: str, argv: list[str], log: str) -> Supervised:
        path = self.folder / "logs" / log
        part = Supervised(name, argv, log_path=path, restart=False, cwd=ROOT)
        part.start()
        return part

    def _make_worker(self, number: int) -> Supervised:
        argv = [sys.executable, "-m", "faust", "-A", self.app, "worker", "--loglevel", "warn"]
        return Supervised(
            f"worker {number + 1}",
            argv,
            env=self.environment(number),
            log_path=self.log_path(number),
            cwd=ROOT,
        )

    def log_path(self, worker: int) -> Path:
        """A worker's log."""
        path = self.folder / "logs" / f"worker-{worker + 1}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def wait_ready(self, timeout_s: float = MAX_WAIT_S) -> None:
        """Wait until every worker owns its partitions and answers. Raises PlatformError."""
        for worker, url in zip(self.workers, self.endpoints.workers, strict=True):
            self._wait(worker, f"{url}/readyz", timeout_s)

    def _wait(self, part: Supervised, url: str, timeout_s: float = MAX_WAIT_S) -> None:
        """Wait until it answers, or has ended in a way that no restart mends."""

        def has_failed() -> bool:
            return bool(part.exits) and (not part.restart or part.exits[-1] == BAD_SETTINGS_EXIT)

        try:
            wait_until(lambda: has_failed() or answers(url), part.name, timeout_s=timeout_s)
            problem = f"ended with {part.exits[-1]}" if has_failed() else ""
        except TimeoutError:
            problem = f"did not become ready within {timeout_s:g} s"
        if problem:
            raise PlatformError(
                f"{part.name} {problem} ({url}). The end of {part.log_path}:\n{part.log_tail()}"
            )

    def run_cli(self, *arguments: str, worker: int = 0, timeout_s: float = MAX_WAIT_S) -> str:
        """Run `faust -A app ...` and give what it prints. Raises PlatformError."""
        done = self.try_cli(*arguments, worker=worker, timeout_s=timeout_s)
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise PlatformError(f"`faust -A app {' '.join(arguments)}` failed:\n{said}")
        return done.stdout

    def try_cli(
        self, *arguments: str, worker: int = 0, timeout_s: float = MAX_WAIT_S, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `faust -A app ...`, whatever it ends with. settings: TIFFIN_* that are to be others."""
        return run_to_end(
            [sys.executable, "-m", "faust", "-A", "app", *arguments],
            env={**self.environment(worker), **settings},
            cwd=ROOT,
            timeout=timeout_s,
        )

    def _write_endpoints(self) -> None:
        text = json.dumps(self.endpoints.as_json(), indent=2)
        (self.folder / "endpoints.json").write_text(text + "\n")
        lines = [f"{name}={value}" for name, value in self.settings().items()]
        (self.folder / "env").write_text("\n".join(lines) + "\n")

    def stop(self) -> None:
        """Stop everything that was started, workers first."""
        for name in ("endpoints.json", "env"):
            (self.folder / name).unlink(missing_ok=True)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Supervised.terminate, self.workers))
        for part in (self.stripe, self.mailbox):
            if part:
                part.terminate()
        if self.broker:
            self.broker.stop()

    def __enter__(self) -> Self:
        """Start."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()
