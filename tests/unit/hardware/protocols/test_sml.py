"""Telegrams of SML meters: reading, writing, and everything that can happen on an optical line."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hardware.protocols.sml import (
    GAP_S,
    LONGEST_TELEGRAM_BYTES,
    UNITS,
    Checksum,
    Entry,
    Obis,
    Telegram,
    TelegramReader,
    TelegramUnreadable,
    Unit,
    enclose,
    encode,
)

CAPTURES = Path(__file__).parents[3] / "captures" / "sml.hex"
SERVER = bytes.fromhex("0a01454d480000bc614e")
ENERGY = Entry(obis=Obis.IMPORT_ENERGY, value=182_407, unit=Unit.WATT_HOUR, scaler=-1)
MEASURED = st.builds(
    lambda obis, value, scaler: Entry(obis=obis, value=value, unit=UNITS[obis], scaler=scaler),
    st.sampled_from(sorted(UNITS)),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.integers(-6, 6),
)


def recorded() -> list[tuple[str, bytes]]:
    """Return the telegrams of the file with what stands above each."""
    blocks = CAPTURES.read_text(encoding="utf-8").strip().split("\n\n")[1:]
    lines = [block.splitlines() for block in blocks]
    return [(block[0].lstrip("# "), bytes.fromhex("".join(block[1:]))) for block in lines]


def read(data: bytes, *, checksum: Checksum = Checksum.X25) -> list[Telegram | TelegramUnreadable]:
    return TelegramReader(checksum).feed(data, at_s=100.0)


@pytest.mark.parametrize(("name", "data"), recorded())
def test_every_recorded_telegram_is_read_in_pieces_of_any_size(name: str, data: bytes) -> None:
    for size in (1, 7, 16, 1000):
        reader = TelegramReader(Checksum.KERMIT if "Kermit" in name else Checksum.X25)

        found = [each for at in range(0, len(data), size) for each in reader.feed(data[at : at + size], at_s=1.0)]

        (telegram,) = found
        assert isinstance(telegram, Telegram)
        assert telegram.values[Obis.IMPORT_ENERGY] == Fraction(182_407, 10)
        assert telegram.server_id == SERVER


def test_a_locked_household_meter_tells_its_energy_and_nothing_that_it_has_not() -> None:
    (telegram,) = read(dict(recorded())["locked: energy and total power alone"])

    assert isinstance(telegram, Telegram)
    assert set(telegram.values) == {Obis.IMPORT_ENERGY, Obis.POWER}


def test_the_energy_of_a_telegram_written_by_hand_is_exact() -> None:
    """1.8.0 of 12345678.9 Wh, each byte after the fact sheet: list, OBIS, two not set, Wh, 10 ** -1, five bytes."""
    entry = bytes.fromhex("77 07 0100010800ff 01 01 62 1e 52 ff 56 00075bcd15 01")
    opened = "76 05 00000001 62 00 62 00 72 63 0101 76 01 01 05 00000001 0b 0a01454d480000bc614e 01 01 63 0000 00"
    told = "76 05 00000002 62 00 62 00 72 63 0701 77 01 0b 0a01454d480000bc614e 01 01 71"
    messages = bytes.fromhex(opened) + bytes.fromhex(told) + entry + bytes.fromhex("01 01 63 0000 00")

    (telegram,) = read(enclose(messages))

    assert isinstance(telegram, Telegram)
    assert telegram.values == {Obis.IMPORT_ENERGY: Fraction(123_456_789, 10)}


@given(st.lists(MEASURED, max_size=20, unique_by=lambda entry: entry.obis), st.sampled_from(Checksum))
def test_what_is_written_is_read(entries: list[Entry], checksum: Checksum) -> None:
    (telegram,) = read(encode(SERVER, entries, checksum=checksum), checksum=checksum)

    assert isinstance(telegram, Telegram)
    assert telegram.values == {
        Obis(entry.obis): entry.value * Fraction(10) ** entry.scaler
        for entry in entries
        if isinstance(entry.value, int)
    }


def test_the_bytes_of_an_escape_may_stand_within_a_telegram() -> None:
    escape = int.from_bytes(bytes.fromhex("1b1b1b1b1b1b1b1b"), "big")

    (telegram,) = read(encode(SERVER, [Entry(obis=Obis.IMPORT_ENERGY, value=escape, unit=Unit.WATT_HOUR)]))

    assert isinstance(telegram, Telegram)
    assert telegram.values == {Obis.IMPORT_ENERGY: escape}


@pytest.mark.parametrize(
    "entry",
    [
        Entry(obis=Obis.IMPORT_ENERGY, value=5, unit=Unit.WATT),
        Entry(obis=Obis.IMPORT_ENERGY, value=b"text", unit=Unit.WATT_HOUR),
        Entry(obis=Obis.IMPORT_ENERGY, value=5, unit=Unit.WATT_HOUR, scaler=100),
        Entry(obis=Obis.IMPORT_ENERGY, value=None, unit=Unit.WATT_HOUR),
        Entry(obis=Obis.IMPORT_ENERGY, value=5),
    ],
)
def test_a_value_that_means_nothing_is_not_there(entry: Entry) -> None:
    (telegram,) = read(encode(SERVER, [entry, Entry(obis=Obis.POWER, value=3, unit=Unit.WATT)]))

    assert isinstance(telegram, Telegram)
    assert telegram.values == {Obis.POWER: 3}


def test_a_telegram_that_broke_off_does_not_spoil_the_next_one() -> None:
    telegram, reader = encode(SERVER, [ENERGY]), TelegramReader(Checksum.X25)
    reader.feed(telegram[: len(telegram) // 2], at_s=100.0)

    (found,) = reader.feed(telegram, at_s=100.0 + 2 * GAP_S)

    assert isinstance(found, Telegram)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_wrong_byte_makes_no_telegram(place: int, change: int) -> None:
    data = bytearray(encode(SERVER, [ENERGY]))
    data[place % len(data)] ^= change

    assert not [each for each in read(bytes(data)) if isinstance(each, Telegram)]


@given(st.lists(st.binary(max_size=2000), max_size=10))
def test_noise_is_no_telegram_and_is_not_kept_for_ever(pieces: list[bytes]) -> None:
    reader = TelegramReader(Checksum.X25)

    for piece in pieces:
        assert not [each for each in reader.feed(piece, at_s=1.0) if isinstance(each, Telegram)]
    reader.feed(b"", at_s=2.0)

    (found,) = reader.feed(encode(SERVER, [ENERGY]), at_s=3.0)
    assert isinstance(found, Telegram)


def test_a_telegram_without_an_end_is_given_up() -> None:
    reader = TelegramReader(Checksum.X25)
    endless = bytes.fromhex("1b1b1b1b01010101") + bytes(LONGEST_TELEGRAM_BYTES)

    (found,) = reader.feed(endless, at_s=1.0)

    assert isinstance(found, TelegramUnreadable)


@given(st.binary(max_size=300))
# A list that says it is longer than memory, and one within the other without end.
@example(bytes.fromhex("76 ff ff ff ff ff ff ff ff 0f"))
@example(b"\x71" * 3000)
@example(bytes.fromhex("76 05 00000002 62 00 62 00 72 63 0701 01 63 0000 00"))
def test_nonsense_with_a_right_checksum_is_refused_as_such(messages: bytes) -> None:
    for found in read(enclose(messages)):
        assert isinstance(found, TelegramUnreadable)
