"""Start, watch and end the processes of the sandbox, each by its own pid.

A `Supervised` process runs in its own process group with its output in a log file, is killed by
the kernel when this process dies (on Linux), and, unless told otherwise, starts again for ever.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LOG = logging.getLogger(__name__)

LAUNCHER = Path(__file__).with_name("parent_death_signal.py")
MAX_WAIT_S = 240.0
"""How long is waited, at most, for what must happen: a start, an event, an answer. It happens in seconds,
but a machine with five times the work it can do is no fault of what is waited for."""
POLL_S, MAX_POLL_S = 0.02, 0.5
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0
STAYED_UP_S = 10.0
TERMINATE_TIMEOUT_S = 15.0

# Below the ephemeral range of Linux (32768) and macOS (49152): a port in it can be taken by an
# outgoing connection while its server is down, even by a client that reconnects to that very port.
PORTS = range(20_000, 32_000)
# A file each, locked as long as this process lives, so that no other one takes a port that its server
# does not listen on yet, or just now.
_ports_given: dict[int, TextIO] = {}

# PR_SET_PDEATHSIG fires at the death of the *thread* that forked, so all forks happen in one thread
# that lives as long as the process.
_fork_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


class ProcessError(RuntimeError):
    """A supervised process can't do what was asked of it."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on and that this function has given to no process that lives.

    Raises ProcessError when a thousand tries find none. Ports are given back when the process ends.
    """
    for port in random.sample(PORTS, k=min(len(PORTS), 1_000)):
        if _take(port, host):
            return port
    raise ProcessError(f"no free port on {host} between {PORTS.start} and {PORTS.stop}")


def port_or_free(port: int, host: str = "127.0.0.1") -> int:
    """This port if it is free, else any; held like those of `free_port`. Raises ProcessError."""
    return port if _take(port, host) else free_port(host)


def _take(port: int, host: str) -> bool:
    """Hold a port for this process, unless somebody has it or listens on it."""
    held = None if port in _ports_given else _hold(port)
    if held is None:
        return False
    with socket.socket() as probe:
        # As servers bind: a connection that has just ended does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            held.close()
            return False
    _ports_given[port] = held
    return True


def _hold(port: int) -> TextIO | None:
    """Lock the port's file; None while another process has it."""
    folder = Path(tempfile.gettempdir(), f"tiffin-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    file = (folder / str(port)).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float) -> None:
    """Block until `condition` holds; raises TimeoutError that names `what`.

    Asks every 20 ms; less often when asking takes long, for it takes time from what is waited for.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        asked = time.monotonic()
        if condition():
            return
        answered = time.monotonic()
        if answered > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(min(max(POLL_S, 5 * (answered - asked)), MAX_POLL_S))


def log_tail(path: Path, lines: int = 30) -> str:
    """The last `lines` lines of a log file; empty when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64 * 1024))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def run_to_end(argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` with its output as text; the kernel kills it when the calling thread dies (on Linux)."""
    command = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class Supervised:
    """A process that is watched by a thread and, with `restart`, started again whenever it ends.

    It restarts after a pause that doubles from 0.2 s to 5 s and begins anew once the process has
    stayed up 10 s. `exits` lists the return codes so far (negative: the signal), `starts` counts
    the starts. All methods may be called from any thread and at any time; only `terminate` and the
    waiting ones block. A context manager: it starts on entry and terminates on exit.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log_path: Path,
        restart: bool = True,
        cwd: Path | None = None,
    ) -> None:
        """Describe the process; `env` is its whole environment (None: ours)."""
        self.name = name
        self.argv = list(argv)
        self.env = None if env is None else dict(env)
        self.log_path = log_path
        self.restart = restart
        self.cwd = cwd
        self.exits: list[int] = []
        self.starts = 0
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    @property
    def pid(self) -> int | None:
        """The running process's id, None while there is none (ended, or between two starts)."""
        with self._lock:
            return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether a process exists now (a suspended one does)."""
        return self.pid is not None

    def start(self) -> None:
        """Start the process and its watcher; raises ProcessError when it is already watched."""
        with self._lock:
            if self._process is not None or (self.restart and self._watched()):
                raise ProcessError(f"{self.name} is already started")
            self._ending = threading.Event()
            self._spawn()
            self._watcher = threading.Thread(
                target=self._watch, args=(self._ending,), name=f"watch {self.name}", daemon=True
            )
            self._watcher.start()

    def terminate(self, timeout_s: float = TERMINATE_TIMEOUT_S) -> int | None:
        """End it for good: SIGTERM, after `timeout_s` SIGKILL; blocks until it is gone.

        Returns its last return code, None if it was never started. Harmless when it has ended.
        """
        with self._lock:
            self._ending.set()
            watcher = self._watcher
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process does not see SIGTERM
        if watcher is not None:
            watcher.join(timeout_s)
            if watcher.is_alive():
                LOG.warning("%s did not end within %g s of SIGTERM; killed", self.name, timeout_s)
                self._signal(signal.SIGKILL)
                watcher.join()
        return self.exits[-1] if self.exits else None

    def kill(self) -> None:
        """SIGKILL the present process; with `restart` the next one follows. Does not wait."""
        self._signal(signal.SIGKILL)

    def suspend(self) -> None:
        """SIGSTOP: it stands still but keeps its sockets, as a long pause would have it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `suspend`."""
        self._signal(signal.SIGCONT)

    def wait_exits(self, count: int, *, timeout_s: float) -> None:
        """Block until it has ended `count` times in all; raises TimeoutError."""
        wait_until(
            lambda: len(self.exits) >= count, f"exit {count} of {self.name}", timeout_s=timeout_s
        )

    def log_tail(self, lines: int = 30) -> str:
        """The last lines the process wrote."""
        return log_tail(self.log_path, lines)

    def _watched(self) -> bool:
        return self._watcher is not None and self._watcher.is_alive()

    def _signal(self, number: signal.Signals) -> None:
        with self._lock, suppress(ProcessLookupError):
            if self._process is not None and self._process.poll() is None:
                # The whole group, so that what it may have started ends or stops with it.
                os.killpg(self._process.pid, number)

    def _spawn(self) -> None:
        """Fork and exec (lock held); raises OSError when the interpreter can't be started."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *self.argv]
        with self.log_path.open("ab") as log:
            self._process = _fork_thread.submit(
                subprocess.Popen,
                command,
                env=self.env,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            ).result()
        self.starts += 1

    def _watch(self, ending: threading.Event) -> None:
        pause_s = BACKOFF_FIRST_S
        while True:
            started = time.monotonic()
            code = self._reap()
            if time.monotonic() - started > STAYED_UP_S:
                pause_s = BACKOFF_FIRST_S
            if not self.restart or ending.is_set():
                return
            LOG.warning("%s ended with %s; starts again in %.1f s", self.name, code, pause_s)
            while self._process is None:
                if ending.wait(pause_s):
                    return
                pause_s = min(2 * pause_s, BACKOFF_MAX_S)
                self._respawn(ending)

    def _respawn(self, ending: threading.Event) -> None:
        with self._lock:
            if ending.is_set():
                return
            try:
                self._spawn()
            except OSError as error:  # no memory or no process to be had: perhaps later
                LOG.warning("%s can't be started: %s", self.name, error)

    def _reap(self) -> int:
        """Block until the process has ended; its return code."""
        process = self._process
        assert process is not None
        code = process.wait()
        with self._lock:
            self._process = None
            self.exits.append(code)
        return code
