"""Disks that lose what was not flushed when the power goes, served to a virtual machine over NBD.

`CachedDisk` is nbdkit with its cache: a cut takes away everything since the last flush. `TornDisk` is a small server of
our own: of what was written since the last flush, each write is kept, lost or torn (some of its sectors), at random.
"""

import os
import random
import shutil
import socket
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.station import wait_until

SECTOR = 512
# When the process of the tests dies, nothing that it started stays behind.
WITH_US = ("setpriv", "--pdeathsig", "KILL")


class Disk(Protocol):
    """A disk that can be plugged into a machine."""

    url: str

    def start(self) -> None: ...
    def cut(self) -> None:
        """Take the power away; the machine must be without power already."""

    def stop(self) -> None:
        """End in order, after the machine has ended: everything written is kept."""


def copy(image: Path, place: Path) -> Path:
    """Copy a sparse disk; blocks are shared where the file system can do that."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, place], check=True)
    return place


def copy_part(image: Path, place: Path, *, begin: int, size: int) -> None:
    """Copy a part of a sparse disk, and its holes as holes."""
    with image.open("rb") as source, place.open("wb") as target:
        target.truncate(size)
        at, end = begin, begin + size
        while at < end:
            try:
                at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            until = min(os.lseek(source.fileno(), at, os.SEEK_HOLE), end)
            while at < until:
                at += os.copy_file_range(source.fileno(), target.fileno(), until - at, at, at - begin)


class CachedDisk:
    """Served by nbdkit; what is not flushed is only in its memory and temporary file."""

    def __init__(self, image: Path, scratch: Path) -> None:
        self.image, self.socket = image, scratch / "disk.sock"
        self.url = f"nbd:unix:{self.socket}"
        self._temporary = scratch / "unflushed"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._temporary.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [
                *WITH_US,
                *("nbdkit", "--foreground", "--unix", self.socket, "--filter=cache"),
                *("file", self.image, "cache=writeback"),
            ],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(self._temporary)},
        )
        wait_until(self.socket.exists, what="nbdkit")

    def cut(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._temporary, ignore_errors=True)

    def stop(self) -> None:
        # nbdkit flushes nothing by itself when it ends; qemu has flushed when it closed the disk.
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._temporary, ignore_errors=True)


@dataclass(frozen=True)
class Unflushed:
    """What was written since the last flush: per sector the number of each write and what was there before it."""

    former: dict[int, list[tuple[int, bytes]]]

    def forget(self, image: Path, dice: random.Random, fates: Sequence[str]) -> Counter[str]:
        """Take writes back from an image, each with a fate by lot; return how many had which."""
        drawn = {number: dice.choice(fates) for number in self._writes()}
        with image.open("r+b") as file:
            for sector, versions in self.former.items():
                survivors = [number for number, _ in versions if self._survives(drawn[number], dice)]
                # What the last survivor left is what the next write found; without a survivor, the flushed state.
                if not survivors:
                    left = versions[0][1]
                elif survivors[-1] == versions[-1][0]:
                    continue
                else:
                    left = next(before for number, before in versions if number > survivors[-1])
                file.seek(sector * SECTOR)
                file.write(left)
        return Counter(drawn.values())

    def _writes(self) -> list[int]:
        return sorted({number for versions in self.former.values() for number, _ in versions})

    @staticmethod
    def _survives(fate: str, dice: random.Random) -> bool:
        return fate == "kept" or (fate == "torn" and dice.random() < 0.5)


class TornDisk:
    """An NBD server (fixed newstyle, one export) that remembers what a cut may take back.

    Writes go into the file at once. Until the next flush each sector's former contents are kept, oldest first, so that
    a cut can put any of them back: writes are lost, torn and reordered as a disk with a cache may do it, and what was
    flushed never is.
    """

    def __init__(self, image: Path, scratch: Path, dice: random.Random) -> None:
        self.image, self.socket, self.dice = image, scratch / "torn.sock", dice
        self.url = f"nbd:unix:{self.socket}"
        # Per sector: the number of the write and what was there before it.
        self._former: dict[int, list[tuple[int, bytes]]] = {}
        self._gate = threading.Lock()
        self._still_through = 0
        self._reached, self._released = threading.Event(), threading.Event()
        self._writes = 0
        self._is_powered = False
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.lost = self.kept = self.torn = 0

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._is_powered = True
        self._former.clear()
        self._spawn(self._accept)

    def cut(self) -> None:
        self._close()
        forgotten = Unflushed(self._former).forget(self.image, self.dice, ("kept", "lost", "torn"))
        self.kept, self.lost, self.torn = forgotten["kept"], forgotten["lost"], forgotten["torn"]
        self._former.clear()

    @contextmanager
    def held(self, *, after_writes: int, timeout_s: float = 10.0) -> Iterator[None]:
        """Let so many more writes through, and then no write and no flush for the length of a block."""
        # Between a write and its flush lies a millisecond; nobody hits it who only looks at the clock.
        self._reached.clear()
        self._released.clear()
        self._still_through = after_writes
        try:
            if self._reached.wait(timeout_s):
                yield
                return
            self._still_through = 0
            self._released.set()
            with self._gate:
                yield
        finally:
            self._still_through = 0
            self._released.set()

    def photograph(self, place: Path, *, begin: int, size: int) -> "Unflushed":
        """Copy a part of the disk as it is now, and return what a cut may take back from the copy. Only while held."""
        copy_part(self.image, place, begin=begin, size=size)
        first, after = begin // SECTOR, (begin + size) // SECTOR
        return Unflushed(
            {sector - first: list(versions) for sector, versions in self._former.items() if first <= sector < after}
        )

    def stop(self) -> None:
        self._close()
        self._former.clear()

    def _close(self) -> None:
        self._is_powered = False
        for each in [self._listener, *self._connections]:
            if each is not None:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
        for thread in self._threads:
            thread.join()
        self._listener, self._connections, self._threads = None, [], []
        self.socket.unlink(missing_ok=True)

    def _spawn(self, work, *arguments) -> None:
        thread = threading.Thread(target=work, args=arguments, name="torn-disk", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._is_powered:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._spawn(self._serve, connection)

    # https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError), self.image.open("r+b", buffering=0) as file:
            if self._negotiate(connection):
                self._transmit(connection, file)

    def _negotiate(self, connection: socket.socket) -> bool:
        has_flags, sends_flush = 1, 4
        export = struct.pack(">QH", self.image.stat().st_size, has_flags | sends_flush)
        connection.sendall(b"NBDMAGIC" + b"IHAVEOPT" + struct.pack(">H", 1 | 2))
        (flags,) = struct.unpack(">I", _exactly(connection, 4))
        while True:
            _, option, length = struct.unpack(">8sII", _exactly(connection, 16))
            _exactly(connection, length)
            reply = struct.pack(">QI", 0x3E889045565A9, option)
            match option:
                case 1:  # EXPORT_NAME
                    connection.sendall(export + (b"" if flags & 2 else bytes(124)))
                    return True
                case 2:  # ABORT
                    connection.sendall(reply + struct.pack(">II", 1, 0))
                    return False
                case 7:  # GO: the information on the export, then acknowledged
                    connection.sendall(reply + struct.pack(">IIH", 3, 12, 0) + export)
                    connection.sendall(reply + struct.pack(">II", 1, 0))
                    return True
                case _:  # an error of the kind "not supported"
                    connection.sendall(reply + struct.pack(">II", 0x80000001, 0))

    def _transmit(self, connection: socket.socket, file) -> None:
        while True:
            _, _, kind, handle, offset, length = struct.unpack(">IHHQQI", _exactly(connection, 28))
            done = struct.pack(">IIQ", 0x67446698, 0, handle)
            match kind:
                case 0:
                    file.seek(offset)
                    connection.sendall(done + file.read(length))
                case 1:
                    content = _exactly(connection, length)
                    with self._gate:
                        self._write(file, offset, content)
                    connection.sendall(done)
                case 2:
                    return
                case 3:
                    with self._gate:
                        self._former.clear()
                    connection.sendall(done)
                case _:
                    connection.sendall(struct.pack(">IIQ", 0x67446698, 22, handle))

    def _write(self, file, offset: int, content: bytes) -> None:
        self._writes += 1
        file.seek(offset)
        before = file.read(len(content))
        first = offset // SECTOR
        for number in range(len(content) // SECTOR):
            versions = self._former.setdefault(first + number, [])
            versions.append((self._writes, before[number * SECTOR : (number + 1) * SECTOR]))
        file.seek(offset)
        file.write(content)
        if self._still_through:
            self._still_through -= 1
            if not self._still_through:
                self._reached.set()
                self._released.wait()


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def alternate(disk: Disk, scratch: Path, dice: random.Random) -> "CachedDisk | TornDisk":
    """Return a disk of the other kind with the same contents: what it loses follows another rule at the next cut."""
    assert isinstance(disk, (CachedDisk, TornDisk))
    return CachedDisk(disk.image, scratch) if isinstance(disk, TornDisk) else TornDisk(disk.image, scratch, dice)


def kind(disk: Disk) -> str:
    """Name what a disk does with its unflushed writes at a cut: all "lost", or "torn" (each kept, lost or torn)."""
    return "torn" if isinstance(disk, TornDisk) else "lost"
