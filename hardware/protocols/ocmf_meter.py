"""Registers of the simulated signing meter `ocmf_meter`. They are ours from end to end (docs/driver_checklist.md).

No maker's: the register maps of signing meters differ from type to type, and none of them is public enough to follow.
Holding registers, read with function 3, written with function 16, each request whole; numbers high word first::

    0x0000  identity: vendor (8) | model (8) | serial number (8) | firmware (8), ASCII
    0x0040  public key: length in bytes (1) | DER, two bytes to a register
    0x0100  measured values, see Quantity; all ones or 7FFF… where there is none
    0x0140  time: seconds since 1970, UTC (2) | minutes the local time is ahead (1, signed) | U, I, S or R (1, ASCII)
    0x0200  order, written: number (1) | Order (1) | TX of the end (1, ASCII) | for BEGIN: identification (96)
    0x0220  identification of the open transaction (96)
    0x0300  status: State | 1 with an open transaction | number of the last order | Failure | pagination (2) |
            length of the last record in bytes | CRC-32 of it (2)
    0x1000  the last record, two bytes to a register; read in portions

An order takes time: the state is SIGNING until its record is there, and further orders are refused with exception 6.
An order with the number of the one before is the same order, heard twice. One that does not fit (a begin while a
transaction is open, an end while none is) is refused with exception 3. A record is given as often as it is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum
from fractions import Fraction
from typing import Self

from hardware.protocols.registers import Place, decode, decode_bytes, encode, encode_bytes
from station.domain.ports import DeviceGarbled, DeviceRefused, Identification, SignedEnd, Synchronisation

IDENTITY_START, TEXT_REGISTERS = 0x0000, 8
IDENTITY_COUNT = 4 * TEXT_REGISTERS
KEY_START = 0x0040
# The longest DER public key in use on meters (brainpoolP512r1) has 158 bytes.
LONGEST_KEY_BYTES = 184
TIME_START, TIME_COUNT = 0x0140, 4
ORDER_START, END_COUNT = 0x0200, 3
IDENTIFICATION_START = 0x0220
STATUS_START, STATUS_COUNT = 0x0300, 9
RECORD_START = 0x1000
LONGEST_RECORD_BYTES = 4096
# Modbus exception 6, server device busy.
BUSY_EXCEPTION = 6
MEASURED_BLOCK = (0x0100, 0x1E)
_UNIT = Fraction(1)
_MINUTE_S = 60
_SIGNED_LIMIT = 0x8000


class Quantity(Enum):
    """What a poll reads: Wh, mV, mA, W and mHz."""

    IMPORT_ENERGY = Place(0x0100, 4, _UNIT)
    EXPORT_ENERGY = Place(0x0104, 4, _UNIT)
    VOLTAGE_L1 = Place(0x0108, 2, _UNIT)
    VOLTAGE_L2 = Place(0x010A, 2, _UNIT)
    VOLTAGE_L3 = Place(0x010C, 2, _UNIT)
    CURRENT_L1 = Place(0x010E, 2, _UNIT)
    CURRENT_L2 = Place(0x0110, 2, _UNIT)
    CURRENT_L3 = Place(0x0112, 2, _UNIT)
    POWER = Place(0x0114, 2, _UNIT, signed=True)
    POWER_L1 = Place(0x0116, 2, _UNIT, signed=True)
    POWER_L2 = Place(0x0118, 2, _UNIT, signed=True)
    POWER_L3 = Place(0x011A, 2, _UNIT, signed=True)
    FREQUENCY = Place(0x011C, 2, _UNIT)


class Order(IntEnum):
    """What the meter is told to do."""

    BEGIN = 1
    END = 2


class State(IntEnum):
    """What the meter does."""

    IDLE = 0
    OPEN = 1
    SIGNING = 2
    FAILED = 3


class Failure(IntEnum):
    """Why the last order has failed."""

    NONE = 0
    SIGNATURE = 1
    LOG_FULL = 2


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the meter says of its orders; `checksum`: CRC-32 of the last record, which has `record_bytes` bytes."""

    state: State
    is_open: bool
    order: int
    failure: Failure = Failure.NONE
    pagination: int = 0
    record_bytes: int = 0
    checksum: int = 0

    def encode(self) -> list[int]:
        """Write as the registers from STATUS_START on."""
        return [
            self.state,
            int(self.is_open),
            self.order,
            self.failure,
            *_two_words(self.pagination),
            self.record_bytes,
            *_two_words(self.checksum),
        ]

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read what the meter says; DeviceGarbled for what no meter of this kind says."""
        state, is_open, order, failure, page_high, page_low, length, high, low = registers
        try:
            known_state, known_failure = State(state), Failure(failure)
        except ValueError as error:
            raise DeviceGarbled(f"a status of {state}, {failure}") from error
        if is_open not in (0, 1) or length > LONGEST_RECORD_BYTES:
            raise DeviceGarbled(f"a status with {is_open} open transactions and a record of {length} bytes")
        return cls(
            state=known_state,
            is_open=bool(is_open),
            order=order,
            failure=known_failure,
            pagination=page_high << 16 | page_low,
            record_bytes=length,
            checksum=high << 16 | low,
        )


@dataclass(frozen=True, kw_only=True)
class MeterTime:
    """The meter's clock: UTC, the minutes local time is ahead of it, and how far it may be trusted."""

    at: datetime
    offset_minutes: int
    synchronisation: Synchronisation

    def encode(self) -> list[int]:
        """Write as the registers from TIME_START on."""
        letter = ord(self.synchronisation.value)
        return [*_two_words(int(self.at.timestamp())), self.offset_minutes & 0xFFFF, letter]

    @classmethod
    def decode(cls, registers: Sequence[int]) -> Self:
        """Read the time; ValueError for a letter that means nothing."""
        high, low, offset, letter = registers
        return cls(
            at=datetime.fromtimestamp(high << 16 | low, UTC),
            offset_minutes=offset - (1 << 16) if offset >= _SIGNED_LIMIT else offset,
            synchronisation=Synchronisation(chr(letter)),
        )

    @classmethod
    def of(cls, at: datetime, offset_s: int, synchronisation: Synchronisation) -> Self:
        """Make the meter's time of what the port is given; OCMF tells offsets in minutes."""
        return cls(at=at, offset_minutes=round(offset_s / _MINUTE_S), synchronisation=synchronisation)


# Registers of each part of an identification, in this order after the word for `assigned`; the lengths are those of
# OCMF (tables 11 to 19): up to four flags, 40 bytes of identification, an EVSE id or a charge box id and connector.
_LEVEL, _FLAG, _KIND, _DATA, _POINT_KIND, _POINT = 6, 8, 8, 20, 4, 25
_MOST_FLAGS = 4
_WIDTHS = (_LEVEL, *[_FLAG] * _MOST_FLAGS, _KIND, _DATA, _POINT_KIND, _POINT)
IDENTIFICATION_COUNT = 1 + sum(_WIDTHS)
BEGIN_COUNT = END_COUNT + IDENTIFICATION_COUNT


def encode_identification(identification: Identification) -> list[int]:
    """Write for whom a transaction is measured; DeviceRefused for what the meter has no room for."""
    if len(identification.flags) > _MOST_FLAGS:
        raise DeviceRefused(f"the meter takes {_MOST_FLAGS} identification flags, not {len(identification.flags)}")
    flags = [*identification.flags, *[""] * (_MOST_FLAGS - len(identification.flags))]
    texts = (
        identification.level,
        *flags,
        identification.kind,
        identification.data,
        identification.charge_point_kind,
        identification.charge_point,
    )
    registers = [int(identification.assigned)]
    for text, width in zip(texts, _WIDTHS, strict=True):
        raw = text.encode()
        if len(raw) > 2 * width or b"\0" in raw:
            raise DeviceRefused(f"the meter takes {2 * width} bytes of text where {text[:60]!r} was given")
        registers += encode_bytes(raw, width)
    return registers


def decode_identification(registers: Sequence[int]) -> Identification:
    """Read for whom a transaction is measured; DeviceGarbled for bytes that are no text."""
    texts, at = [], 1
    for width in _WIDTHS:
        raw = decode_bytes(registers[at : at + width]).rstrip(b"\0")
        at += width
        try:
            texts.append(raw.decode())
        except UnicodeDecodeError as error:
            raise DeviceGarbled(f"an identification of {raw!r}") from error
    level, *flags, kind, data, point_kind, point = texts
    return Identification(
        assigned=bool(registers[0]),
        level=level,
        flags=tuple(flag for flag in flags if flag),
        kind=kind,
        data=data,
        charge_point_kind=point_kind,
        charge_point=point,
    )


def encode_begin(number: int, identification: Identification) -> list[int]:
    """Write the order to begin."""
    return [number, Order.BEGIN, 0, *encode_identification(identification)]


def encode_end(number: int, end: SignedEnd) -> list[int]:
    """Write the order to end."""
    return [number, Order.END, ord(end.value)]


def encode_measured(values: Mapping[Quantity, int | None]) -> list[int]:
    """Lay the measured values out as the registers of MEASURED_BLOCK; what is not given is absent."""
    start, count = MEASURED_BLOCK
    registers = [0] * count
    for quantity in Quantity:
        offset = quantity.value.register - start
        registers[offset : offset + quantity.value.count] = encode(quantity.value, values.get(quantity))
    return registers


def decode_measured(registers: Sequence[int]) -> dict[Quantity, int | None]:
    """Read the registers of MEASURED_BLOCK."""
    return {quantity: decode(quantity.value, registers, start=MEASURED_BLOCK[0]) for quantity in Quantity}


def _two_words(value: int) -> tuple[int, int]:
    return value >> 16 & 0xFFFF, value & 0xFFFF
