"""Whole numbers, texts and bytes in Modbus registers, high word first, for meters that mark an absent value.

A quantity that a meter does not have, or cannot tell at the moment, reads as the greatest value of its type: all ones
unsigned, 7FFF… signed.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

BITS_PER_REGISTER = 16
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation + " ")


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


def encode_bytes(data: bytes, count: int) -> list[int]:
    """Write bytes as so many registers, padded with zeros."""
    raw = data[: 2 * count].ljust(2 * count, b"\0")
    return [raw[at] << 8 | raw[at + 1] for at in range(0, 2 * count, 2)]


def decode_bytes(registers: Sequence[int]) -> bytes:
    """Read the bytes of registers."""
    return b"".join(register.to_bytes(2, "big") for register in registers)


def encode_text(text: str, count: int) -> list[int]:
    """Write ASCII text as so many registers, padded with zeros."""
    return encode_bytes(text.encode("ascii"), count)


def decode_text(registers: Sequence[int]) -> str:
    """Read ASCII text; what cannot be printed is left out."""
    text = decode_bytes(registers).decode("ascii", "replace")
    return "".join(letter for letter in text if letter in _PRINTABLE).strip()
