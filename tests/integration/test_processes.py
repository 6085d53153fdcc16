"""The supervisor restarts what dies, ends what it started, and never signals what is gone."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from sandbox import processes
from sandbox.platform import ROOT
from sandbox.processes import (
    MAX_WAIT_S,
    PORTS,
    ProcessError,
    Supervised,
    free_port,
    port_or_free,
    wait_until,
)

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


def python(script: str, tmp_path: Path, *, restart: bool = True) -> Supervised:
    return Supervised(
        "it", [sys.executable, "-c", script], log_path=tmp_path / "it.log", restart=restart
    )


def ups(process: Supervised) -> int:
    return process.log_tail(1000).splitlines().count("up")


def state_of(pid: int) -> str:
    """The kernel's letter for a process's state: S sleeping, T stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_a_killed_process_comes_back_until_it_is_terminated(tmp_path: Path) -> None:
    process = python(SLEEPS, tmp_path)
    with process:
        for count in (1, 2, 3):
            wait_until(lambda count=count: ups(process) == count, "a start", timeout_s=MAX_WAIT_S)
            process.kill()
            process.wait_exits(count, timeout_s=MAX_WAIT_S)
        wait_until(lambda: ups(process) == 4, "the last start", timeout_s=MAX_WAIT_S)
    assert process.exits == [-signal.SIGKILL] * 3 + [-signal.SIGTERM]
    assert process.starts == 4
    assert not process.running


def test_a_process_that_ends_at_once_is_started_again_and_its_codes_are_kept(
    tmp_path: Path,
) -> None:
    with python("raise SystemExit(70)", tmp_path) as process:
        process.wait_exits(2, timeout_s=MAX_WAIT_S)
    assert set(process.exits) == {70}
    assert process.starts == len(process.exits)


def test_without_restart_it_stays_down_until_started_anew(tmp_path: Path) -> None:
    process = python("print('up')", tmp_path, restart=False)
    process.start()
    process.wait_exits(1, timeout_s=MAX_WAIT_S)
    assert not process.running
    process.start()
    process.wait_exits(2, timeout_s=MAX_WAIT_S)
    assert (ups(process), process.exits) == (2, [0, 0])


def test_starting_twice_is_refused(tmp_path: Path) -> None:
    with python(SLEEPS, tmp_path) as process, pytest.raises(ProcessError, match="already"):
        process.start()
    assert process.starts == 1


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    process = python(DEAF, tmp_path)
    process.start()
    wait_until(lambda: ups(process) == 1, "its start", timeout_s=MAX_WAIT_S)
    assert process.terminate(timeout_s=0.2) == -signal.SIGKILL
    assert process.terminate() == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_suspended_process_stands_still_and_can_be_terminated(tmp_path: Path) -> None:
    with python(SLEEPS, tmp_path) as process:
        wait_until(lambda: ups(process) == 1, "its start", timeout_s=MAX_WAIT_S)
        pid = process.pid
        assert pid is not None
        process.suspend()
        wait_until(lambda: state_of(pid) == "T", "its standstill", timeout_s=MAX_WAIT_S)
        process.resume()
        wait_until(lambda: state_of(pid) != "T", "its going on", timeout_s=MAX_WAIT_S)
        process.suspend()
        assert process.terminate() == -signal.SIGTERM


def test_terminating_what_never_started_does_nothing(tmp_path: Path) -> None:
    assert python(SLEEPS, tmp_path).terminate() is None


def test_a_free_port_is_free_given_once_and_no_outgoing_connections_port() -> None:
    given = [free_port() for _ in range(50)]
    assert len(set(given)) == 50
    for port in given:
        assert port in PORTS
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_a_port_that_another_process_was_given_is_not_given_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nobody listens on it: its server has yet to start, or is being restarted."""
    script = (
        "from sandbox import processes\n"
        "print('port', processes.free_port(), flush=True)\n" + SLEEPS.replace("'up'", "'held'")
    )
    other = Supervised(
        "other", [sys.executable, "-c", script], log_path=tmp_path / "it.log", cwd=ROOT
    )
    with other:
        wait_until(lambda: "held" in other.log_tail(), "its port", timeout_s=MAX_WAIT_S)
        port = int(other.log_tail().split("port ")[1].split()[0])
        monkeypatch.setattr(processes, "PORTS", range(port, port + 1))
        with pytest.raises(ProcessError, match="no free port"):
            free_port()
    assert free_port() == port


def test_a_wanted_port_is_given_if_it_is_free() -> None:
    wanted = free_port()
    assert port_or_free(wanted) != wanted  # this process has given it away
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        assert port_or_free(taken) != taken
    assert port_or_free(taken) == taken
