"""Telegrams of meters that speak SML (Smart Message Language), which tell without being asked.

::

    1B1B1B1B 01010101 | messages, zeros up to a multiple of 4 | 1B1B1B1B 1A | number of zeros | CRC-16, low byte first

A literal 1B1B1B1B among the messages is doubled. A telegram has three messages: OpenResponse, GetListResponse with the
values, CloseResponse. Sources: libsml (sml_transport.c), SmlLib. The library `smllib` reads the telegrams, and this
module bounds what it trusts them with; writing them, for the simulator and the tests, is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any

from smllib.builder.default_context import create_context
from smllib.builder.list_entry import SmlListEntryBuilder
from smllib.crc import kermit, x25
from smllib.errors import CrcError, InvalidBufferPos, SmlLibException
from smllib.reader import SmlStreamReader
from smllib.sml.list_entry import SmlListEntry
from smllib.sml.response_get_list import SmlGetListResponse
from smllib.sml_frame import SmlFrame
from smllib.sml_frame_snippet import SmlFrameSnippet

START = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
_ESCAPE = b"\x1b\x1b\x1b\x1b"
# Telegrams of real meters have 200 to 800 bytes; more than this without an end is none.
LONGEST_TELEGRAM_BYTES = 4096
# The bytes of a telegram follow one another; after this silence what came before is the rest of one that broke off.
# USB adapters hand over what they have every 16 ms (FTDI, latency timer).
GAP_S = 0.5
# Powers of ten beyond these mean nothing in a meter.
_LARGEST_SCALER = 12
# What reading a telegram of nonsense ends in, the checksum being right.
_UNREADABLE = (SmlLibException, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class Checksum(StrEnum):
    """The kind of CRC-16; some meters of DZG and Holley use the second one."""

    X25 = "x25"
    KERMIT = "kermit"


class Unit(IntEnum):
    """Units, by their number in DLMS."""

    WATT = 27
    WATT_HOUR = 30
    AMPERE = 33
    VOLT = 35
    HERTZ = 44


class Obis(StrEnum):
    """What is measured, in the notation of the library."""

    MANUFACTURER = "8181c78203ff"
    IMPORT_ENERGY = "0100010800ff"
    EXPORT_ENERGY = "0100020800ff"
    POWER = "0100100700ff"
    # Of older meters.
    POWER_POSITIVE = "01000f0700ff"
    POWER_L1 = "0100240700ff"
    POWER_L2 = "0100380700ff"
    POWER_L3 = "01004c0700ff"
    CURRENT_L1 = "01001f0700ff"
    CURRENT_L2 = "0100330700ff"
    CURRENT_L3 = "0100470700ff"
    VOLTAGE_L1 = "0100200700ff"
    VOLTAGE_L2 = "0100340700ff"
    VOLTAGE_L3 = "0100480700ff"
    FREQUENCY = "01000e0700ff"


UNITS: Mapping[Obis, Unit] = {
    Obis.IMPORT_ENERGY: Unit.WATT_HOUR,
    Obis.EXPORT_ENERGY: Unit.WATT_HOUR,
    **dict.fromkeys((Obis.POWER, Obis.POWER_POSITIVE, Obis.POWER_L1, Obis.POWER_L2, Obis.POWER_L3), Unit.WATT),
    **dict.fromkeys((Obis.CURRENT_L1, Obis.CURRENT_L2, Obis.CURRENT_L3), Unit.AMPERE),
    **dict.fromkeys((Obis.VOLTAGE_L1, Obis.VOLTAGE_L2, Obis.VOLTAGE_L3), Unit.VOLT),
    Obis.FREQUENCY: Unit.HERTZ,
}


@dataclass(frozen=True, kw_only=True)
class Telegram:
    """What a meter has told: values exactly as it counts them, in the unit of `UNITS`; `server_id` is its identity."""

    server_id: bytes
    values: Mapping[Obis, Fraction]
    manufacturer: str = ""


# Heads of elements: the kind, a bit for a longer length, and the length.
_OCTETS, _SIGNED, _UNSIGNED, _LIST, _MORE = 0x00, 0x50, 0x60, 0x70, 0x80
_LONG_LIST = _LIST | _MORE
_LARGEST_NIBBLE = 0x0F
_NOT_SET = b"\x01"
_END_OF_MESSAGE = b"\x00"


class TelegramUnreadable(Exception):
    """The bytes are no telegram of a meter."""


class TelegramReader:
    """Cuts telegrams out of what comes over a line. What breaks off, or never ends, is forgotten."""

    def __init__(self, checksum: Checksum) -> None:
        self._stream = SmlStreamReader(crc=checksum.value)
        self._heard_at_s = 0.0

    def feed(self, data: bytes, *, at_s: float) -> list[Telegram | TelegramUnreadable]:
        """Take bytes and return what they complete, the latest last."""
        if at_s - self._heard_at_s > GAP_S:
            self._stream.clear()
        self._heard_at_s = at_s
        found: list[Telegram | TelegramUnreadable] = []
        self._stream.add(data)
        while True:
            try:
                frame = self._stream.get_frame()
                if frame is None:
                    break
                found.append(decode(frame.bytes))
            except CrcError as error:
                found.append(TelegramUnreadable(f"checksum {error.crc_msg:04X} instead of {error.crc_calc:04X}"))
            except TelegramUnreadable as error:
                found.append(error)
        if len(self._stream.bytes) > LONGEST_TELEGRAM_BYTES:
            self._stream.clear()
            found.append(TelegramUnreadable(f"more than {LONGEST_TELEGRAM_BYTES} bytes without an end"))
        return found

    def clear(self) -> None:
        """Forget what has come so far."""
        self._stream.clear()


def decode(messages: bytes) -> Telegram:
    """Read the messages of a telegram whose checksum was right; raises TelegramUnreadable."""
    try:
        parsed = _BoundedFrame(messages, build_ctx=_CONTEXT).parse_frame()
        bodies = [each.message_body for each in parsed if isinstance(each.message_body, SmlGetListResponse)]
        if not bodies:
            raise TelegramUnreadable("no list of values")
        server_id = bytes.fromhex(bodies[-1].server_id)
        entries = [entry for body in bodies for entry in body.val_list]
    except _UNREADABLE as error:
        raise TelegramUnreadable(f"a telegram that is none: {type(error).__name__}") from error
    values: dict[Obis, Fraction] = {}
    manufacturer = ""
    for entry in entries:
        if str(entry.obis) == Obis.MANUFACTURER.value and isinstance(entry.value, str):
            manufacturer = _text(entry.value)
        elif (value := _value(entry)) is not None:
            values[Obis(entry.obis)] = value
    return Telegram(server_id=server_id, values=values, manufacturer=manufacturer)


def _value(entry: SmlListEntry) -> Fraction | None:
    """Return a number we know in the unit it must have; everything else is not there."""
    try:
        unit = UNITS[Obis(entry.obis)]
    except (ValueError, KeyError):
        return None
    scaler = entry.scaler or 0
    if entry.unit != unit or type(entry.value) is not int or abs(scaler) > _LARGEST_SCALER:
        return None
    return entry.value * Fraction(10) ** scaler


def _text(digits: str) -> str:
    text = bytes.fromhex(digits).decode("ascii", "replace")
    return "".join(letter for letter in text if letter.isalnum())


class _BoundedFrame(SmlFrame):
    """Refuses lists that are longer than the telegram they stand in: the library would make them nevertheless."""

    def get_value(self, pos: int | None = None) -> SmlFrameSnippet:
        at = self.next_pos if pos is None else pos
        if at < self.buf_len and self.buffer[at] & _LONG_LIST == _LONG_LIST:
            size, more = self.buffer[at] & _LARGEST_NIBBLE, True
            while more:
                at += 1
                size, more = size << 4 | self.buffer[at] & _LARGEST_NIBBLE, bool(self.buffer[at] & _MORE)
            if size > self.buf_len - at:
                raise InvalidBufferPos(f"a list of {size} in {self.buf_len - at} bytes")
        return super().get_value(pos)


class _EntryBuilder(SmlListEntryBuilder):
    """Takes values that are not set, and leaves octets as they are."""

    def build(self, obj: SmlFrameSnippet, classes: Any) -> SmlListEntry:
        # The one of the base class of its own: that one refuses a list with a single value that is not set.
        return super(SmlListEntryBuilder, self).build(obj, classes)


_CONTEXT: dict[Any, Any] = {**create_context(), SmlListEntry: _EntryBuilder()}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One value of a telegram to write: `value` times ten to the power of `scaler`; None: not set."""

    obis: str
    value: int | bytes | None
    unit: Unit | None = None
    scaler: int = 0

    def encode(self) -> bytes:
        """Write as the list of seven it is."""
        value = _octets(self.value) if isinstance(self.value, bytes) else _signed(self.value, 8)
        return _list(
            _octets(bytes.fromhex(self.obis)),
            _NOT_SET,
            _NOT_SET,
            _unsigned(self.unit, 1),
            _NOT_SET if self.unit is None else _signed(self.scaler, 1),
            value,
            _NOT_SET,
        )


def encode(server_id: bytes, entries: Sequence[Entry], *, number: int = 0, checksum: Checksum = Checksum.X25) -> bytes:
    """Write a telegram; `number` counts the telegrams and the seconds of the meter."""
    file_id = number.to_bytes(4, "big")
    opened = _list(_NOT_SET, _NOT_SET, _octets(file_id), _octets(server_id), _NOT_SET, _NOT_SET)
    seconds = _list(_unsigned(1, 1), _unsigned(number & 0xFFFFFFFF, 4))
    told = _list(
        _NOT_SET,
        _octets(server_id),
        _octets(bytes.fromhex("0100620affff")),
        seconds,
        _list(*(entry.encode() for entry in entries)),
        _NOT_SET,
        _NOT_SET,
    )
    messages = b"".join(
        _message(file_id + bytes([place]), kind, body)
        for place, (kind, body) in enumerate(((0x0101, opened), (0x0701, told), (0x0201, _list(_NOT_SET))))
    )
    return enclose(messages, checksum=checksum)


def enclose(messages: bytes, *, checksum: Checksum = Checksum.X25) -> bytes:
    """Put messages between start, end and checksum."""
    escaped = messages.replace(_ESCAPE, 2 * _ESCAPE)
    padding = -len(escaped) % 4
    frame = START + escaped + bytes(padding) + _ESCAPE + bytes([0x1A, padding])
    return frame + _CHECKSUMS[checksum](frame).to_bytes(2, "big")


_CHECKSUMS = {Checksum.X25: x25.get_crc, Checksum.KERMIT: kermit.get_crc}


def _message(transaction: bytes, kind: int, body: bytes) -> bytes:
    choice = _list(_unsigned(kind, 2), body)
    head = bytes([_LIST | 6]) + _octets(transaction) + _unsigned(0, 1) + _unsigned(0, 1) + choice
    return head + bytes([_UNSIGNED | 3]) + x25.get_crc(head).to_bytes(2, "big") + _END_OF_MESSAGE


def _head(kind: int, length: int) -> bytes:
    if length <= _LARGEST_NIBBLE:
        return bytes([kind | length])
    return bytes([kind | _MORE | length >> 4, length & _LARGEST_NIBBLE])


def _list(*elements: bytes) -> bytes:
    return _head(_LIST, len(elements)) + b"".join(elements)


def _octets(data: bytes) -> bytes:
    # The length includes the head, which takes a second byte from 15 bytes of data on.
    head_bytes = 1 if len(data) < _LARGEST_NIBBLE else 2
    return _head(_OCTETS, len(data) + head_bytes) + data


def _unsigned(value: int | None, size: int) -> bytes:
    return _NOT_SET if value is None else _head(_UNSIGNED, size + 1) + value.to_bytes(size, "big")


def _signed(value: int | None, size: int) -> bytes:
    return _NOT_SET if value is None else _head(_SIGNED, size + 1) + value.to_bytes(size, "big", signed=True)
