import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.drivers.abb_b23 import AbbB23
from hardware.protocols.abb import (
    ENERGY_BLOCK,
    MEASURED_BLOCK,
    SERIAL_NUMBER,
    Quantity,
    encode_block,
)
from hardware.protocols.registers import decode, encode, encode_text
from station.domain.ports import DeviceFailed, DeviceGarbled, DeviceSilent, ReadingUnusable
from tests.unit.hardware.drivers.fake_bus import FakeBus

CHARGING: dict[Quantity, int | None] = {
    Quantity.IMPORT_ENERGY: 18_240,
    Quantity.EXPORT_ENERGY: 10,
    Quantity.VOLTAGE_L1: 230_200,
    Quantity.VOLTAGE_L2: 229_800,
    Quantity.VOLTAGE_L3: 231_000,
    Quantity.CURRENT_L1: 16_010,
    Quantity.CURRENT_L2: 15_900,
    Quantity.CURRENT_L3: 0,
    Quantity.POWER: 7_340,
    Quantity.POWER_L1: 3_686,
    Quantity.POWER_L2: 3_654,
    Quantity.POWER_L3: 0,
    Quantity.FREQUENCY: 49_980,
}


class MeterBus(FakeBus):
    """A bus with one meter on it."""

    def __init__(self) -> None:
        super().__init__()
        self.holding.update(enumerate(encode(SERIAL_NUMBER, 20_261_234), SERIAL_NUMBER.register))
        self.holding.update(enumerate(encode_text("B2.10.1", 8), 0x8908))
        self.measure(CHARGING)

    def measure(self, values: dict[Quantity, int | None]) -> None:
        for start, count in (ENERGY_BLOCK, MEASURED_BLOCK):
            self.holding.update(enumerate(encode_block(values, start=start, count=count), start))


@pytest.fixture
def bus() -> MeterBus:
    return MeterBus()


async def test_a_meter_tells_all_its_values_in_whole_units(bus: MeterBus) -> None:
    reading = await AbbB23(bus, address=1).read()

    assert reading.import_energy == 18_240
    assert reading.export_energy == 10
    assert reading.power == 7_340
    assert reading.voltages == (230_200, 229_800, 231_000)
    assert reading.currents == (16_010, 15_900, 0)
    assert reading.phase_powers == (3_686, 3_654, 0)
    assert reading.frequency == 49_980


def test_the_numbers_of_the_registers_are_those_of_the_document() -> None:
    """1,234.56 kWh, 230.1 V, 16.05 A, -1.00 W and 50.00 Hz, written out by hand."""
    assert decode(Quantity.IMPORT_ENERGY.value, [0, 0, 0x0001, 0xE240], start=0x5000) == 1_234_560
    assert decode(Quantity.VOLTAGE_L1.value, [0, 0x08FD], start=0x5B00) == 230_100
    assert decode(Quantity.CURRENT_L1.value, [0, 0x0645], start=0x5B0C) == 16_050
    assert decode(Quantity.POWER.value, [0xFFFF, 0xFF9C], start=0x5B14) == -1
    assert decode(Quantity.FREQUENCY.value, [0x1388], start=0x5B2C) == 50_000


async def test_a_value_the_meter_has_not_is_none_instead_of_zero(bus: MeterBus) -> None:
    bus.measure(CHARGING | {Quantity.VOLTAGE_L2: None, Quantity.CURRENT_L3: None, Quantity.POWER: None})

    reading = await AbbB23(bus, address=1).read()

    assert reading.voltages == (230_200, None, 231_000)
    assert reading.currents == (16_010, 15_900, None)
    assert reading.power is None


async def test_a_meter_is_told_by_its_serial_number(bus: MeterBus) -> None:
    identity = await AbbB23(bus, address=1).identify()

    assert (identity.vendor, identity.model, identity.serial, identity.firmware) == (
        "ABB",
        "B23",
        "20261234",
        "B2.10.1",
    )


async def test_a_meter_that_refuses_its_firmware_is_known_all_the_same(bus: MeterBus) -> None:
    bus.refused.add((3, 0x8908))

    assert (await AbbB23(bus, address=1).identify()).firmware == ""


async def test_a_meter_without_a_serial_number_is_none(bus: MeterBus) -> None:
    bus.holding.update(enumerate(encode(SERIAL_NUMBER, None), SERIAL_NUMBER.register))

    with pytest.raises(DeviceGarbled, match="serial"):
        await AbbB23(bus, address=1).identify()


async def test_energy_that_falls_is_noise_until_the_meter_is_identified_again(bus: MeterBus) -> None:
    meter = AbbB23(bus, address=1)
    await meter.read()
    bus.measure(CHARGING | {Quantity.IMPORT_ENERGY: 18_000})

    with pytest.raises(DeviceGarbled, match="fell"):
        await meter.read()
    await meter.identify()

    assert (await meter.read()).import_energy == 18_000


@pytest.mark.parametrize("energy", [None, 10])
async def test_the_currents_are_told_whatever_the_register_says(bus: MeterBus, energy: int | None) -> None:
    meter = AbbB23(bus, address=1)
    await meter.read()
    bus.measure(CHARGING | {Quantity.IMPORT_ENERGY: energy})

    with pytest.raises(ReadingUnusable) as told:
        await meter.read()

    assert told.value.phases.currents == (16_010, 15_900, 0)


async def test_a_meter_that_tells_nothing_is_silent(bus: MeterBus) -> None:
    bus.refused.clear()
    bus.silent = True

    with pytest.raises(DeviceSilent):
        await AbbB23(bus, address=1).read()


@given(st.sampled_from(Quantity), st.integers(-(2**40), 2**40))
def test_what_is_written_is_read_to_within_one_count(quantity: Quantity, value: int) -> None:
    registers = encode(quantity.value, value)

    told = decode(quantity.value, registers, start=quantity.value.register)

    assert all(0 <= register <= 0xFFFF for register in registers)
    assert told is None or abs(told - value) <= max(1.0, float(quantity.value.unit))


@given(st.lists(st.lists(st.integers(0, 0xFFFF), min_size=0x35, max_size=0x35), max_size=4))
def test_garbage_registers_end_in_a_reading_or_a_device_error_and_energy_never_falls(blocks: list[list[int]]) -> None:
    async def read_all() -> list[int]:
        bus = MeterBus()
        meter = AbbB23(bus, address=1)
        energies: list[int] = []
        for block in blocks:
            bus.holding.update(enumerate(block[:8], 0x5000))
            bus.holding.update(enumerate(block[8:], 0x5B00))
            try:
                energies.append((await meter.read()).import_energy)
            except DeviceFailed:
                continue
        return energies

    energies = asyncio.run(read_all())

    assert energies == sorted(energies)
