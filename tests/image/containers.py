"""Containers in which systemd starts the station: real units, sandboxes and D-Bus services in seconds.

    with Container.boot(tree, scratch) as container:
        container.run("systemctl", "is-system-running", "--wait")

A container writes to a layer over the tree, which stays as it is. What it cannot do: load a kernel, lose its power,
keep to limits of memory.
"""

import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from tests.station import wait_until

PYTHON = "/opt/station/.venv/bin/python"
DATA = "/var/lib/station"
# Where the test image's simulator listens.
SIMULATOR_PORT = 8600
_HTTPS_PORT = 443
BOOT_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 60.0
_CLONE_NEWNET = 0x40000000
# Around the call: the shell's directory on this computer does not exist in there.
_EVERY_NAMESPACE = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/")
_ENVIRONMENT = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")


# A computer's own, not that of whoever tests.
_UMASK = 0o022
# The network cable of one that has just ended may still be there.
_numbers = itertools.count(1)
# The capability and the call of BPF are what systemd confines the addresses of a service with.
_NSPAWN = (
    *("setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--register=no", "--keep-unit", "--network-veth"),
    *("--capability=CAP_BPF", "--system-call-filter=bpf", "--timezone=off", "--resolv-conf=off"),
)


class CommandFailed(AssertionError):
    """A command in the container returned something else than 0."""


@dataclass(kw_only=True)
class Container:
    """One station under a systemd of its own."""

    tree: Path
    scratch: Path
    name: str = "station-test"
    # How long something that a station does may take here.
    patience_s: float = 10.0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _leader: int | None = field(default=None, init=False)

    @classmethod
    @contextmanager
    def boot(cls, tree: Path, scratch: Path, *, files: Mapping[str, str] | None = None) -> Iterator[Self]:
        """Boot a tree with files of one's own in it, and end it whatever happens."""
        container = cls(tree=tree, scratch=scratch, name=f"station-{os.getpid()}-{next(_numbers)}")
        try:
            container.mount()
            for path, content in (files or {}).items():
                container.write(path, content)
            container.start()
            yield container
        finally:
            container.end()

    @property
    def root(self) -> Path:
        """Where this computer sees the files of the container."""
        return self.scratch / "root"

    def mount(self) -> None:
        """Lay a layer for what is written over the tree."""
        for directory in ("upper", "work", "root"):
            (self.scratch / directory).mkdir(parents=True)
            # Every user of the container passes through its root, whatever this process hides from others.
            (self.scratch / directory).chmod(0o755)
        layers = f"lowerdir={self.tree},upperdir={self.scratch}/upper,workdir={self.scratch}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True)
        # The partitions of the image are not there, nor the disk that one of them would grow on.
        self.write("/etc/fstab", "")
        self.write(
            "/etc/systemd/system/station-grow-data.service.d/absent.conf",
            "[Unit]\nConditionVirtualization=!container\n",
        )
        self.write("/etc/machine-id", "")
        # Its one cable belongs to the tests.
        self.write("/etc/systemd/network/10-host0.network", "[Match]\nName=host0\n[Link]\nUnmanaged=yes\n")
        self.write("/etc/NetworkManager/conf.d/90-host0.conf", "[keyfile]\nunmanaged-devices+=interface-name:host0\n")

    def start(self) -> None:
        """Start systemd in it."""
        with (self.scratch / "console").open("wb") as console:
            self.process = subprocess.Popen(
                [*_NSPAWN, f"--machine={self.name}", f"--directory={self.root}", "--boot"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                # The units are made for the hierarchy that Debian boots with, whatever this computer has.
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                umask=_UMASK,
            )
        self._leader = wait_until(self._first_process, timeout_s=BOOT_TIMEOUT_S, what="a systemd in the container")
        wait_until(self._is_answering, timeout_s=BOOT_TIMEOUT_S, what="an answer of the container's systemd")

    def _first_process(self) -> int | None:
        """Return the process id that this computer knows the container's first process by."""
        assert self.process is not None
        assert self.process.poll() is None, f"the container ended:\n{self.console()[-4000:]}"
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            with suppress(OSError):
                # nspawn's own children come first.
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        return None

    def _is_answering(self) -> bool:
        return self.run("systemctl", "show", "--property", "Version", check=False).returncode == 0

    def end(self) -> None:
        """End everything in it at once, for nothing of it is kept, and take the layer away."""
        if self.process is not None and self.process.poll() is None:
            # Without its first process nothing of a container lives on; nspawn alone would leave it behind.
            if self._leader is not None:
                with suppress(ProcessLookupError):
                    os.kill(self._leader, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        subprocess.run(["umount", "--lazy", str(self.root)], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.scratch / "work", ignore_errors=True)

    def console(self) -> str:
        """Read what systemd has said."""
        return (self.scratch / "console").read_text(errors="replace")

    @property
    def cable(self) -> str:
        """Name the end of its network cable (host0) at this computer."""
        number = self.said("cat", "/sys/class/net/host0/iflink")
        # Not from /sys, which shows the network it was mounted in, whatever network this process has.
        shown = subprocess.run(["ip", "-json", "link"], check=True, capture_output=True, text=True).stdout
        return next(link["ifname"] for link in json.loads(shown) if link["ifindex"] == int(number))

    # --- doing something in it

    def write(self, path: str, content: str) -> None:
        """Write a file of root's; after the boot with `run`, for whoever shall own it."""
        place = self.root / path.lstrip("/")
        for parent in reversed(place.parents):
            if not parent.exists():
                parent.mkdir()
                parent.chmod(0o755)
        # A link would be followed to a file of this computer.
        place.unlink(missing_ok=True)
        place.write_text(content)
        place.chmod(0o644)

    def run(
        self,
        *command: str,
        user: str = "",
        check: bool = True,
        told: str | None = None,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end, as root or as another user."""
        assert self._leader is not None
        who = ("setpriv", f"--reuid={user}", f"--regid={_GROUPS.get(user, user)}", "--init-groups") if user else ()
        done = subprocess.run(
            ["nsenter", "--target", str(self._leader), *_EVERY_NAMESPACE, "--", *_ENVIRONMENT, *who, *command],
            capture_output=True,
            text=True,
            input=told,
            stdin=subprocess.DEVNULL if told is None else None,
            timeout=timeout_s,
            check=False,
            umask=_UMASK,
        )
        if check and done.returncode:
            raise CommandFailed(f"{command} returned {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return done

    def said(self, *command: str, **options: Any) -> str:
        """Run a command and return what it says."""
        return self.run(*command, **options).stdout.strip()

    def unit(self, name: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit."""
        shown = self.said("systemctl", "show", name, "--property", ",".join(properties))
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def main_pid(self, unit: str) -> int:
        """Return the process id of a unit's main process, as the container counts; 0 while there is none."""
        return int(self.unit(unit, "MainPID")["MainPID"])

    def within(self, unit: str, code: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run Python under everything that a unit allows and forbids, and return what it prints."""
        directives = self.said("systemctl", "cat", f"{unit}.service")
        kept = [line for line in directives.splitlines() if not _OF_A_SERVICE.match(line)]
        name, file = f"try-{unit}", f"/run/try/{unit}"
        outputs = [f"StandardOutput=truncate:{file}.out", f"StandardError=truncate:{file}.out"]
        self.run("mkdir", "-p", "/run/try")
        self.run("tee", f"{file}.py", told=code)
        self.run(
            "tee",
            f"/run/systemd/system/{name}.service",
            told="\n".join([*kept, *_TRIAL, f"ExecStart={PYTHON} {file}.py", *outputs, ""]),
        )
        self.run("systemctl", "daemon-reload")
        done = self.run("systemctl", "start", f"{name}.service", check=False, timeout_s=timeout_s)
        told = self.said("cat", f"{file}.out", check=False)
        assert done.returncode == 0, f"{name}: {done.stderr} {told}"
        return told

    # --- the station in it

    def connect(self, port: int, *, timeout_s: float = 10.0) -> socket.socket:
        """Connect to a port of the container's loopback."""
        return inside_network(self._leader or 0, lambda: socket.create_connection(("127.0.0.1", port), timeout_s))

    def http(
        self, method: str, path: str, body: Any = None, *, port: int = 80, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Ask a server in it; return the status and the JSON body (or the text)."""
        connection = HTTPConnection("127.0.0.1", port, timeout=10.0)
        connection.sock = self.connect(port)
        if port == _HTTPS_PORT:
            # Its certificate is one of its own making.
            connection.sock = ssl._create_unverified_context().wrap_socket(connection.sock)  # noqa: S323
        try:
            content = json.dumps(body) if body is not None else None
            connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
            with suppress(ValueError):
                return answer.status, json.loads(text)
            return answer.status, text
        finally:
            connection.close()

    def health(self) -> tuple[int, list[dict[str, str]]]:
        """Return what /healthz says: the status and the reasons; 0 when nobody answers."""
        try:
            status, answer = self.http("GET", "/healthz")
        except (OSError, HTTPException):
            return 0, []
        return status, answer.get("reasons", []) if isinstance(answer, dict) else []

    def is_ready(self) -> bool:
        """Return whether the station can charge."""
        return self.health()[0] == 200

    def reasons(self) -> list[str]:
        """Return why the station cannot charge."""
        return [reason["code"] for reason in self.health()[1]]

    def simulator(self, path: str, body: Any = None) -> dict[str, Any]:
        """POST to the simulator, or GET /state; return the new state."""
        method = "GET" if path == "/state" else "POST"
        status, answer = self.http(
            method, path, body if body is not None or method == "GET" else {}, port=SIMULATOR_PORT
        )
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    def point(self, number: int = 1) -> dict[str, Any]:
        """Return the physical truth of one charging point."""
        points: list[dict[str, Any]] = self.simulator("/state")["connectors"]
        return next(each for each in points if each["id"] == number)

    def signal(self, unit: str, number: signal.Signals) -> int:
        """Send a signal to the main process of a unit; return its process id."""
        pid = self.main_pid(unit)
        assert pid, f"{unit} has no process"
        self.run("kill", f"-{number.value}", str(pid))
        return pid

    def journal(self, *options: str) -> str:
        """Return the journal of this boot."""
        return self.said("journalctl", "--boot", "--no-pager", "--output=short-monotonic", *options)


# Of users whose group has another name.
_GROUPS = {"nobody": "nogroup"}
_TRIAL = ("[Service]", "Type=oneshot")
# What `within` replaces: how a service begins and ends. Its sandbox stays.
_OF_A_SERVICE = re.compile(
    r"#|(Type|Exec\w+|Restart\w*|Watchdog\w+|Timeout\w+|StartLimit\w+|OnFailure|PartOf|Requires|After|WantedBy|RemainAfterExit)\s*=|\[Install\]"
)


def inside_network(pid: int, make: Callable[[], socket.socket]) -> socket.socket:
    """Return what `make` makes in the network of another process: a socket stays in the network it was made in."""
    with ThreadPoolExecutor(1) as thread:
        # A thread of its own, which nobody uses again: only it changes its network.
        return thread.submit(_enter_and_make, pid, make).result()


def _enter_and_make(pid: int, make: Callable[[], socket.socket]) -> socket.socket:
    with Path(f"/proc/{pid}/ns/net").open() as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    return make()
