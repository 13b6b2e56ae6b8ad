"""Uploaded logos: what is a picture is kept, what comes along is not, what is none is refused."""

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.png import SIGNATURE, PngRefused, cleaned


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def header(width: int = 3, height: int = 2, *, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlace))


ROWS = (b"\0" + b"\x10\x20\x30" * 3) * 2
END = chunk(b"IEND", b"")


def picture(*parts: bytes, rows: bytes = ROWS) -> bytes:
    return SIGNATURE + b"".join(parts) + chunk(b"IDAT", zlib.compress(rows)) + END


def test_a_picture_stays_what_it_was():
    once = cleaned(picture(header()))

    assert once == cleaned(once)
    assert zlib.decompress(once.split(b"IDAT")[1][:-16]) == ROWS


def test_texts_other_pictures_and_whatever_stands_behind_the_end_are_left_out():
    logo = picture(header(), chunk(b"tEXt", b"Comment\0<script>"), chunk(b"iCCP", b"x")) + b"<?php evil() ?>"

    assert cleaned(logo) == cleaned(picture(header()))


def test_an_interlaced_picture_is_as_long_as_its_passes():
    # Adam7 of 3 x 2 pixels: passes 1, 4 (here 2 columns off), 5 has no row, 6 one pixel, 7 one row of three.
    rows = b"\0" + b"abc" + b"\0" + b"abc" + b"\0" + b"abc" + b"\0" + b"abcabcabc"

    assert cleaned(picture(header(interlace=1), rows=rows)).startswith(SIGNATURE)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not_png"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" onload="evil()"/>', "not_png"),
        (b"\xff\xd8\xff\xe0 a photograph", "not_png"),
        (SIGNATURE, "damaged"),
        (SIGNATURE + header() + END, "damaged"),
        (picture(header())[:-20], "damaged"),
        (picture(header()).replace(b"IDAT", b"IDAX"), "damaged"),
        (picture(header(), rows=ROWS + b"\0"), "damaged"),
        (picture(header(), rows=b"\x07" + ROWS[1:]), "damaged"),
        (picture(header(colour=3)), "damaged"),
        (picture(header(), header()), "damaged"),
        (picture(header(5000, 2)), "too_large"),
        (picture(header(2, 5000)), "too_large"),
        (picture(header(0, 2)), "damaged"),
    ],
)
def test_what_is_no_usable_picture_is_refused(data: bytes, code: str):
    with pytest.raises(PngRefused) as refusal:
        cleaned(data)

    assert refusal.value.code == code


def test_a_small_file_that_unpacks_into_much_is_not_unpacked():
    with pytest.raises(PngRefused):
        cleaned(picture(header(), rows=bytes(50_000_000)))


@given(at=st.integers(0, len(picture(header())) - 1), value=st.integers(0, 255))
def test_a_changed_byte_leaves_a_picture_or_a_refusal(at: int, value: int):
    data = bytearray(picture(header()))
    data[at] = value

    with suppress(PngRefused):
        assert cleaned(bytes(data)).startswith(SIGNATURE)
