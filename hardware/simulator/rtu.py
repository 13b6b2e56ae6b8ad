"""The slave's side of Modbus RTU: cuts requests out of the bytes of a line and answers them from a register map.

::

    FC 1, 2, 3, 4   address | function | start (2) | count (2) | CRC (2, low byte first)
    FC 5, 6         address | function | address (2) | value (2) | CRC
    FC 15, 16       address | function | start (2) | count (2) | bytes (1) | data | CRC

Address 0 is for everybody and is never answered. Requests for other addresses and broken frames are passed over in
silence, as the Modbus serial line specification (V1.02, section 2) wants it.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from pymodbus.framer.rtu import FramerRTU

BROADCAST = 0
# A frame whose bytes stop for this long is over: 3.5 characters are 4 ms at 9600 Bd, a busy computer needs more.
FRAME_TIMEOUT_S = 0.050
MAXIMUM_BITS, MAXIMUM_REGISTERS = 2000, 125
COIL_ON, COIL_OFF = 0xFF00, 0x0000
# Lengths of a frame with two arguments and of one with data (without the data), and where the latter says how many.
_SHORT_FRAME, _LONG_FRAME, _BYTE_COUNT = 8, 9, 6


class Function(IntEnum):
    """Function codes this slave knows."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_COIL = 5
    WRITE_REGISTER = 6
    WRITE_COILS = 15
    WRITE_REGISTERS = 16


_READING = frozenset(
    {
        Function.READ_COILS,
        Function.READ_DISCRETE_INPUTS,
        Function.READ_HOLDING_REGISTERS,
        Function.READ_INPUT_REGISTERS,
    }
)


class ModbusRequestRefused(Exception):
    """The request is answered with an exception code."""

    code = 4


class IllegalFunction(ModbusRequestRefused):
    """The device does not know this function."""

    code = 1


class IllegalAddress(ModbusRequestRefused):
    """There is no such register."""

    code = 2


class IllegalValue(ModbusRequestRefused):
    """The register does not take this value, or the count is out of range."""

    code = 3


class NotAnswered(Exception):
    """The device does not answer this request, or is not there at the moment."""


class RegisterMap(Protocol):
    """What a device has to offer; every method raises a ModbusRequestRefused for what it does not have.

    Or NotAnswered, for what it does not say a word to.
    """

    def read_bits(self, function: Function, start: int, count: int, /) -> Sequence[bool]: ...
    def read_registers(self, function: Function, start: int, count: int, /) -> Sequence[int]: ...
    def write_bits(self, start: int, values: Sequence[bool], /) -> None: ...
    def write_registers(self, start: int, values: Sequence[int], /) -> None: ...


def with_crc(frame: bytes) -> bytes:
    """Append the checksum."""
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


class RtuSlave:
    """One device at one address of a line."""

    def __init__(
        self,
        *,
        address: int,
        registers: RegisterMap,
        silence_s: float = 0.0,
    ) -> None:
        """`silence_s`: requests that come sooner after the last answer are passed over, as real meters do."""
        self._address = address
        self._registers = registers
        self._silence_s = silence_s
        self._buffer = bytearray()
        self._received_at_s = 0.0
        self._answered_at_s: float | None = None

    def receive(self, data: bytes, *, now_s: float) -> bytes:
        """Take bytes from the line and return the bytes to send, empty for silence."""
        if now_s - self._received_at_s > FRAME_TIMEOUT_S:
            self._buffer.clear()
        self._received_at_s = now_s
        self._buffer += data
        answer = b""
        while (length := self._frame_length()) is not None and len(self._buffer) >= length:
            frame = bytes(self._buffer[:length])
            del self._buffer[:length]
            if with_crc(frame[:-2]) != frame:
                # What follows a broken frame cannot be told apart from its rest.
                self._buffer.clear()
                break
            answer += self._answer(frame, now_s=now_s)
        return answer

    def _frame_length(self) -> int | None:
        if len(self._buffer) < _SHORT_FRAME:
            return None
        if self._buffer[1] in (Function.WRITE_COILS, Function.WRITE_REGISTERS):
            return _LONG_FRAME + self._buffer[_BYTE_COUNT]
        return _SHORT_FRAME

    def _answer(self, frame: bytes, *, now_s: float) -> bytes:
        address, function = frame[0], frame[1]
        if address not in (self._address, BROADCAST):
            return b""
        if self._answered_at_s is not None and now_s - self._answered_at_s < self._silence_s:
            return b""
        try:
            body = bytes([function]) + self._execute(function, frame[2:-2])
        except ModbusRequestRefused as refusal:
            body = bytes([function | 0x80, refusal.code])
        except NotAnswered:
            return b""
        if address == BROADCAST:
            return b""
        self._answered_at_s = now_s
        return with_crc(bytes([self._address]) + body)

    def _execute(self, number: int, request: bytes) -> bytes:
        try:
            function = Function(number)
        except ValueError as error:
            raise IllegalFunction from error
        start = int.from_bytes(request[0:2], "big")
        argument = int.from_bytes(request[2:4], "big")
        if function in _READING:
            return self._read(function, start, argument)
        self._write(function, start, argument, request[5:])
        return request[:4]

    def _read(self, function: Function, start: int, count: int) -> bytes:
        if function in (Function.READ_COILS, Function.READ_DISCRETE_INPUTS):
            _check_count(count, MAXIMUM_BITS)
            data = pack_bits(self._registers.read_bits(function, start, count))
        else:
            _check_count(count, MAXIMUM_REGISTERS)
            values = self._registers.read_registers(function, start, count)
            data = b"".join(value.to_bytes(2, "big") for value in values)
        return bytes([len(data)]) + data

    def _write(self, function: Function, start: int, argument: int, data: bytes) -> None:
        match function:
            case Function.WRITE_COIL:
                if argument not in (COIL_ON, COIL_OFF):
                    raise IllegalValue
                self._registers.write_bits(start, [argument == COIL_ON])
            case Function.WRITE_REGISTER:
                self._registers.write_registers(start, [argument])
            case Function.WRITE_COILS:
                if not argument or len(data) != (argument + 7) // 8:
                    raise IllegalValue
                self._registers.write_bits(start, unpack_bits(data, argument))
            case _:
                if not argument or len(data) != 2 * argument:
                    raise IllegalValue
                pairs = range(0, len(data), 2)
                self._registers.write_registers(start, [int.from_bytes(data[i : i + 2], "big") for i in pairs])


def pack_bits(bits: Sequence[bool]) -> bytes:
    """Pack bits into bytes, the first one in the lowest place."""
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= bit << index % 8
    return bytes(packed)


def unpack_bits(data: bytes, count: int) -> list[bool]:
    """Unpack `count` bits, the first one from the lowest place."""
    return [bool(data[index // 8] >> index % 8 & 1) for index in range(count)]


def _check_count(count: int, maximum: int) -> None:
    if not 1 <= count <= maximum:
        raise IllegalValue
