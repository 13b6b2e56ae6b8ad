"""Registers of the ABB B23 and B24 meters.

Source: ABB 2CMC485003M0201 (user manual of the B23/B24), with the resolutions as openWB and evcc use them. Modbus RTU,
holding registers (FC3), whole numbers, high word first; absent values as `hardware.protocols.registers` says.
"""

from collections.abc import Mapping
from enum import Enum
from fractions import Fraction

from hardware.protocols.registers import Place, encode


class Quantity(Enum):
    """What a poll reads: Wh, mV, mA, W and mHz."""

    IMPORT_ENERGY = Place(0x5000, 4, Fraction(10))
    EXPORT_ENERGY = Place(0x5004, 4, Fraction(10))
    VOLTAGE_L1 = Place(0x5B00, 2, Fraction(100))
    VOLTAGE_L2 = Place(0x5B02, 2, Fraction(100))
    VOLTAGE_L3 = Place(0x5B04, 2, Fraction(100))
    CURRENT_L1 = Place(0x5B0C, 2, Fraction(10))
    CURRENT_L2 = Place(0x5B0E, 2, Fraction(10))
    CURRENT_L3 = Place(0x5B10, 2, Fraction(10))
    POWER = Place(0x5B14, 2, Fraction(1, 100), signed=True)
    POWER_L1 = Place(0x5B16, 2, Fraction(1, 100), signed=True)
    POWER_L2 = Place(0x5B18, 2, Fraction(1, 100), signed=True)
    POWER_L3 = Place(0x5B1A, 2, Fraction(1, 100), signed=True)
    FREQUENCY = Place(0x5B2C, 1, Fraction(10))


SERIAL_NUMBER = Place(0x8900, 2, Fraction(1))
# Eight registers of ASCII, padded with zeros or blanks.
FIRMWARE, FIRMWARE_REGISTERS = 0x8908, 8

ENERGY_BLOCK = (0x5000, 8)
# From the first voltage to the frequency in one request.
MEASURED_BLOCK = (0x5B00, 0x2D)


def encode_block(values: Mapping[Quantity, int | None], *, start: int, count: int) -> list[int]:
    """Lay quantities out as the registers start..start+count-1; what is not given is absent, gaps are zero."""
    registers = [0] * count
    for quantity in Quantity:
        offset = quantity.value.register - start
        if 0 <= offset <= count - quantity.value.count:
            registers[offset : offset + quantity.value.count] = encode(quantity.value, values.get(quantity))
    return registers
