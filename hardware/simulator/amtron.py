"""The simulated MENNEKES AMTRON Compact 2.0s: its board and its registers.

It charges while it has a heartbeat, a release and a limit of 6 A or more. Without a heartbeat for 10 s its fallback
holds until the next one, as it was set by the installer: go on as told, pause, or a current. Release and limit are lost
when it restarts. The numbers of its errors are ours, the maker does not publish them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hardware.protocols.amtron import (
    ALIVE,
    FALLBACK_NONE,
    FALLBACK_PAUSE,
    HEARTBEAT_TIMEOUT_S,
    LARGEST_CURRENT_A,
    SMALLEST_CURRENT_A,
    Cable,
    Limits,
    Register,
    Switches,
    decode_float,
    encode_float,
    encode_pilot,
    encode_text,
)
from hardware.protocols.phoenix import BoardError, Setting
from hardware.simulator.board import DIP_LIMIT_A, STATION_SETTINGS, Board
from hardware.simulator.point import ChargingPoint
from hardware.simulator.rtu import Function, IllegalAddress, IllegalFunction, IllegalValue
from station.domain.ports import Pilot

_LAYOUT = 0x0100
_FIRMWARE = "1.4.2"
_SETTINGS: dict[Setting, int] = {**STATION_SETTINGS, Setting.LOCK_SOURCE: 0}
_LIMIT_REGISTERS = 2
# Values of the register of the state.
_IDLE, _CONNECTED, _READY, _CHARGING, _ERROR, _SERVICE = 1, 2, 4, 5, 6, 7
# Invalid pilots and missing availability show in the pilot.
_NO_NUMBER = frozenset({BoardError.NOT_AVAILABLE, BoardError.PILOT_INVALID})


@dataclass(kw_only=True)
class AmtronBoard(Board):
    """The board: what it was told, and when it heard its heartbeat."""

    settings: dict[Setting, int] = field(default_factory=lambda: dict(_SETTINGS))
    told_a: float = 0.0
    fallback: int = FALLBACK_PAUSE
    heard_at_s: float = float("-inf")
    in_fallback: bool = True

    @property
    def released(self) -> bool:
        """Whether a current is permitted: by what was told, or by the fallback while nobody is heard."""
        if self.in_fallback and self.fallback == FALLBACK_PAUSE:
            return False
        if self.in_fallback and self.fallback != FALLBACK_NONE:
            return self.release_coil
        return self.release_coil and self.told_a >= SMALLEST_CURRENT_A

    def wants_lock(self, *, vehicle_connected: bool) -> bool:
        """Lock while a car is connected."""
        return vehicle_connected

    def permitted_a(self, *, cable_a: int) -> float:
        """Return the current the pilot signals when it signals any."""
        has_own = self.in_fallback and self.fallback not in (FALLBACK_NONE, FALLBACK_PAUSE)
        return min(self.fallback if has_own else self.told_a, cable_a, DIP_LIMIT_A)

    def hear(self, *, now_s: float) -> None:
        """Take a heartbeat."""
        self.heard_at_s, self.in_fallback = now_s, False

    def advance(self, *, now_s: float) -> None:
        """Fall back when the heartbeat is too old."""
        self.in_fallback = now_s - self.heard_at_s > HEARTBEAT_TIMEOUT_S

    def restart(self, *, now_s: float) -> None:
        """Lose what was told, and the heartbeat."""
        super().restart(now_s=now_s)
        self.told_a, self.heard_at_s, self.in_fallback = 0.0, float("-inf"), True


class AmtronRegisters:
    """What the board answers to and what it does when written to."""

    def __init__(self, *, point: ChargingPoint, board: AmtronBoard, serial_number: str) -> None:
        self._point = point
        self._board = board
        self._serial_number = serial_number

    def read_bits(self, _function: Function, _start: int, _count: int) -> Sequence[bool]:
        """Refuse: there are no bits."""
        raise IllegalFunction

    def read_registers(self, _function: Function, start: int, count: int) -> Sequence[int]:
        """Read by FC3 or FC4."""
        known = self._registers()
        try:
            return [known[address] for address in range(start, start + count)]
        except KeyError as error:
            raise IllegalAddress from error

    def write_bits(self, _start: int, _values: Sequence[bool]) -> None:
        """Refuse: there are no bits."""
        raise IllegalFunction

    def write_registers(self, start: int, values: Sequence[int]) -> None:
        """Take a heartbeat, a limit or a switch."""
        board = self._board
        if start == Register.LIMIT and len(values) == _LIMIT_REGISTERS:
            limit_a = decode_float(values)
            if not SMALLEST_CURRENT_A <= limit_a <= LARGEST_CURRENT_A:
                raise IllegalValue
            board.told_a = limit_a
        elif len(values) != 1:
            raise IllegalAddress
        elif start == Register.HEARTBEAT:
            if values[0] != ALIVE:
                raise IllegalValue
            board.hear(now_s=self._point.now_s)
        elif start in (Register.RELEASE, Register.LOCKED_STATION):
            if values[0] > 1:
                raise IllegalValue
            if start == Register.RELEASE:
                board.release_coil = bool(values[0])
            else:
                board.available_coil = not values[0]
        else:
            raise IllegalAddress
        self._point.settle()

    def _registers(self) -> dict[int, int]:
        point, board = self._point, self._board
        limits = Limits(downgrade_a=0.0, limit_a=board.told_a, installation_a=DIP_LIMIT_A, device_a=LARGEST_CURRENT_A)
        switches = Switches(cable=self._cable, released=board.release_coil, locked_station=not board.available_coil)
        values: dict[int, Sequence[int]] = {
            Register.LAYOUT: [_LAYOUT],
            Register.FIRMWARE: encode_text(_FIRMWARE),
            Register.SERIAL_NUMBER: encode_text(self._serial_number),
            Register.STATE: [self._state],
            Register.CONTROL_PILOT: [self._pilot],
            Register.DOWNGRADE_LIMIT: limits.encode(),
            Register.PERMANENT_LOCK: [0, board.fallback],
            Register.CABLE: switches.encode(),
            Register.ERROR: [self._error, int(board.in_fallback)],
        }
        for phase, (volts, amperes) in enumerate(zip(point.load.voltages_mv, point.load.currents_ma, strict=True)):
            values[0x0500 + 2 * phase] = encode_float(amperes / 1000)
            values[0x0506 + 2 * phase] = encode_float(volts / 1000)
        return {start + at: value for start, block in values.items() for at, value in enumerate(block)}

    @property
    def _cable(self) -> Cable:
        if self._point.cable_is_fixed:
            return Cable.TETHERED
        if not self._point.plugged:
            return Cable.UNKNOWN
        return Cable.LOCKED if self._point.lock.locked else Cable.UNLOCKED

    @property
    def _error(self) -> int:
        return min(self._point.errors - _NO_NUMBER, default=0)

    @property
    def _pilot(self) -> int:
        if BoardError.PILOT_INVALID in self._point.errors:
            return encode_pilot(Pilot.E, pwm_on=False)
        return encode_pilot(self._point.pilot, pwm_on=self._point.pwm_on)

    @property
    def _state(self) -> int:
        point = self._point
        if self._error or BoardError.PILOT_INVALID in point.errors:
            return _ERROR
        match point.pilot:
            case Pilot.A:
                return _IDLE
            case Pilot.B:
                return _READY if point.pwm_on else _CONNECTED
            case Pilot.C | Pilot.D:
                return _CHARGING
            case _:
                return _SERVICE
