"""Serial ports in virtual time: pyserial's object with a device behind it, and a disturbed line in between."""

import asyncio
import random
import socket
from collections.abc import Callable

import pytest

from tests.reliability.fuzz.mutation import damage_bytes

Answer = Callable[[bytes], bytes]
# 9600 baud, eight bits, no parity, one stop bit.
CHARACTER_S = 10 / 9600


class Line:
    """A port and what is at its other end. `damage` turns the device's answer into what arrives."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.damage: Callable[[bytes], bytes] | None = None
        self.damaged = 0
        self.port: FakeSerial | None = None

    def written(self, data: bytes) -> None:
        """Take what the station writes."""
        reply = self.answer(data)
        if self.damage is not None:
            reply = self.damage(reply)
            self.damaged += 1
        if reply:
            loop = asyncio.get_running_loop()
            # In two pieces, as a serial port hands bytes over.
            cut = len(reply) // 2
            loop.call_later(0.003 + cut * CHARACTER_S, self._arrive, reply[:cut])
            loop.call_later(0.004 + len(reply) * CHARACTER_S, self._arrive, reply[cut:])

    def _arrive(self, data: bytes) -> None:
        if self.port is not None and data:
            self.port.arrive(data)


class FakeSerial:
    """As much of `serial.Serial` as our ports use."""

    timeout = write_timeout = 0.0

    def __init__(self, line: Line) -> None:
        self._line = line
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        line.port = self

    def fileno(self) -> int:
        return self._near.fileno()

    def write(self, data: bytes) -> int:
        self._line.written(bytes(data))
        return len(data)

    def read(self, size: int = 1) -> bytes:
        try:
            return self._near.recv(size)
        except BlockingIOError:
            return b""

    def reset_input_buffer(self) -> None:
        while self.read(4096):
            pass

    def close(self) -> None:
        self._line.port = None
        self._near.close()
        self._far.close()

    def arrive(self, data: bytes) -> None:
        self._far.send(data)


def install(monkeypatch: pytest.MonkeyPatch, lines: dict[str, Line]) -> None:
    """Let the named ports be these lines."""

    def opened(port: str, *_args: object, **_options: object) -> FakeSerial:
        return FakeSerial(lines[port])

    monkeypatch.setattr("serial.Serial", opened)
    monkeypatch.setattr("serial.serial_for_url", opened)


def disturbance(dice: random.Random, *, share: float) -> Callable[[bytes], bytes]:
    """Make a line that damages so large a share of the answers, or swallows them."""

    def damage(reply: bytes) -> bytes:
        if dice.random() > share:
            return reply
        return b"" if dice.random() < 0.05 else damage_bytes(dice, reply)

    return damage
