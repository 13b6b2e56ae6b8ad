"""Registers of the ABB B23 and B24 meters.

Source: ABB 2CMC485003M0201 (user manual of the B23/B24), with the resolutions as openWB and evcc use them. Modbus RTU,
holding registers (FC3), whole numbers, high word first. A quantity that a meter does not have, or cannot tell at the
moment, reads as the greatest value of its type: all ones unsigned, 7FFF… signed.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

BITS_PER_REGISTER = 16


@dataclass(frozen=True)
class Place:
    """Where a quantity stands; `unit`: what one count is, in the unit the quantity is named after."""

    register: int
    count: int
    unit: Fraction
    signed: bool = False

    @property
    def absent(self) -> int:
        """The raw value that says that there is none."""
        bits = BITS_PER_REGISTER * self.count
        return (1 << bits - 1) - 1 if self.signed else (1 << bits) - 1


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
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation + " ")

ENERGY_BLOCK = (0x5000, 8)
# From the first voltage to the frequency in one request.
MEASURED_BLOCK = (0x5B00, 0x2D)


def decode(place: Place, registers: Sequence[int], *, start: int) -> int | None:
    """Read one quantity from the registers of a block; None: the meter says that it has none."""
    offset = place.register - start
    raw = 0
    for register in registers[offset : offset + place.count]:
        raw = raw << BITS_PER_REGISTER | register
    if place.signed and raw >> (BITS_PER_REGISTER * place.count - 1):
        raw -= 1 << BITS_PER_REGISTER * place.count
    return None if raw == place.absent else round(raw * place.unit)


def encode(place: Place, value: int | None) -> list[int]:
    """Write one quantity as registers; what does not fit is told as absent, as meters do."""
    raw = place.absent if value is None else int(value / place.unit)
    least, most = (-place.absent - 1, place.absent) if place.signed else (0, place.absent)
    if not least <= raw <= most:
        raw = place.absent
    raw &= 2 ** (BITS_PER_REGISTER * place.count) - 1
    return [raw >> BITS_PER_REGISTER * shift & 0xFFFF for shift in reversed(range(place.count))]


def encode_block(values: Mapping[Quantity, int | None], *, start: int, count: int) -> list[int]:
    """Lay quantities out as the registers start..start+count-1; what is not given is absent, gaps are zero."""
    registers = [0] * count
    for quantity in Quantity:
        offset = quantity.value.register - start
        if 0 <= offset <= count - quantity.value.count:
            registers[offset : offset + quantity.value.count] = encode(quantity.value, values.get(quantity))
    return registers


def encode_text(text: str, count: int) -> list[int]:
    """Write ASCII text as so many registers, padded with zeros."""
    raw = text.encode("ascii")[: 2 * count].ljust(2 * count, b"\0")
    return [raw[at] << 8 | raw[at + 1] for at in range(0, 2 * count, 2)]


def decode_text(registers: Sequence[int]) -> str:
    """Read ASCII text; what cannot be printed is left out."""
    raw = b"".join(register.to_bytes(2, "big") for register in registers)
    return "".join(letter for letter in raw.decode("ascii", "replace") if letter in _PRINTABLE).strip()
