"""Damage that lines and peers do to text and bytes, by seed."""

import random
from collections.abc import Callable

_PIECES = (
    "\x00",
    "\\u0000",
    "\\ud800",
    "\ufeff",
    '"',
    "\\",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "null",
    "NaN",
    "-Infinity",
    "1e308",
    "1e999",
    "-0",
    "9" * 40,
    "true",
    '{"a":',
    "[" * 60,
    "ÿ𝄞",
)


def damage_text(dice: random.Random, text: str) -> str:
    """Change a text in one to four places."""
    for _ in range(dice.randint(1, 4)):
        text = dice.choice(_TEXT)(dice, text)
    return text


def damage_bytes(dice: random.Random, data: bytes) -> bytes:
    """Change bytes as a disturbed line does."""
    for _ in range(dice.randint(1, 3)):
        data = dice.choice(_BYTES)(dice, data)
    return data


def _place(dice: random.Random, length: int) -> int:
    return dice.randrange(length + 1)


def _insert(dice: random.Random, text: str) -> str:
    at = _place(dice, len(text))
    return text[:at] + dice.choice(_PIECES) + text[at:]


def _delete(dice: random.Random, text: str) -> str:
    at = _place(dice, len(text))
    return text[:at] + text[at + dice.randint(1, 8) :]


def _cut(dice: random.Random, text: str) -> str:
    return text[: _place(dice, len(text))]


def _repeat(dice: random.Random, text: str) -> str:
    at = _place(dice, len(text))
    piece = text[at : at + dice.randint(1, 30)]
    return text[:at] + piece * dice.randint(2, 6) + text[at:]


def _swap(dice: random.Random, text: str) -> str:
    if not text:
        return text
    at = dice.randrange(len(text))
    return text[:at] + chr(dice.choice((dice.randrange(128), dice.randrange(0xD800)))) + text[at + 1 :]


_TEXT: tuple[Callable[[random.Random, str], str], ...] = (_insert, _insert, _delete, _cut, _repeat, _swap, _swap)


def _flip(dice: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def _lose(dice: random.Random, data: bytes) -> bytes:
    at = _place(dice, len(data))
    return data[:at] + data[at + dice.randint(1, 4) :]


def _babble(dice: random.Random, data: bytes) -> bytes:
    at = _place(dice, len(data))
    return data[:at] + dice.randbytes(dice.randint(1, 12)) + data[at:]


def _shorten(dice: random.Random, data: bytes) -> bytes:
    return data[: _place(dice, len(data))]


def _noise(dice: random.Random, _data: bytes) -> bytes:
    return dice.randbytes(dice.randrange(300))


def _double(_dice: random.Random, data: bytes) -> bytes:
    return data + data


_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _flip,
    _flip,
    _lose,
    _babble,
    _shorten,
    _noise,
    _double,
)
