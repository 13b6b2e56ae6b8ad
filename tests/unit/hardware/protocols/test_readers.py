"""Frames of the PN532 and of readers that send by themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.protocols.pn532 import (
    ACK,
    SAM_NORMAL,
    Command,
    FoundCard,
    decode_answer,
    decode_firmware,
    encode_command,
    encode_frame,
    end_of_answer,
)
from hardware.protocols.stx_etx import Checksum, Dialect, Encoding
from station.domain.ports import DeviceFailed, DeviceGarbled, DeviceRefused


def test_the_frame_of_the_fact_sheet() -> None:
    assert encode_command(Command.SAM_CONFIGURATION, SAM_NORMAL).hex(" ") == "00 00 ff 05 fb d4 14 01 00 01 16 00"


def answer(data: str) -> bytes:
    return ACK + encode_frame(bytes.fromhex(data))


def test_answers_are_read_with_their_acknowledgement() -> None:
    found = decode_answer(answer("d54b010100040804ae36959e"), Command.IN_LIST_PASSIVE_TARGET)

    assert FoundCard.decode(found) == FoundCard(atqa=b"\x00\x04", sak=8, uid=bytes.fromhex("ae36959e"))
    assert FoundCard.decode(decode_answer(answer("d54b00"), Command.IN_LIST_PASSIVE_TARGET)) is None
    assert decode_firmware(decode_answer(answer("d50332010607"), Command.GET_FIRMWARE_VERSION)) == "1.6"


def test_an_error_frame_is_a_refusal_and_another_chip_is_noise() -> None:
    with pytest.raises(DeviceRefused):
        decode_answer(ACK + bytes.fromhex("0000ff01ff7f8100"), Command.SAM_CONFIGURATION)
    with pytest.raises(DeviceGarbled):
        decode_firmware(b"\x07\x01\x06\x07")


@given(st.binary(max_size=20), st.integers(min_value=0))
def test_an_answer_ends_where_it_ends_and_not_before(noise: bytes, cut: int) -> None:
    whole = answer("d54b010100040804ae36959e")

    assert end_of_answer(whole + noise) == len(whole)
    assert end_of_answer(whole[: cut % len(whole)]) is None


@given(st.binary(max_size=80))
def test_noise_is_no_card(noise: bytes) -> None:
    received = ACK + noise
    end = end_of_answer(received)
    if end is None:
        return
    try:
        FoundCard.decode(decode_answer(received[:end], Command.IN_LIST_PASSIVE_TARGET))
    except DeviceFailed:
        return


def test_a_frame_of_an_rdm6300() -> None:
    """EM4100 card 0x1E00A5B9C3: 1E ^ 00 ^ A5 ^ B9 ^ C3 = C1, written out by hand."""
    frame = b"\x021E00A5B9C3C1\x03"

    assert Dialect().decode(frame[1:-1]).hex() == "1e00a5b9c3"
    assert Dialect().encode(bytes.fromhex("1e00a5b9c3")) == frame
    assert Dialect().decode(b"1E00A5B9C3C1\r\n").hex() == "1e00a5b9c3", "ID-12 adds CR LF"
    with pytest.raises(DeviceGarbled, match="checksum"):
        Dialect().decode(b"1E00A5B9C3C2")


@given(st.binary(min_size=1, max_size=10), st.sampled_from(Checksum), st.sampled_from(Encoding))
def test_every_id_is_read_as_it_was_written(uid: bytes, checksum: Checksum, encoding: Encoding) -> None:
    dialect = Dialect(checksum=checksum, encoding=encoding)
    if encoding is Encoding.DECIMAL:
        # A number has no leading zeros.
        uid = b"\x01" + uid[1:]

    assert dialect.decode(dialect.encode(uid)[1:-1]) == uid


@given(st.lists(st.binary(min_size=5, max_size=5), min_size=1, max_size=3), st.sampled_from(Checksum), st.data())
def test_binary_ids_are_whole_whatever_bytes_they_hold_and_in_whatever_portions_they_come(
    uids: list[bytes], checksum: Checksum, data: st.DataObject
) -> None:
    dialect = Dialect(checksum=checksum, encoding=Encoding.BINARY)
    sent = b"".join(map(dialect.encode, uids))
    buffer, heard = b"", []
    while sent:
        size = data.draw(st.integers(min_value=1, max_value=len(sent)))
        buffer, sent = buffer + sent[:size], sent[size:]
        while (found := dialect.cut(buffer))[1] is not None:
            assert found[0] == b""
            heard.append(dialect.decode(found[1]))
            buffer = found[2]

    assert heard == uids
    assert buffer == b""


@pytest.mark.parametrize(("prefix", "suffix"), [(b"\r\n", b"\n"), (b"\r\n", b"\r\n"), (b"\n", b"\n"), (b"\x02", b"\r")])
def test_ids_are_found_between_any_characters_also_when_one_listens_from_the_middle_on(
    prefix: bytes, suffix: bytes
) -> None:
    dialect = Dialect(prefix=prefix, suffix=suffix)
    uid = bytes.fromhex("1e00a5b9c3")
    buffer = dialect.encode(uid)[6:] + 2 * dialect.encode(uid)
    heard = []
    while (found := dialect.cut(buffer))[1] is not None:
        if found[1]:
            heard.append(dialect.decode(found[1]))
        buffer = found[2]

    assert heard == [uid, uid]


@given(st.binary(max_size=60), st.sampled_from(Encoding))
def test_cutting_loses_no_byte_and_ends(noise: bytes, encoding: Encoding) -> None:
    dialect = Dialect(encoding=encoding)
    buffer, steps = noise, 0
    while (found := dialect.cut(buffer))[1] is not None:
        before, body, buffer = found
        assert body is not None
        assert noise.endswith(before + dialect.prefix + body + dialect.suffix + buffer)
        steps += 1
        assert steps <= len(noise)
    assert noise.endswith(found[0] + found[2])


@given(st.binary(max_size=40), st.sampled_from(Checksum), st.sampled_from(Encoding))
def test_noise_is_an_id_or_a_device_error(noise: bytes, checksum: Checksum, encoding: Encoding) -> None:
    try:
        uid = Dialect(checksum=checksum, encoding=encoding).decode(noise)
    except DeviceGarbled:
        return
    assert 1 <= len(uid) <= 10
