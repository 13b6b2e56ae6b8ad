"""Finding what is connected: serial ports are asked for every device there is a driver for.

Nothing is switched: Modbus devices are only read, readers only asked for a card, and what pushes is listened to. A
board is told nothing that could close its contactor or let go of a plug, and a setting of none is changed.
"""

import asyncio
import os
import stat
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from hardware.drivers.config_data import Role
from hardware.drivers.registry import CONTROLLERS, METERS, READERS, Buses, Driver
from hardware.links.port import PortFailed, PortTrouble, SerialPort
from hardware.links.serial_bus import BusSettings, Framing, Patience, PortLost, SerialBus
from hardware.protocols import bootloader
from hardware.protocols.abl import Block
from hardware.protocols.digital_io import FIRST_INPUT
from hardware.protocols.eastron import Model
from station.domain.device_names import DEVICE_NAMES
from station.domain.ports import (
    ControllerIdentity,
    DeviceFailed,
    DeviceGarbled,
    DeviceRefused,
    Meter,
    MeterIdentity,
)

# Whoever is there answers its first register, or refuses it, within a few milliseconds (fact sheets of the drivers);
# ABL's boards sleep through a first request.
_HERE = Patience(timeout_s=0.2, attempts=1)
_HERE_WHEN_ASLEEP = Patience(timeout_s=0.1, attempts=2, attempts_while_silent=2)
# A meter that pushes does so every few seconds, and whoever installs needs a moment to hold a card to a reader.
LISTENS_S = 6.0
_POLLS_S = 0.1
# A reader takes what the search has sent before for the beginning of its first request.
_TRIES = 2
_CONSOLES = Path("/sys/class/tty/console/active")
# Device numbers of Linux (admin-guide/devices.txt): screens and keyboards stand before the serial ports of major 4.
_TERMINALS, _SERIAL_FROM = 4, 64
_OWN_TERMINALS, _OWN_AND_CONSOLE = 5, (0, 1)
_STABLE_NAMES = (Path("/dev/serial/by-id"), Path("/dev/serial/by-path"))


@dataclass(frozen=True, kw_only=True)
class Line:
    """How a bus may be set, and at which addresses devices are delivered for it."""

    baudrate: int
    parity: str = "N"
    stopbits: int = 1
    framing: Framing = Framing.RTU
    addresses: tuple[int, ...] = tuple(range(1, 11))

    @property
    def text(self) -> str:
        """Write the setting as technicians do: 9600 8N1."""
        return f"{self.baudrate} 8{self.parity}{self.stopbits}"


# As the makers deliver their devices (registry.py has the sources); the likeliest first, because the search of a bus
# ends with the first setting at which somebody answers.
LINES = (
    Line(baudrate=9600),
    # Phoenix Contact with DIP switch S2/1; many meters after a visit to their menu.
    Line(baudrate=19200),
    Line(baudrate=57600, stopbits=2, addresses=(50, 11, 12, 13, 14)),
    Line(baudrate=38400, parity="E", framing=Framing.ABL_ASCII, addresses=(1, 2, 3, 4)),
    Line(baudrate=9600, parity="E"),
    Line(baudrate=19200, parity="E"),
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """One device. `driver` is empty for one that answers and is none the station knows.

    `options`: its entry in hardware.json. `trouble`: why it cannot be used as it is.
    """

    role: Role | None
    driver: str
    options: Mapping[str, Any]
    name: str
    serial: str = ""
    firmware: str = ""
    line: str = ""
    trouble: str = ""

    @property
    def port(self) -> str:
        """The port it is connected to."""
        return str(self.options["port"])

    @property
    def entry(self) -> dict[str, Any]:
        """What hardware.json says of it."""
        return {"driver": self.driver, **self.options}


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A port and what is there. `trouble`: why it could not be searched, `reason` the same as the system says it."""

    port: str
    found: tuple[Found, ...] = ()
    trouble: PortTrouble | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is tried: settings of a bus, and how long is listened for what says something by itself."""

    lines: Sequence[Line] = LINES
    listens_s: float = LISTENS_S
    # Told when nothing but a card could make the device speak: it must be shown now.
    on_listening: Callable[[str], None] = field(default=lambda _port: None)


def ports_here() -> list[str]:
    """Return the serial ports of this computer under names that stay the same over replugging, where there are any."""
    present = list_ports.comports()
    alike = Counter(_identity(port) for port in present)
    # Two adapters of one kind without a serial number have one name by id between them, which leads to either.
    ambiguous = {
        str(Path(port.device).resolve()) for port in present if port.vid is not None and alike[_identity(port)] > 1
    }
    by_id, by_path = (_linked(folder) for folder in _STABLE_NAMES)
    names = by_path | {device: name for device, name in by_id.items() if device not in ambiguous}
    devices = {str(Path(port.device).resolve()) for port in present} - _consoles()
    return sorted(names.get(device, device) for device in devices)


def _identity(port: ListPortInfo) -> tuple[Any, ...]:
    # An adapter with several sockets tells them apart by the interface (location: bus-port:configuration.interface).
    interface = (port.location or "").partition(":")[2]
    return port.vid, port.pid, port.serial_number, interface


def _linked(folder: Path) -> dict[str, str]:
    return {str(name.resolve()): str(name) for name in sorted(folder.iterdir())} if folder.is_dir() else {}


def _consoles() -> set[str]:
    """Return the terminals the kernel writes to: whoever installs may sit at one of them."""
    try:
        return {f"/dev/{name}" for name in _CONSOLES.read_text().split()}
    except OSError:
        return set()


def _is_for_people(port: str) -> bool:
    """Return whether this is a screen with a keyboard, or the console, which can be set up like a serial port."""
    try:
        status = Path(port).stat()
    except OSError:
        return False
    if not stat.S_ISCHR(status.st_mode):
        return False
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return (major == _TERMINALS and minor < _SERIAL_FROM) or (major == _OWN_TERMINALS and minor in _OWN_AND_CONSOLE)


async def search(ports: Sequence[str], extent: Extent) -> list[Searched]:
    """Search all ports at the same time; each device on one bus is asked after the other."""
    return list(await asyncio.gather(*(search_port(port, extent) for port in ports)))


async def search_port(port: str, extent: Extent) -> Searched:
    """Search one port: a bus with addresses, then a reader that answers, then what speaks without being asked."""
    try:
        # Whether the port can be used at all is asked first, so that its trouble is told instead of "nothing there".
        _check(port)
        found = await _search_usable(port, extent)
        # Devices whose silence ends a question look the same as an adapter that was pulled meanwhile.
        _check(port)
    except PortFailed as error:
        return Searched(port=port, trouble=error.trouble, reason=str(error))
    except PortLost as error:
        cause = error.__cause__
        trouble = cause.trouble if isinstance(cause, PortFailed) else PortTrouble.LOST
        return Searched(port=port, trouble=trouble, reason=str(error))
    return Searched(port=port, found=found)


def _check(port: str) -> None:
    """Open and close a port. Raises PortFailed."""
    if _is_for_people(port):
        raise PortFailed("a console, where people sit", PortTrouble.UNUSABLE)
    SerialPort(port, on_received=lambda _: None, on_lost=lambda _: None, baudrate=9600).close()


async def _search_usable(port: str, extent: Extent) -> tuple[Found, ...]:
    # What speaks by itself disturbs whoever asks; without it, listening waits until the end.
    for line in extent.lines:
        if found := await _search_bus(port, line):
            return tuple(found)
    for name in ("elatec_twn4", "pn532"):
        if await _reader_answers(port, name):
            return (_reader(port, name),)
    talker = await _pushing_meter(port, extent.listens_s)
    if talker is None:
        # Nobody shall hold a card to a reader whose adapter is gone.
        _check(port)
        extent.on_listening(port)
        talker = await _pushing_reader(port, extent.listens_s)
    return () if talker is None else (talker,)


async def _search_bus(port: str, line: Line) -> list[Found]:
    settings = BusSettings(
        port=port, baudrate=line.baudrate, parity=line.parity, stopbits=line.stopbits, framing=line.framing
    )
    bus = SerialBus(settings)
    bus.acquire()
    try:
        present = [address for address in line.addresses if await _is_there(bus, address, line)]
    finally:
        bus.release()
    return [await _identify(port, line, address) for address in present]


async def _is_there(bus: SerialBus, address: int, line: Line) -> bool:
    """Ask for a first register: a refusal is an answer, too. ABL's boards answer whole blocks only."""
    try:
        if line.framing is Framing.ABL_ASCII:
            await bus.read_holding(address, Block.IDENTIFICATION, Block.IDENTIFICATION.count, _HERE_WHEN_ASLEEP)
        else:
            await bus.read_holding(address, 1, 1, _HERE)
    except PortLost:
        raise
    except DeviceRefused:
        return True
    except DeviceFailed:
        return False
    return True


async def _identify(port: str, line: Line, address: int) -> Found:
    options = {
        "port": port,
        "address": address,
        "baudrate": line.baudrate,
        "parity": line.parity,
        "stopbits": line.stopbits,
    }
    for try_one in (_as_controller, _as_meter, _as_io):
        found = await try_one(options, line)
        if found is not None:
            return found
    return Found(role=None, driver="", options=options, name="", line=line.text)


async def _as_controller(options: dict[str, Any], line: Line) -> Found | None:
    for name, driver in CONTROLLERS.items():
        if driver.framing is not line.framing or not _fits(driver, options):
            continue
        async with _opened(driver, options) as device:
            trouble = ""
            try:
                identity = await device.identify()
            except (PortLost, DeviceGarbled):
                continue
            except DeviceRefused as refusal:
                # A Modbus exception says "not this register"; a refusal of the driver that the board must be set.
                if type(refusal) is not DeviceRefused:
                    continue
                identity, trouble = _UNKNOWN_BOARD, str(refusal)
            except DeviceFailed:
                continue
            if not (identity.serial or trouble):
                continue
        chosen = "flashable_ev_cc" if name == "phoenix_ev_cc" and await _has_bootloader(options) else name
        return Found(
            role=Role.CONTROLLER,
            driver=chosen,
            options=options,
            name=identity.model or DEVICE_NAMES[chosen],
            serial=identity.serial,
            firmware=identity.firmware,
            line=line.text,
            trouble=trouble,
        )
    return None


async def _has_bootloader(options: dict[str, Any]) -> bool:
    bus = Buses().bus(_complete(CONTROLLERS["flashable_ev_cc"], options))
    bus.acquire()
    try:
        registers = await bus.read_holding(options["address"], bootloader.STATUS_START, bootloader.STATUS_COUNT, _HERE)
        bootloader.decode_status(registers)
    except DeviceFailed:
        return False
    else:
        return True
    finally:
        bus.release()


async def _as_meter(options: dict[str, Any], line: Line) -> Found | None:
    for name, driver in METERS.items():
        if name == "sml" or driver.framing is not line.framing or not _fits(driver, options):
            continue
        identity = await _meter_identity(driver, options)
        if identity is not None:
            return Found(
                role=Role.METER,
                driver=_MODELS.get(identity.model, name) if identity.vendor == "Eastron" else name,
                options=options,
                name=f"{identity.vendor} {identity.model}",
                serial=identity.serial,
                firmware=identity.firmware,
                line=line.text,
            )
    return None


async def _meter_identity(driver: Driver[Meter], options: dict[str, Any]) -> MeterIdentity | None:
    """Return who it is, when it also tells a register that could be billed: registers alone prove little."""
    async with _opened(driver, options) as device:
        try:
            identity = await device.identify()
            await device.read()
        except PortLost:
            raise
        except DeviceFailed:
            return None
    return identity if identity.serial.strip("0 ") else None


async def _as_io(options: dict[str, Any], line: Line) -> Found | None:
    """Take what has inputs and is nothing else for an input/output module; none says what it is."""
    if line.framing is not Framing.RTU:
        return None
    bus = Buses().bus({**options, "echo": False})
    bus.acquire()
    try:
        await bus.read_discrete(options["address"], FIRST_INPUT, 1, _HERE)
    except PortLost:
        raise
    except DeviceFailed:
        return None
    finally:
        bus.release()
    return Found(role=Role.IO, driver="modbus_io", options=options, name=DEVICE_NAMES["modbus_io"], line=line.text)


async def _reader_answers(port: str, name: str) -> bool:
    async with _opened(READERS[name], {"port": port}) as reader:
        for _ in range(_TRIES):
            try:
                await reader.poll()
            except DeviceFailed:
                continue
            else:
                return True
    return False


async def _pushing_reader(port: str, listens_s: float) -> Found | None:
    async with _opened(READERS["stx_etx"], {"port": port}) as reader:
        try:
            async with asyncio.timeout(listens_s):
                while True:
                    try:
                        if await reader.poll():
                            return _reader(port, "stx_etx")
                    except DeviceGarbled:
                        pass
                    # The driver tells what it has heard, it has no event to wait for.
                    await asyncio.sleep(_POLLS_S)
        except (TimeoutError, DeviceFailed):
            return None


async def _pushing_meter(port: str, listens_s: float) -> Found | None:
    async with _opened(METERS["sml"], {"port": port}) as meter:
        try:
            async with asyncio.timeout(listens_s):
                identity = await meter.identify()
        except (TimeoutError, DeviceFailed):
            return None
    return Found(
        role=Role.METER,
        driver="sml",
        options={"port": port},
        name=f"{identity.vendor} {identity.model}",
        serial=identity.serial,
        line="9600 8N1",
    )


def _reader(port: str, name: str) -> Found:
    return Found(role=Role.READER, driver=name, options={"port": port}, name=DEVICE_NAMES[name])


class _Openable(Protocol):
    async def open(self) -> None: ...
    async def close(self) -> None: ...


_Device = TypeVar("_Device", bound=_Openable)


@asynccontextmanager
async def _opened(driver: Driver[_Device], options: Mapping[str, Any]) -> AsyncIterator[_Device]:
    device = driver.make(_complete(driver, options), Buses(), None)
    await device.open()
    try:
        yield device
    finally:
        await device.close()


def _complete(driver: Driver[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options.get(name, kind.default) for name, kind in driver.fields.items()}


def _fits(driver: Driver[Any], options: Mapping[str, Any]) -> bool:
    """Return whether hardware.json could say so of this driver: a board has the settings that its maker gave it."""
    return all(driver.fields[name].accepts(value) for name, value in options.items())


_MODELS = {
    Model.SDM630.value: "eastron_sdm630",
    Model.SDM72.value: "eastron_sdm72",
    Model.SDM72_V1.value: "eastron_sdm72_v1",
}
_UNKNOWN_BOARD = ControllerIdentity(model="", serial="", hardware_id="", firmware="")
