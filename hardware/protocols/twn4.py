r"""Frames of the Elatec TWN4 Simple Protocol: upper-case hexadecimal text and a carriage return, in both directions.

::

    command  API number | function number | parameters, little-endian            "050010\r"  SearchTag, at most 16 bytes
    reply    status | result                                                     "0000\r"    no tag
                                                             "0001802004AE36959E\r"  type 80h, 32 bits, 4 bytes, id

Sources: github.com/ephraim/twn4sp-client and github.com/c3rebro/Elatec.NET.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self

from station.domain.ports import DeviceGarbled

TERMINATOR = b"\r"
# A reply with the longest id (255 bytes) as text; whatever is longer is noise.
MAXIMUM_LINE_LENGTH = 2 * (5 + 255) + 1


class Function(IntEnum):
    """Command numbers: API in the high byte, function in the low byte."""

    GPIO_CONFIGURE_OUTPUTS = 0x0400
    GPIO_SET = 0x0402
    GPIO_CLEAR = 0x0403
    GPIO_TOGGLE = 0x0404
    GPIO_TEST = 0x0406
    BEEP = 0x0407
    DIAGNOSIS_LED_ON = 0x0408
    DIAGNOSIS_LED_OFF = 0x0409
    DIAGNOSIS_LED_TOGGLE = 0x040A
    SEARCH_TAG = 0x0500
    SET_RF_OFF = 0x0501
    SET_TAG_TYPES = 0x0502
    GET_TAG_TYPES = 0x0503


class Status(IntEnum):
    """First byte of a reply; only OK is told apart, every other number is an error of the reader."""

    OK = 0x00


class Led(IntFlag):
    """GPIO lines as readers are usually wired."""

    RED = 0x01
    GREEN = 0x02
    YELLOW = 0x04


class TagType(IntEnum):
    """How to read the id bytes of a tag.

    `TEXT`: the bytes are the ASCII characters of the id; only the simulated reader answers so. Every other type is
    a number of the reader's own list (80h: ISO 14443A/MIFARE, 83h: LEGIC prime and advant) with a binary id.
    """

    TEXT = 0x7F
    MIFARE = 0x80
    LEGIC = 0x83


# Low-frequency and high-frequency masks with every bit: the reader looks for all tag types its licence allows.
ALL_TAG_TYPES = 0xFFFF_FFFF


def encode_line(data: bytes) -> bytes:
    """Write bytes as a line of the protocol."""
    return data.hex().upper().encode("ascii") + TERMINATOR


def decode_line(line: bytes) -> bytes:
    """Read the bytes of a line, with or without its carriage return; DeviceGarbled when it is no hex text."""
    body = line.removesuffix(TERMINATOR)
    # bytes.fromhex skips blanks, which this protocol does not know.
    if not body or len(body) % 2 or not body.isalnum():
        raise DeviceGarbled(f"line is no hexadecimal text: {line[:40]!r}")
    try:
        return bytes.fromhex(body.decode("ascii"))
    except (UnicodeDecodeError, ValueError) as error:
        raise DeviceGarbled(f"line is no hexadecimal text: {line[:40]!r}") from error


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command: two bytes of number, then its parameters."""

    function: Function
    parameters: bytes = b""

    def encode(self) -> bytes:
        """Write the command as a line."""
        return encode_line(self.function.to_bytes(2, "big") + self.parameters)

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Read a command from a line; DeviceGarbled when it is none this station uses."""
        data = decode_line(line)
        try:
            function = Function(int.from_bytes(data[:2], "big"))
        except ValueError as error:
            raise DeviceGarbled(f"unknown command: {line[:40]!r}") from error
        return cls(function=function, parameters=data[2:])


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply: one byte of status, then the result."""

    status: int = Status.OK
    result: bytes = b""

    def encode(self) -> bytes:
        """Write the reply as a line."""
        return encode_line(bytes([self.status]) + self.result)

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """Read a reply from a line."""
        data = decode_line(line)
        return cls(status=data[0], result=data[1:])


NO_TAG = b"\x00"
# Found, type, bits and bytes stand before the id.
_FOUND_HEADER = 4


@dataclass(frozen=True, kw_only=True)
class FoundTag:
    """Result of SearchTag: `01 type bits bytes id…`, or a single `00` without a tag."""

    type: int
    id: bytes
    bits: int

    def encode(self) -> bytes:
        """Write the result of a search that found this tag."""
        return bytes([1, self.type, self.bits & 0xFF, len(self.id)]) + self.id

    @classmethod
    def decode(cls, result: bytes) -> Self | None:
        """Read the result of a search; None without a tag, DeviceGarbled when it is cut or overlong."""
        if result == NO_TAG:
            return None
        if len(result) <= _FOUND_HEADER or result[0] != 1 or len(result) != _FOUND_HEADER + result[3]:
            raise DeviceGarbled(f"search result makes no sense: {result[:40].hex()}")
        return cls(type=result[1], bits=result[2], id=result[_FOUND_HEADER:])


def search_tag(max_bytes: int) -> Command:
    """Build the command that looks for a tag with an id of at most `max_bytes`."""
    return Command(function=Function.SEARCH_TAG, parameters=bytes([max_bytes]))


def set_tag_types(low_frequency: int, high_frequency: int) -> Command:
    """Build the command that chooses the kinds of tags to look for."""
    return Command(function=Function.SET_TAG_TYPES, parameters=struct.pack("<II", low_frequency, high_frequency))


def leds(function: Function, lines: Led) -> Command:
    """Build a GPIO set, clear or toggle command for these lines."""
    return Command(function=function, parameters=bytes([lines]))


def configure_led_outputs() -> Command:
    """Build the command that makes the LED lines outputs without pull resistor, push-pull."""
    return Command(function=Function.GPIO_CONFIGURE_OUTPUTS, parameters=bytes([Led.RED | Led.GREEN | Led.YELLOW, 0, 1]))


_BEEP = struct.Struct("<BHHH")


@dataclass(frozen=True, kw_only=True)
class Beep:
    """Parameters of a beep: `volume` in per cent, then frequency, sounding time and silence after it."""

    volume_percent: int
    frequency_hz: int
    on_ms: int
    off_ms: int

    def encode(self) -> Command:
        """Build the beep command."""
        parameters = _BEEP.pack(self.volume_percent, self.frequency_hz, self.on_ms, self.off_ms)
        return Command(function=Function.BEEP, parameters=parameters)

    @classmethod
    def decode(cls, command: Command) -> Self:
        """Read the parameters of a beep command; DeviceGarbled when they are cut or overlong."""
        if len(command.parameters) != _BEEP.size:
            raise DeviceGarbled(f"beep with {len(command.parameters)} bytes of parameters")
        volume, frequency, on_ms, off_ms = _BEEP.unpack(command.parameters)
        return cls(volume_percent=volume, frequency_hz=frequency, on_ms=on_ms, off_ms=off_ms)
