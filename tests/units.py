"""The units of `deploy/`, read as systemd reads them, and processes started under the limits they name.

A computer that tests has no systemd of its own, but the kernel's part of a sandbox is there: system calls, address
families, no new rights, no memory that is writable and executable.
"""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
SERVICES = ("firewall", "hardware", "ocpp", "prepare", "redis", "web", "worker")
# What lives as long as the station does.
PROCESSES = ("hardware", "ocpp", "redis", "web", "worker")
_CALL_GROUPS: dict[str, frozenset[str]] = {}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit file; a directive may stand in it several times."""

    name: str
    directives: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, service: str, directory: Path = DEPLOY) -> Self:
        """Read `station-SERVICE.service` of a directory."""
        lines = (directory / f"station-{service}.service").read_text().splitlines()
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith(("#", ";")))
        return cls(name=service, directives=tuple((key, value) for key, _, value in pairs))

    def all(self, key: str) -> list[str]:
        """Return every value of a directive, in order."""
        return [value for name, value in self.directives if name == key]

    def one(self, key: str) -> str:
        """Return the value of a directive, "" when it is not there; the last one holds."""
        return (self.all(key) or [""])[-1]

    def system_calls(self) -> frozenset[str]:
        """Return what SystemCallFilter leaves over: the first line allows, `~` takes away, later lines add."""
        allowed: frozenset[str] = system_calls_of("@default")
        for line in self.all("SystemCallFilter"):
            names = frozenset[str]().union(*(system_calls_of(word) for word in line.removeprefix("~").split()))
            allowed = allowed - names if line.startswith("~") else allowed | names
        return allowed


def system_calls_of(word: str) -> frozenset[str]:
    """Return the system calls of a group (`@system-service`), or the one that is named."""
    if not word.startswith("@"):
        return frozenset({word})
    if word not in _CALL_GROUPS:
        listing = subprocess.run(
            ["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True
        ).stdout.splitlines()[1:]
        members = [line.strip() for line in listing if line.strip() and not line.strip().startswith("#")]
        _CALL_GROUPS[word] = frozenset[str]().union(*(system_calls_of(member) for member in members))
    return _CALL_GROUPS[word]


def missing_for_a_sandbox() -> str:
    """Return what this computer lacks for starting a process as a unit would; "" when nothing."""
    if shutil.which("systemd-analyze") is None:
        return "no systemd-analyze"
    if find_library("seccomp") is None and not list(Path("/usr/lib").glob("*/libseccomp.so.2")):
        return "no libseccomp"
    return ""


def start(unit: Unit, arguments: Sequence[str], *, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a command under what the unit allows: its system calls, its address families, and no rights at all."""
    calls = " ".join(sorted(unit.system_calls()))
    families = " ".join(unit.one("RestrictAddressFamilies").split())
    return subprocess.Popen(
        [sys.executable, "-m", "tests.units", calls, families, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        cwd=DEPLOY.parent,
    )


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of seccomp(3)."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


_ALLOW, _EQUAL = 0x7FFF0000, 4
_REFUSE = 0x00050000 | errno.EPERM
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
# From prctl(2).
_CAPBSET_DROP, _SET_NO_NEW_PRIVS, _SET_MDWE, _REFUSE_EXEC_GAIN = 24, 38, 65, 1
_HIGHEST_CAPABILITY = 63


def _confine(calls: Sequence[str], families: Sequence[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        for capability in range(_HIGHEST_CAPABILITY + 1):
            libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    # Kernels before 6.3 do not know it; systemd filters mprotect there, which has the same effect.
    libc.prctl(_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)
    seccomp = ctypes.CDLL(find_library("seccomp") or "libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_REFUSE)))
    for name in calls:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0 or name == "socket":
            continue
        seccomp.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0)
    socket = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in families:
        wanted = _Comparison(0, _EQUAL, _FAMILIES[family], 0)
        seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(_ALLOW), socket, 1, ctypes.byref(wanted))
    if seccomp.seccomp_load(context):
        raise OSError("seccomp_load")


if __name__ == "__main__":
    _confine(sys.argv[1].split(), sys.argv[2].split())
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606
