"""Virtual machines that boot the station image: started, watched over their serial console, and robbed of their power.

    with Machine(disk, scratch, forwards=[Forward(80)]) as machine:
        machine.run("systemctl is-system-running --wait")

A test image has a root shell on the serial console; the shipped one has none, and `run` waits there in vain.
"""

import itertools
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.image.disks import WITH_US, Disk
from tests.station import NeverHappened, free_port, wait_until

# Where the machine finds the loopback of this computer (qemu's user network).
HOST = "10.0.2.2"
GUEST = "10.0.2.15"
# 80 s to ready on an idle computer; emulated beside other work it was four times that, and slow is not wrong.
BOOT_TIMEOUT_S = 900.0
COMMAND_TIMEOUT_S = 180.0


class MachineEnded(AssertionError):
    """qemu ended by itself."""


class CommandFailed(AssertionError):
    """A command in the machine returned something else than 0."""


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A port of the machine, reached through the loopback of this computer."""

    port: int
    address: str = GUEST
    here: int

    def rule(self) -> str:
        """Return what qemu's user network is told."""
        return f"hostfwd=tcp:127.0.0.1:{self.here}-{self.address}:{self.port}"


def forward(port: int, address: str = GUEST) -> Forward:
    """Forward a free port of this computer to one of the machine."""
    return Forward(port=port, address=address, here=free_port())


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel that is started without firmware and boot loader."""

    image: Path
    initrd: Path
    command_line: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """What qemu plays: program and options, firmware with the file its variables begin as."""

    architecture: str
    program: str
    options: tuple[str, ...]
    firmware: Path
    variables: Path
    watchdog: str = ""


AMD64 = Model(
    architecture="amd64",
    program="qemu-system-x86_64",
    options=("-machine", "q35", "-cpu", "Nehalem"),
    firmware=Path("/usr/share/OVMF/OVMF_CODE_4M.fd"),
    variables=Path("/usr/share/OVMF/OVMF_VARS_4M.fd"),
    watchdog="ICH9-LPC.noreboot",
)
# The processor of a Raspberry Pi 4 and of the Compute Module 4; qemu's board has no watchdog.
ARM64 = Model(
    architecture="arm64",
    program="qemu-system-aarch64",
    options=("-machine", "virt", "-cpu", "cortex-a72"),
    firmware=Path("/usr/share/AAVMF/AAVMF_CODE.fd"),
    variables=Path("/usr/share/AAVMF/AAVMF_VARS.fd"),
)


class Machine:
    """One computer with two processors, emulated.

    `forwards` belong to the first network card, which qemu's user network serves with an address (10.0.2.15); `site`
    has other addresses for that network. `devices` are further options of qemu; a network card that they plug into the
    network `site` takes the place of the usual one. `watchdog`: that of the chip set restarts the machine; it knows the
    time of this computer only, so that a machine which gets too little of the processor is restarted for nothing.
    """

    def __init__(
        self,
        disk: Disk,
        scratch: Path,
        *,
        forwards: Sequence[Forward] = (),
        site: str = "",
        kernel: Kernel | None = None,
        devices: Sequence[str] = (),
        memory_mib: int = 1024,
        watchdog: bool = True,
        model: Model = AMD64,
    ) -> None:
        self.model = model
        self.disk, self.scratch, self.kernel = disk, scratch, kernel
        self.forwards, self.devices, self.memory_mib = tuple(forwards), tuple(devices), memory_mib
        self.site, self.watchdog = site, watchdog
        self.console = Console(scratch / "console.log")
        self.started_at_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._variables = scratch / "firmware_variables.fd"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # --- power --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Switch the power on."""
        assert self._process is None
        self.disk.start()
        serial = self.scratch / "serial.sock"
        serial.unlink(missing_ok=True)
        command = [*WITH_US, self.model.program, *self._options(serial)]
        with (self.scratch / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.scratch
            )
        self.started_at_s = time.monotonic()
        wait_until(lambda: serial.exists() or self._process.poll() is not None, what="qemu")
        self._complain_if_ended()
        self.console.connect(serial)

    def cut(self) -> None:
        """Cut the power: what the disk had not flushed is gone, in the way of this disk."""
        self._kill()
        self.disk.cut()

    def kill(self) -> None:
        """Leave nothing behind, whatever state the machine is in."""
        self._kill()
        self.disk.stop()

    def wait_off(self, *, timeout_s: float = 120.0) -> None:
        """Wait until the machine has switched itself off, for instance after `run("poweroff")`."""
        assert self._process is not None
        self._process.wait(timeout_s)
        self.kill()

    @property
    def is_on(self) -> bool:
        """Return whether qemu runs."""
        return self._process is not None and self._process.poll() is None

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.console.close()

    def _options(self, serial: Path) -> list[str]:
        options = ["-nodefaults", "-display", "none", "-no-user-config", *self.model.options]
        options += ["-accel", "tcg,thread=multi,tb-size=512"]
        options += ["-smp", "2", "-m", str(self.memory_mib), "-rtc", "base=utc", "-device", "virtio-rng-pci"]
        if self.model.watchdog:
            options += ["-global", f"{self.model.watchdog}={'off' if self.watchdog else 'on'}"]
            options += ["-action", "watchdog=reset"]
        options += ["-chardev", f"socket,id=serial,path={serial},server=on,wait=off", "-serial", "chardev:serial"]
        options += ["-drive", f"file={self.disk.url},format=raw,cache=writeback,if=none,id=disk"]
        options += ["-device", "virtio-blk-pci,drive=disk,bootindex=1"]
        network = ["user,id=site", *([self.site] if self.site else []), *(each.rule() for each in self.forwards)]
        options += ["-netdev", ",".join(network), *self.devices]
        if not any("netdev=site" in each for each in self.devices):
            options += ["-device", "virtio-net-pci,netdev=site"]
        if self.kernel is not None:
            options += ["-kernel", str(self.kernel.image), "-initrd", str(self.kernel.initrd)]
            return [*options, "-append", self.kernel.command_line]
        if not self._variables.exists():
            shutil.copy(self.model.variables, self._variables)
        options += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={self.model.firmware}"]
        return [*options, "-drive", f"if=pflash,unit=1,format=raw,file={self._variables}"]

    def _complain_if_ended(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            said = (self.scratch / "qemu.log").read_text(errors="replace")
            raise MachineEnded(f"qemu ended with {self._process.returncode}:\n{said[-2000:]}{self.console.tail()}")

    # --- console ------------------------------------------------------------------------------------------------

    def wait_for_text(self, text: str, *, after: int = 0, timeout_s: float = BOOT_TIMEOUT_S) -> int:
        """Wait until the console has shown a text; return the place behind it."""

        def place() -> int:
            self._complain_if_ended()
            found = self.console.text.find(text, after)
            return found + len(text) if found >= 0 else 0

        try:
            return wait_until(place, timeout_s=timeout_s, what=f"{text!r} on the console")
        except NeverHappened as problem:
            raise NeverHappened(f"{problem}{self.console.tail()}") from None

    def run(self, command: str, *, timeout_s: float = COMMAND_TIMEOUT_S, check: bool = True) -> str:
        """Run a command of the shell in the machine and return what it printed. Raises CommandFailed."""
        status, said = self.try_run(command, timeout_s=timeout_s)
        if check and status:
            raise CommandFailed(f"{command} returned {status}:\n{said}")
        return said

    def try_run(self, command: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> tuple[int, str]:
        """Run a command and return its exit code, too."""
        self.wait_shell()
        return self._ask(command, timeout_s)

    def wait_shell(self, *, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Wait until the root shell of a test image takes commands."""
        if self.console.has_shell:
            return
        deadline_s = time.monotonic() + timeout_s
        while True:
            # A shell that starts while we type loses what was typed before; so it is asked again.
            with suppress(NeverHappened):
                # From here on neither the kernel nor systemd (RTMIN+21: no status) talks into what we read.
                self._ask("stty -echo cols 4000; PS1= PS2=; set +m; dmesg --console-off; kill -RTMIN+21 1", 5.0)
                self.console.has_shell = True
                return
            self._complain_if_ended()
            if time.monotonic() > deadline_s:
                raise NeverHappened(f"a root shell on the console within {timeout_s} s{self.console.tail()}")

    def _ask(self, command: str, timeout_s: float) -> tuple[int, str]:
        mark = f"mark{next(self.console.marks)}mark"
        after = len(self.console.text)
        # The marks are put together by the shell, so that their echo is not taken for them.
        half = len(mark) // 2
        split = f"{mark[:half]}''{mark[half:]}"
        self.console.type(f" echo {split}begin; {{ {command}\n}} </dev/null 2>&1; echo {split}end $?\n")
        self.wait_for_text(f"{mark}end ", after=after, timeout_s=timeout_s)
        end = self.console.text.index(f"{mark}end ", after)
        wait_until(lambda: "\n" in self.console.text[end:], what="the exit code")
        begin = self.console.text.index(f"{mark}begin", after) + len(mark) + len("begin")
        said = self.console.text[begin:end].replace("\r\n", "\n").removeprefix("\n")
        return int(self.console.text[end + len(mark) + 4 :].split()[0]), said

    def write(self, path: str, content: str) -> None:
        """Write a small file in the machine, with the commands of the console."""
        self.run(f"printf %s {shlex.quote(content)} >{shlex.quote(path)}")

    def at_host(self, forwarded: Forward) -> str:
        """Return where this computer reaches a port of the machine."""
        return f"127.0.0.1:{forwarded.here}"


class Console:
    """The serial line: a thread reads whatever comes and keeps it, in memory and in a file."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.marks = itertools.count(1)
        self.has_shell = False
        self.text = ""
        self._line: socket.socket | None = None
        self._reader: threading.Thread | None = None

    def connect(self, path: Path) -> None:
        """Listen to a machine that has just been switched on."""
        self.text, self.has_shell = "", False
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(str(path))
        self._reader = threading.Thread(target=self._read, args=(self._line,), name="console", daemon=True)
        self._reader.start()

    def type(self, text: str) -> None:
        """Send what somebody types."""
        assert self._line is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self._line.sendall(text.encode())

    def close(self) -> None:
        """Stop listening; what came stays."""
        if self._line is not None and self._reader is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
            self._reader.join()
            self._line.close()
        self._line = self._reader = None

    def tail(self) -> str:
        """Return the last lines, for the message of a failure."""
        return f"\n--- the console ended with ---\n{self.text[-3000:]}"

    def _read(self, line: socket.socket) -> None:
        with self.log.open("ab") as log:
            while part := self._receive(line):
                log.write(part)
                log.flush()
                self.text += part.decode(errors="replace")

    @staticmethod
    def _receive(line: socket.socket) -> bytes:
        try:
            return line.recv(65536)
        except OSError:
            return b""
