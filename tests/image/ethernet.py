"""A computer in the station's network, played frame by frame: it asks for an address and knocks at ports.

It hangs at the same cable as the machine (qemu's `-netdev dgram`), so that nothing of this computer's own network is
touched and no driver is needed.
"""

import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

BROADCAST = b"\xff" * 6
IPV4, ARP = 0x0800, 0x0806
TCP, UDP = 6, 17
SYN, SYN_ACK = 0x02, 0x12
DISCOVER, OFFER, REQUEST, ACKNOWLEDGE = 1, 2, 3, 5
SUBNET, ROUTER, DNS, WANTED, KIND, SERVER, ASKED = 1, 3, 6, 50, 53, 54, 55
NOBODY = IPv4Address("0.0.0.0")


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What a DHCP server has given."""

    address: IPv4Address
    server: IPv4Address
    server_mac: bytes
    router: IPv4Address | None
    dns: IPv4Address | None


class Computer:
    """One computer at the cable."""

    def __init__(self, scratch: Path, name: str) -> None:
        self.name, self.mac = name, b"\x02\x00\x00\x00" + os.urandom(2)
        self._ours, self._theirs = scratch / f"{name}.a", scratch / f"{name}.b"
        self._cable = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._cable.bind(str(self._ours))
        # Read at once and always: qemu polls a cable whose end is full without a pause, and the machine stands still.
        self._heard: deque[bytes] = deque(maxlen=4096)
        self._reader = threading.Thread(target=self._read, name=f"cable-{name}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cable.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._cable.close()

    def option(self) -> str:
        """Return the option of qemu that plugs the cable in."""
        ends = f"local.type=unix,local.path={self._theirs},remote.type=unix,remote.path={self._ours}"
        return f"dgram,id={self.name},{ends}"

    def ask_for_address(self, *, ignored: Iterable[str] = (), timeout_s: float = 30.0) -> Lease | None:
        """Do as a DHCP client does and return what was given; servers in `ignored` are passed over."""
        number = os.urandom(4)
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            offer = self._talk(number, DISCOVER, {}, OFFER, set(ignored))
            if offer is None:
                continue
            wanted = {WANTED: offer.address.packed, SERVER: offer.server.packed}
            given = self._talk(number, REQUEST, wanted, ACKNOWLEDGE, set(ignored))
            if given is not None:
                return given
        return None

    def open_ports(
        self, address: IPv4Address, mac: bytes, ports: Iterable[int], *, own: IPv4Address, wait_s: float = 5.0
    ) -> set[int]:
        """Knock at TCP ports and return those that open; what only says no counts as closed."""
        asked = list(ports)
        found: set[int] = set()
        # Twice: an emulated network card drops what comes too fast.
        for _ in range(2):
            for port in asked:
                if port not in found:
                    self._send(mac, IPV4, _ip(own, address, TCP, _syn(own, address, 40_000, port)))
            for _, content in self._frames(wait_s, IPV4, answers_for=own):
                protocol, sender, _, body = _read_ip(content)
                if protocol == TCP and sender == address and body[13] & SYN_ACK == SYN_ACK:
                    found.add(int.from_bytes(body[0:2]))
                    if found >= set(asked):
                        break
        return found

    def mac_of(self, address: IPv4Address, *, own: IPv4Address, timeout_s: float = 10.0) -> bytes | None:
        """Ask who has an address."""
        question = struct.pack(">HHBBH", 1, IPV4, 6, 4, 1) + self.mac + own.packed + bytes(6) + address.packed
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self._send(BROADCAST, ARP, question)
            for _, content in self._frames(1.0, ARP):
                if content[6:8] == b"\0\2" and content[14:18] == address.packed:
                    return content[8:14]
        return None

    def _read(self) -> None:
        while frame := self._cable.recv(65536):
            self._heard.append(frame)

    # --- frames -------------------------------------------------------------------------------------------------

    def _send(self, to: bytes, kind: int, content: bytes) -> None:
        frame = to + self.mac + struct.pack(">H", kind) + content
        deadline_s = time.monotonic() + 5
        while True:
            try:
                self._cable.sendto(frame.ljust(60, b"\0"), socket.MSG_DONTWAIT, str(self._theirs))
            except BlockingIOError:
                # The machine has not taken the earlier ones yet.
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.01)
            else:
                return

    def _frames(
        self, seconds: float, kind: int, *, answers_for: IPv4Address | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Read what comes for a while; questions for the own address are answered meanwhile."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            if not self._heard:
                time.sleep(0.01)
                continue
            frame = self._heard.popleft()
            sender, found, content = frame[6:12], int.from_bytes(frame[12:14]), frame[14:]
            if found == ARP and answers_for is not None:
                self._answer_arp(content, answers_for)
            if found == kind and frame[:6] in {self.mac, BROADCAST}:
                yield sender, content

    def _answer_arp(self, question: bytes, own: IPv4Address) -> None:
        if question[6:8] == b"\0\1" and question[24:28] == own.packed:
            head = struct.pack(">HHBBH", 1, IPV4, 6, 4, 2)
            self._send(question[8:14], ARP, head + self.mac + own.packed + question[8:18])

    def _talk(
        self, number: bytes, kind: int, options: dict[int, bytes], expected: int, ignored: set[str]
    ) -> Lease | None:
        asked = {KIND: bytes([kind]), ASKED: bytes([SUBNET, ROUTER, DNS]), **options}
        self._send(BROADCAST, IPV4, _ip(NOBODY, IPv4Address("255.255.255.255"), UDP, _dhcp(number, self.mac, asked)))
        for sender, content in self._frames(3.0, IPV4):
            protocol, _, _, body = _read_ip(content)
            if protocol != UDP or body[2:4] != struct.pack(">H", 68) or body[12:16] != number:
                continue
            found = _options(body[8 + 240 :])
            if found.get(KIND) == bytes([expected]) and SERVER in found:
                server = IPv4Address(found[SERVER])
                if str(server) not in ignored:
                    return Lease(
                        address=IPv4Address(body[24:28]),
                        server=server,
                        server_mac=sender,
                        router=_first(found.get(ROUTER)),
                        dns=_first(found.get(DNS)),
                    )
        return None


def _first(addresses: bytes | None) -> IPv4Address | None:
    return IPv4Address(addresses[:4]) if addresses else None


def _sum(content: bytes) -> int:
    words = struct.unpack(f">{len(content) // 2}H", content) if len(content) % 2 == 0 else None
    total = sum(words if words is not None else struct.unpack(f">{len(content) // 2 + 1}H", content + b"\0"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ip(sender: IPv4Address, to: IPv4Address, protocol: int, body: bytes) -> bytes:
    head: Callable[[int], bytes] = lambda check: struct.pack(  # noqa: E731
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, check, sender.packed, to.packed
    )
    return head(_sum(head(0))) + body


def _read_ip(content: bytes) -> tuple[int, IPv4Address, IPv4Address, bytes]:
    length, total = (content[0] & 0xF) * 4, int.from_bytes(content[2:4])
    return content[9], IPv4Address(content[12:16]), IPv4Address(content[16:20]), content[length:total]


def _syn(sender: IPv4Address, to: IPv4Address, source: int, port: int) -> bytes:
    pseudo = sender.packed + to.packed + struct.pack(">BBH", 0, TCP, 20)
    head: Callable[[int], bytes] = lambda check: struct.pack(  # noqa: E731
        ">HHIIBBHHH", source, port, 1, 0, 5 << 4, SYN, 8192, check, 0
    )
    return head(_sum(pseudo + head(0)))


def _dhcp(number: bytes, mac: bytes, options: dict[int, bytes]) -> bytes:
    broadcast_please = 0x8000
    fixed = struct.pack(">BBBB4sHH16s16s192s4s", 1, 1, 6, 0, number, 0, broadcast_please, b"", mac, b"", b"c\x82Sc")
    listed = b"".join(bytes([code, len(value)]) + value for code, value in options.items())
    body = fixed + listed + b"\xff"
    # RFC 768: a checksum of zero means that there is none.
    return struct.pack(">HHHH", 68, 67, 8 + len(body), 0) + body


def _options(content: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    place = 0
    while place < len(content) and content[place] != 0xFF:
        if content[place] == 0:
            place += 1
            continue
        length = content[place + 1]
        found[content[place]] = content[place + 2 : place + 2 + length]
        place += 2 + length
    return found
