"""A bus without wires: registers and coils in dictionaries, and a list of what was written."""

from collections import defaultdict
from collections.abc import Sequence

from hardware.links.serial_bus import ModbusRefused, Patience, SerialBus
from station.domain.ports import DeviceSilent


class FakeBus(SerialBus):
    """A `SerialBus` without a port; `refused` holds (function, address) pairs answered with exception 2."""

    def __init__(self) -> None:
        self.holding: dict[int, int] = defaultdict(int)
        self.input: dict[int, int] = defaultdict(int)
        self.coils: dict[int, bool] = defaultdict(bool)
        self.discrete: dict[int, bool] = defaultdict(bool)
        self.refused: set[tuple[int, int]] = set()
        self.silent = False
        # Reads from this register on are not answered.
        self.silent_from: int | None = None
        self.lost_confirmations = 0
        self.written: list[tuple[int, object]] = []
        self.users = 0

    def acquire(self) -> None:
        self.users += 1

    def release(self) -> None:
        self.users -= 1

    def _check(self, function: int, address: int) -> None:
        if self.silent:
            raise DeviceSilent("silent")
        if (function, address) in self.refused:
            raise ModbusRefused(1, function, 2)

    async def read_holding(self, device: int, address: int, count: int, patience: Patience) -> list[int]:
        self._check(3, address)
        return [self.holding[at] for at in range(address, address + count)]

    async def read_input(self, device: int, address: int, count: int, patience: Patience) -> list[int]:
        self._check(4, address)
        if self.silent_from is not None and address >= self.silent_from:
            raise DeviceSilent("silent")
        return [self.input[at] for at in range(address, address + count)]

    async def read_coils(self, device: int, address: int, count: int, patience: Patience) -> list[bool]:
        self._check(1, address)
        return [self.coils[at] for at in range(address, address + count)]

    async def read_discrete(self, device: int, address: int, count: int, patience: Patience) -> list[bool]:
        self._check(2, address)
        return [self.discrete[at] for at in range(address, address + count)]

    async def write_coil(self, device: int, address: int, patience: Patience, *, on: bool) -> None:
        self._check(5, address)
        self.coils[address] = on
        self._confirm((address, on))

    async def write_coils(self, device: int, address: int, coils: Sequence[bool], patience: Patience) -> None:
        self._check(15, address)
        for at, on in enumerate(coils, address):
            self.coils[at] = on
        self._confirm((address, list(coils)))

    async def write_register(self, device: int, address: int, value: int, patience: Patience) -> None:
        self._check(6, address)
        self.holding[address] = value
        self._confirm((address, value))

    def _confirm(self, entry: tuple[int, object]) -> None:
        self.written.append(entry)
        if self.lost_confirmations:
            self.lost_confirmations -= 1
            raise DeviceSilent("the confirmation was lost")
