"""Frames and registers of ABL's controllers, against the maker's document and recordings of real boxes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, WriteMultipleRegistersRequest

from hardware.links.modbus_ascii import ANSWER, END, REQUEST, AsciiFramer, decode_frame, encode_frame
from hardware.protocols.abl import (
    NO_CURRENT,
    Block,
    Flag,
    Identification,
    Option,
    State,
    Status,
    current_of,
    decode_flags,
    decode_maximum,
    decode_serial_number,
    duty_of,
    encode_flags,
    encode_maximum,
    encode_serial_number,
)
from station.domain.ports import DeviceGarbled
from station.domain.units import MilliAmpere

CAPTURES = [
    tuple(line.split())
    for line in (Path(__file__).parents[3] / "captures" / "abl_evcc.hex").read_text().splitlines()
    if not line.startswith("#")
]


def answered(frame: str, *, device: int = 1) -> list[int]:
    _, reply = AsciiFramer(DecodePDU(is_server=False)).handleFrame(frame.encode() + END, device, 0)
    assert reply is not None
    return list(reply.registers)


@pytest.mark.parametrize(("request_frame", "answer"), CAPTURES)
def test_recorded_frames_are_read_and_written_alike(request_frame: str, answer: str) -> None:
    for frame, start in ((request_frame, REQUEST), (answer, ANSWER)):
        if frame != "-":
            data = decode_frame(frame.encode() + END, start=start)

            assert encode_frame(data, start=start) == frame.encode() + END


def test_requests_of_the_bus_are_those_of_the_document() -> None:
    framer = AsciiFramer(DecodePDU(is_server=False))

    reading = framer.buildFrame(ReadHoldingRegistersRequest(address=0x2E, count=5, dev_id=1))
    stop = framer.buildFrame(WriteMultipleRegistersRequest(address=0x14, registers=[NO_CURRENT], dev_id=1))

    assert (reading, stop) == (b":0103002E0005C9\r\n", b":0110001400010203E8ED\r\n")


def test_what_boards_have_said_of_themselves() -> None:
    first = Identification.decode(answered(">01030401011237AD"))
    second = Identification.decode(answered(">020304014241BEB5", device=2))

    assert (first.hardware, first.device_id, first.firmware_major, first.firmware_minor) == ("141215", 1, 1, 2)
    assert (second.hardware, second.device_id, second.firmware_major, second.firmware_minor) == ("160307", 2, 4, 1)
    assert second.options & Option.SOCKET
    assert not second.options & Option.SUPERVISED
    assert decode_serial_number(answered(">0103105000325732327879303132333435363722")) == "2W22xy01234567"


def test_what_boards_have_said_of_their_car() -> None:
    waiting = Status.decode(answered(">01030A2EA1106403E803E803E8EE"))
    permitted = Status.decode(answered(">01030A2EB2910B03E803E803E8B5"))

    assert (waiting.state, waiting.connected, waiting.duty) == (State.A1, False, 100)
    assert (permitted.state, permitted.connected, permitted.duty) == (State.B2, True, 267)
    assert current_of(permitted.duty) == 16_020


def test_a_failed_write_is_an_exception() -> None:
    _, reply = AsciiFramer(DecodePDU(is_server=False)).handleFrame(b">0190046B\r\n", 1, 0)

    assert reply is not None
    assert (reply.function_code, reply.exception_code) == (0x90, 4)


@pytest.mark.parametrize("misprint", [">01030A2EC3810A0064006400001F", ">0103063380C30A0A00EC", ">011000130001D8"])
def test_the_misprinted_checksums_of_the_document_are_refused(misprint: str) -> None:
    with pytest.raises(DeviceGarbled, match="LRC"):
        decode_frame(misprint.encode() + END, start=ANSWER)


@given(st.integers(min_value=0, max_value=100_000))
def test_the_signalled_current_is_never_more_than_wanted(wanted: int) -> None:
    duty = duty_of(MilliAmpere(wanted))

    assert current_of(duty) <= wanted
    assert (duty == NO_CURRENT) == (wanted < 6_000)
    assert wanted < 6_000 or wanted > 51_000 or wanted - current_of(duty) < 60


@given(st.sampled_from(State), st.integers(0, 0xFFF), st.integers(0, 0xFFFF), st.tuples(st.booleans(), st.booleans()))
def test_every_status_is_read_as_it_was_written(
    state: State, duty: int, current: int, flags: tuple[bool, bool]
) -> None:
    status = Status(state=state, connected=flags[0], reduced=flags[1], duty=duty, currents=(current, 0, NO_CURRENT))

    assert Status.decode(status.encode()) == status


def test_the_other_blocks_are_read_as_they_were_written() -> None:
    assert decode_maximum(encode_maximum(266)) == 266
    assert decode_serial_number(encode_serial_number("2W22xy01234567")) == "2W22xy01234567"
    assert decode_flags(encode_flags(Flag.HOT | Flag.SILENCE_IS_F4)) == Flag.HOT | Flag.SILENCE_IS_F4


@given(st.lists(st.integers(0, 0xFFFF), max_size=9), st.sampled_from(Block))
def test_other_registers_are_noise(registers: list[int], block: Block) -> None:
    decoders = {
        Block.IDENTIFICATION: Identification.decode,
        Block.FLAGS: decode_flags,
        Block.SETTINGS: decode_maximum,
        Block.STATUS: Status.decode,
        Block.SERIAL_NUMBER: decode_serial_number,
    }
    if len(registers) == block.count and registers[0] >> 8 == block:
        registers = registers[1:]

    with pytest.raises(DeviceGarbled):
        decoders[block](registers)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_noise_around_an_answer_is_passed_over(before: bytes, after: bytes) -> None:
    answer = b">0103020327D0\r\n"
    framer = AsciiFramer(DecodePDU(is_server=False))

    used, reply = framer.handleFrame(before + answer + after, 1, 0)

    assert reply is not None
    assert used <= len(before + answer + after)


@given(st.binary(max_size=200))
def test_noise_alone_is_no_answer(noise: bytes) -> None:
    _, reply = AsciiFramer(DecodePDU(is_server=False)).handleFrame(noise, 1, 0)

    assert reply is None or ANSWER in noise
