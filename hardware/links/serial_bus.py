"""One Modbus bus, RTU or ASCII, on one serial port, shared by every device on it.

The frames are written and read by pymodbus. Its client is not used: on the way from a request to its answer it costs
four times what the frames do, and repetitions, the loss of the port and the silence between frames are this bus's own
business anyway.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pymodbus.exceptions import ModbusException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from hardware.links.backoff import PortBackoff
from hardware.links.modbus_ascii import AsciiFramer
from hardware.links.port import PortFailed, SerialPort
from station.domain.ports import DeviceFailed, DeviceGarbled, DeviceRefused, DeviceSilent

# After an unanswered request the bus stays silent for this long, so that a late answer is not taken for the next one.
SETTLE_S = 0.1
# A device that keeps the bus busy without being asked delays a request no longer than this.
LONGEST_BUSY_S = 0.5


class Framing(StrEnum):
    """How Modbus messages are written on a line."""

    RTU = "Modbus RTU"
    ABL_ASCII = "Modbus ASCII of ABL"


class Framer(Protocol):
    """Writes requests and finds answers among what was received (a framer of pymodbus, or one like it)."""

    MAX_SIZE: int

    def buildFrame(self, message: ModbusPDU) -> bytes: ...  # noqa: N802 - pymodbus' name
    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int, /) -> tuple[int, ModbusPDU | None]: ...  # noqa: N802


_FRAMERS: dict[Framing, Callable[[DecodePDU], Framer]] = {Framing.RTU: FramerRTU, Framing.ABL_ASCII: AsciiFramer}


@dataclass(frozen=True, kw_only=True)
class BusSettings:
    """How a port is set; devices on one port share one of these. `echo`: the adapter returns what is sent."""

    port: str
    baudrate: int = 9600
    parity: str = "N"
    stopbits: int = 1
    echo: bool = False
    framing: Framing = Framing.RTU

    @property
    def character_s(self) -> float:
        """Duration of one character on the wire."""
        return (9 + (self.parity != "N") + self.stopbits) / self.baudrate


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How a device is polled: response time-out, attempts, silence on the bus before a request.

    `attempts_while_silent`: at a device that did not answer last time. One, so that it does not take the bus from the
    others – unless the device sleeps and is woken by the first request, which it does not answer.
    """

    timeout_s: float
    attempts: int
    silence_s: float = 0.0
    attempts_while_silent: int = 1


class ModbusRefused(DeviceRefused):
    """The device answered with a Modbus exception."""

    def __init__(self, device: int, function: int, code: int) -> None:
        super().__init__(f"device {device} refuses function {function} with Modbus exception {code}")
        self.code = code


class PortLost(DeviceSilent):
    """The serial port is not there, or went away while waiting for an answer."""


class SerialBus:
    """A bus: one request at a time, whoever asks. `acquire` and `release` are called once by each device on it."""

    def __init__(self, settings: BusSettings) -> None:
        self.settings = settings
        self._framer = _FRAMERS[settings.framing](DecodePDU(is_server=False))
        self._port: SerialPort | None = None
        self._lock = asyncio.Lock()
        self._backoff = PortBackoff()
        self._trouble = ""
        self._users = 0
        self._exchange: _Exchange | None = None
        self._busy_until_s = 0.0
        self._silent: set[int] = set()

    def acquire(self) -> None:
        """Count one more device; the port is opened by the first request."""
        self._users += 1

    def release(self) -> None:
        """Count one device less; the last one closes the port and ends a pending wait."""
        self._users = max(0, self._users - 1)
        if not self._users:
            self._drop("the port was closed")

    async def read_holding(self, device: int, address: int, count: int, patience: Patience) -> list[int]:
        """Read holding registers (FC3)."""
        reply = await self._ask(ReadHoldingRegistersRequest(address=address, count=count, dev_id=device), patience)
        return _exactly(count, reply.registers)

    async def read_input(self, device: int, address: int, count: int, patience: Patience) -> list[int]:
        """Read input registers (FC4)."""
        reply = await self._ask(ReadInputRegistersRequest(address=address, count=count, dev_id=device), patience)
        return _exactly(count, reply.registers)

    async def read_coils(self, device: int, address: int, count: int, patience: Patience) -> list[bool]:
        """Read coils (FC1)."""
        reply = await self._ask(ReadCoilsRequest(address=address, count=count, dev_id=device), patience)
        return _bits(count, reply.bits)

    async def read_discrete(self, device: int, address: int, count: int, patience: Patience) -> list[bool]:
        """Read discrete inputs (FC2)."""
        reply = await self._ask(ReadDiscreteInputsRequest(address=address, count=count, dev_id=device), patience)
        return _bits(count, reply.bits)

    async def write_coil(self, device: int, address: int, patience: Patience, *, on: bool) -> None:
        """Write one coil (FC5) and check the echo."""
        reply = await self._ask(WriteSingleCoilRequest(address=address, bits=[on], dev_id=device), patience)
        _echoed((address, on), (reply.address, bool(reply.bits and reply.bits[0])))

    async def write_coils(self, device: int, address: int, coils: Sequence[bool], patience: Patience) -> None:
        """Write several coils (FC15) and check the echo."""
        reply = await self._ask(WriteMultipleCoilsRequest(address=address, bits=list(coils), dev_id=device), patience)
        _echoed((address, len(coils)), (reply.address, reply.count))

    async def write_register(self, device: int, address: int, value: int, patience: Patience) -> None:
        """Write one holding register (FC6) and check the echo."""
        reply = await self._ask(WriteSingleRegisterRequest(address=address, registers=[value], dev_id=device), patience)
        _echoed((address, value), (reply.address, reply.registers[0] if reply.registers else None))

    async def write_registers(self, device: int, address: int, values: Sequence[int], patience: Patience) -> None:
        """Write several holding registers (FC16) and check the echo."""
        request = WriteMultipleRegistersRequest(address=address, registers=list(values), dev_id=device)
        reply = await self._ask(request, patience)
        _echoed((address, len(values)), (reply.address, reply.count))

    async def _ask(self, request: ModbusPDU, patience: Patience) -> ModbusPDU:
        device = request.dev_id
        async with self._lock:
            attempts = patience.attempts_while_silent if device in self._silent else patience.attempts
            for remaining in reversed(range(attempts)):
                try:
                    reply = await self._ask_once(request, patience)
                except (PortLost, DeviceRefused):
                    raise
                except DeviceFailed:
                    if not remaining:
                        self._silent.add(device)
                        raise
                else:
                    self._silent.discard(device)
                    return reply
        raise DeviceSilent(f"device {device} was never asked")

    async def _ask_once(self, request: ModbusPDU, patience: Patience) -> ModbusPDU:
        loop = asyncio.get_running_loop()
        self._open(loop.time())
        await self._await_silence(patience.silence_s)
        # The silence may have lasted longer than the port.
        port = self._open(loop.time())
        device, function = request.dev_id, request.function_code
        sent = self._framer.buildFrame(request)
        exchange = self._exchange = _Exchange(device, echo=sent if self.settings.echo else b"")
        settled_s = SETTLE_S
        try:
            port.send(sent)
            async with asyncio.timeout(patience.timeout_s):
                reply = await exchange.answer
            settled_s = 0.0
        except PortFailed as error:
            self._drop(str(error))
            raise PortLost(f"{self.settings.port}: {self._trouble}") from error
        except TimeoutError as error:
            if exchange.received:
                raise DeviceGarbled(
                    f"device {device} answers function {function} with noise: {exchange.received[:40].hex(' ')}"
                ) from error
            raise DeviceSilent(f"device {device} does not answer within {patience.timeout_s} s") from error
        finally:
            self._exchange = None
            exchange.answer.cancel()
            self._busy_until_s = loop.time() + settled_s
        if isinstance(reply, ExceptionResponse):
            raise ModbusRefused(device, function, reply.exception_code)
        if reply.function_code != function:
            raise DeviceGarbled(f"device {device} answers function {function} with function {reply.function_code}")
        return reply

    def _open(self, now_s: float) -> SerialPort:
        if self._port is not None:
            return self._port
        settings = self.settings
        if not self._users:
            raise PortLost(f"{settings.port}: the port was closed")
        if not self._backoff.allows(now_s):
            raise PortLost(f"{settings.port}: {self._trouble}")
        try:
            self._port = SerialPort(
                settings.port,
                on_received=self._on_received,
                on_lost=self._drop,
                baudrate=settings.baudrate,
                parity=settings.parity,
                stopbits=settings.stopbits,
            )
        except PortFailed as error:
            self._backoff.failed(now_s)
            self._trouble = str(error)
            raise PortLost(f"{settings.port}: {self._trouble}") from error
        self._backoff.succeeded()
        return self._port

    async def _await_silence(self, silence_s: float) -> None:
        # 3.5 characters separate frames (MODBUS over serial line V1.02, section 2.5.1.1).
        needed_s = max(silence_s, 3.5 * self.settings.character_s)
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + LONGEST_BUSY_S + SETTLE_S + needed_s
        # Silence has no event to wait for: every byte moves its end.
        while (wait_s := self._busy_until_s + needed_s - loop.time()) > 0 and loop.time() < give_up_s:
            await asyncio.sleep(wait_s)

    def _on_received(self, data: bytes) -> None:
        self._busy_until_s = max(self._busy_until_s, asyncio.get_running_loop().time())
        if self._exchange is not None:
            self._exchange.take(data, self._framer)

    def _drop(self, trouble: str) -> None:
        port, self._port, self._trouble = self._port, None, trouble
        if port is not None:
            port.close()
        if self._exchange is not None and not self._exchange.answer.done():
            self._exchange.answer.set_exception(PortLost(f"{self.settings.port}: {trouble}"))
            # Nobody retrieves it when whoever waits is cancelled in the same moment.
            self._exchange.answer.exception()


class _Exchange:
    """A request under way: what has been received for it, and the answer as soon as that makes one.

    `echo`: what the adapter returns before the device answers.
    """

    def __init__(self, device: int, *, echo: bytes) -> None:
        self.answer: asyncio.Future[ModbusPDU] = asyncio.get_running_loop().create_future()
        self.received = b""
        self._device = device
        self._echo = echo
        self._begin = 0

    def take(self, data: bytes, framer: Framer) -> None:
        """Look for the answer in what has been received so far."""
        self.received += data
        if self.answer.done():
            return
        if self._echo:
            if len(self.received) < len(self._echo) and self._echo.startswith(self.received):
                return
            self.received = self.received.removeprefix(self._echo)
            self._echo = b""
        if len(self.received) - self._begin > framer.MAX_SIZE:
            self._begin = len(self.received)
            return
        rest = self.received[self._begin :]
        try:
            used, reply = framer.handleFrame(rest, self._device, 0)
        except (ModbusException, ValueError, IndexError, ArithmeticError):
            # Noise that looks like a frame.
            used, reply = len(rest), None
        self._begin += used
        if reply is not None:
            self.answer.set_result(reply)


def _exactly(count: int, registers: Sequence[int]) -> list[int]:
    if len(registers) != count:
        raise DeviceGarbled(f"{len(registers)} registers answered instead of {count}")
    return list(registers)


def _bits(count: int, bits: Sequence[bool]) -> list[bool]:
    # Modbus fills the last byte up with zeros.
    if len(bits) != (count + 7) // 8 * 8:
        raise DeviceGarbled(f"{len(bits)} bits answered instead of {count}")
    return list(bits[:count])


def _echoed(written: tuple[int, object], echoed: tuple[int, object]) -> None:
    if written != echoed:
        raise DeviceGarbled(f"written {written}, confirmed {echoed}")
