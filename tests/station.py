"""A whole station in processes of its own, for tests: started, watched, hurt and stopped from outside.

`with Station.start(tmp_path) as station:` simulates the hardware, picks free ports and waits until it is ready.
"""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self, TypeVar

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
START_TIMEOUT_S = 90.0
# A stop may take ten seconds (DESIGN.md section 2); the rest is for a busy machine.
STOP_TIMEOUT_S = 20.0
STEP_S = 0.02
# For whoever kills the control loop more often than it may crash.
WITHOUT_SAFE_MODE = {"STATION_CRASHES": "0"}
# A weak signal is a fault after a minute, which a test of every fault cannot wait for.
WITHOUT_WAITING_FOR_SIGNAL = {"STATION_SIGNAL_HOLDS_S": "0"}
T = TypeVar("T")


class NeverHappened(AssertionError):
    """A condition did not come true in time."""


class SimulatorRefused(AssertionError):
    """The simulator answered 409 (or another refusal) with a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


def free_port() -> int:
    """Find a port nobody listens at."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], T], *, timeout_s: float = 10.0, what: str = "") -> T:
    """Wait for a condition to become true and return its value. Raises NeverHappened."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline_s:
            raise NeverHappened(f"{what or condition} within {timeout_s} s")
        time.sleep(STEP_S)
    return value


def http(method: str, port: int, path: str, body: Any = None, *, timeout_s: float = 10.0) -> tuple[int, Any]:
    """Ask a local HTTP server; return the status and the JSON body (or the text)."""
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        with suppress(ValueError):
            return answer.status, json.loads(text)
        return answer.status, text
    finally:
        connection.close()


@cache
def _database_with_tables() -> Path:
    """Make the database of a station that was never started, once: the tables take longer than all that follows."""
    directory = Path(tempfile.mkdtemp(prefix="tables-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    subprocess.run(
        [sys.executable, str(MANAGE), "migrate", "--skip-checks", "--verbosity=0"],
        check=True,
        env={**os.environ, "STATION_DATA_DIR": str(directory), "DJANGO_SETTINGS_MODULE": "station.settings"},
    )
    return directory / "station.sqlite3"


@dataclass(kw_only=True)
class Station:
    """A running (or stopped) station; `data` survives a stop, so that `restart` continues where it stood."""

    data: Path
    http_port: int = field(default_factory=free_port)
    sim_port: int = field(default_factory=free_port)
    https_port: int | None = None
    demo_port: int | None = None
    display_port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    # What the command line begins with, for a station in surroundings of its own.
    within: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @classmethod
    @contextmanager
    def start(
        cls,
        tmp_path: Path,
        *,
        config: Mapping[str, str] | None = None,
        backend_url: str | None = None,
        ready: bool = True,
        **options: Any,
    ) -> Iterator[Self]:
        """Start in `tmp_path/station`, with configuration keys set beforehand, and stop at the end."""
        station = cls(data=options.pop("data", tmp_path / "station"), **options)
        keys = dict(config or {})
        if backend_url is not None:
            keys["/ocpp/url"] = backend_url
        if keys:
            station.config_set(keys)
        try:
            station.launch(ready=ready)
            yield station
        finally:
            station.kill_all()

    def launch(self, *, ready: bool = True, wait_timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start (again) with the same directory and ports."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self._console.open("ab") as console:
            self.process = subprocess.Popen(
                [*self.within, sys.executable, str(MANAGE), "runstation", *self.flags()],
                stdout=console,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={
                    **os.environ,
                    **WITHOUT_WAITING_FOR_SIGNAL,
                    **self.environment,
                    "DJANGO_SETTINGS_MODULE": "station.settings",
                },
            )
        if ready:
            self.wait_healthy(timeout_s=wait_timeout_s)
        return self

    def flags(self) -> list[str]:
        """Name the command line of this station."""
        flags = ["--data-dir", str(self.data), "--http", f"127.0.0.1:{self.http_port}"]
        flags += ["--https", f"127.0.0.1:{self.https_port}"] if self.https_port else ["--no-https"]
        flags += ["--sim-control", f"127.0.0.1:{self.sim_port}"]
        flags += ["--display", f"127.0.0.1:{self.display_port}"] if self.display_port else []
        return flags + (["--demo-backend", f"127.0.0.1:{self.demo_port}"] if self.demo_port else [])

    @property
    def _console(self) -> Path:
        return self.data.parent / f"{self.data.name[:40]}.console"

    def console(self) -> str:
        """Read what the main process has said so far, over all starts."""
        return self._console.read_text(errors="replace")

    def log(self, name: str) -> str:
        """Read what one process has logged."""
        path = self.data / "logs" / f"process-{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        """The main process."""
        assert self.process is not None
        return self.process.pid

    def healthy(self) -> bool:
        """Return whether /healthz says that the station can charge."""
        try:
            return http("GET", self.http_port, "/healthz", timeout_s=5)[0] == 200
        except (OSError, HTTPException):
            return False

    def wait_healthy(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait for /healthz; a main process that ends meanwhile fails at once with its last words."""

        def healthy() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the station ended with {self.process.returncode}:\n{self.console()[-4000:]}")
            return self.healthy()

        try:
            wait_until(healthy, timeout_s=timeout_s, what="healthz 200")
        except NeverHappened as problem:
            raise NeverHappened(f"{problem}\n{self.console()[-4000:]}") from problem

    def sim(self, path: str, body: Any = None) -> dict[str, Any]:
        """POST to the simulator, or GET /state; return the new state. Raises SimulatorRefused."""
        method = "GET" if path == "/state" else "POST"
        status, answer = http(method, self.sim_port, path, body if body is not None or method == "GET" else {})
        if status != 200:
            raise SimulatorRefused(status, answer.get("error", "") if isinstance(answer, dict) else str(answer))
        assert isinstance(answer, dict)
        return answer

    def connector(self, number: int = 1) -> dict[str, Any]:
        """Read the physical truth of one charging point."""
        connectors = self.sim("/state")["connectors"]
        return next(entry for entry in connectors if entry["id"] == number)

    def wait_sim(
        self, condition: Callable[[dict[str, Any]], bool], *, number: int = 1, timeout_s: float = 10.0
    ) -> dict[str, Any]:
        """Wait until the physical truth of one charging point fulfils a condition."""
        return (
            wait_until(lambda: state if condition(state := self.connector(number)) else None, timeout_s=timeout_s) or {}
        )

    def config_set(self, values: Mapping[str, str]) -> None:
        """Set configuration keys with `manage.py config set`, on a stopped or a running station."""
        if not self.data.exists():
            self.data.mkdir(parents=True, mode=0o700)
            shutil.copy2(_database_with_tables(), self.data / "station.sqlite3")
        pairs = [f"{key}={value}" for key, value in values.items()]
        done = self.manage("config", "set", "--data-dir", str(self.data), *pairs)
        assert done.returncode == 0, done.stderr

    def manage(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run another management command to its end."""
        return subprocess.run(
            [sys.executable, str(MANAGE), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={
                **os.environ,
                **WITHOUT_WAITING_FOR_SIGNAL,
                **self.environment,
                "DJANGO_SETTINGS_MODULE": "station.settings",
            },
        )

    def child_pids(self) -> dict[str, int]:
        """Name the living children and their process ids."""
        return {name: pid for name, pid, ended in self._recorded() if not ended}

    def pid_of(self, name: str) -> int:
        """Wait for a child to live and return its process id."""
        return wait_until(lambda: self.child_pids().get(name), what=f"process {name}") or 0

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Kill one child; return the pid it had."""
        pid = self.pid_of(name)
        os.kill(pid, number)
        return pid

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """End in order with SIGTERM; return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout_s)

    def kill_group(self) -> None:
        """SIGKILL the whole process group: what a power cut leaves is what is on the disk."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_TIMEOUT_S)

    def kill_all(self) -> None:
        """Leave nothing behind, whatever state the station is in."""
        if self.process is not None:
            self.kill_group()
        for _, pid, ended in self._recorded():
            if not ended:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _recorded(self) -> Iterator[tuple[str, int, bool]]:
        for note in sorted((self.data / "run").glob("*.pid")):
            try:
                pid, _, started = note.read_text().partition(" ")
                if not started:
                    continue
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except (OSError, ValueError):
                continue
            yield note.stem, int(pid), fields[0] in "ZX" or fields[19] != started.strip()
