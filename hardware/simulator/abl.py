"""The simulated ABL EVCC2/3: its board, its registers, and the slave's side of its Modbus ASCII dialect.

Like the real one it locks the plug by itself, answers nothing but the blocks of its document, asked for exactly, and
sleeps when nobody talks to it. Its link is not supervised, as in the example of the document: what was permitted stays
permitted when nobody talks to it. After a start it waits in B1 for a permitted current.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from hardware.links.modbus_ascii import ANSWER, END, MAXIMUM_LENGTH, REQUEST, decode_frame, encode_frame
from hardware.protocols.abl import (
    LARGEST_DUTY,
    NO_CURRENT,
    PER_MILLE_MA,
    Block,
    Command,
    Flag,
    Identification,
    Option,
    State,
    StateChange,
    Status,
    encode_flags,
    encode_maximum,
    encode_serial_number,
)
from hardware.protocols.phoenix import BoardError, Setting
from hardware.simulator.board import DIP_LIMIT_A, STATION_SETTINGS, Board
from hardware.simulator.point import ChargingPoint
from station.domain.ports import DeviceGarbled, Pilot

# evcc sends every request twice, because the board sleeps; after how long it does so is our assumption.
SLEEPS_AFTER_S = 0.4
# The least that 0x0014 takes (the document: 0x0050 … 0x03E8).
SMALLEST_VALUE = 0x50
FAILED_WRITE = 4
# Automatic lock, everything else as the bus commands it.
_ABL_SETTINGS: dict[Setting, int] = {**STATION_SETTINGS, Setting.LOCK_SOURCE: 0}
# In the order in which the board would name them.
_FAULT_STATES: tuple[tuple[BoardError, State], ...] = (
    (BoardError.CONTACTOR, State.F1),
    (BoardError.RESIDUAL_CURRENT, State.F3),
    (BoardError.LOCKING_FAILED, State.F5),
    (BoardError.UNLOCKING_FAILED, State.F5),
    (BoardError.LOCK_FEEDBACK_LOST, State.F5),
    (BoardError.PILOT_INVALID, State.F8),
)
_PERMITTED_STATES = {Pilot.B: State.B2, Pilot.C: State.C2, Pilot.D: State.C2}


class _Function(IntEnum):
    READ = 3
    WRITE = 16


_READ_BYTES, _WRITE_BYTES = 4, 7


@dataclass(kw_only=True)
class AblBoard(Board):
    """The board: `maximum` is the permitted current as duty cycle in per mille."""

    settings: dict[Setting, int] = field(default_factory=lambda: dict(_ABL_SETTINGS))
    maximum: int = NO_CURRENT

    @property
    def released(self) -> bool:
        """Whether a current is permitted."""
        return self.maximum <= LARGEST_DUTY

    def wants_lock(self, *, vehicle_connected: bool) -> bool:
        """Lock while a car is connected."""
        return vehicle_connected

    def permitted_a(self, *, cable_a: int) -> float:
        """Return the current the duty cycle signals, as far as cable and switches allow it."""
        return min(self.maximum * PER_MILLE_MA / 1000, cable_a, DIP_LIMIT_A)

    def restart(self, *, now_s: float) -> None:
        """Wait for a permitted current again."""
        super().restart(now_s=now_s)
        self.maximum = NO_CURRENT


class AblController:
    """Cuts requests out of the bytes of a line and answers those a real board answers."""

    def __init__(self, *, address: int, point: ChargingPoint, board: AblBoard, serial_number: str) -> None:
        self._address = address
        self._point = point
        self._board = board
        self._serial_number = serial_number
        self._buffer = b""
        self._heard_at_s = float("-inf")

    def receive(self, data: bytes, *, now_s: float) -> bytes:
        """Take bytes from the line and return the bytes to send, empty for silence."""
        self._buffer += data
        answer = b""
        while (end := self._buffer.find(END)) >= 0:
            frame, self._buffer = self._buffer[: end + len(END)], self._buffer[end + len(END) :]
            answer += self._answer(frame[max(frame.rfind(REQUEST), 0) :], now_s=now_s)
        self._buffer = self._buffer[-MAXIMUM_LENGTH:]
        return answer

    def _answer(self, frame: bytes, *, now_s: float) -> bytes:
        is_asleep, self._heard_at_s = now_s - self._heard_at_s > SLEEPS_AFTER_S, now_s
        try:
            request = decode_frame(frame, start=REQUEST)
        except DeviceGarbled:
            return b""
        if is_asleep or request[0] != self._address:
            return b""
        body = self._execute(request[1], request[2:])
        return encode_frame(bytes([self._address]) + body, start=ANSWER) if body else b""

    def _execute(self, function: int, data: bytes) -> bytes:
        if function == _Function.READ and len(data) == _READ_BYTES:
            start, count = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:], "big")
            if start not in set(Block) or Block(start).count != count:
                return b""
            registers = self._read(Block(start))
            return bytes([function, 2 * count]) + b"".join(each.to_bytes(2, "big") for each in registers)
        if function == _Function.WRITE and len(data) == _WRITE_BYTES and data[2:5] == b"\x00\x01\x02":
            register, value = int.from_bytes(data[:2], "big"), int.from_bytes(data[5:], "big")
            if register not in set(Command):
                return b""
            return self._write(Command(register), value, confirmation=bytes([function]) + data[:4])
        return b""

    def _read(self, block: Block) -> list[int]:
        match block:
            case Block.IDENTIFICATION:
                return Identification(
                    hardware="170725",
                    device_id=self._address,
                    firmware_major=1,
                    firmware_minor=7,
                    options=Option.CURRENT_METER
                    | Option.RESIDUAL_CURRENT_DETECTOR
                    | Option.WELD_DETECTION
                    | (Option(0) if self._point.cable_is_fixed else Option.SOCKET | Option.CABLE_RATING_READ),
                ).encode()
            case Block.FLAGS:
                return encode_flags(Flag.WAITS_AFTER_POWER_UP)
            case Block.SETTINGS:
                return encode_maximum(self._board.maximum)
            case Block.STATUS:
                return self._status().encode()
            case Block.SERIAL_NUMBER:
                return encode_serial_number(self._serial_number)

    def _write(self, command: Command, value: int, *, confirmation: bytes) -> bytes:
        board, state = self._board, self._state
        if command is Command.MAXIMUM_CURRENT:
            if not SMALLEST_VALUE <= value <= NO_CURRENT:
                return bytes([confirmation[0] | 0x80, FAILED_WRITE])
            board.maximum = value
        elif value == StateChange.RESET:
            board.restart(now_s=self._point.now_s)
        elif value == StateChange.TO_E0 and state is not State.E0:
            board.available_coil = False
        elif value == StateChange.TO_A1 and state is State.E0:
            board.available_coil = True
        else:
            # A change to where the board already is (evcc issue 526), or one this board does not know.
            return b""
        self._point.settle()
        return confirmation

    @property
    def _state(self) -> State:
        point = self._point
        for error, state in _FAULT_STATES:
            if error in point.errors:
                return state
        pilot = point.pilot
        if pilot is Pilot.F:
            return State.E0
        if pilot not in _PERMITTED_STATES:
            return State.A1
        # A car that winds down is still in C.
        return _PERMITTED_STATES[pilot] if point.pwm_on or pilot is not Pilot.B else State.B1

    def _status(self) -> Status:
        point, state = self._point, self._state
        signalled = round(point.offered_a * 1000 / PER_MILLE_MA) if point.pwm_on else self._board.maximum
        currents = [NO_CURRENT] * 3
        if state >= State.B1:
            currents = [round(current / 100) for current in point.load.currents_ma]
        return Status(
            state=state,
            connected=point.vehicle is not None,
            reduced=False,
            duty=signalled,
            currents=(currents[0], currents[1], currents[2]),
        )
