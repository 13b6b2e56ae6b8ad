"""Driver of the MENNEKES AMTRON Compact 2.0s and Start 2.0s as a satellite of this station."""

import asyncio
import logging
from dataclasses import replace

from hardware.drivers.pause_by_release import PauseByRelease
from hardware.links.serial_bus import ModbusRefused, Patience, SerialBus
from hardware.protocols.amtron import (
    ALIVE,
    ERRORS,
    FALLBACK_NONE,
    FALLBACK_PAUSE,
    HEARTBEAT_TIMEOUT_S,
    LARGEST_CURRENT_A,
    LIMITS,
    PILOT_E,
    PILOT_F,
    SWITCHES,
    TEXT_REGISTERS,
    Cable,
    Limits,
    Register,
    Switches,
    decode_pilot,
    decode_text,
    encode_float,
)
from station.domain.faults import FaultCode
from station.domain.ports import (
    ControllerCapabilities,
    ControllerIdentity,
    ControllerStatus,
    DeviceRefused,
    Pilot,
    Watchdog,
)
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere

logger = logging.getLogger(__name__)

# The document names no response time; the longest answer (21 characters) takes 4 ms at 57600 baud. As with the other
# controllers, a lost request is asked again.
PATIENCE = Patience(timeout_s=0.25, attempts=3)
# How finely the pilot follows the float of the register is not told: tenths of an ampere are what a pilot resolves.
STEP = MilliAmpere(100)
# No drive of a lock takes so long; until then a cable that is not locked while the car charges may still be on its way.
LOCKED_WITHIN_S = 1.0
# Three may be lost before the board's 10 s are over.
HEARTBEAT_S = 2.5


class MennekesAmtron(PauseByRelease):
    """An EvseController that wants a heartbeat.

    Charging needs the heartbeat, the release and a limit of 6 A or more. Limit, release and availability are compared
    with what the board holds at every poll and given again when they were confirmed before; a driver that has
    commanded nothing yet leaves the board as it is. The heartbeat is not this driver's to give: the control loop calls
    `beat` while it works.
    """

    heartbeat_s = HEARTBEAT_S

    def __init__(self, bus: SerialBus, *, address: int) -> None:
        super().__init__()
        # The document has no command for the cable's bolt and no contact of the contactor; `identify` reads what the
        # board does without a heartbeat.
        self.capabilities = ControllerCapabilities(lock=False, contactor_feedback=False, resolution=STEP, watchdog=None)
        self._bus = bus
        self._address = address
        self._maximum = MilliAmpere(LARGEST_CURRENT_A * 1000)
        self._fallback = PAUSE
        self._unlocked_since_s: float | None = None

    async def open(self) -> None:
        self._bus.acquire()

    async def close(self) -> None:
        self._bus.release()

    async def identify(self) -> ControllerIdentity:
        (layout,) = await self._read(Register.LAYOUT, 1)
        firmware = decode_text(await self._read(Register.FIRMWARE, TEXT_REGISTERS))
        serial = decode_text(await self._read(Register.SERIAL_NUMBER, TEXT_REGISTERS))
        limits = Limits.decode(await self._read(*LIMITS))
        self._maximum = MilliAmpere(int(min(limits.installation_a, limits.device_a) * 1000))
        (fallback,) = await self._read(Register.FALLBACK, 1)
        self._fallback = MilliAmpere(0 if fallback in (FALLBACK_NONE, FALLBACK_PAUSE) else fallback * 1000)
        if fallback == FALLBACK_NONE:
            logger.warning("controller %d is set to go on when its master is lost", self._address)
        self.capabilities = replace(
            self.capabilities,
            watchdog=None
            if fallback == FALLBACK_NONE
            else Watchdog(timeout_s=HEARTBEAT_TIMEOUT_S, fallback=self._fallback, needs_heartbeat=True),
        )
        return ControllerIdentity(
            model="AMTRON Compact/Start 2.0s",
            serial=serial,
            hardware_id=f"{layout >> 8}.{layout >> 4 & 0xF}.{layout & 0xF}",
            firmware=firmware,
        )

    async def beat(self) -> None:
        await self._bus.write_register(self._address, Register.HEARTBEAT, ALIVE, PATIENCE)

    async def read_status(self) -> ControllerStatus:
        commands_before = self._commands_given
        (pilot_number,) = await self._read(Register.CONTROL_PILOT, 1)
        pilot, pwm_on = decode_pilot(pilot_number)
        read_at_s = asyncio.get_running_loop().time()
        switches = Switches.decode(await self._read(*SWITCHES))
        limits = Limits.decode(await self._read(*LIMITS))
        error, in_fallback = await self._read(*ERRORS)
        if commands_before == self._commands_given:
            await self._repeat_commands(switches, limits)
        permitted_a = min(limits.limit_a, limits.installation_a, limits.device_a)
        return ControllerStatus(
            read_at_s=read_at_s,
            pilot=pilot,
            pwm_on=pwm_on,
            offered=self._offered(permitted_a, in_fallback=bool(in_fallback)) if pwm_on else PAUSE,
            cable=None,
            locked={Cable.UNLOCKED: False, Cable.LOCKED: True}.get(switches.cable),
            contactor_closed=None,
            # A pause takes the release back, but not the permission.
            enabled=switches.released or (self._released is True and self._limit == PAUSE),
            faults=self._faults(pilot_number, switches, error, at_s=read_at_s),
            vendor_detail=", ".join(_details(pilot_number, error, in_fallback=bool(in_fallback))),
        )

    async def lock(self) -> None:
        raise DeviceRefused("this controller locks the cable by itself")

    async def unlock(self) -> None:
        raise DeviceRefused("this controller unlocks the cable by itself")

    async def restart(self) -> None:
        raise DeviceRefused("this controller cannot be restarted over its bus")

    def _offered(self, permitted_a: float, *, in_fallback: bool) -> MilliAmpere:
        permitted = MilliAmpere(round(permitted_a * 1000))
        return self._fallback if in_fallback and self._fallback >= MINIMUM_CURRENT else permitted

    def _faults(self, pilot_number: int, switches: Switches, error: int, *, at_s: float) -> frozenset[FaultCode]:
        faults = set()
        if error:
            # The meanings of the numbers are not published.
            faults.add(FaultCode.INTERNAL_ERROR)
        if pilot_number == PILOT_E or (pilot_number == PILOT_F and not switches.locked_station):
            faults.add(FaultCode.EV_COMMUNICATION_ERROR)
        if switches.cable is not Cable.UNLOCKED or decode_pilot(pilot_number) != (Pilot.C, True):
            self._unlocked_since_s = None
        elif self._unlocked_since_s is None:
            self._unlocked_since_s = at_s
        elif at_s - self._unlocked_since_s >= LOCKED_WITHIN_S:
            faults.add(FaultCode.CONNECTOR_LOCK_FAILURE)
        return frozenset(faults)

    async def _repeat_commands(self, switches: Switches, limits: Limits) -> None:
        wanted = False if self._limit == PAUSE else self._released
        exceeded = bool(self._limit) and round(limits.limit_a * 1000) != self._limit
        if wanted is not None and wanted != switches.released:
            logger.warning("controller %d lost its release; it is repeated", self._address)
            if wanted and self._limit:
                await self._write_limit(self._limit)
            # A withdrawal may have come meanwhile; nothing is released behind it.
            if not wanted or self._released:
                await self._switch(Register.RELEASE, on=wanted)
        elif exceeded and self._limit:
            await self._write_limit(self._limit)
        if self._available is not None and self._available == switches.locked_station:
            await self._switch(Register.LOCKED_STATION, on=not self._available)

    async def _read(self, register: int, count: int) -> list[int]:
        return await self._bus.read_holding(self._address, register, count, PATIENCE)

    async def _switch(self, register: Register, *, on: bool) -> None:
        await self._bus.write_register(self._address, register, int(on), PATIENCE)

    def _rounded(self, limit: MilliAmpere) -> MilliAmpere:
        return MilliAmpere(min(limit, self._maximum) // STEP * STEP)

    async def _switch_release(self, *, on: bool) -> None:
        await self._switch(Register.RELEASE, on=on)

    async def _switch_available(self, *, on: bool) -> None:
        await self._switch(Register.LOCKED_STATION, on=not on)

    async def _write_limit(self, limit: MilliAmpere) -> None:
        try:
            await self._bus.write_registers(self._address, Register.LIMIT, encode_float(limit / 1000), PATIENCE)
        except ModbusRefused as refusal:
            raise DeviceRefused(f"controller {self._address} does not take {limit} mA: {refusal}") from refusal


def _details(pilot_number: int, error: int, *, in_fallback: bool) -> list[str]:
    return [
        *([f"error {error}"] if error else []),
        *(["pilot E"] if pilot_number == PILOT_E else []),
        *(["pilot F"] if pilot_number == PILOT_F else []),
        *(["no heartbeat"] if in_fallback else []),
    ]
