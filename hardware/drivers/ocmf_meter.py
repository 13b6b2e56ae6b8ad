"""Driver of the simulated signing meter: its measured values, and transactions that it signs as OCMF."""

import asyncio
from binascii import crc32
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from hardware.drivers.energy_register import EnergyRegister
from hardware.links.serial_bus import Patience, SerialBus
from hardware.protocols.ocmf_meter import (
    IDENTIFICATION_COUNT,
    IDENTIFICATION_START,
    IDENTITY_COUNT,
    IDENTITY_START,
    KEY_START,
    LONGEST_KEY_BYTES,
    MEASURED_BLOCK,
    ORDER_START,
    RECORD_START,
    STATUS_COUNT,
    STATUS_START,
    TEXT_REGISTERS,
    TIME_START,
    Failure,
    MeterTime,
    Quantity,
    State,
    Status,
    decode_identification,
    decode_measured,
    encode_begin,
    encode_end,
)
from hardware.protocols.registers import decode_bytes, decode_text
from station.domain.ports import (
    DeviceFailed,
    DeviceGarbled,
    DeviceRefused,
    DeviceSilent,
    Identification,
    MeasuredPhases,
    MeterIdentity,
    MeterReading,
    ReadingUnusable,
    SignatureFormat,
    SignedEnd,
    SignedRecord,
    Synchronisation,
)
from station.domain.units import MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour

# 100 registers take 220 ms at 9600 baud.
PATIENCE = Patience(timeout_s=0.5, attempts=2)
PORTION = 100
# How often the meter is asked whether a record is there; reading its values goes on in between.
ASK_INTERVAL_S = 0.1
# OCA paper "Signed Meter Values", section 2.3.1: some meters take up to 30 s.
LONGEST_SIGNING_S = 30.0
# Beyond what the meter may take, for the way of the last question and its answer.
MARGIN_S = 5.0
# A meter that loses its power is back within a second or two; one that is silent for longer is not waited for.
LONGEST_SILENCE_S = 5.0

_Unit = TypeVar("_Unit")
_VOLTAGES = (Quantity.VOLTAGE_L1, Quantity.VOLTAGE_L2, Quantity.VOLTAGE_L3)
_CURRENTS = (Quantity.CURRENT_L1, Quantity.CURRENT_L2, Quantity.CURRENT_L3)
_POWERS = (Quantity.POWER_L1, Quantity.POWER_L2, Quantity.POWER_L3)
_FAILURES = {
    Failure.NONE: "it does not say why",
    Failure.SIGNATURE: "it could not sign",
    Failure.LOG_FULL: "its log is full",
}


class OcmfMeter:
    """A Meter and a SigningMeter. An order is numbered: the meter carries it out once, however often it hears it."""

    longest_signing_s = LONGEST_SIGNING_S

    def __init__(self, bus: SerialBus, *, address: int) -> None:
        self._bus = bus
        self._address = address
        self._energy = EnergyRegister()
        # One order at a time: the next one needs the number of the one before.
        self._orders = asyncio.Lock()

    async def open(self) -> None:
        self._bus.acquire()

    async def close(self) -> None:
        self._bus.release()

    async def identify(self) -> MeterIdentity:
        registers = await self._read(IDENTITY_START, IDENTITY_COUNT)
        vendor, model, serial, firmware = (
            decode_text(registers[at : at + TEXT_REGISTERS]) for at in range(0, IDENTITY_COUNT, TEXT_REGISTERS)
        )
        if not serial:
            raise DeviceGarbled("the meter tells no serial number")
        (length,) = await self._read(KEY_START, 1)
        if not 0 < length <= LONGEST_KEY_BYTES:
            raise DeviceGarbled(f"public key of {length} bytes")
        key = await self._read_bytes(KEY_START + 1, length)
        self._energy.forget()
        return MeterIdentity(vendor=vendor, model=model, serial=serial, firmware=firmware, public_key=key.hex().upper())

    async def read(self) -> MeterReading:
        values = decode_measured(await self._read(*MEASURED_BLOCK))
        read_at_s = asyncio.get_running_loop().time()
        voltages, currents = _three(values, _VOLTAGES, MilliVolt), _three(values, _CURRENTS, MilliAmpere)
        try:
            energy = self._energy.judge(values[Quantity.IMPORT_ENERGY])
        except DeviceGarbled as error:
            phases = MeasuredPhases(voltages=voltages, currents=currents)
            if phases == MeasuredPhases():
                raise
            raise ReadingUnusable(str(error), phases) from error
        return MeterReading(
            read_at_s=read_at_s,
            import_energy=energy,
            power=_known(values[Quantity.POWER], Watt),
            voltages=voltages,
            currents=currents,
            phase_powers=_three(values, _POWERS, Watt),
            frequency=_known(values[Quantity.FREQUENCY], MilliHertz),
            export_energy=_known(values[Quantity.EXPORT_ENERGY], WattHour),
        )

    async def set_time(self, at: datetime, offset_s: int, synchronisation: Synchronisation) -> None:
        registers = MeterTime.of(at, offset_s, synchronisation).encode()
        await self._bus.write_registers(self._address, TIME_START, registers, PATIENCE)

    async def open_transaction(self) -> Identification | None:
        async with self._orders:
            status = await self._at_rest()
            if not status.is_open:
                return None
            return decode_identification(await self._read(IDENTIFICATION_START, IDENTIFICATION_COUNT))

    async def begin_transaction(self, identification: Identification) -> SignedRecord:
        async with self._orders:
            status = await self._at_rest()
            if status.is_open:
                raise DeviceRefused("the meter measures a transaction already")
            number = _next(status)
            return await self._carry_out(number, encode_begin(number, identification))

    async def end_transaction(self, end: SignedEnd) -> SignedRecord:
        async with self._orders:
            status = await self._at_rest()
            if not status.is_open:
                raise DeviceRefused("the meter measures no transaction")
            number = _next(status)
            return await self._carry_out(number, encode_end(number, end))

    async def last_record(self) -> SignedRecord | None:
        async with self._orders:
            status = await self._at_rest()
            return await self._record(status) if status.record_bytes else None

    async def _carry_out(self, number: int, order: Sequence[int]) -> SignedRecord:
        unconfirmed: DeviceFailed | None = None
        try:
            await self._bus.write_registers(self._address, ORDER_START, order, PATIENCE)
        except DeviceRefused:
            raise
        except DeviceFailed as error:
            # The order may have been heard all the same; the status tells.
            unconfirmed = error
        status = await self._at_rest(bearable_silence_s=LONGEST_SILENCE_S)
        if status.order != number:
            lost = DeviceRefused("the meter has forgotten the order; its power was cut")
            raise lost if unconfirmed is None else unconfirmed
        if status.state is State.FAILED:
            raise DeviceRefused(f"the meter gives no signed record: {_FAILURES[status.failure]}")
        return await self._record(status)

    async def _at_rest(self, *, bearable_silence_s: float = 0.0) -> Status:
        """Return the status as soon as nothing is being signed; raises DeviceFailed when that takes too long."""
        loop = asyncio.get_running_loop()
        asked_at_s = heard_at_s = loop.time()
        while True:
            try:
                status = Status.decode(await self._read(STATUS_START, STATUS_COUNT))
            except DeviceRefused:
                raise
            except DeviceFailed:
                if loop.time() - heard_at_s >= bearable_silence_s:
                    raise
            else:
                heard_at_s = loop.time()
                if status.state is not State.SIGNING:
                    return status
            if loop.time() - asked_at_s >= LONGEST_SIGNING_S + MARGIN_S:
                raise DeviceSilent(f"the meter has not signed within {LONGEST_SIGNING_S:g} s")
            await asyncio.sleep(ASK_INTERVAL_S)

    async def _record(self, status: Status) -> SignedRecord:
        if not status.record_bytes:
            raise DeviceGarbled("the meter has signed and has no record")
        raw = await self._read_bytes(RECORD_START, status.record_bytes)
        if crc32(raw) != status.checksum:
            raise DeviceGarbled(f"a record with the checksum {crc32(raw):08X} instead of {status.checksum:08X}")
        return SignedRecord(raw=raw, format=SignatureFormat.OCMF, signed_at_s=asyncio.get_running_loop().time())

    async def _read_bytes(self, start: int, length: int) -> bytes:
        count = (length + 1) // 2
        registers: list[int] = []
        while len(registers) < count:
            registers += await self._read(start + len(registers), min(PORTION, count - len(registers)))
        return decode_bytes(registers)[:length]

    async def _read(self, register: int, count: int) -> list[int]:
        return await self._bus.read_holding(self._address, register, count, PATIENCE)


def _next(status: Status) -> int:
    return (status.order + 1) & 0xFFFF


def _known(value: int | None, unit: Callable[[int], _Unit]) -> _Unit | None:
    return None if value is None else unit(value)


def _three(
    values: Mapping[Quantity, int | None], places: tuple[Quantity, Quantity, Quantity], unit: Callable[[int], _Unit]
) -> tuple[_Unit | None, _Unit | None, _Unit | None]:
    first, second, third = (_known(values[place], unit) for place in places)
    return first, second, third
