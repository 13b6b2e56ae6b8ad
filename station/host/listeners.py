"""Who listens at a TCP port of this computer, as far as this user may find out."""

import pwd
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_PROC = Path("/proc")
_LISTENS = "0A"
# A word of an IPv6 address in the kernel's table.
_WORD = 8


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a port. `pid` is 0 and `program` empty when this user may not know; `title`: the whole command line."""

    user: str
    uid: int
    pid: int = 0
    program: str = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class _Listener:
    address: IPv4Address | IPv6Address
    port: int
    uid: int
    inode: int


def holder(host: str, port: int, proc: Path = _PROC) -> Holder | None:
    """Return who listens where a listener at HOST:PORT would be; None: nobody."""
    found = [each for each in _listeners(proc) if each.port == port and _excludes(each.address, host)]
    if not found:
        return None
    owners = {each.inode: each for each in found}
    for pid, inode in _sockets(proc):
        if inode in owners:
            return _described(proc, pid, owners[inode].uid)
    return Holder(user=_name(found[0].uid), uid=found[0].uid)


def _listeners(proc: Path) -> Iterator[_Listener]:
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (proc / "net" / name).read_text(encoding="ascii").splitlines()[1:]:
                with suppress(ValueError, IndexError):
                    fields = line.split()
                    address, _, port = fields[1].partition(":")
                    if fields[3] == _LISTENS:
                        yield _Listener(
                            address=_address(address), port=int(port, 16), uid=int(fields[7]), inode=int(fields[9])
                        )


def _address(text: str) -> IPv4Address | IPv6Address:
    """Read an address as the kernel writes it: words of four bytes, each in the order of the processor."""
    words = (text[start : start + _WORD] for start in range(0, len(text), _WORD))
    packed = b"".join(socket.htonl(int(word, 16)).to_bytes(4, "big") for word in words)
    return ip_address(packed)


def _excludes(present: IPv4Address | IPv6Address, host: str) -> bool:
    """Return whether a listener at one address leaves no room for one at `host`."""
    try:
        wanted = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return True
    if isinstance(present, IPv6Address) and present.ipv4_mapped is not None:
        present = present.ipv4_mapped
    if present.version != wanted.version:
        # A wildcard of IPv6 takes IPv4 along, unless somebody has asked otherwise, which cannot be seen.
        return any(each.version == IPv6Address(0).version and each.is_unspecified for each in (present, wanted))
    return present.is_unspecified or wanted.is_unspecified or present == wanted


def _sockets(proc: Path) -> Iterator[tuple[int, int]]:
    """Find the sockets of processes this user may look into, with their inodes."""
    for folder in _numbered(proc):
        with suppress(OSError):
            for link in (folder / "fd").iterdir():
                # A descriptor may be closed meanwhile.
                with suppress(OSError, ValueError):
                    target = str(link.readlink())
                    if target.startswith("socket:["):
                        yield int(folder.name), int(target[len("socket:[") : -1])


def _numbered(proc: Path) -> Iterable[Path]:
    with suppress(OSError):
        return [folder for folder in proc.iterdir() if folder.name.isdigit()]
    return ()


def _described(proc: Path, pid: int, uid: int) -> Holder:
    program = title = ""
    with suppress(OSError):
        program = (proc / str(pid) / "comm").read_text(errors="replace").strip()
        title = (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return Holder(user=_name(uid), uid=uid, pid=pid, program=program, title=title)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
