"""Registers of the MENNEKES AMTRON Compact 2.0s and Start 2.0s as a satellite, Modbus RTU.

Addresses are those sent on the wire; 32-bit values have the low word first. Source: MENNEKES "Modbus RTU
Specification" revision 1.2 (2023-02-27). Only registers of the document are asked for, block by block.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from station.domain.ports import DeviceGarbled, Pilot


class Register(IntEnum):
    """What is read and written, by its first register."""

    LAYOUT = 0x0000
    FIRMWARE = 0x0001
    SERIAL_NUMBER = 0x0013
    STATE = 0x0100
    CONTROL_PILOT = 0x0108
    DOWNGRADE_LIMIT = 0x0300
    LIMIT = 0x0302
    INSTALLATION_MAXIMUM = 0x0304
    DEVICE_MAXIMUM = 0x0306
    PERMANENT_LOCK = 0x030D
    FALLBACK = 0x030E
    HEARTBEAT = 0x0D00
    CABLE = 0x0D02
    SOLAR_MODE = 0x0D03
    FORCE_ONE_PHASE = 0x0D04
    RELEASE = 0x0D05
    LOCKED_STATION = 0x0D06
    ERROR = 0x0E00
    FALLBACK_ACTIVE = 0x0E01


# Blocks that are read at once: first register and count.
LIMITS = (Register.DOWNGRADE_LIMIT, 8)
SWITCHES = (Register.CABLE, 5)
ERRORS = (Register.ERROR, 2)
TEXT_REGISTERS = 8

ALIVE = 0x55AA
# The board wants ALIVE at least every 10 s.
HEARTBEAT_TIMEOUT_S = 10.0
# Values of FALLBACK: go on as told, pause; whatever else is a current in ampere.
FALLBACK_NONE, FALLBACK_PAUSE = 0, 1
SMALLEST_CURRENT_A, LARGEST_CURRENT_A = 6, 32


class Cable(IntEnum):
    """Values of CABLE."""

    UNKNOWN = 0
    UNLOCKED = 1
    LOCKED = 2
    TETHERED = 3


# Values of CONTROL_PILOT: the pilot, and whether it signals a current. 0, "init", is a board that starts.
PILOTS: Mapping[int, tuple[Pilot, bool]] = {
    0: (Pilot.E, False),
    10: (Pilot.A, False),
    11: (Pilot.B, False),
    12: (Pilot.C, False),
    13: (Pilot.D, False),
    14: (Pilot.E, False),
    15: (Pilot.F, False),
    26: (Pilot.A, True),
    27: (Pilot.B, True),
    28: (Pilot.C, True),
    29: (Pilot.D, True),
}
PILOT_INIT, PILOT_E, PILOT_F = 0, 14, 15


def decode_pilot(value: int) -> tuple[Pilot, bool]:
    """Read CONTROL_PILOT; DeviceGarbled for a number the document does not know."""
    try:
        return PILOTS[value]
    except KeyError as error:
        raise DeviceGarbled(f"the controller names a pilot state {value} that its document does not") from error


def encode_pilot(pilot: Pilot, *, pwm_on: bool) -> int:
    """Write CONTROL_PILOT."""
    return next(
        (value for value, known in PILOTS.items() if value != PILOT_INIT and known == (pilot, pwm_on)), PILOT_INIT
    )


def encode_float(value: float) -> list[int]:
    """Write a float32, low word first."""
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return [low, high]


def decode_float(registers: Sequence[int]) -> float:
    """Read a float32, low word first."""
    low, high = registers
    (value,) = struct.unpack(">f", struct.pack(">HH", high, low))
    return float(value)


def encode_text(text: str) -> list[int]:
    """Write a text of eight registers."""
    data = text.encode("ascii").ljust(2 * TEXT_REGISTERS, b"\0")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def decode_text(registers: Sequence[int]) -> str:
    """Read a text."""
    data = b"".join(register.to_bytes(2, "big") for register in registers)
    return data.decode("ascii", errors="replace").strip("\0 ")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The block LIMITS, in ampere."""

    downgrade_a: float
    limit_a: float
    installation_a: float
    device_a: float

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read the block; DeviceGarbled for what is no current."""
        values = [decode_float(registers[at : at + 2]) for at in range(0, LIMITS[1], 2)]
        if not all(0 <= value < float("inf") for value in values):
            raise DeviceGarbled(f"the controller's limits are no currents: {values}")
        downgrade, limit, installation, device = values
        return cls(downgrade_a=downgrade, limit_a=limit, installation_a=installation, device_a=device)

    def encode(self) -> list[int]:
        """Write the block."""
        values = (self.downgrade_a, self.limit_a, self.installation_a, self.device_a)
        return [register for value in values for register in encode_float(value)]


@dataclass(frozen=True, kw_only=True)
class Switches:
    """The block SWITCHES: where the cable's bolt is, and what was commanded."""

    cable: Cable
    released: bool
    locked_station: bool

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read the block; DeviceGarbled for a bolt the document does not know."""
        cable, _solar, _phase, release, locked_station = registers
        if cable not in set(Cable):
            raise DeviceGarbled(f"the controller names a state {cable} of the cable that its document does not")
        return cls(cable=Cable(cable), released=release == 1, locked_station=locked_station == 1)

    def encode(self) -> list[int]:
        """Write the block."""
        return [self.cable, 0, 0, int(self.released), int(self.locked_station)]
