import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.protocols.amtron import (
    PILOT_INIT,
    PILOTS,
    Cable,
    Limits,
    Switches,
    decode_float,
    decode_pilot,
    decode_text,
    encode_float,
    encode_pilot,
    encode_text,
)
from station.domain.ports import DeviceGarbled


def test_a_float_has_its_low_word_first() -> None:
    """16.0 is 0x41800000, written out by hand."""
    assert encode_float(16.0) == [0x0000, 0x4180]
    assert decode_float([0x3333, 0x4153]) == pytest.approx(13.2)


@given(st.floats(width=32, allow_nan=False))
def test_every_float_is_read_as_it_was_written(value: float) -> None:
    assert decode_float(encode_float(value)) == value


@given(
    st.lists(st.floats(min_value=0, max_value=80, width=32), min_size=4, max_size=4),
    st.sampled_from(Cable),
    st.tuples(st.booleans(), st.booleans()),
)
def test_blocks_are_read_as_they_were_written(values: list[float], cable: Cable, bits: tuple[bool, bool]) -> None:
    limits = Limits(downgrade_a=values[0], limit_a=values[1], installation_a=values[2], device_a=values[3])
    switches = Switches(cable=cable, released=bits[0], locked_station=bits[1])

    assert Limits.decode(limits.encode()) == limits
    assert Switches.decode(switches.encode()) == switches


@given(st.lists(st.integers(0, 0xFFFF), min_size=8, max_size=8))
def test_any_registers_are_limits_or_noise(registers: list[int]) -> None:
    try:
        limits = Limits.decode(registers)
    except DeviceGarbled:
        return
    assert min(limits.limit_a, limits.device_a) >= 0


@given(st.integers(0, 0xFFFF))
def test_a_pilot_the_document_does_not_know_is_noise(value: int) -> None:
    if value in PILOTS:
        pilot, pwm_on = decode_pilot(value)
        assert value == PILOT_INIT or encode_pilot(pilot, pwm_on=pwm_on) == value
        return
    with pytest.raises(DeviceGarbled):
        decode_pilot(value)


def test_texts_are_filled_up_with_zeros() -> None:
    assert decode_text(encode_text("1.4.2")) == "1.4.2"
