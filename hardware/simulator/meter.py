"""Register map of the simulated Eastron SDM630 Modbus, and its key.

Input registers 0x00..0x18D hold float32 quantities as the meter's protocol document lists them; what it does not list
reads as zero. Holding registers: settings (readable), serial number and type code, and an extension block of ours that
a real SDM630 does not have, since it does not sign::

    0xF100           length of the public key in bytes
    0xF101 …         the key as DER (SubjectPublicKeyInfo, secp256r1), two bytes to a register, padded with zero
"""

from collections.abc import Callable, Sequence

from hardware.protocols.eastron import (
    MAXIMUM_REGISTERS,
    WORD_ORDER_VALUE,
    Holding,
    Model,
    Quantity,
    encode_block,
    encode_bytes,
    encode_float,
    encode_u32,
)
from hardware.simulator.electricity import FREQUENCY_HZ
from hardware.simulator.point import ChargingPoint
from hardware.simulator.rtu import Function, IllegalAddress, IllegalFunction, IllegalValue

LAST_INPUT_REGISTER = 0x18D
# Type code the simulated meter answers; only that of the SDM72D-M-2 (0x0089) is documented, so it is another one.
TYPE_CODE = 0x0070
# Wiring 3 = three phases, four wires; baud rate 2 = 9600.
_WIRING, _NODE, _BAUD_9600, _FORMAT_8N1 = 3.0, 1.0, 2.0, 0.0


class EastronRegisters:
    """What the meter answers. `keep` is called before each answer that tells the energy, so that it is never lost."""

    def __init__(
        self, *, point: ChargingPoint, serial_number: int, public_key: bytes, keep: Callable[[], None]
    ) -> None:
        self._point = point
        self._keep = keep
        floats = {
            Holding.WIRING: _WIRING,
            Holding.SERIAL_FORMAT: _FORMAT_8N1,
            Holding.NODE: _NODE,
            Holding.BAUD_RATE: _BAUD_9600,
            Holding.WORD_ORDER_TEST: WORD_ORDER_VALUE,
        }
        blocks: list[tuple[int, Sequence[int]]] = [(start, encode_float(value)) for start, value in floats.items()]
        blocks.append((Holding.SERIAL_NUMBER, [*encode_u32(serial_number), TYPE_CODE]))
        blocks.append((Holding.PUBLIC_KEY, encode_bytes(public_key)))
        self._holding = {start + offset: word for start, words in blocks for offset, word in enumerate(words)}

    def read_bits(self, _function: Function, _start: int, _count: int) -> Sequence[bool]:
        """Refuse: this meter has no bits."""
        raise IllegalFunction

    def read_registers(self, function: Function, start: int, count: int) -> Sequence[int]:
        """Read measured values by FC4, everything else by FC3."""
        if count > MAXIMUM_REGISTERS[Model.SDM630]:
            raise IllegalValue
        if function is Function.READ_HOLDING_REGISTERS:
            try:
                return [self._holding[address] for address in range(start, start + count)]
            except KeyError as error:
                raise IllegalAddress from error
        # The middle of a float is no address.
        if start % 2 or count % 2 or start + count - 1 > LAST_INPUT_REGISTER:
            raise IllegalAddress
        self._keep()
        return encode_block(self._quantities(), start=start, count=count)

    def write_bits(self, _start: int, _values: Sequence[bool]) -> None:
        """Refuse: this meter has no bits."""
        raise IllegalFunction

    def write_registers(self, _start: int, _values: Sequence[int]) -> None:
        """Refuse: the settings of a calibrated meter are locked."""
        raise IllegalAddress

    def _quantities(self) -> dict[Quantity, float]:
        present = self._point.load
        volts = [voltage / 1000 for voltage in present.voltages_mv]
        amperes = [current / 1000 for current in present.currents_ma]
        watts = present.phase_powers_w
        energy_kwh = self._point.energy.total_wh / 1000
        values = {
            Quantity.AVERAGE_VOLTAGE: sum(volts) / 3,
            Quantity.AVERAGE_CURRENT: sum(amperes) / 3,
            Quantity.SUM_OF_CURRENTS: sum(amperes),
            Quantity.POWER: present.power_w,
            Quantity.APPARENT_POWER: present.power_w,
            Quantity.REACTIVE_POWER: 0.0,
            Quantity.POWER_FACTOR: 1.0,
            Quantity.FREQUENCY: FREQUENCY_HZ,
            Quantity.IMPORT_ENERGY: energy_kwh,
            Quantity.EXPORT_ENERGY: 0.0,
            Quantity.TOTAL_ENERGY: energy_kwh,
        }
        for phase in range(3):
            place = 2 * phase
            values[Quantity(Quantity.VOLTAGE_L1 + place)] = volts[phase]
            values[Quantity(Quantity.CURRENT_L1 + place)] = amperes[phase]
            values[Quantity(Quantity.POWER_L1 + place)] = watts[phase]
            values[Quantity(Quantity.APPARENT_POWER_L1 + place)] = watts[phase]
            values[Quantity(Quantity.REACTIVE_POWER_L1 + place)] = 0.0
            values[Quantity(Quantity.POWER_FACTOR_L1 + place)] = 1.0
        return values
