"""Register map of the simulated Phoenix Contact EV-CC-AC1-M3 at one charging point.

Inputs: EN is the stop button, XR 'available', CCR the mirror contact of the contactor (closed while it is open), IN
the surge arrester (controller 1 only). Outputs: ERR, CHG (contactor), CON (car connected).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from hardware.protocols.bootloader import ImageHead
from hardware.protocols.digital_io import LampElement
from hardware.protocols.phoenix import (
    FACTORY_RESET_KEY,
    IDENTIFICATION_START,
    NO_INPUT,
    NO_OUTPUT,
    STATUS_START,
    Command,
    CommandRegister,
    IdentificationBlock,
    Input,
    Output,
    Setting,
    StatusBlock,
)
from hardware.simulator.board import DIP_LIMIT_A
from hardware.simulator.point import ChargingPoint
from hardware.simulator.rtu import Function, IllegalAddress, IllegalFunction, IllegalValue
from hardware.simulator.world import World
from station.domain.ports import LampColour

# Switches of bank S1 by number: 2 'available' over the bus, 3 lock over the bus, 5 tethered cable.
_SWITCH_AVAILABLE, _SWITCH_LOCK, _SWITCH_TETHERED = 1 << 1, 1 << 2, 1 << 4
NO_LAMP: Mapping[LampColour, str] = MappingProxyType({})
FIRST_FIRMWARE = ImageHead(letter="V", major=1, minor=25)
# Largest value of an output register: 0 off, 1 on, 2 flashing.
OUTPUT_FLASHING = 2
# Largest value of each commissioning register.
_LARGEST: dict[Setting, int] = {
    Setting.RELEASE_SOURCE: 3,
    Setting.AVAILABILITY_SOURCE: 2,
    Setting.LOCK_SOURCE: 3,
    Setting.CONTACTOR_MONITORING: 1,
    Setting.CONTACTOR_DELAY_MS: 0xFFFF,
    Setting.PERMIT_STATE_D: 1,
    Setting.RESIDUAL_CURRENT_MONITOR: 4,
    Setting.CCR_ANALOGUE: 1,
    Setting.CCR_THRESHOLD_MV: 0xFFFF,
    Setting.OUTPUT_OUT_EVENTS: 0xFF,
    Setting.OUTPUT_ERR_EVENTS: 0xFF,
    Setting.OUTPUT_CHG_EVENTS: 0xFF,
    Setting.OUTPUT_CON_EVENTS: 0xFF,
}
_OUTPUTS = (Output.OUT, Output.ERR, Output.CHG, Output.CON)


class PhoenixRegisters:
    """What the controller answers to and what it does when written to."""

    def __init__(
        self,
        *,
        world: World,
        point: ChargingPoint,
        serial_number: str,
        firmware: Callable[[], ImageHead] = lambda: FIRST_FIRMWARE,
        lamp: Mapping[LampColour, str] = NO_LAMP,
    ) -> None:
        """`lamp`: the output of each colour, where the lamp is wired to this controller."""
        self._world = world
        self._point = point
        self._serial_number = serial_number
        self._firmware = firmware
        self._lamp = {LampElement[colour.name]: Output[name] for colour, name in lamp.items()}

    def read_bits(self, function: Function, start: int, count: int) -> Sequence[bool]:
        """Read back command coils."""
        if function is not Function.READ_COILS:
            raise IllegalFunction
        board = self._point.board
        coils = {
            Command.RELEASE: board.release_coil,
            Command.AVAILABLE: board.available_coil,
            Command.LOCK: board.lock_coil,
            # The test ends within the request, so the coil always reads as done.
            Command.RESIDUAL_CURRENT_TEST: False,
        }
        return [coils[coil] for coil in _coils(range(start, start + count), among=coils)]

    def read_registers(self, _function: Function, start: int, count: int) -> Sequence[int]:
        """Read any register by FC3 or FC4, as real units answer both."""
        identification = _slice(self._identification(), IDENTIFICATION_START, start, count)
        if identification is not None:
            return identification
        live = _slice(self._live(), STATUS_START, start, count) if start >= STATUS_START else None
        if live is not None:
            return live
        values = {**self._settings(), **self._commands()}
        try:
            return [values[address] for address in range(start, start + count)]
        except KeyError as error:
            raise IllegalAddress from error

    def write_bits(self, start: int, values: Sequence[bool]) -> None:
        """Command the board."""
        coils = _coils(range(start, start + len(values)), among=Command)
        board = self._point.board
        for coil, on in zip(coils, values, strict=True):
            match coil:
                case Command.RELEASE:
                    board.release_coil = on
                case Command.AVAILABLE:
                    board.available_coil = on
                case Command.LOCK:
                    board.lock_coil = on
                case Command.RESTART if on:
                    board.restart(now_s=self._point.now_s)
                case _:
                    pass
        self._point.settle()

    def write_registers(self, start: int, values: Sequence[int]) -> None:
        """Commission the board, set its limit or its outputs."""
        for address, value in enumerate(values, start):
            self._write(address, value)
        self._point.settle()
        self._show_lamp()

    def _write(self, address: int, value: int) -> None:
        board = self._point.board
        if CommandRegister.OUTPUT_OUT <= address <= CommandRegister.OUTPUT_CON:
            if value > OUTPUT_FLASHING:
                raise IllegalValue
            board.outputs[_OUTPUTS[address - CommandRegister.OUTPUT_OUT]] = value
        elif address == CommandRegister.MAXIMUM_CURRENT_A:
            if not board.set_limit(value):
                raise IllegalValue
        elif address == CommandRegister.FACTORY_RESET:
            if value != FACTORY_RESET_KEY:
                raise IllegalValue
            board.reset_to_factory()
        elif address in board.settings:
            setting = Setting(address)
            if value > _LARGEST[setting]:
                raise IllegalValue
            board.settings[setting] = value
        else:
            raise IllegalAddress

    def _identification(self) -> list[int]:
        firmware = self._firmware()
        return IdentificationBlock(
            order_designation="EV-CC-AC1-M3-CBC-RCM",
            order_number="1622459",
            serial_number=self._serial_number,
            hardware_id=0x0A00 + self._point.number,
            hardware_version=3,
            firmware_letter=firmware.letter,
            firmware_major=firmware.major,
            firmware_minor=firmware.minor,
        ).encode()

    def _settings(self) -> dict[int, int]:
        tethered = self._point.cable_is_fixed
        switches = _SWITCH_AVAILABLE | (_SWITCH_TETHERED if tethered else _SWITCH_LOCK)
        return {
            **{int(setting): value for setting, value in self._point.board.settings.items()},
            Setting.DIP_S1: switches,
            Setting.DIP_S2: 0,
            Setting.REJECT_13_A_CABLE: 0,
            Setting.TETHERED_CABLE: int(tethered),
        }

    def _commands(self) -> dict[int, int]:
        outputs = {
            CommandRegister.OUTPUT_OUT + index: self._point.board.outputs[output]
            for index, output in enumerate(_OUTPUTS)
        }
        return {CommandRegister.MAXIMUM_CURRENT_A: self._point.board.limit_a, **outputs}

    def _live(self) -> list[int]:
        point = self._point
        # This board takes whole amperes only.
        offered = int(point.offered_a)
        status = StatusBlock(
            pilot=point.pilot,
            pwm_on=offered > 0,
            cable_a=point.cable_a,
            # IEC 61851-1: one per cent of duty is 0.6 A up to 51 A; these charging points end at 32 A.
            duty_percent=round(offered / 0.6),
            current_a=offered,
            inputs=self._inputs(),
            outputs=self._lit_outputs(),
            charging_s=int(point.charging_s),
            connected_s=int(point.connected_s),
            errors=point.errors,
        )
        # 24026 is not documented, 24027 the limit of the switches.
        return [*status.encode(), 0, DIP_LIMIT_A]

    def _inputs(self) -> Input:
        inputs = Input.XR
        if self._point.button.is_pressed(now_s=self._point.now_s):
            self._point.button.was_seen = True
            inputs |= Input.EN
        inputs |= NO_INPUT if self._point.contactor_closed else Input.CCR
        inputs |= Input.IN if self._point.number == 1 and self._world.arrester_failed else NO_INPUT
        return inputs

    def _lit_outputs(self) -> Output:
        point = self._point
        outputs = Output.CHG if point.contactor_closed else NO_OUTPUT
        outputs |= Output.ERR if point.errors else NO_OUTPUT
        outputs |= Output.CON if point.vehicle is not None else NO_OUTPUT
        return point.board.lit_outputs(outputs)

    def _show_lamp(self) -> None:
        lit, lamp = self._lit_outputs(), self._world.lamps[self._point.number]
        for element, output in sorted(self._lamp.items(), key=lambda item: item[1] in lit):
            lamp.switch(element, on=output in lit, now_s=self._world.now_s)


def _slice(block: Sequence[int], block_start: int, start: int, count: int) -> Sequence[int] | None:
    offset = start - block_start
    return block[offset : offset + count] if offset >= 0 and offset + count <= len(block) else None


def _coils(addresses: Iterable[int], *, among: Iterable[Command]) -> list[Command]:
    by_address = {int(coil): coil for coil in among}
    try:
        return [by_address[address] for address in addresses]
    except KeyError as error:
        raise IllegalAddress from error
