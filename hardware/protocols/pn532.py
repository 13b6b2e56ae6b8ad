"""Frames of NXP's PN532 on a serial line (HSU), and the commands by which it reads the id of a card.

::

    frame    00 00 FF | LEN | LCS | TFI, data … | DCS | 00     LCS = -LEN, DCS = -(TFI + data), both modulo 256
    answer   00 00 FF 00 FF 00 (ACK), then a frame             TFI D4 to the PN532, D5 from it

Source: NXP PN532 user manual UM0701-02, chapters 6.2.1 and 7.
"""

from dataclasses import dataclass
from enum import IntEnum

from station.domain.ports import DeviceGarbled, DeviceRefused

START = b"\x00\x00\xff"
ACK = START + b"\x00\xff\x00"
WAKE_UP = b"\x55\x55" + bytes(14)
TO_PN532, FROM_PN532, ERROR_FRAME = 0xD4, 0xD5, 0x7F
# An ACK and the longest normal frame.
MAXIMUM_LENGTH = len(ACK) + 262
_HEAD, _TAIL = 5, 2
_IC = 0x32


class Command(IntEnum):
    """Commands; the answer has the number one higher."""

    GET_FIRMWARE_VERSION = 0x02
    SAM_CONFIGURATION = 0x14
    RF_CONFIGURATION = 0x32
    IN_LIST_PASSIVE_TARGET = 0x4A


# Normal mode, no time-out, no use of the interrupt line.
SAM_NORMAL = bytes([0x01, 0x00, 0x01])
# Item 5, tries: the first two as delivered, then one for a card, so that a search ends without one.
ONE_TRY = bytes([0x05, 0xFF, 0x01, 0x01])
# One card, 106 kbit/s, ISO 14443 type A.
ONE_TYPE_A_CARD = bytes([0x01, 0x00])


def encode_frame(data: bytes) -> bytes:
    """Write a frame; `data` begins with TFI."""
    return START + bytes([len(data), -len(data) & 0xFF]) + data + bytes([-sum(data) & 0xFF, 0])


def encode_command(command: Command, parameters: bytes = b"") -> bytes:
    """Write a command."""
    return encode_frame(bytes([TO_PN532, command]) + parameters)


def end_of_answer(received: bytes) -> int | None:
    """Return where ACK and answer end; None while something of them is missing."""
    acknowledged = received.find(ACK)
    if acknowledged < 0:
        return None
    begin = received.find(START, acknowledged + len(ACK))
    if begin < 0 or len(received) < begin + _HEAD:
        return None
    end = begin + _HEAD + received[begin + len(START)] + _TAIL
    return end if len(received) >= end else None


def decode_answer(received: bytes, command: Command) -> bytes:
    """Read the data of an answer to a command; DeviceGarbled, or DeviceRefused for the error frame."""
    frame = received[received.find(START, received.find(ACK) + len(ACK)) :]
    length, data = frame[len(START)], frame[_HEAD:-_TAIL]
    if (length + frame[len(START) + 1]) & 0xFF or len(data) != length or (sum(data) + frame[-_TAIL]) & 0xFF:
        raise DeviceGarbled(f"frame with a wrong checksum: {frame.hex(' ')}")
    if data[:1] == bytes([ERROR_FRAME]):
        raise DeviceRefused(f"the reader does not know {command.name.lower()}")
    if data[:2] != bytes([FROM_PN532, command + 1]):
        raise DeviceGarbled(f"no answer to {command.name.lower()}: {data.hex(' ')}")
    return data[2:]


def decode_firmware(data: bytes) -> str:
    """Read GET_FIRMWARE_VERSION; DeviceGarbled when it is another chip."""
    if data[:1] != bytes([_IC]) or len(data) != 4:  # noqa: PLR2004 - IC, version, revision, support
        raise DeviceGarbled(f"this is no PN532: {data.hex(' ')}")
    return f"{data[1]}.{data[2]}"


@dataclass(frozen=True, kw_only=True)
class FoundCard:
    """A card of type A: ATQA (2 bytes), SAK, and its id."""

    atqa: bytes
    sak: int
    uid: bytes

    @classmethod
    def decode(cls, data: bytes) -> "FoundCard | None":
        """Read IN_LIST_PASSIVE_TARGET: number of cards | number | ATQA (2) | SAK | length | id."""
        if data[:1] == b"\x00":
            return None
        if len(data) < 6 or len(data) < 6 + data[5] or not data[5]:  # noqa: PLR2004 - the layout above
            raise DeviceGarbled(f"a card that is cut off: {data.hex(' ')}")
        return cls(atqa=data[2:4], sak=data[4], uid=data[6 : 6 + data[5]])

    def encode(self) -> bytes:
        """Write it."""
        return bytes([1, 1]) + self.atqa + bytes([self.sak, len(self.uid)]) + self.uid
