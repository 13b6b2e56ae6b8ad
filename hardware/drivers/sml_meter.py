"""Driver of meters that push SML telegrams over an optical head or a serial line.

The eHZ of EMH is one, and those of DZG, Iskra, Holley and EasyMeter. The meter is listened to and never written to.
"""

import asyncio
import math
from collections.abc import Callable
from typing import TypeVar

from hardware.drivers.energy_register import EnergyRegister
from hardware.links.listening import ListeningLine
from hardware.protocols.sml import Checksum, Obis, Telegram, TelegramReader
from station.domain.ports import (
    DeviceGarbled,
    DeviceSilent,
    MeasuredPhases,
    MeterIdentity,
    MeterReading,
    ReadingUnusable,
)
from station.domain.units import MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour

# A telegram comes every second from most meters, every four seconds from the slowest: after this time one was missed.
LONGEST_SILENCE_S = 5.0
# A meter that was silent for so long is not waited for as long again: within 10 s it shall count as absent.
SILENCE_AGAIN_S = 1.0
# Whoever asks sooner than the next telegram comes gets the last one, with its own moment.
FRESH_S = 1.0
_MILLI = 1000
# DIN 43863-5: 0A, medium, three letters of the maker, block and number of the device.
_IDENTITY_BYTES = 10
_FIRST_BYTES = (0x09, 0x0A)
_MAKER, _BLOCK, _NUMBER = slice(2, 5), 5, slice(6, 10)


_Unit = TypeVar("_Unit")
_VOLTAGES = (Obis.VOLTAGE_L1, Obis.VOLTAGE_L2, Obis.VOLTAGE_L3)
_CURRENTS = (Obis.CURRENT_L1, Obis.CURRENT_L2, Obis.CURRENT_L3)
_POWERS = (Obis.POWER_L1, Obis.POWER_L2, Obis.POWER_L3)


class SmlMeter:
    """A Meter. `read` gives the last telegram while it is fresh enough, or waits for the next one."""

    def __init__(self, port: str, *, baudrate: int = 9600, checksum: Checksum = Checksum.X25) -> None:
        self._line = ListeningLine(port, baudrate=baudrate, on_received=self._on_received, on_lost=self._on_lost)
        self._reader = TelegramReader(checksum)
        self._telegram: Telegram | None = None
        self._arrived_at_s = 0.0
        # Why what has come since the last telegram is none.
        self._noise = ""
        self._news = asyncio.Event()
        self._patience_s = LONGEST_SILENCE_S
        self._identified: bytes | None = None
        self._energy = EnergyRegister()

    async def open(self) -> None:
        self._line.open()

    async def close(self) -> None:
        self._line.close()

    async def identify(self) -> MeterIdentity:
        telegram = await self._present()
        maker, serial = _identity(telegram.server_id)
        if not serial:
            raise DeviceGarbled("the meter tells no serial number")
        self._identified = telegram.server_id
        self._energy.forget()
        return MeterIdentity(vendor=telegram.manufacturer or maker, model="SML", serial=serial)

    async def read(self) -> MeterReading:
        telegram = await self._present()
        arrived_at_s = self._arrived_at_s
        if self._identified not in (None, telegram.server_id):
            raise DeviceGarbled(f"another meter is on the line: {telegram.server_id.hex()}")
        voltages = _three(telegram, _VOLTAGES, _MILLI, MilliVolt)
        currents = _three(telegram, _CURRENTS, _MILLI, MilliAmpere)
        try:
            energy = self._energy.judge(_told_energy(telegram))
        except DeviceGarbled as error:
            phases = MeasuredPhases(voltages=voltages, currents=currents)
            if phases == MeasuredPhases():
                raise
            raise ReadingUnusable(str(error), phases) from error
        power = _scaled(telegram, Obis.POWER, 1, Watt)
        return MeterReading(
            read_at_s=arrived_at_s,
            import_energy=energy,
            power=_scaled(telegram, Obis.POWER_POSITIVE, 1, Watt) if power is None else power,
            voltages=voltages,
            currents=currents,
            phase_powers=_three(telegram, _POWERS, 1, Watt),
            frequency=_scaled(telegram, Obis.FREQUENCY, _MILLI, MilliHertz),
            export_energy=_scaled(telegram, Obis.EXPORT_ENERGY, 1, WattHour),
        )

    async def _present(self) -> Telegram:
        loop = asyncio.get_running_loop()
        self._line.listen()
        if self._telegram is not None and loop.time() - self._arrived_at_s <= FRESH_S:
            return self._telegram
        self._news.clear()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._news.wait()
        except TimeoutError as error:
            waited_s, self._patience_s = self._patience_s, SILENCE_AGAIN_S
            if self._noise:
                noise, self._noise = self._noise, ""
                raise DeviceGarbled(f"the meter sends noise: {noise}") from error
            raise DeviceSilent(f"no telegram within {waited_s:g} s") from error
        if self._telegram is None:
            raise DeviceSilent(self._line.trouble)
        return self._telegram

    def _on_received(self, data: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        self._noise = self._noise or f"{data[:20].hex(' ')} …"
        for found in self._reader.feed(data, at_s=now_s):
            if isinstance(found, Telegram):
                self._telegram, self._arrived_at_s, self._noise = found, now_s, ""
                self._patience_s = LONGEST_SILENCE_S
                self._news.set()
            else:
                self._noise = str(found)

    def _on_lost(self) -> None:
        self._reader.clear()
        self._telegram, self._noise = None, ""
        self._news.set()


def _identity(server_id: bytes) -> tuple[str, str]:
    """Return the maker and the number as it is printed on the meter; of an older one the bytes themselves."""
    maker = server_id[_MAKER].decode("ascii", "replace")
    if len(server_id) != _IDENTITY_BYTES or server_id[0] not in _FIRST_BYTES or not maker.isalpha():
        return "", server_id.hex().upper()
    number = int.from_bytes(server_id[_NUMBER], "big")
    return maker, f"{server_id[1]}{maker}{server_id[_BLOCK]:02X}{number:08d}"


def _told_energy(telegram: Telegram) -> int | None:
    told = telegram.values.get(Obis.IMPORT_ENERGY)
    # A fraction of a watt hour is not there yet.
    return None if told is None else math.floor(told)


def _scaled(telegram: Telegram, obis: Obis, factor: int, unit: Callable[[int], _Unit]) -> _Unit | None:
    value = telegram.values.get(obis)
    return None if value is None else unit(round(value * factor))


def _three(
    telegram: Telegram, places: tuple[Obis, Obis, Obis], factor: int, unit: Callable[[int], _Unit]
) -> tuple[_Unit | None, _Unit | None, _Unit | None]:
    first, second, third = (_scaled(telegram, place, factor, unit) for place in places)
    return first, second, third
