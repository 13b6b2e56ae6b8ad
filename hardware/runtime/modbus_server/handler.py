"""Answers Modbus requests: frames are read and written by pymodbus, what they mean stands in loadmgmt."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from django.db import DatabaseError
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from hardware.runtime.energy_manager import EnergyManager
from hardware.runtime.records import RecordStore
from loadmgmt import present, requests
from loadmgmt.registers import Unit, View, Write
from loadmgmt.requests import IllegalFunction, IllegalValue, RequestRefused, Written, as_configuration
from station import clock
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.domain.snapshot import HardwareSnapshot
from station.services import configuration

logger = logging.getLogger(__name__)

# A setting that an energy manager changes again and again would wear out the memory and fill the audit trail.
SETTING_SPAN_S = 10.0
_REQUESTS = {
    kind.function_code: kind
    for kind in (
        ReadHoldingRegistersRequest,
        ReadInputRegistersRequest,
        WriteSingleRegisterRequest,
        WriteMultipleRegistersRequest,
    )
}
# Function code, address, and count or value.
_FIXED_SIZE = 5
_MOST_WRITTEN = 123
_DECODER = DecodePDU(True)


class DeviceFailure(RequestRefused):
    """The database cannot be written."""

    code = 4


class DeviceBusy(RequestRefused):
    """The setting was changed a moment ago."""

    code = 6


class Snapshots(Protocol):
    """Where the present of the charging points is read."""

    def take(self) -> HardwareSnapshot:
        """Return the present."""


class LimitChanges(Protocol):
    """Who computes limits anew."""

    def point_changed(self, number: int) -> None:
        """Compute soon."""


class RequestHandler:
    """Answers the requests of all connections, one at a time each."""

    def __init__(
        self,
        energy_manager: EnergyManager,
        records: RecordStore,
        *,
        snapshots: Snapshots,
        limits: LimitChanges,
        numbers: Sequence[int],
        firmware: str,
    ) -> None:
        self._energy_manager = energy_manager
        self._records = records
        self._snapshots = snapshots
        self._limits = limits
        self._numbers = tuple(numbers)
        self._firmware = firmware
        self._setting_changed_s: dict[Write, float] = {}

    async def answer(
        self,
        pdu: bytes,
        *,
        identifier: int,
        port_of_point: int,
        client: str,
        noted: Callable[[Sequence[Written]], None],
    ) -> ModbusPDU:
        """Return the answer to the body of a frame; `noted` is told what was written, or an empty list for a read."""
        try:
            request = decode(pdu)
            unit, number = requests.unit_of(identifier, port_of_point, len(self._numbers))
            numbers = self._numbers if unit is Unit.STATION else (number,)
            if isinstance(request, WriteSingleRegisterRequest | WriteMultipleRegistersRequest):
                written = await self._write(request, unit, numbers, client)
                noted(written)
                if isinstance(request, WriteSingleRegisterRequest):
                    return WriteSingleRegisterResponse(address=request.address, registers=request.registers)
                return WriteMultipleRegistersResponse(address=request.address, count=request.count)
            # The sign of life comes first, so that the answer shows what holds by it.
            words = requests.read(unit, request.address, request.count, self._view(unit, number))
            if self._energy_manager.heard(numbers):
                self._compute(numbers)
                words = requests.read(unit, request.address, request.count, self._view(unit, number))
            noted(())
            kind = (
                ReadInputRegistersResponse
                if isinstance(request, ReadInputRegistersRequest)
                else ReadHoldingRegistersResponse
            )
            return kind(registers=words)
        except RequestRefused as refusal:
            return ExceptionResponse(pdu[0] & 0x7F, refusal.code)

    # --- reading

    def _view(self, unit: Unit, number: int) -> View:
        return present.view(
            self._snapshots.take(),
            number if unit is Unit.POINT else None,
            self._energy_manager.settings,
            firmware=self._firmware,
        )

    # --- writing

    async def _write(
        self,
        request: WriteSingleRegisterRequest | WriteMultipleRegistersRequest,
        unit: Unit,
        numbers: Sequence[int],
        client: str,
    ) -> tuple[Written, ...]:
        if self._energy_manager.settings.limits.read_only:
            raise IllegalFunction
        written = requests.write(unit, request.address, request.registers, len(self._numbers))
        await self._change_settings(written, client)
        changed = False
        for number in numbers:
            before = self._energy_manager.controls[number].set_point
            set_point = before
            for each in written:
                set_point = requests.changed(set_point, each)
            if any(each.write in {Write.CURRENT_A, Write.CURRENT, Write.POWER} for each in written):
                changed |= self._energy_manager.set(number, set_point, client=client)
        if self._energy_manager.heard(numbers, written=True) or changed:
            self._compute(numbers)
        return written

    async def _change_settings(self, written: Sequence[Written], client: str) -> None:
        wanted: dict[str, str] = {}
        kinds = set()
        for each in written:
            found = as_configuration(each.write, each.value)
            wanted |= found
            kinds |= {each.write} if found else set()
        if not wanted:
            return
        try:
            in_force = await self._records.execute(_values_of, tuple(wanted))
            if in_force == wanted:
                return
            now_s = clock.monotonic_s()
            if any(now_s - self._setting_changed_s.get(kind, -SETTING_SPAN_S) < SETTING_SPAN_S for kind in kinds):
                raise DeviceBusy
            self._setting_changed_s |= dict.fromkeys(kinds, now_s)
            await self._records.execute(
                configuration.change, wanted, origin=Origin.MODBUS, actor=client, at=clock.now()
            )
            await self._energy_manager.load()
        except ConfigurationRefused as refusal:
            raise IllegalValue from refusal
        except (DatabaseError, OSError) as error:
            self._records.report_failure(error)
            raise DeviceFailure from error

    def _compute(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._limits.point_changed(number)


def _values_of(keys: Sequence[str]) -> dict[str, str]:
    return {key: configuration.get(key) for key in keys}


def decode(
    pdu: bytes,
) -> ReadHoldingRegistersRequest | WriteSingleRegisterRequest | WriteMultipleRegistersRequest:
    """Read the body of a frame. Raises IllegalFunction or IllegalValue."""
    if not pdu or pdu[0] not in _REQUESTS:
        raise IllegalFunction
    request = _DECODER.decode(pdu)
    if isinstance(request, WriteMultipleRegistersRequest):
        # pymodbus takes the counts as they come.
        size = 2 * request.count
        if 1 <= request.count <= _MOST_WRITTEN and request.byte_count == size == len(pdu) - _FIXED_SIZE - 1:
            return request
        raise IllegalValue
    if isinstance(request, ReadHoldingRegistersRequest | WriteSingleRegisterRequest) and len(pdu) == _FIXED_SIZE:
        return request
    raise IllegalValue
