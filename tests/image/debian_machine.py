"""Somebody's Debian machine: a container with a systemd of its own on a copy of a tree that only costs what changes."""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
_STOP_S = 30.0


class DebianMachine:
    """A booted machine without a network, to be used as a context manager; needs root."""

    def __init__(self, tree: Path, folder: Path, *, boot_s: float) -> None:
        self._tree, self._folder, self._boot_s = tree, folder, boot_s
        self._root = folder / "root"
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        upper, work = self._folder / "upper", self._folder / "work"
        for part in (self._root, upper, work):
            part.mkdir()
            # The root directory of the machine, which every user of it enters.
            part.chmod(0o755)
        layers = f"lowerdir={self._tree},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self._root], check=True)
        try:
            (self._root / "etc" / "fstab").write_text("")
            self._boot()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(self, *command: str, timeout_s: float = 60.0) -> str:
        """Run a command as root in the machine; return what it said. Raises CalledProcessError."""
        inside = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        done = subprocess.run(
            [*inside, "--root", "--wd", "--", *command],
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout)
        return done.stdout

    def bring(self, file: Path) -> None:
        """Copy a file to /root of the machine."""
        subprocess.run(["cp", file, self._root / "root" / file.name], check=True)

    def _boot(self) -> None:
        self._process = subprocess.Popen(
            [
                "systemd-nspawn",
                "--quiet",
                "--register=no",
                "--keep-unit",
                "--private-network",
                f"--directory={self._root}",
                f"--machine=debian-{os.getpid()}",
                "--console=pipe",
                "--boot",
            ],
            env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=(self._folder / "console").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + self._boot_s
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                jobs = self.run("systemctl", "list-jobs") if self._leader else ""
                raise AssertionError(f"the machine has not started:\n{jobs}\n{(self._folder / 'console').read_text()}")
            time.sleep(0.2)

    def _is_up(self) -> bool:
        if self._process is None:
            return False
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self._leader = int(children[0])
        try:
            return self.run("systemctl", "is-system-running") == "running\n"
        except subprocess.CalledProcessError as error:
            # Degraded is up, too: what failed is the affair of the one who asks for it.
            return bool(error.output == "degraded\n")

    def _stop(self) -> None:
        if self._process is not None:
            # nspawn's own way: the second one does not wait for the machine's services.
            for attempt in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
                if self._process.poll() is None:
                    self._process.send_signal(attempt)
                    try:
                        self._process.wait(_STOP_S)
                    except subprocess.TimeoutExpired:
                        continue
        subprocess.run(["umount", "--lazy", self._root], check=True)
