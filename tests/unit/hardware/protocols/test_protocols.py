"""The codecs against the byte vectors of the fact sheets, and against everything else."""

import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from hardware.protocols import digital_io, eastron, phoenix, twn4
from hardware.protocols.phoenix import BoardError, IdentificationBlock, Input, Output, StatusBlock
from station.domain.ports import DeviceFailed, DeviceGarbled, LampColour, Pilot

word = st.integers(0, 0xFFFF)
in_service = st.sampled_from([Pilot.A, Pilot.B, Pilot.C, Pilot.D])


def _payload(frame_hex: str) -> list[int]:
    """Registers of a captured read reply, its checksum verified."""
    frame = bytes.fromhex(frame_hex)
    assert FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))
    data = frame[3:-2]
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


@pytest.mark.parametrize(
    ("frame", "state"),
    [("01 04 02 41 31 48 B4", (Pilot.A, False)), ("01 04 02 43 32 09 D5", (Pilot.C, True))],
)
def test_iec_states_of_the_fact_sheet_are_read_and_written(frame, state):
    (register,) = _payload(frame)

    assert phoenix.decode_state(register) == state
    assert phoenix.encode_state(state[0], pwm_on=state[1]) == register


@given(word)
def test_a_state_register_is_either_a_state_or_noise(register):
    try:
        pilot, pwm_on = phoenix.decode_state(register)
    except DeviceGarbled:
        return

    assert phoenix.encode_state(pilot, pwm_on=pwm_on) == register


status_blocks = st.builds(
    StatusBlock,
    pilot=in_service,
    pwm_on=st.booleans(),
    cable_a=st.sampled_from([0, 13, 20, 32, 63, phoenix.CABLE_SHORTED]),
    duty_percent=st.integers(10, 90),
    current_a=st.integers(6, 63),
    inputs=st.integers(0, 31).map(Input),
    outputs=st.integers(0, 15).map(Output),
    charging_s=st.integers(0, 3600 * 999),
    connected_s=st.integers(0, 3600 * 999),
    errors=st.frozensets(st.sampled_from(list(BoardError))),
)


@given(status_blocks)
def test_a_status_block_survives_the_wire(block):
    assert StatusBlock.decode(block.encode()) == block


@given(st.lists(word, max_size=40) | st.lists(word, min_size=26, max_size=26))
def test_garbage_in_place_of_a_status_is_noise_at_worst(registers):
    for decode in (StatusBlock.decode, IdentificationBlock.decode):
        with contextlib.suppress(DeviceFailed):
            decode(registers)


@given(st.lists(word, min_size=34, max_size=34))
def test_an_identification_full_of_garbage_is_read_without_unprintable_characters(registers):
    block = IdentificationBlock.decode(registers)

    assert (block.order_designation + block.serial_number + block.firmware).isprintable()


def test_error_number_one_is_the_lowest_bit_and_sixteen_the_highest():
    assert BoardError.CABLE_13_A_AND_20_A_REJECTED.mask == 0x0001
    assert BoardError.RESIDUAL_CURRENT_TEST_FAILED.mask == 0x8000


def test_an_identification_survives_the_wire():
    block = IdentificationBlock(
        order_designation="EV-CC-AC1-M3-CC-SER",
        order_number="1622452",
        serial_number="300412",
        hardware_id=7,
        hardware_version=2,
        firmware_letter="V",
        firmware_major=1,
        firmware_minor=12,
        year=2023,
        month=11,
        day=30,
    )

    assert IdentificationBlock.decode(block.encode()) == block
    assert block.firmware == "V1.12"


def test_the_voltage_of_the_fact_sheet_is_read_and_written():
    high, low = _payload("01 04 04 43 66 33 34 1B 38")

    assert eastron.decode_float(high, low) == pytest.approx(230.2, abs=1e-4)
    assert eastron.encode_float(eastron.decode_float(high, low)) == (high, low)


@given(st.floats(width=32))
def test_every_float32_survives_the_wire(value):
    decoded = eastron.decode_float(*eastron.encode_float(value))

    assert decoded == value or (math.isnan(decoded) and math.isnan(value))


@given(st.floats())
def test_what_float32_cannot_hold_becomes_infinite(value):
    decoded = eastron.decode_float(*eastron.encode_float(value))

    assert math.isnan(value) or decoded == pytest.approx(value, rel=1e-6, abs=1e-37) or math.isinf(decoded)


@given(st.dictionaries(st.sampled_from(list(eastron.Quantity)), st.floats(0, 1e6, width=32)))
def test_a_block_gives_back_the_quantities_that_lie_within(values):
    registers = eastron.encode_block(values, start=0, count=0x4C)
    within = {quantity: value for quantity, value in values.items() if quantity < 0x4C}

    decoded = eastron.decode_block(registers, start=0)

    assert {quantity: decoded[quantity] for quantity in within} == within


@pytest.mark.parametrize("model", list(eastron.Model))
def test_no_poll_asks_a_meter_for_more_than_it_answers(model):
    assert all(count <= eastron.MAXIMUM_REGISTERS[model] for _, count in eastron.POLL_BLOCKS[model])


@given(st.binary(max_size=300))
def test_a_key_block_gives_back_its_bytes(data):
    length, *registers = eastron.encode_bytes(data)

    assert eastron.decode_bytes(length, registers) == data


def test_a_key_block_that_is_cut_is_noise():
    with pytest.raises(DeviceGarbled):
        eastron.decode_bytes(5, [1, 2])


def test_the_search_of_the_fact_sheet_is_written_and_its_answers_are_read():
    assert twn4.search_tag(0x10).encode() == b"050010\r"
    assert twn4.FoundTag.decode(twn4.Reply.decode(b"0000\r").result) is None
    tag = twn4.FoundTag(type=0x80, bits=32, id=bytes.fromhex("AE36959E"))
    reply = twn4.Reply(result=tag.encode())
    assert twn4.FoundTag.decode(twn4.Reply.decode(b"00018020 04AE36959E\r".replace(b" ", b"")).result) == tag
    assert reply.encode() == b"0001802004AE36959E\r"


@given(st.sampled_from(list(twn4.Function)), st.binary(max_size=20))
def test_a_reader_command_survives_the_wire(function, parameters):
    command = twn4.Command(function=function, parameters=parameters)

    assert twn4.Command.decode(command.encode()) == command


@given(st.binary(max_size=60))
def test_garbage_from_a_reader_is_noise_at_worst(line):
    for decode in (twn4.Reply.decode, twn4.Command.decode, twn4.FoundTag.decode):
        with contextlib.suppress(DeviceGarbled):
            decode(line)


def test_integers_of_the_reader_are_little_endian():
    beep = twn4.Beep(volume_percent=100, frequency_hz=0x0960, on_ms=0x0102, off_ms=0x0304)

    assert beep.encode().encode() == b"04076460090201" + b"0403\r"
    assert twn4.Beep.decode(beep.encode()) == beep
    assert twn4.set_tag_types(1, 2).encode() == b"05020100000002000000\r"


@pytest.mark.parametrize("colour", list(LampColour))
def test_a_lamp_colour_lights_one_element_of_four(colour):
    coils = digital_io.encode_lamp(colour)

    assert sum(coils) == (colour is not LampColour.OFF)
    assert digital_io.decode_lamp(coils) is colour


def test_lamps_take_four_coils_each_in_the_order_green_blue_red_yellow():
    assert digital_io.first_lamp_coil(2) == 4
    assert digital_io.encode_lamp(LampColour.RED) == [False, False, True, False]
    with pytest.raises(DeviceGarbled):
        digital_io.decode_lamp([True, True, False, False])


def test_float_layout_is_the_one_of_the_standard_library():
    assert struct.pack(">HH", *eastron.encode_float(1.0)) == struct.pack(">f", 1.0)
