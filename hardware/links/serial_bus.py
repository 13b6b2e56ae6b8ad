"""One Modbus RTU bus on one serial port, shared by every device on it."""

import asyncio
import termios
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from hardware.links.backoff import PortBackoff
from station.domain.ports import DeviceFailed, DeviceGarbled, DeviceRefused, DeviceSilent

# After an unanswered request the bus stays silent for this long, so that a late answer is not taken for the next one.
SETTLE_S = 0.1
# A device that keeps the bus busy without being asked delays a request no longer than this.
LONGEST_BUSY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class BusSettings:
    """How a port is set; devices on one port share one of these. `echo`: the adapter returns what is sent."""

    port: str
    baudrate: int = 9600
    parity: str = "N"
    stopbits: int = 1
    echo: bool = False

    @property
    def character_s(self) -> float:
        """Duration of one character on the wire."""
        return (9 + (self.parity != "N") + self.stopbits) / self.baudrate


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How a device is polled: response time-out, attempts, silence on the bus before a request."""

    timeout_s: float
    attempts: int
    silence_s: float = 0.0


class ModbusRefused(DeviceRefused):
    """The device answered with a Modbus exception."""

    def __init__(self, device: int, function: int, code: int) -> None:
        super().__init__(f"device {device} refuses function {function} with Modbus exception {code}")
        self.code = code


class PortLost(DeviceSilent):
    """The serial port is not there, or went away while waiting for an answer."""


class _Framer(FramerRTU):
    """Treats every kind of noise as an incomplete frame, where pymodbus would raise into the event loop."""

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:  # noqa: N802
        try:
            return super().handleFrame(data, exp_devid, exp_tid)
        except (ModbusException, ValueError, IndexError, ArithmeticError):
            return len(data), None


class SerialBus:
    """A bus: one request at a time, whoever asks. `acquire` and `release` are called once by each device on it."""

    def __init__(self, settings: BusSettings) -> None:
        self.settings = settings
        self._client: AsyncModbusSerialClient | None = None
        self._lock = asyncio.Lock()
        self._backoff = PortBackoff()
        self._trouble = ""
        self._users = 0
        self._received = b""
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
        reply = await self._ask(
            device, 3, patience, lambda client: client.read_holding_registers(address, count=count, device_id=device)
        )
        return _exactly(count, reply.registers)

    async def read_input(self, device: int, address: int, count: int, patience: Patience) -> list[int]:
        """Read input registers (FC4)."""
        reply = await self._ask(
            device, 4, patience, lambda client: client.read_input_registers(address, count=count, device_id=device)
        )
        return _exactly(count, reply.registers)

    async def read_coils(self, device: int, address: int, count: int, patience: Patience) -> list[bool]:
        """Read coils (FC1)."""
        reply = await self._ask(
            device, 1, patience, lambda client: client.read_coils(address, count=count, device_id=device)
        )
        return _bits(count, reply.bits)

    async def read_discrete(self, device: int, address: int, count: int, patience: Patience) -> list[bool]:
        """Read discrete inputs (FC2)."""
        reply = await self._ask(
            device, 2, patience, lambda client: client.read_discrete_inputs(address, count=count, device_id=device)
        )
        return _bits(count, reply.bits)

    async def write_coil(self, device: int, address: int, patience: Patience, *, on: bool) -> None:
        """Write one coil (FC5) and check the echo."""
        reply = await self._ask(device, 5, patience, lambda client: client.write_coil(address, on, device_id=device))
        _echoed((address, on), (reply.address, bool(reply.bits and reply.bits[0])))

    async def write_coils(self, device: int, address: int, coils: Sequence[bool], patience: Patience) -> None:
        """Write several coils (FC15) and check the echo."""
        reply = await self._ask(
            device, 15, patience, lambda client: client.write_coils(address, list(coils), device_id=device)
        )
        _echoed((address, len(coils)), (reply.address, reply.count))

    async def write_register(self, device: int, address: int, value: int, patience: Patience) -> None:
        """Write one holding register (FC6) and check the echo."""
        reply = await self._ask(
            device, 6, patience, lambda client: client.write_register(address, value, device_id=device)
        )
        _echoed((address, value), (reply.address, reply.registers[0] if reply.registers else None))

    async def _ask(
        self,
        device: int,
        function: int,
        patience: Patience,
        send: Callable[[AsyncModbusSerialClient], Awaitable[ModbusPDU]],
    ) -> ModbusPDU:
        async with self._lock:
            # A device known to be silent is asked once per request, so that it does not take the bus from the others.
            attempts = 1 if device in self._silent else patience.attempts
            for remaining in reversed(range(attempts)):
                try:
                    reply = await self._ask_once(device, function, patience, send)
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

    async def _ask_once(
        self,
        device: int,
        function: int,
        patience: Patience,
        send: Callable[[AsyncModbusSerialClient], Awaitable[ModbusPDU]],
    ) -> ModbusPDU:
        loop = asyncio.get_running_loop()
        client = await self._connected(loop.time())
        await self._await_silence(patience.silence_s)
        self._received = b""
        client.ctx.comm_params.timeout_connect = patience.timeout_s
        cancellations = _cancellations()
        try:
            reply = await send(client)
        except asyncio.CancelledError:
            self._busy_until_s = loop.time() + SETTLE_S
            raise
        except ModbusException as error:
            # As below: a cancellation that meets the loss of the port must not be taken for one more silent device.
            if _cancellations() > cancellations:
                raise asyncio.CancelledError from error
            if self._client is not client:
                raise PortLost(f"{self.settings.port}: {self._trouble}") from error
            self._busy_until_s = loop.time() + SETTLE_S
            if self._received:
                raise DeviceGarbled(
                    f"device {device} answers function {function} with noise: {self._received[:40].hex(' ')}"
                ) from error
            raise DeviceSilent(f"device {device} does not answer within {patience.timeout_s} s") from error
        self._busy_until_s = loop.time()
        # asyncio.wait_for of Python 3.11, which pymodbus uses, loses a cancellation that meets the answer.
        if _cancellations() > cancellations:
            raise asyncio.CancelledError
        if isinstance(reply, ExceptionResponse):
            raise ModbusRefused(device, function, reply.exception_code)
        if reply.function_code != function:
            raise DeviceGarbled(f"device {device} answers function {function} with function {reply.function_code}")
        return reply

    async def _connected(self, now_s: float) -> AsyncModbusSerialClient:
        if self._client is not None:
            return self._client
        if not self._users:
            raise PortLost(f"{self.settings.port}: the port was closed")
        if not self._backoff.allows(now_s):
            raise PortLost(f"{self.settings.port}: {self._trouble}")
        client = AsyncModbusSerialClient(
            self.settings.port,
            baudrate=self.settings.baudrate,
            parity=self.settings.parity,
            stopbits=self.settings.stopbits,
            handle_local_echo=self.settings.echo,
            # This class reconnects and repeats itself: pymodbus knows neither silence before a repetition nor
            # waits that end with the port.
            reconnect_delay=0,
            retries=0,
            trace_packet=self._on_bytes,
            trace_connect=self._on_connection,
        )
        client.ctx.framer = _Framer(client.ctx.framer.decoder)
        try:
            connected = await client.connect()
            self._trouble = "" if connected else "the port cannot be opened"
        # pyserial lets errors of the terminal settings through as they are.
        except (termios.error, ValueError) as error:
            connected, self._trouble = False, f"the port cannot be set: {error}"
        if not connected:
            self._backoff.failed(now_s)
            raise PortLost(f"{self.settings.port}: {self._trouble}")
        self._backoff.succeeded()
        self._client = client
        return client

    async def _await_silence(self, silence_s: float) -> None:
        # 3.5 characters separate frames (MODBUS over serial line V1.02, section 2.5.1.1).
        needed_s = max(silence_s, 3.5 * self.settings.character_s)
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + LONGEST_BUSY_S + SETTLE_S + needed_s
        # Silence has no event to wait for: every byte moves its end.
        while (wait_s := self._busy_until_s + needed_s - loop.time()) > 0 and loop.time() < give_up_s:
            await asyncio.sleep(wait_s)

    def _on_bytes(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - called by pymodbus
        if not sending:
            self._received = data
            self._busy_until_s = max(self._busy_until_s, asyncio.get_running_loop().time())
        return data

    def _on_connection(self, connected: bool) -> None:  # noqa: FBT001 - called by pymodbus
        if not connected:
            self._drop("the port was lost")

    def _drop(self, trouble: str) -> None:
        client, self._client, self._trouble = self._client, None, trouble
        if client is None:
            return
        client.close()
        waiting = client.ctx.response_future
        if not waiting.done():
            waiting.set_exception(ModbusException(trouble))
            # Nobody retrieves the exception of the future that pymodbus creates at the start.
            waiting.exception()


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


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
