"""Register map of the simulated ABB B23: holding registers only, and nothing between its blocks."""

from collections.abc import Callable, Sequence

from hardware.protocols.abb import (
    ENERGY_BLOCK,
    FIRMWARE,
    FIRMWARE_REGISTERS,
    MEASURED_BLOCK,
    SERIAL_NUMBER,
    Quantity,
    encode_block,
)
from hardware.protocols.registers import encode, encode_text
from hardware.simulator.electricity import quantities
from hardware.simulator.point import ChargingPoint
from hardware.simulator.rtu import Function, IllegalAddress, IllegalFunction

_FIRMWARE = "B2.10.1"


class AbbRegisters:
    """What the meter answers. `keep` is called before each answer that tells the energy, so that it is never lost."""

    def __init__(self, *, point: ChargingPoint, serial_number: int, keep: Callable[[], None]) -> None:
        self._point = point
        self._keep = keep
        self._fixed = {
            SERIAL_NUMBER.register: encode(SERIAL_NUMBER, serial_number),
            FIRMWARE: encode_text(_FIRMWARE, FIRMWARE_REGISTERS),
        }

    def read_bits(self, _function: Function, _start: int, _count: int) -> Sequence[bool]:
        """Refuse: this meter has no bits."""
        raise IllegalFunction

    def read_registers(self, function: Function, start: int, count: int) -> Sequence[int]:
        """Read by FC3 what lies within one block."""
        if function is not Function.READ_HOLDING_REGISTERS:
            raise IllegalFunction
        for first, words in self._fixed.items():
            if first <= start and start + count <= first + len(words):
                return words[start - first : start - first + count]
        for first, length in (ENERGY_BLOCK, MEASURED_BLOCK):
            if first <= start and start + count <= first + length:
                self._keep()
                told = quantities(Quantity, self._point.load, import_energy_wh=int(self._point.energy.total_wh))
                words = encode_block(told, start=first, count=length)
                return words[start - first : start - first + count]
        raise IllegalAddress

    def write_bits(self, _start: int, _values: Sequence[bool]) -> None:
        """Refuse: this meter has no bits."""
        raise IllegalFunction

    def write_registers(self, _start: int, _values: Sequence[int]) -> None:
        """Refuse: the settings are made at the meter's buttons."""
        raise IllegalAddress
