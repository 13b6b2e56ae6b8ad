"""Driver of the ABB B23 and B24 meters."""

import asyncio
from collections.abc import Mapping

from hardware.drivers.energy_register import EnergyRegister
from hardware.links.serial_bus import ModbusRefused, Patience, SerialBus
from hardware.protocols.abb import (
    ENERGY_BLOCK,
    FIRMWARE,
    FIRMWARE_REGISTERS,
    MEASURED_BLOCK,
    SERIAL_NUMBER,
    Quantity,
)
from hardware.protocols.registers import decode, decode_text
from station.domain.ports import (
    DeviceFailed,
    DeviceGarbled,
    MeasuredPhases,
    MeterIdentity,
    MeterReading,
    ReadingUnusable,
)
from station.domain.units import MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour

# 45 registers take 110 ms at 9600 baud.
PATIENCE = Patience(timeout_s=0.5, attempts=2)
_VOLTAGES = (Quantity.VOLTAGE_L1, Quantity.VOLTAGE_L2, Quantity.VOLTAGE_L3)
_CURRENTS = (Quantity.CURRENT_L1, Quantity.CURRENT_L2, Quantity.CURRENT_L3)
_POWERS = (Quantity.POWER_L1, Quantity.POWER_L2, Quantity.POWER_L3)


class AbbB23:
    """A Meter. It counts tens of watt hours, and so does what is told of it."""

    def __init__(self, bus: SerialBus, *, address: int) -> None:
        self._bus = bus
        self._address = address
        self._energy = EnergyRegister()

    async def open(self) -> None:
        self._bus.acquire()

    async def close(self) -> None:
        self._bus.release()

    async def identify(self) -> MeterIdentity:
        serial = decode(SERIAL_NUMBER, await self._read(SERIAL_NUMBER.register, 2), start=SERIAL_NUMBER.register)
        if serial is None:
            raise DeviceGarbled("the meter tells no serial number")
        try:
            firmware = decode_text(await self._read(FIRMWARE, FIRMWARE_REGISTERS))
        except ModbusRefused:
            # Nobody needs it to bill.
            firmware = ""
        self._energy.forget()
        return MeterIdentity(vendor="ABB", model="B23", serial=str(serial), firmware=firmware)

    async def read(self) -> MeterReading:
        start, count = MEASURED_BLOCK
        registers = await self._read(start, count)
        values = {
            quantity: decode(quantity.value, registers, start=start)
            for quantity in Quantity
            if quantity.value.register >= start
        }
        voltages, currents = _voltages(values), _currents(values)
        try:
            start, count = ENERGY_BLOCK
            registers = await self._read(start, count)
            energy = self._energy.judge(decode(Quantity.IMPORT_ENERGY.value, registers, start=start))
        except DeviceFailed as error:
            phases = MeasuredPhases(voltages=voltages, currents=currents)
            if phases == MeasuredPhases():
                raise
            raise ReadingUnusable(str(error), phases) from error
        exported = decode(Quantity.EXPORT_ENERGY.value, registers, start=start)
        frequency = values[Quantity.FREQUENCY]
        return MeterReading(
            read_at_s=asyncio.get_running_loop().time(),
            import_energy=energy,
            power=_watt(values[Quantity.POWER]),
            voltages=voltages,
            currents=currents,
            phase_powers=(
                _watt(values[_POWERS[0]]),
                _watt(values[_POWERS[1]]),
                _watt(values[_POWERS[2]]),
            ),
            frequency=None if frequency is None else MilliHertz(frequency),
            export_energy=None if exported is None else WattHour(exported),
        )

    async def _read(self, register: int, count: int) -> list[int]:
        return await self._bus.read_holding(self._address, register, count, PATIENCE)


def _watt(value: int | None) -> Watt | None:
    return None if value is None else Watt(value)


def _voltages(values: Mapping[Quantity, int | None]) -> tuple[MilliVolt | None, MilliVolt | None, MilliVolt | None]:
    found = [None if values[each] is None else MilliVolt(values[each] or 0) for each in _VOLTAGES]
    return found[0], found[1], found[2]


def _currents(
    values: Mapping[Quantity, int | None],
) -> tuple[MilliAmpere | None, MilliAmpere | None, MilliAmpere | None]:
    found = [None if values[each] is None else MilliAmpere(values[each] or 0) for each in _CURRENTS]
    return found[0], found[1], found[2]
