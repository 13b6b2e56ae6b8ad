import asyncio
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.drivers.eastron_sdm import EastronSdm
from hardware.protocols.eastron import Holding, Model, Quantity, encode_block, encode_bytes, encode_u32
from station.domain.ports import DeviceFailed, DeviceGarbled, DeviceSilent, ReadingUnusable
from tests.unit.hardware.drivers.fake_bus import FakeBus

CHARGING = {
    Quantity.VOLTAGE_L1: 230.2,
    Quantity.VOLTAGE_L2: 229.8,
    Quantity.VOLTAGE_L3: 231.0,
    Quantity.CURRENT_L1: 16.012,
    Quantity.CURRENT_L2: 15.9,
    Quantity.CURRENT_L3: 0.0,
    Quantity.POWER_L1: 3686.0,
    Quantity.POWER_L2: 3653.8,
    Quantity.POWER_L3: 0.0,
    Quantity.POWER: 7339.8,
    Quantity.FREQUENCY: 49.98,
    Quantity.IMPORT_ENERGY: 18.2404,
    Quantity.EXPORT_ENERGY: 0.001,
}


class MeterBus(FakeBus):
    """A bus with one meter on it."""

    def __init__(self) -> None:
        super().__init__()
        self.holding.update(zip((0xFC00, 0xFC01), encode_u32(20_261_234), strict=True))
        self.measure(CHARGING)

    def measure(self, values) -> None:
        self.input.update(enumerate(encode_block(values, start=0, count=0x4C)))


@pytest.fixture
def bus():
    return MeterBus()


async def test_a_meter_tells_all_its_values_in_whole_units(bus):
    reading = await EastronSdm(bus, address=1).read()

    assert reading.import_energy == 18_240
    assert reading.power == 7_340
    assert reading.voltages == (230_200, 229_800, 231_000)
    assert reading.currents == (16_012, 15_900, 0)
    assert reading.phase_powers == (3_686, 3_654, 0)
    assert reading.frequency == 49_980
    assert reading.export_energy == 1


async def test_a_meter_without_phase_values_tells_none_instead_of_zero(bus):
    reading = await EastronSdm(bus, address=1, model=Model.SDM72_V1).read()

    assert reading.import_energy == 18_240
    assert reading.power == 7_340
    assert reading.voltages == (None, None, None)
    assert reading.frequency is None


async def test_a_frequency_in_tenths_is_understood(bus):
    bus.measure(CHARGING | {Quantity.FREQUENCY: 499.8})

    assert (await EastronSdm(bus, address=1).read()).frequency == 49_980


async def test_a_meter_that_says_its_type_is_read_as_that_type(bus):
    bus.holding[0xFC02] = 0x0089

    identity = await EastronSdm(bus, address=1, model=Model.SDM630).identify()

    assert (identity.vendor, identity.model, identity.serial) == ("Eastron", "SDM72D-M-2", "20261234")
    assert identity.public_key == ""


async def test_a_meter_without_a_type_code_is_what_the_configuration_says(bus):
    bus.refused.add((3, 0xFC02))

    assert (await EastronSdm(bus, address=1, model=Model.SDM630).identify()).model == "SDM630"


async def test_the_key_of_a_signing_meter_is_read_in_pieces_and_told_as_upper_case_hex(bus):
    key = bytes(range(200)) + b"\xab"
    bus.holding.update(enumerate(encode_bytes(key), Holding.PUBLIC_KEY))

    identity = await EastronSdm(bus, address=1, public_key_registers=True).identify()

    assert identity.public_key == key.hex().upper()


async def test_a_key_of_absurd_length_is_noise(bus):
    bus.holding[Holding.PUBLIC_KEY] = 0xFFFF

    with pytest.raises(DeviceGarbled):
        await EastronSdm(bus, address=1, public_key_registers=True).identify()


async def test_energy_that_falls_is_noise_until_the_meter_is_identified_again(bus):
    meter = EastronSdm(bus, address=1)
    await meter.read()
    bus.measure(CHARGING | {Quantity.IMPORT_ENERGY: 18.0})

    with pytest.raises(DeviceGarbled, match="fell"):
        await meter.read()
    await meter.identify()

    assert (await meter.read()).import_energy == 18_000


async def test_a_last_step_of_float32_downwards_is_not_told(bus):
    meter = EastronSdm(bus, address=1)
    (value,) = struct.unpack(">f", struct.pack(">f", 16_400.001))
    (below,) = struct.unpack(">f", struct.pack(">I", struct.unpack(">I", struct.pack(">f", value))[0] - 1))
    bus.measure(CHARGING | {Quantity.IMPORT_ENERGY: value})
    first = await meter.read()
    bus.measure(CHARGING | {Quantity.IMPORT_ENERGY: below})

    second = await meter.read()

    assert second.import_energy == first.import_energy


@pytest.mark.parametrize("quantity", [Quantity.IMPORT_ENERGY, Quantity.VOLTAGE_L2, Quantity.POWER])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_a_value_that_is_no_number_is_noise(bus, quantity, value):
    bus.measure(CHARGING | {quantity: value})

    with pytest.raises(DeviceGarbled):
        await EastronSdm(bus, address=1).read()


@pytest.mark.parametrize("broken", [{Quantity.IMPORT_ENERGY: math.nan}, {Quantity.IMPORT_ENERGY: 3.0}])
async def test_the_currents_are_told_whatever_the_register_says(bus, broken):
    meter = EastronSdm(bus, address=1)
    await meter.read()
    bus.measure(CHARGING | broken)

    with pytest.raises(ReadingUnusable) as told:
        await meter.read()

    assert told.value.phases.currents == (16_012, 15_900, 0)


async def test_a_current_that_is_no_number_leaves_those_that_are(bus):
    bus.measure(CHARGING | {Quantity.CURRENT_L2: math.nan, Quantity.VOLTAGE_L3: math.inf})

    with pytest.raises(ReadingUnusable) as told:
        await EastronSdm(bus, address=1).read()

    assert told.value.phases.voltages == (230_200, 229_800, None)
    assert told.value.phases.currents == (16_012, None, 0)


async def test_a_meter_whose_second_block_is_missing_has_told_its_currents(bus):
    meter = EastronSdm(bus, address=1, model=Model.SDM72)
    bus.silent_from = 0x46

    with pytest.raises(ReadingUnusable) as told:
        await meter.read()

    assert told.value.phases.currents == (16_012, 15_900, 0)


async def test_a_meter_that_tells_nothing_is_silent(bus):
    bus.silent_from = 0

    with pytest.raises(DeviceSilent):
        await EastronSdm(bus, address=1).read()


async def test_a_quantity_nobody_needs_may_be_no_number(bus):
    bus.measure(CHARGING | {Quantity.POWER_FACTOR: math.nan})

    assert (await EastronSdm(bus, address=1).read()).import_energy == 18_240


@given(st.lists(st.lists(st.integers(0, 0xFFFF), min_size=0x4C, max_size=0x4C), max_size=4))
def test_garbage_registers_end_in_a_reading_or_a_device_error_and_energy_never_falls(blocks):
    async def read_all() -> list[int]:
        bus = MeterBus()
        meter = EastronSdm(bus, address=1)
        energies: list[int] = []
        for block in blocks:
            bus.input.update(enumerate(block))
            try:
                energies.append((await meter.read()).import_energy)
            except DeviceFailed:
                continue
        return energies

    energies = asyncio.run(read_all())

    assert energies == sorted(energies)


@given(st.floats(0, 8_000))
def test_energy_is_exact_to_the_watt_hour_below_8000_kwh(kwh):
    async def read() -> int:
        bus = MeterBus()
        bus.measure(CHARGING | {Quantity.IMPORT_ENERGY: kwh})
        return (await EastronSdm(bus, address=1).read()).import_energy

    assert abs(asyncio.run(read()) - kwh * 1000) <= 0.5 + 0.25
