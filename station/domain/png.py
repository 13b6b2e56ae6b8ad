"""An uploaded picture: checked as PNG to the last byte and written anew, so that nothing else comes along."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_WIDTH, LARGEST_HEIGHT = 1024, 512

# PNG specification (ISO 15948), table 11.1: samples per pixel and bit depths of each colour type.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_PALETTE = 3
_LARGEST_PALETTE = 256 * 3
# Section 8.2, Adam7: first column, first row, distance of columns and of rows of each pass.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_HIGHEST_FILTER = 4


class PngRefused(Exception):
    """The file cannot be used; `code` is not_png, damaged or too_large."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @classmethod
    def read(cls, data: bytes) -> "_Header":
        try:
            width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", data)
        except struct.error:
            raise PngRefused("damaged") from None
        if (
            depth not in _DEPTHS.get(colour, set())
            or (compression, filtering) != (0, 0)
            or interlace not in {0, 1}
            or 0 in {width, height}
        ):
            raise PngRefused("damaged")
        if width > LARGEST_WIDTH or height > LARGEST_HEIGHT:
            raise PngRefused("too_large")
        return cls(width, height, depth, colour, bool(interlace))

    def rows(self) -> Iterator[int]:
        """Return the bytes of each row behind its filter type."""
        bits = _SAMPLES[self.colour] * self.depth
        if not self.interlaced:
            yield from [(self.width * bits + 7) // 8] * self.height
            return
        for column, row, columns, rows in _PASSES:
            width, height = -(-(self.width - column) // columns), -(-(self.height - row) // rows)
            if width > 0 and height > 0:
                yield from [(width * bits + 7) // 8] * height


def cleaned(data: bytes) -> bytes:
    """Return the same picture with what is needed to draw it and nothing else; raises PngRefused.

    Texts, colour profiles, further pictures and whatever stands behind the end are left out.
    """
    if not data.startswith(SIGNATURE):
        raise PngRefused("not_png")
    kept: dict[bytes, bytes] = {}
    pixels = b""
    for kind, content in _chunks(data):
        if kind == b"IDAT":
            pixels += content
        elif kind in {b"IHDR", b"PLTE", b"tRNS"}:
            if kind in kept or pixels or (kind != b"IHDR" and b"IHDR" not in kept):
                raise PngRefused("damaged")
            kept[kind] = content
    header = _Header.read(kept.get(b"IHDR", b""))
    palette = kept.get(b"PLTE", b"")
    if len(palette) % 3 or len(palette) > _LARGEST_PALETTE or (header.colour == _PALETTE and not palette):
        raise PngRefused("damaged")
    written = _check_pixels(header, pixels)
    return SIGNATURE + b"".join(
        _chunk(kind, content) for kind, content in (*kept.items(), (b"IDAT", zlib.compress(written, 9)), (b"IEND", b""))
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Return the chunks up to the end of the picture, whose checksums hold."""
    at = len(SIGNATURE)
    while True:
        head = data[at : at + 8]
        if len(head) < 8:  # noqa: PLR2004 - length and name
            raise PngRefused("damaged")
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        content = data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if len(checksum) < 4 or int.from_bytes(checksum, "big") != zlib.crc32(kind + content):  # noqa: PLR2004
            raise PngRefused("damaged")
        if kind == b"IEND":
            return
        yield kind, content
        at += 12 + length


def _check_pixels(header: _Header, compressed: bytes) -> bytes:
    """Return the rows of the picture; there must be exactly as many bytes as it has, each row with a known filter."""
    rows = list(header.rows())
    expected = sum(rows) + len(rows)
    unpacking = zlib.decompressobj()
    try:
        # Bounded: a small file may unpack into gigabytes.
        unpacked = unpacking.decompress(compressed, expected + 1)
    except zlib.error:
        raise PngRefused("damaged") from None
    if len(unpacked) != expected:
        raise PngRefused("damaged")
    at = 0
    for length in rows:
        if unpacked[at] > _HIGHEST_FILTER:
            raise PngRefused("damaged")
        at += length + 1
    return unpacked


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
