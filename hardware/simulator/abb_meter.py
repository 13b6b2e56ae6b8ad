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
from hardware.simulator.electricity import FREQUENCY_HZ
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
                words = encode_block(self._quantities(), start=first, count=length)
                return words[start - first : start - first + count]
        raise IllegalAddress

    def write_bits(self, _start: int, _values: Sequence[bool]) -> None:
        """Refuse: this meter has no bits."""
        raise IllegalFunction

    def write_registers(self, _start: int, _values: Sequence[int]) -> None:
        """Refuse: the settings are made at the meter's buttons."""
        raise IllegalAddress

    def _quantities(self) -> dict[Quantity, int | None]:
        present = self._point.load
        values: dict[Quantity, int | None] = {
            Quantity.IMPORT_ENERGY: int(self._point.energy.total_wh),
            Quantity.EXPORT_ENERGY: 0,
            Quantity.POWER: round(present.power_w),
            Quantity.FREQUENCY: round(FREQUENCY_HZ * 1000),
        }
        for phase in range(3):
            values[Quantity[f"VOLTAGE_L{phase + 1}"]] = round(present.voltages_mv[phase])
            values[Quantity[f"CURRENT_L{phase + 1}"]] = round(present.currents_ma[phase])
            values[Quantity[f"POWER_L{phase + 1}"]] = round(present.phase_powers_w[phase])
        return values
