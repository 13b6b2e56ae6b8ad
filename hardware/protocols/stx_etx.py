"""Ids of cards between a prefix and a suffix, as RDM6300, ID-12 and many industrial readers send them by themselves.

::

    RDM6300   02 | 10 hex characters | 2 hex characters: XOR of the five bytes | 03
    ID-12     the same with CR LF before 03
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import xor

from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.ports import DeviceGarbled


class Encoding(StrEnum):
    """How the id is written."""

    HEX = "hex"
    BINARY = "binary"
    DECIMAL = "decimal"


class Checksum(StrEnum):
    """What follows the id; one byte, written like it."""

    NONE = "none"
    XOR = "xor"
    SUM = "sum"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one make of reader writes; `length`: of a binary id in bytes, which may hold the bytes of the suffix."""

    prefix: bytes = b"\x02"
    suffix: bytes = b"\x03"
    encoding: Encoding = Encoding.HEX
    checksum: Checksum = Checksum.XOR
    length: int = 5

    @property
    def longest(self) -> int:
        """Length after which what began is no id."""
        return len(self.prefix) + 2 * (MAX_ID_TAG_LENGTH + 2) + len(self.suffix)

    def cut(self, buffer: bytes) -> tuple[bytes, bytes | None, bytes]:
        """Return what stands before the first frame, its body (None: it is not whole yet), and what follows it."""
        begin = buffer.find(self.prefix)
        while begin >= 0:
            start = begin + len(self.prefix)
            end = self._end(buffer, start)
            told = buffer[end : end + len(self.suffix)]
            if told == self.suffix:
                if self.encoding is not Encoding.BINARY:
                    # What a lost suffix has left stands before the last prefix.
                    begin = buffer.rfind(self.prefix, begin, end)
                    start = begin + len(self.prefix)
                # Where both are alike, nothing between them means that the second one begins an id.
                follows = end if start == end and self.prefix == self.suffix else end + len(self.suffix)
                return buffer[:begin], buffer[start:end], buffer[follows:]
            if self.suffix.startswith(told):
                return buffer[:begin], None, buffer[begin:]
            begin = buffer.find(self.prefix, begin + 1)
        begun = next(size for size in range(len(self.prefix) - 1, -1, -1) if buffer.endswith(self.prefix[:size]))
        return buffer[: len(buffer) - begun], None, buffer[len(buffer) - begun :]

    def _end(self, buffer: bytes, start: int) -> int:
        if self.encoding is Encoding.BINARY:
            return start + self.length + (self.checksum is not Checksum.NONE)
        found = buffer.find(self.suffix, start)
        return found if found >= 0 else len(buffer)

    def decode(self, body: bytes) -> bytes:
        """Read what stands between prefix and suffix; DeviceGarbled when it is no id."""
        data = self._data(body)
        if self.checksum is not Checksum.NONE:
            data, told = data[:-1], data[-1:]
            if told != self._check(data):
                raise DeviceGarbled(f"checksum {told.hex()} instead of {self._check(data).hex()} in {body!r}")
        if not data or len(data) > MAX_ID_TAG_LENGTH // 2:
            raise DeviceGarbled(f"no id of a card: {body!r}")
        return data

    def encode(self, uid: bytes) -> bytes:
        """Write an id with everything around it."""
        data = uid + (b"" if self.checksum is Checksum.NONE else self._check(uid))
        match self.encoding:
            case Encoding.HEX:
                body = data.hex().upper().encode("ascii")
            case Encoding.BINARY:
                body = data
            case Encoding.DECIMAL:
                body = str(int.from_bytes(data, "big")).encode("ascii")
        return self.prefix + body + self.suffix

    def _data(self, body: bytes) -> bytes:
        if self.encoding is Encoding.BINARY:
            return body
        text = body.strip(b"\r\n")
        digits = b"0123456789" if self.encoding is Encoding.DECIMAL else b"0123456789ABCDEFabcdef"
        if not text or not set(text) <= set(digits):
            raise DeviceGarbled(f"no id of a card: {body!r}")
        if self.encoding is Encoding.HEX:
            if len(text) % 2:
                raise DeviceGarbled(f"half a byte too much: {body!r}")
            return bytes.fromhex(text.decode("ascii"))
        number = int(text)
        return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")

    def _check(self, data: bytes) -> bytes:
        value = reduce(xor, data, 0) if self.checksum is Checksum.XOR else sum(data) & 0xFF
        return bytes([value])
