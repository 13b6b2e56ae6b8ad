"""Driver of the Eastron SDM630 and SDM72D-M meters."""

import asyncio
import math
from collections.abc import Mapping

from hardware.links.serial_bus import ModbusRefused, Patience, SerialBus
from hardware.protocols.eastron import (
    POLL_BLOCKS,
    SILENCE_S,
    TYPE_CODES,
    Holding,
    Model,
    Quantity,
    decode_block,
    decode_bytes,
    decode_u32,
)
from station.domain.ports import (
    DeviceFailed,
    DeviceGarbled,
    MeasuredPhases,
    MeterIdentity,
    MeterReading,
    ReadingUnusable,
)
from station.domain.units import MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour

# 76 registers take 170 ms at 9600 baud; openWB waits 100 ms between requests, the meter's document asks for 60 ms.
PATIENCE = Patience(timeout_s=0.5, attempts=2, silence_s=SILENCE_S)
# Registers asked for at once from the key block: the smaller limit of the family (SDM72D-M).
_KEY_CHUNK = 60
# The longest DER public key in use on meters (brainpoolP512r1) has 158 bytes.
_LONGEST_KEY_BYTES = 512
# Two readings of one register may differ by a float32 step while nothing moves; more is a decrease.
_STEPS_OF_TOLERANCE = 1
# Some meters tell the frequency in tenths (openWB, sdm.py).
_HIGHEST_FREQUENCY_HZ = 100

_VOLTAGES = (Quantity.VOLTAGE_L1, Quantity.VOLTAGE_L2, Quantity.VOLTAGE_L3)
_CURRENTS = (Quantity.CURRENT_L1, Quantity.CURRENT_L2, Quantity.CURRENT_L3)
_POWERS = (Quantity.POWER_L1, Quantity.POWER_L2, Quantity.POWER_L3)


class EastronSdm:
    """A Meter. `model` is used until the meter reports a type code of its own."""

    def __init__(
        self, bus: SerialBus, *, address: int, model: Model = Model.SDM630, public_key_registers: bool = False
    ) -> None:
        self._bus = bus
        self._address = address
        self._model = model
        self._public_key_registers = public_key_registers
        self._highest_energy_kwh: float | None = None

    async def open(self) -> None:
        self._bus.acquire()

    async def close(self) -> None:
        self._bus.release()

    async def identify(self) -> MeterIdentity:
        serial = decode_u32(*await self._read_holding(Holding.SERIAL_NUMBER, 2))
        try:
            (code,) = await self._read_holding(Holding.TYPE_CODE, 1)
        except ModbusRefused:
            # Older meters have no type code; the configuration decides.
            code = 0
        self._model = TYPE_CODES.get(code, self._model)
        # Another meter, or one that was replaced or reset by a technician, starts from its own register.
        self._highest_energy_kwh = None
        return MeterIdentity(
            vendor="Eastron",
            model=self._model.value,
            serial=str(serial),
            public_key=(await self._read_public_key()).hex().upper() if self._public_key_registers else "",
        )

    async def read(self) -> MeterReading:
        values: dict[Quantity, float] = {}
        try:
            for start, count in POLL_BLOCKS[self._model]:
                registers = await self._bus.read_input(self._address, start, count, PATIENCE)
                values |= decode_block(registers, start=start)
            return self._reading(values)
        except DeviceFailed as error:
            phases = _phases(values)
            if phases == MeasuredPhases():
                raise
            raise ReadingUnusable(str(error), phases) from error

    def _reading(self, values: Mapping[Quantity, float]) -> MeterReading:
        return MeterReading(
            read_at_s=asyncio.get_running_loop().time(),
            import_energy=self._import_energy(values),
            power=_watts(values, Quantity.POWER),
            voltages=(
                _millivolts(values, _VOLTAGES[0]),
                _millivolts(values, _VOLTAGES[1]),
                _millivolts(values, _VOLTAGES[2]),
            ),
            currents=(
                _milliamperes(values, _CURRENTS[0]),
                _milliamperes(values, _CURRENTS[1]),
                _milliamperes(values, _CURRENTS[2]),
            ),
            phase_powers=(_watts(values, _POWERS[0]), _watts(values, _POWERS[1]), _watts(values, _POWERS[2])),
            frequency=_millihertz(values),
            export_energy=_export_energy(values),
        )

    def _import_energy(self, values: Mapping[Quantity, float]) -> WattHour:
        kwh = _finite(values, Quantity.IMPORT_ENERGY)
        if kwh is None or kwh < 0:
            raise DeviceGarbled(f"import energy of {kwh} kWh")
        highest = self._highest_energy_kwh
        if highest is not None and kwh < highest - _STEPS_OF_TOLERANCE * _float32_step(highest):
            raise DeviceGarbled(f"import energy fell from {highest} kWh to {kwh} kWh")
        self._highest_energy_kwh = kwh if highest is None else max(kwh, highest)
        # Never lower than reported before, whatever the last float32 step does.
        return WattHour(round(self._highest_energy_kwh * 1000))

    async def _read_holding(self, register: int, count: int) -> list[int]:
        return await self._bus.read_holding(self._address, register, count, PATIENCE)

    async def _read_public_key(self) -> bytes:
        (length,) = await self._read_holding(Holding.PUBLIC_KEY, 1)
        if length > _LONGEST_KEY_BYTES:
            raise DeviceGarbled(f"public key of {length} bytes")
        count = (length + 1) // 2
        registers: list[int] = []
        while len(registers) < count:
            chunk = min(_KEY_CHUNK, count - len(registers))
            registers += await self._read_holding(Holding.PUBLIC_KEY + 1 + len(registers), chunk)
        return decode_bytes(length, registers)


def _phases(values: Mapping[Quantity, float]) -> MeasuredPhases:
    """Return what is certain of voltages and currents, whatever has become of the rest."""
    certain = {quantity: value for quantity, value in values.items() if math.isfinite(value)}
    volts = [_millivolts(certain, quantity) for quantity in _VOLTAGES]
    amperes = [_milliamperes(certain, quantity) for quantity in _CURRENTS]
    return MeasuredPhases(voltages=(volts[0], volts[1], volts[2]), currents=(amperes[0], amperes[1], amperes[2]))


def _float32_step(value: float) -> float:
    """Distance to the next float32: 2 to the power of the exponent, less the 23 bits of the fraction."""
    return math.ldexp(1.0, math.frexp(value)[1] - 24)


def _finite(values: Mapping[Quantity, float], quantity: Quantity) -> float | None:
    value = values.get(quantity)
    if value is not None and not math.isfinite(value):
        raise DeviceGarbled(f"{quantity.name.lower()} is no number")
    return value


def _milli(values: Mapping[Quantity, float], quantity: Quantity) -> int | None:
    value = _finite(values, quantity)
    return None if value is None else round(value * 1000)


def _millivolts(values: Mapping[Quantity, float], quantity: Quantity) -> MilliVolt | None:
    milli = _milli(values, quantity)
    return None if milli is None else MilliVolt(milli)


def _milliamperes(values: Mapping[Quantity, float], quantity: Quantity) -> MilliAmpere | None:
    milli = _milli(values, quantity)
    return None if milli is None else MilliAmpere(milli)


def _watts(values: Mapping[Quantity, float], quantity: Quantity) -> Watt | None:
    value = _finite(values, quantity)
    return None if value is None else Watt(round(value))


def _millihertz(values: Mapping[Quantity, float]) -> MilliHertz | None:
    value = _finite(values, Quantity.FREQUENCY)
    if value is None:
        return None
    return MilliHertz(round(value * (100 if value > _HIGHEST_FREQUENCY_HZ else 1000)))


def _export_energy(values: Mapping[Quantity, float]) -> WattHour | None:
    value = _finite(values, Quantity.EXPORT_ENERGY)
    return None if value is None else WattHour(round(value * 1000))
