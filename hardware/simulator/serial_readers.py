"""The simulated PN532 and the simulated reader that sends by itself: the field of the world as they see it.

A card is seen only if it is one of theirs: hexadecimal digits of 4, 7 or 10 bytes for the PN532, of 5 for the other.
"""

from collections.abc import Callable

from hardware.protocols.pn532 import (
    ACK,
    ERROR_FRAME,
    FROM_PN532,
    START,
    TO_PN532,
    Command,
    FoundCard,
    encode_frame,
)
from hardware.protocols.stx_etx import Dialect
from hardware.simulator.world import World

_CARD_BYTES, _EM4100_BYTES = frozenset({4, 7, 10}), frozenset({5})
_FIRMWARE = bytes([0x32, 0x01, 0x06, 0x07])
_NO_CARD = b"\x00"
_LARGEST_REQUEST = 300
_HEAD, _TAIL = 5, 2
REPEATS_S = 0.1


def _card(world: World, now_s: float, lengths: frozenset[int]) -> bytes | None:
    try:
        uid = bytes.fromhex(world.reader.search(now_s=now_s) or "")
    except ValueError:
        return None
    return uid if len(uid) in lengths else None


class Pn532Reader:
    """Cuts commands out of the bytes of the line and answers them: ACK, then the answer."""

    def __init__(self, *, world: World) -> None:
        self._world = world
        self._buffer = b""

    def receive(self, data: bytes, *, now_s: float) -> bytes:
        """Take bytes from the line and return the bytes to send."""
        self._buffer += data
        answer = b""
        while (begin := self._buffer.find(START)) >= 0 and len(self._buffer) >= begin + _HEAD:
            length = self._buffer[begin + len(START)]
            end = begin + _HEAD + length + _TAIL
            if len(self._buffer) < end:
                break
            content, self._buffer = self._buffer[begin + _HEAD : end - 1], self._buffer[end:]
            if content and not sum(content) & 0xFF:
                answer += ACK + encode_frame(self._execute(content[:-1], now_s=now_s))
        self._buffer = self._buffer[-_LARGEST_REQUEST:]
        return answer

    def _execute(self, data: bytes, *, now_s: float) -> bytes:
        if data[:1] != bytes([TO_PN532]) or len(data) < 2 or data[1] not in set(Command):  # noqa: PLR2004 - TFI, number
            return bytes([ERROR_FRAME])
        head = bytes([FROM_PN532, data[1] + 1])
        match Command(data[1]):
            case Command.GET_FIRMWARE_VERSION:
                return head + _FIRMWARE
            case Command.IN_LIST_PASSIVE_TARGET:
                uid = _card(self._world, now_s, _CARD_BYTES)
                return head + (FoundCard(atqa=b"\x00\x04", sak=0x08, uid=uid).encode() if uid else _NO_CARD)
            case _:
                return head


class PushingReader:
    """Says which card lies in the field, again and again, and takes nothing."""

    def __init__(self, *, world: World, clock: Callable[[], float]) -> None:
        self._world = world
        self._clock = clock

    def tell(self) -> bytes:
        """Send the card that lies there."""
        if self._world.reader_is_silent:
            return b""
        now_s = self._clock()
        self._world.advance(now_s=now_s)
        uid = _card(self._world, now_s, _EM4100_BYTES)
        return Dialect().encode(uid) if uid else b""
