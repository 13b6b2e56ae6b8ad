import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.drivers import lamp
from hardware.drivers.modbus_io import InputAssignment, ModbusIo, SignalAssignment
from station.domain.faults import FaultCode
from station.domain.ports import DeviceSilent, LampColour, LampPattern, Signal
from tests.unit.hardware.drivers.fake_bus import FakeBus

GREEN = LampPattern(colour=LampColour.GREEN)


async def test_active_contacts_become_faults_of_their_charging_points():
    bus = FakeBus()
    inputs = [
        InputAssignment(input=0, code=FaultCode.GROUND_FAILURE, connector=1),
        InputAssignment(input=1, code=FaultCode.HIGH_TEMPERATURE, connector=1),
        InputAssignment(input=2, code=FaultCode.RESET_FAILURE),
        InputAssignment(input=5, code=FaultCode.GROUND_FAILURE, connector=2, active_low=True),
    ]
    bus.discrete.update({0: True, 1: True, 5: True})

    faults = (await ModbusIo(bus, address=10, inputs=inputs).read()).faults

    assert faults == {1: {FaultCode.GROUND_FAILURE, FaultCode.HIGH_TEMPERATURE}}


async def test_a_contact_that_opens_is_active_when_the_configuration_says_so():
    inputs = [InputAssignment(input=3, code=FaultCode.OVER_VOLTAGE, connector=1, active_low=True)]

    faults = (await ModbusIo(FakeBus(), address=10, inputs=inputs).read()).faults

    assert faults == {1: {FaultCode.OVER_VOLTAGE}}


@pytest.mark.parametrize("closed", [True, False])
async def test_the_contact_of_the_control_box_is_told_as_it_is(closed: bool):  # noqa: FBT001
    bus = FakeBus()
    bus.discrete.update({7: closed})
    io = ModbusIo(bus, address=10, inputs=[], signals=[SignalAssignment(input=7, signal=Signal.DIMMING)])

    inputs = await io.read()

    assert io.signals == {Signal.DIMMING}
    assert inputs.closed == {Signal.DIMMING: closed}
    assert inputs.faults == {}


async def test_a_module_without_assigned_inputs_is_not_asked():
    bus = FakeBus()
    bus.silent = True

    assert (await ModbusIo(bus, address=10, inputs=[]).read()).faults == {}


async def test_a_colour_is_written_once_and_again_when_it_changes():
    bus = FakeBus()
    io = ModbusIo(bus, address=10, inputs=[])

    await io.show(2, GREEN)
    await io.show(2, GREEN)
    await io.show(2, LampPattern(colour=LampColour.BLUE))

    assert bus.written == [(4, [True, False, False, False]), (4, [False, True, False, False])]


async def test_a_write_that_failed_is_told_and_made_good_later():
    bus = FakeBus()
    io = ModbusIo(bus, address=10, inputs=[])
    bus.silent = True
    with pytest.raises(DeviceSilent):
        await io.show(1, GREEN)
    bus.silent = False

    await io.show(1, GREEN)

    assert bus.written == [(0, [True, False, False, False])]


async def test_closing_ends_the_task_that_blinks():
    bus = FakeBus()
    io = ModbusIo(bus, address=10, inputs=[])
    await io.open()
    await io.show(1, LampPattern(colour=LampColour.RED, blinks=4))

    await io.close()

    assert bus.users == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_steady_pattern_is_lit_for_ever():
    assert lamp.phase(GREEN, 1234.5) == (True, None)


@given(st.integers(1, 9), st.integers(0, 1_000_000))
def test_a_phase_lasts_until_its_end_and_not_longer(blinks, elapsed_ms):
    # An odd third of a millisecond keeps clear of the edges, where the last bit of a float decides.
    elapsed_s = (elapsed_ms + 1 / 3) / 1000
    pattern = LampPattern(colour=LampColour.RED, blinks=blinks)

    lit, remaining_s = lamp.phase(pattern, elapsed_s)

    assert remaining_s is not None
    assert 0 < remaining_s <= lamp.OFF_S + lamp.PAUSE_S
    assert lamp.phase(pattern, elapsed_s + remaining_s / 2)[0] is lit
    assert lamp.phase(pattern, elapsed_s + remaining_s + 0.001)[0] is not lit


@given(st.integers(1, 9))
def test_a_person_counts_the_blinks_of_one_period(blinks):
    pattern = LampPattern(colour=LampColour.RED, blinks=blinks)
    now_s, seen, period_s = 0.0, 0, blinks * (lamp.ON_S + lamp.OFF_S) + lamp.PAUSE_S
    while now_s < period_s - 0.01:
        lit, remaining_s = lamp.phase(pattern, now_s)
        seen += lit
        assert remaining_s is not None
        now_s += remaining_s + 1e-6

    assert seen == blinks
