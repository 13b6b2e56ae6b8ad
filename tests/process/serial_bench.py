"""Devices on pseudo-terminals for tests of links and drivers: real ports, played bytes."""

import asyncio
import os
import tty
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from hardware.simulator.rtu import Function, IllegalAddress, RtuSlave


class PtyDevice:
    """A serial port with someone at the other end; `answer` turns received bytes into bytes to send."""

    def __init__(self, path: Path, answer: Callable[[bytes], bytes]) -> None:
        self.path = path
        self.answer = answer
        self.received: list[tuple[float, bytes]] = []
        self.pieces = 1
        self._heard = asyncio.Event()
        self._master = -1
        self._slave = -1

    def plug_in(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._on_readable)

    def unplug(self) -> None:
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self.path.unlink()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    async def hears(self) -> None:
        """Wait for the next bytes."""
        self._heard.clear()
        async with asyncio.timeout(5):
            await self._heard.wait()

    def send(self, data: bytes) -> None:
        size = -(-len(data) // self.pieces) or 1
        for at in range(0, len(data), size):
            os.write(self._master, data[at : at + size])

    def _on_readable(self) -> None:
        data = os.read(self._master, 4096)
        self._heard.set()
        self.received.append((asyncio.get_running_loop().time(), data))
        if reply := self.answer(data):
            self.send(reply)


class Registers:
    """A register map in dictionaries; what was never set does not exist."""

    def __init__(self) -> None:
        self.holding: dict[int, int] = {}
        self.input: dict[int, int] = {}
        self.coils: dict[int, bool] = {}
        self.discrete: dict[int, bool] = defaultdict(bool)

    def read_bits(self, function: Function, start: int, count: int) -> Sequence[bool]:
        bits = self.coils if function is Function.READ_COILS else self.discrete
        return self._slice(bits, start, count)

    def read_registers(self, function: Function, start: int, count: int) -> Sequence[int]:
        registers = self.holding if function is Function.READ_HOLDING_REGISTERS else self.input
        return self._slice(registers, start, count)

    def write_bits(self, start: int, values: Sequence[bool]) -> None:
        self.coils.update(enumerate(values, start))

    def write_registers(self, start: int, values: Sequence[int]) -> None:
        self.holding.update(enumerate(values, start))

    @staticmethod
    def _slice(values, start, count):
        try:
            return [values[at] for at in range(start, start + count)]
        except KeyError as error:
            raise IllegalAddress from error


class RtuBench:
    """A Modbus RTU line with devices by address; `muted` ones do not answer, `garble` replaces every answer."""

    def __init__(self, path: Path, devices: dict[int, Registers]) -> None:
        self.muted: set[int] = set()
        self.garble: Callable[[bytes], bytes] | None = None
        self._slaves = {
            address: RtuSlave(address=address, registers=registers) for address, registers in devices.items()
        }
        self.port = PtyDevice(path, self._answer)

    def _answer(self, data: bytes) -> bytes:
        now_s = asyncio.get_running_loop().time()
        answers = {address: slave.receive(data, now_s=now_s) for address, slave in self._slaves.items()}
        answer = b"".join(reply for address, reply in answers.items() if address not in self.muted)
        return self.garble(answer) if answer and self.garble is not None else answer
