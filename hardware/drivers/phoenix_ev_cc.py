"""Driver of the Phoenix Contact EV-CC-AC1-M3 charge controller (EV Charge Control Basic)."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hardware.drivers.pause_by_release import PauseByRelease
from hardware.links.serial_bus import ModbusRefused, Patience, SerialBus
from hardware.protocols.phoenix import (
    BY_REGISTER,
    CABLE_SHORTED,
    COMMISSIONED,
    IDENTIFICATION_COUNT,
    IDENTIFICATION_START,
    MAXIMUM_CURRENT_A,
    STATUS_COUNT,
    STATUS_START,
    BoardError,
    Command,
    CommandRegister,
    IdentificationBlock,
    Input,
    Setting,
    StatusBlock,
)
from station.domain.faults import FaultCode
from station.domain.ports import (
    ControllerCapabilities,
    ControllerIdentity,
    ControllerStatus,
    DeviceRefused,
    Pilot,
)
from station.domain.units import PAUSE, MilliAmpere

logger = logging.getLogger(__name__)

# The manual names no response time. The longest answer (34 registers) takes 76 ms at 9600 baud; turn-around of
# comparable boards is 3-13 ms (ABL specification), and lost first requests are known from evcc issue 32436.
PATIENCE = Patience(timeout_s=0.25, attempts=3)
# How long the coils of an unchanged board are considered valid: while something depends on them, and without a car.
COILS_READ_S = 1.0
COILS_READ_WITHOUT_CAR_S = 5.0
# A bolt that was commanded is in its place, or the board complains, within this time (actuator.py has the source).
BOLT_MOVES_S = 0.16

# Meaning of each error for the station: fact sheet evse_controllers.md, section 7. A rejected or invalid cable is a
# matter between vehicle side and station, like an invalid pilot. NOT_AVAILABLE is a state, RESERVED_14 undocumented.
_FAULTS: dict[BoardError, FaultCode] = {
    BoardError.CABLE_13_A_AND_20_A_REJECTED: FaultCode.EV_COMMUNICATION_ERROR,
    BoardError.CABLE_13_A_REJECTED: FaultCode.EV_COMMUNICATION_ERROR,
    BoardError.PROXIMITY_INVALID: FaultCode.EV_COMMUNICATION_ERROR,
    BoardError.PILOT_INVALID: FaultCode.EV_COMMUNICATION_ERROR,
    BoardError.LOCKING_FAILED: FaultCode.CONNECTOR_LOCK_FAILURE,
    BoardError.UNLOCKING_FAILED: FaultCode.CONNECTOR_LOCK_FAILURE,
    BoardError.LOCK_FEEDBACK_LOST: FaultCode.CONNECTOR_LOCK_FAILURE,
    BoardError.OVERLOAD: FaultCode.OVER_CURRENT_FAILURE,
    BoardError.METER_COMMUNICATION: FaultCode.POWER_METER_FAILURE,
    BoardError.STATE_D_REJECTED: FaultCode.EV_COMMUNICATION_ERROR,
    BoardError.CONTACTOR: FaultCode.POWER_SWITCH_FAILURE,
    BoardError.DIODE_MISSING: FaultCode.EV_COMMUNICATION_ERROR,
    BoardError.RESIDUAL_CURRENT: FaultCode.GROUND_FAILURE,
    BoardError.RESIDUAL_CURRENT_TEST_FAILED: FaultCode.GROUND_FAILURE,
}
# The switching outputs by the names printed on the board: what each signals, and the register that switches it.
_OUTPUTS: dict[str, tuple[Setting, CommandRegister]] = {
    "OUT": (Setting.OUTPUT_OUT_EVENTS, CommandRegister.OUTPUT_OUT),
    "ERR": (Setting.OUTPUT_ERR_EVENTS, CommandRegister.OUTPUT_ERR),
    "CHG": (Setting.OUTPUT_CHG_EVENTS, CommandRegister.OUTPUT_CHG),
    "CON": (Setting.OUTPUT_CON_EVENTS, CommandRegister.OUTPUT_CON),
}
OUTPUTS = tuple(_OUTPUTS)
_NOT_LOCKED = frozenset({BoardError.LOCKING_FAILED, BoardError.LOCK_FEEDBACK_LOST})


@dataclass(frozen=True, kw_only=True)
class _Coils:
    """The coils as they were read, and until when that is believed."""

    values: tuple[bool, bool, bool]
    commands_given: int
    block: StatusBlock
    due_s: float


class PhoenixEvCc(PauseByRelease):
    """An EvseController for one board.

    The board has no watchdog and forgets its commands when it restarts: every poll compares what it holds with what
    was last commanded and commands it again: withdrawals first, then current and lock, and the release when the bolt
    has had its time and the board does not complain. Nothing is repeated that was not confirmed before, so a command
    that failed cannot release energy later. A driver that has commanded nothing yet leaves the board as it is.
    """

    def __init__(self, bus: SerialBus, *, address: int, commission: bool = False, surge_contact: bool = False) -> None:
        super().__init__()
        # 22000 takes whole amperes (manual page 57); no watchdog register is documented; feedback of the contactor
        # exists only where a mirror contact is wired and 4006 is set, which `identify` finds out.
        self.capabilities = ControllerCapabilities(
            lock=True, contactor_feedback=False, resolution=MilliAmpere(1_000), watchdog=None
        )
        self._bus = bus
        self._address = address
        self._commission = commission
        self._surge_contact = surge_contact
        self._live_by_fc4 = False
        self._excess_seen = False
        self._repeating = False
        self._locked: bool | None = None
        self._bolt_moves_until_s = 0.0
        self._coils: _Coils | None = None
        self._outputs_by_register: set[str] = set()

    async def open(self) -> None:
        self._bus.acquire()

    async def close(self) -> None:
        self._bus.release()

    async def identify(self) -> ControllerIdentity:
        block = IdentificationBlock.decode(
            await self._bus.read_input(self._address, IDENTIFICATION_START, IDENTIFICATION_COUNT, PATIENCE)
        )
        await self._check_commissioning()
        monitoring = await self._read_setting(Setting.CONTACTOR_MONITORING)
        self.capabilities = replace(self.capabilities, contactor_feedback=monitoring == 1)
        return ControllerIdentity(
            model=block.order_designation or "EV-CC-AC1-M3",
            serial=block.serial_number,
            hardware_id=f"{block.hardware_id}/{block.hardware_version}",
            firmware=block.firmware,
        )

    async def read_status(self) -> ControllerStatus:
        commands_before = self._commands_given
        block = StatusBlock.decode(await self._read_live())
        read_at_s = asyncio.get_running_loop().time()
        released, available, lock_commanded = await self._read_coils(block, read_at_s)
        status = self._status(block, read_at_s, released=released, lock_commanded=lock_commanded)
        # A command given between the two requests makes them differ without any restart.
        if commands_before == self._commands_given:
            await self._repeat_commands(block, released=released, available=available, lock_commanded=lock_commanded)
        return status

    async def lock(self) -> None:
        await self._move_bolt(locked=True)

    async def unlock(self) -> None:
        await self._move_bolt(locked=False)

    async def _move_bolt(self, *, locked: bool) -> None:
        self._commands_given += 1
        # Without a confirmation nobody knows where the bolt is; a poll must not move it back meanwhile.
        self._locked = None
        await self._write_coil(Command.LOCK, on=locked)
        self._locked = locked

    async def restart(self) -> None:
        self._commands_given += 1
        await self._write_coil(Command.RESTART, on=True)

    async def switch_outputs(self, wanted: Mapping[str, bool]) -> None:
        """Switch outputs, the dark ones first, so that a change of colour never lights two.

        Raises DeviceRefused while an output signals what the board sees.
        """
        for name, on in sorted(wanted.items(), key=lambda item: item[1]):
            setting, register = _OUTPUTS[name]
            if name not in self._outputs_by_register:
                await self._commission_setting(setting, BY_REGISTER)
                self._outputs_by_register.add(name)
            await self._bus.write_register(self._address, register, int(on), PATIENCE)

    async def _check_commissioning(self) -> None:
        # It may be another board, or one whose settings were changed meanwhile.
        self._outputs_by_register.clear()
        for setting, expected in COMMISSIONED.items():
            await self._commission_setting(setting, expected)

    async def _commission_setting(self, setting: Setting, expected: int) -> None:
        found = await self._read_setting(setting)
        if found == expected:
            return
        if not self._commission:
            raise DeviceRefused(
                f"controller {self._address} is not configured for bus control: "
                f"register {setting.value} ({setting.name.lower()}) holds {found} instead of {expected}"
            )
        await self._bus.write_register(self._address, setting, expected, PATIENCE)
        logger.warning("controller %d: register %d changed from %d to %d", self._address, setting, found, expected)

    async def _read_setting(self, setting: Setting) -> int:
        return (await self._bus.read_holding(self._address, setting, 1, PATIENCE))[0]

    async def _read_live(self) -> list[int]:
        if not self._live_by_fc4:
            try:
                return await self._bus.read_holding(self._address, STATUS_START, STATUS_COUNT, PATIENCE)
            except ModbusRefused:
                # The manual calls these registers holding registers; evcc reads them as input registers.
                registers = await self._bus.read_input(self._address, STATUS_START, STATUS_COUNT, PATIENCE)
                self._live_by_fc4 = True
                return registers
        return await self._bus.read_input(self._address, STATUS_START, STATUS_COUNT, PATIENCE)

    async def _read_coils(self, block: StatusBlock, now_s: float) -> tuple[bool, bool, bool]:
        """Read release, availability and lock command.

        They move by our commands, or all at once when the board restarts; that shows in the live block, too (the pilot
        goes), so a quiet board is asked for its coils once a second. Without a car nothing can flow, and a car that is
        plugged in shows in the block.
        """
        known = self._coils
        if (
            known is None
            or known.commands_given != self._commands_given
            or not known.block.is_followed_by(block)
            or now_s >= known.due_s
        ):
            released, available, locked = await self._bus.read_coils(self._address, Command.RELEASE, 3, PATIENCE)
            known = self._coils = _Coils(
                values=(released, available, locked),
                commands_given=self._commands_given,
                block=block,
                due_s=now_s + (COILS_READ_WITHOUT_CAR_S if block.pilot is Pilot.A else COILS_READ_S),
            )
        return known.values

    async def _write_coil(self, coil: Command, *, on: bool) -> None:
        try:
            await self._bus.write_coil(self._address, coil, PATIENCE, on=on)
        finally:
            # A poll that was under way has read what this command has just changed.
            self._coils = None

    def _rounded(self, limit: MilliAmpere) -> MilliAmpere:
        return MilliAmpere(min(limit // 1000, MAXIMUM_CURRENT_A) * 1000)

    async def _write_limit(self, limit: MilliAmpere) -> None:
        await self._bus.write_register(self._address, CommandRegister.MAXIMUM_CURRENT_A, limit // 1000, PATIENCE)

    async def _switch_release(self, *, on: bool) -> None:
        await self._write_coil(Command.RELEASE, on=on)

    async def _switch_available(self, *, on: bool) -> None:
        await self._write_coil(Command.AVAILABLE, on=on)

    def _status(
        self, block: StatusBlock, read_at_s: float, *, released: bool, lock_commanded: bool
    ) -> ControllerStatus:
        faults = {_FAULTS[error] for error in block.errors if error in _FAULTS}
        if block.cable_a == CABLE_SHORTED:
            faults.add(FaultCode.EV_COMMUNICATION_ERROR)
        if self._surge_contact and Input.IN in block.inputs:
            faults.add(FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE)
        # The bolt is where it was commanded unless the board complains; a failed unlocking leaves it shut.
        locked = (lock_commanded and not block.errors & _NOT_LOCKED) or BoardError.UNLOCKING_FAILED in block.errors
        return ControllerStatus(
            read_at_s=read_at_s,
            pilot=block.pilot,
            pwm_on=block.pwm_on,
            offered=MilliAmpere(block.current_a * 1000) if block.pwm_on else PAUSE,
            cable=None if block.cable_a == CABLE_SHORTED else MilliAmpere(block.cable_a * 1000),
            locked=locked,
            contactor_closed=Input.CCR not in block.inputs if self.capabilities.contactor_feedback else None,
            # A pause takes the coil back, but not the permission.
            enabled=released or (self._released is True and self._limit == PAUSE),
            button_pressed=Input.EN in block.inputs,
            faults=frozenset(faults),
            vendor_detail=", ".join(error.name.lower() for error in sorted(block.errors)),
        )

    async def _repeat_commands(
        self, block: StatusBlock, *, released: bool, available: bool, lock_commanded: bool
    ) -> None:
        wanted_release = False if self._limit == PAUSE else self._released
        excess = bool(self._limit) and block.pwm_on and block.current_a * 1000 > (self._limit or PAUSE)
        lost = [
            (coil, wanted)
            for coil, wanted, found in (
                (Command.AVAILABLE, self._available, available),
                (Command.LOCK, self._locked, lock_commanded),
                (Command.RELEASE, wanted_release, released),
            )
            if wanted is not None and wanted != found
        ]
        now_s = asyncio.get_running_loop().time()
        if (Command.LOCK, True) in lost:
            self._bolt_moves_until_s = now_s + BOLT_MOVES_S
        bolt_may_be_open = self._locked is True and (now_s < self._bolt_moves_until_s or block.errors & _NOT_LOCKED)
        if bolt_may_be_open and (Command.RELEASE, True) in lost:
            # No energy before the lock: the release follows with a later poll.
            lost.remove((Command.RELEASE, True))
        # A new limit may take the board a moment; still there in the next poll, it was forgotten.
        forgotten, self._excess_seen = excess and self._excess_seen, excess
        begun, self._repeating = not self._repeating, bool(lost) or forgotten
        if not self._repeating:
            return
        if begun:
            logger.warning("controller %d lost its commands; they are repeated", self._address)
        # A withdrawal comes first, and the current before a release, so that the board never offers its own default.
        # What fails here shows as a failed poll, and the next poll tries again.
        if (Command.RELEASE, False) in lost:
            lost.remove((Command.RELEASE, False))
            await self._write_coil(Command.RELEASE, on=False)
        if self._limit:
            await self._write_limit(self._limit)
        for coil, wanted in lost:
            # A withdrawal may have come meanwhile; nothing is released behind it.
            if (coil, wanted) != (Command.RELEASE, True) or self._released:
                await self._write_coil(coil, on=wanted)
