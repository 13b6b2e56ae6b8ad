"""Registers of ABL's EVCC2 and EVCC3 charge controllers, in the Modbus ASCII dialect of `links.modbus_ascii`.

Every block must be asked for with exactly its own start and count; whatever the board does not like it passes over in
silence. A block begins with the low byte of its start and is a string of bits, the highest first::

    0x0001  2 registers   01 | hardware (2) | id (6) | firmware major (4), minor (4) | options (8)
    0x0006  2 registers   06 | state pointer (8) | flags (16)
    0x000F  5 registers   0F | … | bytes 6 and 7: 4 bits, Icmax as duty cycle in per mille (12)
    0x002E  5 registers   2E | state (8) | EV connected, reduced, EN2, EN1, duty cycle (12) | 3 x current (16)
    0x0050  8 registers   50 00 | 14 characters

Sources: ABL "EVCC2/3 API subset for external applications", 05 0015 20 Rev. B; register 0x000F: evcc, `charger/abl.go`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self

from station.domain.ports import DeviceGarbled
from station.domain.units import MilliAmpere


class Block(IntEnum):
    """First register of what is read; `count` says how many registers belong to it."""

    IDENTIFICATION = 0x0001
    FLAGS = 0x0006
    SETTINGS = 0x000F
    STATUS = 0x002E
    SERIAL_NUMBER = 0x0050

    @property
    def count(self) -> int:
        """How many registers are asked for, no more and no less."""
        return _COUNTS[self]


_COUNTS = {Block.IDENTIFICATION: 2, Block.FLAGS: 2, Block.SETTINGS: 5, Block.STATUS: 5, Block.SERIAL_NUMBER: 8}


class Command(IntEnum):
    """Registers that are written, one at a time."""

    STATE = 0x0005
    MAXIMUM_CURRENT = 0x0014


class StateChange(IntEnum):
    """Values of `Command.STATE`; one that does not fit the present state is not answered."""

    RESET = 0x5A5A
    TO_A1 = 0xA1A1
    TO_E0 = 0xE0E0


class State(IntEnum):
    """State of the board; the two digits are its name in the document."""

    A1 = 0xA1  # waiting for a car
    B1 = 0xB1  # a car asks
    B2 = 0xB2  # a car is permitted to charge
    C2 = 0xC2  # charging
    C3 = 0xC3  # charging with less current, F16 or F17
    C4 = 0xC4  # charging with less current because of load imbalance
    E0 = 0xE0  # disabled
    E1 = 0xE1  # production test
    E2 = 0xE2  # setup
    E3 = 0xE3  # bus idle
    F1 = 0xF1  # contactor welded
    F2 = 0xF2  # internal
    F3 = 0xF3  # DC residual current
    F4 = 0xF4  # nothing heard from this software
    F5 = 0xF5  # lock of the socket
    F6 = 0xF6  # proximity pilot out of range
    F7 = 0xF7  # car asks for ventilation
    F8 = 0xF8  # control pilot out of range
    F9 = 0xF9  # over-current
    FA = 0xFA  # temperature
    FB = 0xFB  # contactor opened by itself

    @property
    def is_fault(self) -> bool:
        """Whether the board has stopped with a fault."""
        return self >= State.F1


PERMITTED = frozenset({State.B2, State.C2, State.C3, State.C4})
# Icmax: "no current allowed", which is the command to stop.
NO_CURRENT = 0x03E8
PER_MILLE_MA = 60
# Duty cycles from 10 % to 85 % are 0.06 A per mille (IEC 61851-1, table A.8); above, another rule would hold.
SMALLEST_DUTY, LARGEST_DUTY = 100, 850
_DUTY_BITS = 0x0FFF
_SERIAL_CHARACTERS = 14


def duty_of(current: MilliAmpere) -> int:
    """Return the duty cycle in per mille that signals this current or a little less; NO_CURRENT below 6 A."""
    duty = min(current // PER_MILLE_MA, LARGEST_DUTY)
    return duty if duty >= SMALLEST_DUTY else NO_CURRENT


def current_of(duty: int) -> MilliAmpere:
    """Return the current a duty cycle signals; 0 for NO_CURRENT and whatever no charging current belongs to."""
    return MilliAmpere(duty * PER_MILLE_MA if SMALLEST_DUTY <= duty <= LARGEST_DUTY else 0)


class Option(IntFlag):
    """How the board is equipped and set (bits 7-0 of `Block.IDENTIFICATION`)."""

    CABLE_RATING_READ = 1 << 7
    SUPERVISED = 1 << 6
    CURRENT_METER = 1 << 5
    RESIDUAL_CURRENT_DETECTOR = 1 << 4
    SOCKET = 1 << 3
    WELD_DETECTION = 1 << 2


class Flag(IntFlag):
    """Bits 15-0 of `Block.FLAGS`, those this station looks at."""

    SILENCE_IS_F4 = 1 << 15  # else F14: less current
    WAITS_AFTER_POWER_UP = 1 << 14
    MASTER_LOST = 1 << 9
    HOT = 1 << 7
    METER_FAILED = 1 << 6


_HARDWARE = ("141215", "160307", "170725")


def _data(block: Block, registers: Sequence[int]) -> bytes:
    data = b"".join(register.to_bytes(2, "big") for register in registers)
    if len(data) != 2 * block.count or data[0] != block & 0xFF:
        raise DeviceGarbled(f"block {block:#06x} does not begin with its number: {data.hex(' ')}")
    return data


def _registers(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


@dataclass(frozen=True, kw_only=True)
class Identification:
    """Which board it is."""

    hardware: str
    device_id: int
    firmware_major: int
    firmware_minor: int
    options: Option

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read `Block.IDENTIFICATION`."""
        data = _data(Block.IDENTIFICATION, registers)
        number = data[1] >> 6
        return cls(
            hardware=_HARDWARE[number] if number < len(_HARDWARE) else str(number),
            device_id=data[1] & 0x3F,
            firmware_major=data[2] >> 4,
            firmware_minor=data[2] & 0x0F,
            options=Option(data[3] & ~0b11),
        )

    def encode(self) -> list[int]:
        """Write `Block.IDENTIFICATION`."""
        head = _HARDWARE.index(self.hardware) << 6 | self.device_id
        firmware = self.firmware_major << 4 | self.firmware_minor
        return _registers(bytes([Block.IDENTIFICATION, head, firmware, self.options]))


def decode_flags(registers: Sequence[int]) -> Flag:
    """Read `Block.FLAGS`."""
    flags = int.from_bytes(_data(Block.FLAGS, registers)[2:], "big")
    return Flag(flags & sum(Flag))


def encode_flags(flags: Flag, *, state_pointer: int = 0) -> list[int]:
    """Write `Block.FLAGS`."""
    return _registers(bytes([Block.FLAGS, state_pointer]) + int(flags).to_bytes(2, "big"))


def decode_maximum(registers: Sequence[int]) -> int:
    """Read Icmax as it was set, in per mille, from `Block.SETTINGS`."""
    return int.from_bytes(_data(Block.SETTINGS, registers)[6:8], "big") & _DUTY_BITS


def encode_maximum(duty: int) -> list[int]:
    """Write `Block.SETTINGS`."""
    return _registers(bytes([Block.SETTINGS, 0, 0, 0, 0, 0]) + duty.to_bytes(2, "big") + b"\0\0")


def decode_serial_number(registers: Sequence[int]) -> str:
    """Read `Block.SERIAL_NUMBER`."""
    return _data(Block.SERIAL_NUMBER, registers)[2:].decode("ascii", errors="replace").strip("\0 ")


def encode_serial_number(text: str) -> list[int]:
    """Write `Block.SERIAL_NUMBER`."""
    return _registers(bytes([Block.SERIAL_NUMBER, 0]) + text.encode("ascii").ljust(_SERIAL_CHARACTERS, b"\0"))


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the board does now. `duty`: in per mille, NO_CURRENT when no current is signalled."""

    state: State
    connected: bool
    reduced: bool
    duty: int
    currents: tuple[int, int, int] = (NO_CURRENT, NO_CURRENT, NO_CURRENT)

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read `Block.STATUS`; DeviceGarbled for a state the document does not know."""
        data = _data(Block.STATUS, registers)
        try:
            state = State(data[1])
        except ValueError as error:
            raise DeviceGarbled(f"the controller names a state {data[1]:02X} that its document does not") from error
        flags = registers[1]
        return cls(
            state=state,
            connected=bool(flags & 1 << 15),
            reduced=bool(flags & 1 << 14),
            duty=flags & _DUTY_BITS,
            currents=(registers[2], registers[3], registers[4]),
        )

    def encode(self) -> list[int]:
        """Write `Block.STATUS`."""
        flags = self.connected << 15 | self.reduced << 14 | self.duty
        return [Block.STATUS << 8 | self.state, flags, *self.currents]
