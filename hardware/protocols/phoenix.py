"""Registers and coils of the Phoenix Contact EV-CC-AC1-M3 charge controller (EV Charge Control Basic), Modbus RTU.

Addresses are those sent on the wire. Source: user manual 106377_en_04, pages 53-63.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import Self

from station.domain.ports import DeviceGarbled, Pilot


class Identification(IntEnum):
    """First input register of each identification field."""

    ORDER_DESIGNATION = 1000
    ORDER_NUMBER = 1016
    SERIAL_NUMBER = 1021
    YEAR = 1027
    MONTH_AND_DAY = 1028
    HARDWARE_ID = 1029
    HARDWARE_VERSION = 1030
    FIRMWARE_MAJOR = 1031
    FIRMWARE_VERSION = 1032
    FIRMWARE_MINOR = 1033


class Setting(IntEnum):
    """Holding registers of the commissioning, kept by the board over a power cut."""

    DIP_S1 = 2000
    DIP_S2 = 2001
    RELEASE_SOURCE = 4000
    AVAILABILITY_SOURCE = 4001
    LOCK_SOURCE = 4002
    CONTACTOR_MONITORING = 4006
    CONTACTOR_DELAY_MS = 4007
    REJECT_13_A_CABLE = 4008
    TETHERED_CABLE = 4009
    PERMIT_STATE_D = 4010
    RESIDUAL_CURRENT_MONITOR = 4011
    CCR_ANALOGUE = 4012
    CCR_THRESHOLD_MV = 4013
    OUTPUT_OUT_EVENTS = 5500
    OUTPUT_ERR_EVENTS = 5501
    OUTPUT_CHG_EVENTS = 5502
    OUTPUT_CON_EVENTS = 5503


class Command(IntEnum):
    """Coils by which the bus commands the board; all are lost when it loses power."""

    RELEASE = 20000
    AVAILABLE = 20001
    LOCK = 20002
    RESIDUAL_CURRENT_TEST = 20003
    RESTART = 21000


class CommandRegister(IntEnum):
    """Holding registers by which the bus commands the board; `MAXIMUM_CURRENT_A` is lost when it loses power."""

    FACTORY_RESET = 21100
    MAXIMUM_CURRENT_A = 22000
    OUTPUT_OUT = 23000
    OUTPUT_ERR = 23001
    OUTPUT_CHG = 23002
    OUTPUT_CON = 23003


class Live(IntEnum):
    """Registers of the present state, answered to FC3 and FC4 alike."""

    STATE = 24000
    CABLE_A = 24001
    DUTY_PERCENT = 24002
    CURRENT_A = 24003
    INPUTS = 24004
    OUTPUTS = 24005
    CHARGING_MINUTES_SECONDS = 24017
    CHARGING_HOURS = 24018
    CONNECTED_MINUTES_SECONDS = 24019
    CONNECTED_HOURS = 24020
    ERRORS = 24025
    DIP_LIMIT_A = 24027


class Input(IntFlag):
    """Bits of `Live.INPUTS`."""

    EN = 1 << 0
    XR = 1 << 1
    ML = 1 << 2
    CCR = 1 << 3
    IN = 1 << 4


class Output(IntFlag):
    """Bits of `Live.OUTPUTS`."""

    OUT = 1 << 0
    ERR = 1 << 1
    CHG = 1 << 2
    CON = 1 << 3


NO_INPUT = Input(0)
NO_OUTPUT = Output(0)


class BoardError(IntEnum):
    """Numbers of the error list, manual page 62; bit n-1 of `Live.ERRORS` is number n.

    9 and 10 stand only in the list of the Modbus TCP sibling, which shares the other numbers.
    """

    CABLE_13_A_AND_20_A_REJECTED = 1
    CABLE_13_A_REJECTED = 2
    PROXIMITY_INVALID = 3
    PILOT_INVALID = 4
    NOT_AVAILABLE = 5
    LOCKING_FAILED = 6
    UNLOCKING_FAILED = 7
    LOCK_FEEDBACK_LOST = 8
    OVERLOAD = 9
    METER_COMMUNICATION = 10
    STATE_D_REJECTED = 11
    CONTACTOR = 12
    DIODE_MISSING = 13
    RESERVED_14 = 14
    RESIDUAL_CURRENT = 15
    RESIDUAL_CURRENT_TEST_FAILED = 16

    @property
    def mask(self) -> int:
        """The bit of this error in `Live.ERRORS`."""
        return int(1 << (self.value - 1))


# Values of the commissioning registers which give the coils their effect (manual pages 54-56).
COMMISSIONED: dict[Setting, int] = {
    Setting.RELEASE_SOURCE: 3,
    Setting.AVAILABILITY_SOURCE: 2,
    Setting.LOCK_SOURCE: 3,
}
# What an output signals while its setting is this: what its register among 23000 to 23003 holds.
BY_REGISTER = 0
FACTORY_RESET_KEY = 17281
MINIMUM_CURRENT_A = 6
MAXIMUM_CURRENT_A = 63
# IEC 61851-1, table A.7: the most a pilot signal can say.
PILOT_MAXIMUM_A = 80
CABLE_RATINGS_A = (13, 20, 32, 63)
CABLE_ABSENT = 0
# The proximity contact is shorted to protective earth.
CABLE_SHORTED = 0xFFFF

IDENTIFICATION_START = Identification.ORDER_DESIGNATION
IDENTIFICATION_COUNT = Identification.FIRMWARE_MINOR - IDENTIFICATION_START + 1
STATUS_START = Live.STATE
STATUS_COUNT = Live.ERRORS - STATUS_START + 1


def encode_text(text: str, registers: int) -> list[int]:
    """Pack ASCII into registers, two characters each, high byte first, padded with NUL."""
    raw = text.encode("ascii", errors="replace")[: 2 * registers].ljust(2 * registers, b"\0")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]


def decode_text(registers: Sequence[int]) -> str:
    """Unpack ASCII from registers; padding and what is no printable character is dropped."""
    raw = b"".join(register.to_bytes(2, "big") for register in registers)
    return "".join(character for character in raw.decode("ascii", errors="ignore") if character.isprintable()).strip()


def encode_state(pilot: Pilot, *, pwm_on: bool) -> int:
    """Write the IEC state as the two characters of `Live.STATE`: suffix 1 without PWM, 2 with, 0 for E and F."""
    suffix = "0" if pilot in (Pilot.E, Pilot.F) else "2" if pwm_on else "1"
    return int.from_bytes((pilot.value + suffix).encode("ascii"), "big")


def decode_state(register: int) -> tuple[Pilot, bool]:
    """Read the IEC state and whether PWM is on from `Live.STATE`; DeviceGarbled for anything else."""
    letter, suffix = divmod(register, 256)
    in_service = letter in b"ABCD" and suffix in b"12"
    if not in_service and not (letter in b"EF" and suffix == ord("0")):
        raise DeviceGarbled(f"register {Live.STATE.value} holds 0x{register:04X}, which is no IEC 61851 state")
    return Pilot(chr(letter)), suffix == ord("2")


def encode_duration(seconds: int) -> tuple[int, int]:
    """Split seconds into the register pair (minutes and seconds as two bytes, hours)."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return minutes << 8 | rest, hours & 0xFFFF


def decode_duration(minutes_seconds: int, hours: int) -> int:
    """Join the register pair (minutes and seconds as two bytes, hours) to seconds."""
    return hours * 3600 + (minutes_seconds >> 8) * 60 + (minutes_seconds & 0xFF)


@dataclass(frozen=True, kw_only=True)
class IdentificationBlock:
    """Input registers 1000..1033: what the board says about itself.

    ::

        1000 order designation (16 registers ASCII) | 1016 order number (5) | 1021 serial number (6)
        1027 year BCD | 1028 month, day BCD | 1029 hardware id | 1030 hardware version
        1031 firmware letter, major | 1032 firmware version | 1033 firmware minor
    """

    order_designation: str
    order_number: str
    serial_number: str
    hardware_id: int
    hardware_version: int
    firmware_letter: str
    firmware_major: int
    firmware_minor: int
    year: int = 2024
    month: int = 1
    day: int = 1
    firmware_version: int = 0

    @property
    def firmware(self) -> str:
        """The firmware as people write it, such as V1.12."""
        return f"{self.firmware_letter}{self.firmware_major}.{self.firmware_minor:02d}"

    def encode(self) -> list[int]:
        """Lay the block out as registers 1000..1033."""
        return [
            *encode_text(self.order_designation, 16),
            *encode_text(self.order_number, 5),
            *encode_text(self.serial_number, 6),
            int(f"{self.year:04d}", 16),
            int(f"{self.month:02d}{self.day:02d}", 16),
            self.hardware_id,
            self.hardware_version,
            ord(self.firmware_letter) << 8 | self.firmware_major,
            self.firmware_version,
            self.firmware_minor,
        ]

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read the block from registers 1000..1033; a date that is no BCD becomes zeros."""
        if len(registers) != IDENTIFICATION_COUNT:
            raise DeviceGarbled(f"identification has {len(registers)} registers instead of {IDENTIFICATION_COUNT}")
        month, day = divmod(_decode_bcd(registers[28]), 100)
        letter = chr(registers[31] >> 8)
        return cls(
            order_designation=decode_text(registers[0:16]),
            order_number=decode_text(registers[16:21]),
            serial_number=decode_text(registers[21:27]),
            year=_decode_bcd(registers[27]),
            month=month,
            day=day,
            hardware_id=registers[29],
            hardware_version=registers[30],
            firmware_letter=letter if letter.isascii() and letter.isalpha() else "V",
            firmware_major=registers[31] & 0xFF,
            firmware_version=registers[32],
            firmware_minor=registers[33],
        )


def _decode_bcd(register: int) -> int:
    digits = f"{register:04x}"
    return int(digits) if digits.isdigit() else 0


@dataclass(frozen=True, kw_only=True)
class StatusBlock:
    """Registers 24000..24025: everything one poll needs.

    ::

        +0 IEC state | +1 cable A | +2 duty % | +3 current A | +4 inputs | +5 outputs | +6..+16 not documented
        +17 charging mm:ss | +18 h | +19 connected mm:ss | +20 h | +21..+24 not documented | +25 errors

    `cable_a`: 0 without a cable, `CABLE_SHORTED` when the proximity contact touches earth.
    """

    pilot: Pilot
    pwm_on: bool
    cable_a: int
    duty_percent: int
    current_a: int
    inputs: Input = NO_INPUT
    outputs: Output = NO_OUTPUT
    charging_s: int = 0
    connected_s: int = 0
    errors: frozenset[BoardError] = frozenset()

    def is_followed_by(self, later: "StatusBlock") -> bool:
        """Return whether nothing but time has passed until `later`: no timer of the board has begun anew."""
        return (
            self.charging_s <= later.charging_s
            and self.connected_s <= later.connected_s
            and replace(self, charging_s=later.charging_s, connected_s=later.connected_s) == later
        )

    def encode(self) -> list[int]:
        """Lay the block out as registers 24000..24025."""
        registers = [0] * STATUS_COUNT
        registers[0:6] = [
            encode_state(self.pilot, pwm_on=self.pwm_on),
            self.cable_a,
            self.duty_percent,
            self.current_a,
            int(self.inputs),
            int(self.outputs),
        ]
        registers[17:19] = encode_duration(self.charging_s)
        registers[19:21] = encode_duration(self.connected_s)
        registers[25] = sum(error.mask for error in self.errors)
        return registers

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read the block from registers 24000..24025; DeviceGarbled when they cannot be true."""
        if len(registers) != STATUS_COUNT:
            raise DeviceGarbled(f"status has {len(registers)} registers instead of {STATUS_COUNT}")
        pilot, pwm_on = decode_state(registers[0])
        cable_a, duty_percent, current_a = registers[1:4]
        if cable_a not in (CABLE_ABSENT, CABLE_SHORTED, *CABLE_RATINGS_A):
            raise DeviceGarbled(f"cable rating {cable_a} A does not exist in IEC 61851")
        if pwm_on and not MINIMUM_CURRENT_A <= current_a <= PILOT_MAXIMUM_A:
            raise DeviceGarbled(f"state {pilot}2 with an advertised current of {current_a} A")
        return cls(
            pilot=pilot,
            pwm_on=pwm_on,
            cable_a=cable_a,
            duty_percent=duty_percent,
            current_a=current_a,
            inputs=Input(registers[4] & 0x1F),
            outputs=Output(registers[5] & 0x0F),
            charging_s=decode_duration(registers[17], registers[18]),
            connected_s=decode_duration(registers[19], registers[20]),
            errors=frozenset(error for error in BoardError if registers[25] & error.mask),
        )
