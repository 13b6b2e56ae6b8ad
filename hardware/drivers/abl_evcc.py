"""Driver of ABL's EVCC2 and EVCC3 charge controllers (eMH1, eMH2, eMC)."""

import asyncio
import logging
from dataclasses import replace

from hardware.links.serial_bus import ModbusRefused, Patience, SerialBus
from hardware.protocols.abl import (
    NO_CURRENT,
    PER_MILLE_MA,
    PERMITTED,
    Block,
    Command,
    Flag,
    Identification,
    Option,
    State,
    StateChange,
    Status,
    current_of,
    decode_flags,
    decode_maximum,
    decode_serial_number,
    duty_of,
)
from station.domain.faults import FaultCode
from station.domain.ports import (
    ControllerCapabilities,
    ControllerIdentity,
    ControllerStatus,
    DeviceRefused,
    DeviceSilent,
    Pilot,
    Watchdog,
)
from station.domain.units import PAUSE, MilliAmpere

logger = logging.getLogger(__name__)

# Answers come within 3-13 ms (ABL's document). The board sleeps: a first request may find nobody, so that evcc sends
# each one twice, and one that was silent is asked twice as well.
PATIENCE = Patience(timeout_s=0.1, attempts=3, attempts_while_silent=2)

# Fact sheet evse_controllers.md, section 7.
_FAULTS: dict[State, FaultCode] = {
    State.F1: FaultCode.POWER_SWITCH_FAILURE,
    State.F2: FaultCode.INTERNAL_ERROR,
    State.F3: FaultCode.GROUND_FAILURE,
    State.F4: FaultCode.INTERNAL_ERROR,
    State.F5: FaultCode.CONNECTOR_LOCK_FAILURE,
    State.F6: FaultCode.EV_COMMUNICATION_ERROR,
    State.F7: FaultCode.EV_COMMUNICATION_ERROR,
    State.F8: FaultCode.EV_COMMUNICATION_ERROR,
    State.F9: FaultCode.OVER_CURRENT_FAILURE,
    State.FA: FaultCode.HIGH_TEMPERATURE,
    State.FB: FaultCode.POWER_SWITCH_FAILURE,
}
_PILOTS: dict[State, Pilot] = {
    State.A1: Pilot.A,
    State.B1: Pilot.B,
    State.B2: Pilot.B,
    State.C2: Pilot.C,
    State.C3: Pilot.C,
    State.C4: Pilot.C,
}
_DISABLED = frozenset({State.E0, State.E2})


class AblEvcc:
    """An EvseController for one board.

    Its one command is the permitted current, "none" included, so that a limit is told to it only while energy is
    released. It locks the plug by itself. Commands are compared with what the board holds at every poll, and given
    again when they were confirmed before; a driver that has commanded nothing yet leaves the board as it is.
    """

    def __init__(self, bus: SerialBus, *, address: int) -> None:
        # Neither a command for the lock nor a contact of the contactor in the document; `identify` finds out whether
        # the link is supervised.
        self.capabilities = ControllerCapabilities(
            lock=False, contactor_feedback=False, resolution=MilliAmpere(PER_MILLE_MA), watchdog=None
        )
        self._bus = bus
        self._address = address
        self._commands_given = 0
        self._limit: MilliAmpere | None = None
        self._released: bool | None = None
        self._available: bool | None = None

    async def open(self) -> None:
        self._bus.acquire()

    async def close(self) -> None:
        self._bus.release()

    async def identify(self) -> ControllerIdentity:
        identification = Identification.decode(await self._read(Block.IDENTIFICATION))
        serial = decode_serial_number(await self._read(Block.SERIAL_NUMBER))
        flags = decode_flags(await self._read(Block.FLAGS))
        if not flags & Flag.WAITS_AFTER_POWER_UP:
            logger.warning("controller %d permits charging by itself after a power cut", self._address)
        # F4 ends charging, F14 goes on with less; the document names neither the time nor that current.
        watchdog = Watchdog(timeout_s=None, fallback=PAUSE if flags & Flag.SILENCE_IS_F4 else None)
        self.capabilities = replace(
            self.capabilities, watchdog=watchdog if identification.options & Option.SUPERVISED else None
        )
        return ControllerIdentity(
            model="EVCC2/3",
            serial=serial,
            hardware_id=identification.hardware,
            firmware=f"{identification.firmware_major}.{identification.firmware_minor}",
        )

    async def read_status(self) -> ControllerStatus:
        commands_before = self._commands_given
        status = Status.decode(await self._read(Block.STATUS))
        read_at_s = asyncio.get_running_loop().time()
        maximum = decode_maximum(await self._read(Block.SETTINGS))
        if commands_before == self._commands_given:
            await self._repeat_commands(status, maximum)
        pwm_on = status.state in PERMITTED and current_of(status.duty) > PAUSE
        return ControllerStatus(
            read_at_s=read_at_s,
            # A board with a fault says nothing certain of the car, like one out of service.
            pilot=_PILOTS.get(status.state, Pilot.F),
            pwm_on=pwm_on,
            offered=current_of(status.duty) if pwm_on else PAUSE,
            cable=None,
            locked=None,
            contactor_closed=None,
            # A pause takes the current back, but not the permission.
            enabled=maximum != NO_CURRENT or (self._released is True and self._limit == PAUSE),
            faults=frozenset({_FAULTS[status.state]} if status.state.is_fault else ()),
            vendor_detail=status.state.name if status.state.is_fault else "",
        )

    async def set_current(self, limit: MilliAmpere) -> None:
        self._commands_given += 1
        duty = duty_of(limit)
        # What takes energy away holds also when its confirmation is lost.
        if self._limit is not None and limit < self._limit:
            self._limit = current_of(duty)
        if self._released is None and decode_maximum(await self._read(Block.SETTINGS)) != NO_CURRENT:
            # As another control loop has left it.
            self._released = True
        if self._released:
            await self._write(Command.MAXIMUM_CURRENT, duty)
        self._limit = current_of(duty)

    async def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the port's signature
        self._commands_given += 1
        if not enabled:
            self._released = False
            await self._write(Command.MAXIMUM_CURRENT, NO_CURRENT)
            return
        if self._limit is None:
            raise DeviceRefused("no current was set before energy is released")
        await self._write(Command.MAXIMUM_CURRENT, duty_of(self._limit))
        self._released = True

    async def set_available(self, available: bool) -> None:  # noqa: FBT001 - the port's signature
        self._commands_given += 1
        if not available:
            self._available = False
        await self._change_availability(available=available)
        self._available = available

    async def lock(self) -> None:
        raise DeviceRefused("this controller locks the plug by itself")

    async def unlock(self) -> None:
        raise DeviceRefused("this controller unlocks the plug by itself")

    async def restart(self) -> None:
        self._commands_given += 1
        await self._write(Command.STATE, StateChange.RESET)

    async def _change_availability(self, *, available: bool) -> None:
        state = Status.decode(await self._read(Block.STATUS)).state
        # A change to where the board already is gets no answer (evcc issue 526).
        if (state not in _DISABLED) == available:
            return
        try:
            await self._write(Command.STATE, StateChange.TO_A1 if available else StateChange.TO_E0)
        except DeviceSilent:
            # Either nobody heard it, or it was heard and its confirmation lost, and then the repetition was refused.
            state = Status.decode(await self._read(Block.STATUS)).state
            if (state not in _DISABLED) != available:
                raise

    async def _repeat_commands(self, status: Status, maximum: int) -> None:
        wanted = None
        if self._released is False:
            wanted = NO_CURRENT
        elif self._released and self._limit is not None:
            wanted = duty_of(self._limit)
        if wanted is not None and wanted != maximum:
            logger.warning("controller %d lost the permitted current; it is repeated", self._address)
            await self._write(Command.MAXIMUM_CURRENT, wanted)
        if self._available is not None and not status.state.is_fault:
            is_available = status.state not in _DISABLED
            if is_available != self._available:
                logger.warning("controller %d lost its availability; it is repeated", self._address)
                await self._change_availability(available=self._available)

    async def _read(self, block: Block) -> list[int]:
        return await self._bus.read_holding(self._address, block, block.count, PATIENCE)

    async def _write(self, command: Command, value: int) -> None:
        try:
            await self._bus.write_registers(self._address, command, [value], PATIENCE)
        except ModbusRefused as refusal:
            raise DeviceRefused(f"controller {self._address} does not take {value:#06x} in {command:#06x}") from refusal
