"""The devices of the simulated station on their lines."""

from collections.abc import Callable
from typing import Protocol

from hardware.protocols.eastron import SILENCE_S
from hardware.simulator.abb_meter import AbbRegisters
from hardware.simulator.abl import AblBoard, AblController
from hardware.simulator.amtron import AmtronBoard, AmtronRegisters
from hardware.simulator.bootloader import FlashableRegisters, FlashMemory
from hardware.simulator.config import (
    ABL,
    AMTRON,
    B23,
    FLASHABLE_BOARD,
    IO_ADDRESS,
    IO_PORT,
    METER_ADDRESS,
    OCMF,
    PN532,
    READER_PORT,
    SML,
    STX_ETX,
    USUAL,
    PlayedDevices,
    chosen,
    chosen_reader,
    controller_address,
    controller_port,
    meter_port,
)
from hardware.simulator.controller import PhoenixRegisters
from hardware.simulator.faults import contacts
from hardware.simulator.files import MeterRecord, key_path
from hardware.simulator.io_module import IoRegisters
from hardware.simulator.meter import EastronRegisters
from hardware.simulator.point import ChargingPoint
from hardware.simulator.pty_line import PtyLine
from hardware.simulator.reader import Twn4Reader
from hardware.simulator.rtu import RegisterMap, RtuSlave
from hardware.simulator.serial_readers import REPEATS_S, Pn532Reader, PushingReader
from hardware.simulator.settings import SimulatorSettings
from hardware.simulator.signing_meter import MeterFiles, OcmfRegisters
from hardware.simulator.sml_meter import TELEGRAM_INTERVAL_S, SmlMeter
from hardware.simulator.world import LineDevice, LineMode, World


class Device(Protocol):
    """Takes bytes from its line and answers the bytes to send."""

    def receive(self, data: bytes, *, now_s: float) -> bytes: ...


def lines(
    settings: SimulatorSettings,
    world: World,
    meters: dict[int, MeterRecord],
    *,
    keep: Callable[[], None],
    clock: Callable[[], float],
    wall: Callable[[], float],
) -> list[PtyLine]:
    """Put every device of the station on a line of its own. `keep` saves the meters' counts before they are told.

    `clock` is steady, `wall` the computer's time of day.
    """

    def line(name: str, device: Device, mode: Callable[[], LineMode]) -> PtyLine:
        def receive(data: bytes) -> bytes:
            now_s = clock()
            world.advance(now_s=now_s)
            match mode():
                case LineMode.SILENT | LineMode.UNPLUGGED:
                    return b""
                case LineMode.GARBAGE:
                    return garbled(data)
                case LineMode.OK:
                    return device.receive(data, now_s=now_s)

        return PtyLine(settings.folder / name, receive, is_plugged=lambda: mode() is not LineMode.UNPLUGGED)

    def controller_mode(point: ChargingPoint) -> LineMode:
        if point.board.is_restarting(now_s=point.now_s):
            return LineMode.SILENT
        return world.line_mode(point.number, LineDevice.CONTROLLER)

    made: list[PtyLine] = []
    devices = chosen(settings.directory)
    for number, point in world.points.items():
        meter, played = meters[number], devices.get(number, USUAL)
        point.wired_phases = played.phases
        controller = _controller(settings, world, point, meter, played, clock=clock)
        made.append(line(controller_port(number), controller, lambda point=point: controller_mode(point)))  # type: ignore[misc]
        if played.meter == SML:
            made.append(_pushing_line(settings, world, point, meter, keep=keep, clock=clock))
            continue
        slave = _meter(settings, played, point, meter, keep=keep, clock=clock, wall=wall)
        made.append(
            line(meter_port(number), slave, lambda number=number: world.line_mode(number, LineDevice.METER))  # type: ignore[misc]
        )
    driver = chosen_reader(settings.directory)
    if driver == STX_ETX:
        pushing = PushingReader(world=world, clock=clock)
        made.append(PtyLine(settings.folder / READER_PORT, lambda _: b"", tell=pushing.tell, every_s=REPEATS_S))
    else:
        reader: Device = Pn532Reader(world=world) if driver == PN532 else Twn4Reader(world=world)
        made.append(line(READER_PORT, reader, lambda: LineMode.SILENT if world.reader_is_silent else LineMode.OK))
    io_registers = IoRegisters(world=world, contacts=contacts(settings.connectors))
    made.append(line(IO_PORT, RtuSlave(address=IO_ADDRESS, registers=io_registers), lambda: world.io_mode))
    return made


def _pushing_line(
    settings: SimulatorSettings,
    world: World,
    point: ChargingPoint,
    meter: MeterRecord,
    *,
    keep: Callable[[], None],
    clock: Callable[[], float],
) -> PtyLine:
    device = SmlMeter(point=point, serial_number=meter.serial_number, keep=keep)

    def tell() -> bytes:
        world.advance(now_s=clock())
        telegram = device.tell()
        match world.line_mode(point.number, LineDevice.METER):
            case LineMode.SILENT | LineMode.UNPLUGGED:
                return b""
            case LineMode.GARBAGE:
                return garbled(telegram)
            case LineMode.OK:
                return telegram

    path = settings.folder / meter_port(point.number)
    return PtyLine(
        path,
        lambda _data: b"",
        tell=tell,
        every_s=TELEGRAM_INTERVAL_S,
        is_plugged=lambda: world.line_mode(point.number, LineDevice.METER) is not LineMode.UNPLUGGED,
    )


def _meter(
    settings: SimulatorSettings,
    played: PlayedDevices,
    point: ChargingPoint,
    meter: MeterRecord,
    *,
    keep: Callable[[], None],
    clock: Callable[[], float],
    wall: Callable[[], float],
) -> RtuSlave:
    if played.meter == B23:
        return RtuSlave(
            address=METER_ADDRESS,
            registers=AbbRegisters(point=point, serial_number=meter.serial_number, keep=keep),
        )
    if played.meter == OCMF:
        signing = OcmfRegisters(
            point=point,
            serial_number=meter.serial_number,
            public_key=meter.public_key,
            files=MeterFiles(
                memory=settings.folder / f"signing-meter-{point.number}.json",
                key=key_path(settings.folder, point.number),
            ),
            keep=keep,
            clock=clock,
            wall=wall,
        )
        return RtuSlave(address=METER_ADDRESS, registers=signing)
    registers = EastronRegisters(point=point, serial_number=meter.serial_number, public_key=meter.public_key, keep=keep)
    return RtuSlave(address=METER_ADDRESS, registers=registers, silence_s=SILENCE_S if settings.strict_timing else 0.0)


def _controller(
    settings: SimulatorSettings,
    world: World,
    point: ChargingPoint,
    meter: MeterRecord,
    played: PlayedDevices,
    *,
    clock: Callable[[], float],
) -> Device:
    serial_number = f"1{meter.serial_number:09d}"
    address = controller_address(played.controller)
    if played.controller == ABL:
        point.board = board = AblBoard()
        return AblController(address=address, point=point, board=board, serial_number=serial_number)
    if played.controller == AMTRON:
        point.board = amtron = AmtronBoard()
        registers = AmtronRegisters(point=point, board=amtron, serial_number=serial_number)
        return RtuSlave(address=address, registers=registers)
    return RtuSlave(address=address, registers=_registers(settings, world, point, serial_number, played, clock=clock))


def _registers(
    settings: SimulatorSettings,
    world: World,
    point: ChargingPoint,
    serial_number: str,
    played: PlayedDevices,
    *,
    clock: Callable[[], float],
) -> RegisterMap:
    if played.controller != FLASHABLE_BOARD:
        return PhoenixRegisters(world=world, point=point, serial_number=serial_number, lamp=played.lamp)
    memory = FlashMemory(settings.folder / f"firmware-{point.number}.json")
    return FlashableRegisters(
        PhoenixRegisters(
            world=world, point=point, serial_number=serial_number, firmware=lambda: memory.head, lamp=played.lamp
        ),
        memory,
        clock=clock,
        is_released=lambda: point.board.released or point.contactor_closed,
        restart=lambda: point.board.restart(now_s=point.now_s),
    )


def garbled(data: bytes) -> bytes:
    """Garble what was on the line: same length, no valid checksum."""
    return bytes((byte ^ 0xA5 ^ index) & 0xFF for index, byte in enumerate(data))
