"""Our bootloader dialect: firmware over Modbus registers, of the simulated controller `flashable_ev_cc` alone.

No maker's; the board it extends has no public way to write its firmware (docs/driver_checklist.md).
Holding registers, 32-bit values high word first. Written with function 16, each request whole::

    30000  status, read:   state | size (2) | CRC-32 (2) | blocks stored in a row
    30010  order, written: order | size (2) | CRC-32 (2)     size and CRC-32 only count for BEGIN
    30020  block, written: number | CRC-32 of the data (2) | data, 64 registers

A block whose checksum is wrong, or that is not the next one, is refused with exception 3; one that comes while the last
one is being stored with exception 6. The image is filled up with 0xFF to whole blocks on the line. It begins with its
head: "EVFW" | letter | major | minor | 0.
"""

from binascii import crc32
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from station.domain.flashing import BootState, BootStatus
from station.domain.ports import DeviceGarbled

STATUS_START, STATUS_COUNT = 30000, 6
ORDER_START, ORDER_COUNT = 30010, 5
BLOCK_START, BLOCK_BYTES = 30020, 128
BLOCK_COUNT = 3 + BLOCK_BYTES // 2
FILLING = b"\xff"
MAGIC = b"EVFW"
# Modbus exception 6, server device busy.
BUSY_EXCEPTION = 6

_STATES = (
    BootState.RUNNING,
    BootState.EMPTY,
    BootState.RECEIVING,
    BootState.BUSY,
    BootState.VERIFIED,
    BootState.REFUSED,
)


class Order(IntEnum):
    """What the bootloader is told."""

    ENTER = 1
    BEGIN = 2
    VERIFY = 3
    ACTIVATE = 4


class ImageUnreadable(ValueError):
    """The bytes are no firmware of this controller."""


class BlockDamaged(ValueError):
    """The data of a block does not fit its checksum."""


def encode_status(status: BootStatus) -> list[int]:
    """Return the registers of a status."""
    return [_STATES.index(status.state), *_words(status.size), *_words(status.checksum), status.stored]


def decode_status(registers: Sequence[int]) -> BootStatus:
    """Read a status; raises DeviceGarbled."""
    state, size_high, size_low, high, low, stored = registers
    if state >= len(_STATES):
        raise DeviceGarbled(f"the bootloader is in state {state}, which is none")
    return BootStatus(state=_STATES[state], size=size_high << 16 | size_low, checksum=high << 16 | low, stored=stored)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block, filled up."""

    number: int
    data: bytes

    def encode(self) -> list[int]:
        """Return its registers."""
        data = self.data.ljust(BLOCK_BYTES, FILLING)
        words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, BLOCK_BYTES, 2)]
        return [self.number, *_words(crc32(data)), *words]

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read a block; raises BlockDamaged."""
        number, high, low, *words = registers
        data = b"".join(word.to_bytes(2, "big") for word in words)
        told, found = high << 16 | low, crc32(data)
        if told != found:
            raise BlockDamaged(f"block {number}: checksum {told:08X}, computed {found:08X}")
        return cls(number=number, data=data)


def encode_order(order: Order, *, size: int = 0, checksum: int = 0) -> list[int]:
    """Return the registers of an order."""
    return [order, *_words(size), *_words(checksum)]


@dataclass(frozen=True, kw_only=True)
class ImageHead:
    """The firmware's name of itself."""

    letter: str
    major: int
    minor: int

    @property
    def version(self) -> str:
        """Return the version as the board tells it, such as V1.12."""
        return f"{self.letter}{self.major}.{self.minor:02d}"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the head of an image; raises ImageUnreadable."""
        if data[:4] != MAGIC or len(data) < len(MAGIC) + 4 or not chr(data[4]).isalpha():
            raise ImageUnreadable(f"an image begins with {MAGIC!r} and a version, not with {data[:8]!r}")
        return cls(letter=chr(data[4]), major=data[5], minor=data[6])


def _words(value: int) -> tuple[int, int]:
    return value >> 16, value & 0xFFFF
