"""Registers of the Eastron SDM630 Modbus and SDM72D-M meters and their float32 numbers.

Source: Eastron protocol documents SDM630Modbus v1.8 and v2.0, SDM72D-M v2 v1.1. Every quantity takes two registers,
IEEE 754 single precision, high word first. Energies are kWh as float32: from 8192 kWh on one step is about 1 Wh, from
32768 kWh on about 4 Wh.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum

from station.domain.ports import DeviceGarbled


class Quantity(IntEnum):
    """First input register (FC4) of each quantity."""

    VOLTAGE_L1 = 0x00
    VOLTAGE_L2 = 0x02
    VOLTAGE_L3 = 0x04
    CURRENT_L1 = 0x06
    CURRENT_L2 = 0x08
    CURRENT_L3 = 0x0A
    POWER_L1 = 0x0C
    POWER_L2 = 0x0E
    POWER_L3 = 0x10
    APPARENT_POWER_L1 = 0x12
    APPARENT_POWER_L2 = 0x14
    APPARENT_POWER_L3 = 0x16
    REACTIVE_POWER_L1 = 0x18
    REACTIVE_POWER_L2 = 0x1A
    REACTIVE_POWER_L3 = 0x1C
    POWER_FACTOR_L1 = 0x1E
    POWER_FACTOR_L2 = 0x20
    POWER_FACTOR_L3 = 0x22
    AVERAGE_VOLTAGE = 0x2A
    AVERAGE_CURRENT = 0x2E
    SUM_OF_CURRENTS = 0x30
    POWER = 0x34
    APPARENT_POWER = 0x38
    REACTIVE_POWER = 0x3C
    POWER_FACTOR = 0x3E
    FREQUENCY = 0x46
    IMPORT_ENERGY = 0x48
    EXPORT_ENERGY = 0x4A
    TOTAL_ENERGY = 0x156


class Holding(IntEnum):
    """Holding registers (FC3).

    `PUBLIC_KEY` is an extension of ours, answered by the simulated signing meter only: one register with the length
    in bytes, then the DER key, two bytes to a register.
    """

    WIRING = 0x0A
    SERIAL_FORMAT = 0x12
    NODE = 0x14
    BAUD_RATE = 0x1C
    WORD_ORDER_TEST = 0x28
    PUBLIC_KEY = 0xF100
    SERIAL_NUMBER = 0xFC00
    TYPE_CODE = 0xFC02


class Model(StrEnum):
    """The variants, which differ in what they measure and how much they answer at once."""

    SDM630 = "SDM630"
    SDM72 = "SDM72D-M-2"
    SDM72_V1 = "SDM72D-M"


# Documented only for the SDM72D-M-2; every other code means the model of the hardware configuration.
TYPE_CODES: dict[int, Model] = {0x0089: Model.SDM72}
# Registers one request may ask for; more is answered with an exception.
MAXIMUM_REGISTERS: dict[Model, int] = {Model.SDM630: 80, Model.SDM72: 60, Model.SDM72_V1: 60}
# The bus must be silent for this long before the next request.
SILENCE_S = 0.060
# Value of Holding.WORD_ORDER_TEST when the high word comes first.
WORD_ORDER_VALUE = 2141.0

# (first register, count) of the requests of one poll.
POLL_BLOCKS: dict[Model, tuple[tuple[int, int], ...]] = {
    Model.SDM630: ((0x00, 0x4C),),
    Model.SDM72: ((0x00, 0x3C), (0x46, 0x06)),
    Model.SDM72_V1: ((0x34, 0x02), (0x48, 0x04)),
}


def encode_float(value: float) -> tuple[int, int]:
    """Write a number as two registers; what float32 cannot hold becomes infinite."""
    try:
        raw = struct.pack(">f", value)
    except OverflowError:
        raw = struct.pack(">f", math.copysign(math.inf, value))
    high, low = struct.unpack(">HH", raw)
    return int(high), int(low)


def decode_float(high: int, low: int) -> float:
    """Read a number from two registers; NaN and infinity are passed on for the driver to judge."""
    (value,) = struct.unpack(">f", struct.pack(">HH", high, low))
    return float(value)


def encode_u32(value: int) -> tuple[int, int]:
    """Write an unsigned 32-bit number as two registers, high word first."""
    return value >> 16 & 0xFFFF, value & 0xFFFF


def decode_u32(high: int, low: int) -> int:
    """Read an unsigned 32-bit number from two registers, high word first."""
    return high << 16 | low


def encode_block(values: Mapping[Quantity, float], *, start: int, count: int) -> list[int]:
    """Lay quantities out as the registers start..start+count-1; gaps are zero."""
    registers = [0] * count
    for quantity, value in values.items():
        offset = quantity - start
        if 0 <= offset <= count - 2:
            registers[offset : offset + 2] = encode_float(value)
    return registers


def decode_block(registers: Sequence[int], *, start: int) -> dict[Quantity, float]:
    """Read every quantity that lies wholly within the registers from `start` on, NaN and infinity included."""
    values: dict[Quantity, float] = {}
    for quantity in Quantity:
        offset = quantity - start
        if 0 <= offset <= len(registers) - 2:
            values[quantity] = decode_float(registers[offset], registers[offset + 1])
    return values


def encode_bytes(data: bytes) -> list[int]:
    """Pack bytes behind a length register, two to a register, the last one padded with zero."""
    padded = data + b"\0" * (len(data) % 2)
    return [len(data), *(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))]


def decode_bytes(length: int, registers: Sequence[int]) -> bytes:
    """Unpack `length` bytes, two to a register; DeviceGarbled when there are fewer."""
    raw = b"".join(register.to_bytes(2, "big") for register in registers)
    if len(raw) < length:
        raise DeviceGarbled(f"block announces {length} bytes and holds {len(raw)}")
    return raw[:length]
