import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.protocols.eastron import Holding, Quantity, decode_bytes, decode_float
from hardware.protocols.phoenix import COMMISSIONED, FACTORY_RESET_KEY, Command, CommandRegister, Live, StatusBlock
from hardware.simulator.controller import PhoenixRegisters
from hardware.simulator.faults import contacts
from hardware.simulator.io_module import IoRegisters
from hardware.simulator.meter import EastronRegisters
from hardware.simulator.rtu import RtuSlave, pack_bits, unpack_bits, with_crc
from hardware.simulator.world import VehicleChange, World
from station.domain.faults import FaultCode
from station.domain.ports import Pilot

KEY = bytes(range(91))


@pytest.fixture
def world() -> World:
    return World.build(connectors=2, now_s=100.0)


@pytest.fixture
def controller(world: World) -> RtuSlave:
    point = world.points[1]
    registers = PhoenixRegisters(world=world, point=point, serial_number="1012345678")
    return RtuSlave(address=1, registers=registers)


@pytest.fixture
def kept() -> list[float]:
    return []


@pytest.fixture
def meter(world: World, kept: list[float]) -> RtuSlave:
    point = world.points[1]
    registers = EastronRegisters(
        point=point,
        serial_number=12_345_678,
        public_key=KEY,
        keep=lambda: kept.append(point.energy.total_wh),
    )
    return RtuSlave(address=1, registers=registers)


def ask(slave: RtuSlave, body: str, *, now_s: float = 100.0) -> str:
    return slave.receive(with_crc(bytes.fromhex(body)), now_s=now_s)[:-2].hex(" ").upper()


def read(slave: RtuSlave, function: int, start: int, count: int) -> list[int]:
    answer = slave.receive(with_crc(struct.pack(">BBHH", 1, function, start, count)), now_s=100.0)
    assert answer[1] == function, answer.hex()
    return list(struct.unpack(f">{count}H", answer[3:-2]))


def test_the_vendors_status_frame_is_answered_byte_by_byte(controller: RtuSlave) -> None:
    answer = controller.receive(bytes.fromhex("01 04 5D C0 00 01 22 5A"), now_s=100.0)

    assert answer == bytes.fromhex("01 04 02 41 31 48 B4")


def test_fc3_and_fc4_answer_the_same(controller: RtuSlave) -> None:
    assert read(controller, 3, Live.STATE, 28) == read(controller, 4, Live.STATE, 28)


def test_commands_charge_a_car_over_the_bus(controller: RtuSlave, world: World) -> None:
    world.plug(1, VehicleChange(), cable_a=20)

    assert ask(controller, "01 06 55 F0 00 10") == "01 06 55 F0 00 10"
    assert ask(controller, "01 05 4E 22 FF 00") == "01 05 4E 22 FF 00"
    assert ask(controller, "01 05 4E 20 FF 00") == "01 05 4E 20 FF 00"

    status = StatusBlock.decode(read(controller, 3, Live.STATE, 26))
    assert (status.pilot, status.pwm_on, status.current_a, status.cable_a, status.duty_percent) == (
        Pilot.C,
        True,
        16,
        20,
        27,
    )
    assert world.points[1].contactor_closed
    assert ask(controller, "01 01 4E 20 00 03") == "01 01 01 07"


def test_several_coils_and_registers_may_be_written_at_once(controller: RtuSlave, world: World) -> None:
    assert ask(controller, "01 0F 4E 20 00 03 01 05") == "01 0F 4E 20 00 03"
    assert ask(controller, "01 10 55 F0 00 01 02 00 20") == "01 10 55 F0 00 01"

    board = world.points[1].board
    assert (board.release_coil, board.available_coil, board.lock_coil, board.limit_a) == (True, False, True, 32)


@pytest.mark.parametrize(
    ("request_body", "code"),
    [
        ("01 03 13 88 00 01", 2),  # unknown register 5000
        ("01 03 5D DC 00 01", 2),  # one behind the last
        ("01 03 5D DB 00 02", 2),  # over the end
        ("01 01 4E 1F 00 02", 2),  # unknown coil
        ("01 02 4E 20 00 01", 1),  # no discrete inputs
        ("01 2B 0E 01 00 00", 1),  # unknown function
        ("01 03 5D C0 00 00", 3),
        ("01 03 5D C0 00 7E", 3),
        ("01 05 4E 20 12 34", 3),
        ("01 06 55 F0 00 05", 3),  # 5 A
        ("01 06 55 F0 00 40", 3),  # 64 A
        ("01 06 52 6C 00 01", 3),  # wrong key of the factory reset
        ("01 06 5D C0 00 01", 2),  # live values are not written
        ("01 10 55 F0 00 02 02 00 20", 3),  # too few bytes
    ],
)
def test_what_the_board_does_not_have_is_refused_with_the_right_code(
    controller: RtuSlave, request_body: str, code: int
) -> None:
    function = int(request_body[3:5], 16) | 0x80

    assert ask(controller, request_body) == f"01 {function:02X} {code:02X}"


def test_the_board_is_commissioned_until_the_factory_reset(controller: RtuSlave) -> None:
    assert read(controller, 3, 4000, 3) == list(COMMISSIONED.values())

    ask(controller, f"01 06 {CommandRegister.FACTORY_RESET:04X} {FACTORY_RESET_KEY:04X}")

    assert read(controller, 3, 4000, 3) == [1, 1, 1]


def test_the_restart_coil_makes_the_board_forget(controller: RtuSlave, world: World) -> None:
    ask(controller, "01 05 4E 20 FF 00")
    ask(controller, "01 06 55 F0 00 20")

    ask(controller, f"01 05 {Command.RESTART:04X} FF 00")

    board = world.points[1].board
    assert (board.release_coil, board.limit_a, board.is_restarting(now_s=100.2)) == (False, 6, True)


def test_the_surge_arrester_is_wired_to_the_first_controller_only(world: World, controller: RtuSlave) -> None:
    second = PhoenixRegisters(world=world, point=world.points[2], serial_number="2")
    world.set_fault("OverVoltageProtectionFailure", active=True, connector=2)

    assert StatusBlock.decode(read(controller, 3, Live.STATE, 26)).inputs & 1 << 4
    assert not StatusBlock.decode(read(RtuSlave(address=1, registers=second), 3, Live.STATE, 26)).inputs & 1 << 4


def test_a_pressed_button_is_seen_by_the_next_poll_and_then_let_go(controller: RtuSlave, world: World) -> None:
    world.press_button(1)
    world.advance(now_s=101.0)

    inputs = [StatusBlock.decode(read(controller, 3, Live.STATE, 26)).inputs & 1 for _ in range(2)]
    assert inputs == [1, 0]


def test_a_request_in_pieces_is_put_together_and_a_stale_piece_is_forgotten(controller: RtuSlave) -> None:
    frame = bytes.fromhex("01 04 5D C0 00 01 22 5A")

    assert controller.receive(frame[:3], now_s=100.0) == b""
    assert controller.receive(frame[3:], now_s=100.01) != b""
    assert controller.receive(frame[:3], now_s=101.0) == b""
    assert controller.receive(frame, now_s=102.0) != b""


def test_a_broken_checksum_and_another_address_are_passed_over(controller: RtuSlave) -> None:
    assert controller.receive(bytes.fromhex("01 04 5D C0 00 01 22 5B"), now_s=103.0) == b""
    assert controller.receive(with_crc(bytes.fromhex("02 04 5D C0 00 01")), now_s=104.0) == b""


def test_a_broadcast_is_carried_out_and_not_answered(controller: RtuSlave, world: World) -> None:
    assert controller.receive(with_crc(bytes.fromhex("00 05 4E 20 FF 00")), now_s=100.0) == b""
    assert world.points[1].board.release_coil


@given(noise=st.lists(st.binary(max_size=40), max_size=8))
def test_noise_never_breaks_a_slave(noise: list[bytes]) -> None:
    world = World.build(connectors=1, now_s=100.0)
    registers = PhoenixRegisters(world=world, point=world.points[1], serial_number="1")
    slave = RtuSlave(address=1, registers=registers)
    for index, data in enumerate(noise):
        slave.receive(data, now_s=100.0 + index / 100)
        slave.receive(with_crc(data), now_s=100.5 + index)

    assert slave.receive(bytes.fromhex("01 04 5D C0 00 01 22 5A"), now_s=200.0) != b""


@given(bits=st.lists(st.booleans(), min_size=1, max_size=40))
def test_bits_survive_packing(bits: list[bool]) -> None:
    assert unpack_bits(pack_bits(bits), len(bits)) == bits


def test_the_meter_tells_what_flows_and_keeps_the_count_before(
    meter: RtuSlave, world: World, kept: list[float]
) -> None:
    world.plug(1, VehicleChange(), cable_a=None)
    world.points[1].board.release_coil = True
    world.points[1].board.set_limit(16)
    world.points[1].settle()
    world.advance(now_s=109.0)

    registers = read(meter, 4, 0, 0x4C)

    def value(quantity: Quantity) -> float:
        return decode_float(registers[quantity], registers[quantity + 1])

    volts, amperes = value(Quantity.VOLTAGE_L1), value(Quantity.CURRENT_L1)
    assert amperes == 16
    assert value(Quantity.POWER_L1) == pytest.approx(volts * amperes)
    assert value(Quantity.POWER) == pytest.approx(world.points[1].load.power_w)
    assert value(Quantity.FREQUENCY) == 50
    assert kept == [pytest.approx(1000 * value(Quantity.IMPORT_ENERGY), abs=0.01)]
    assert kept[0] > 20


def test_the_meter_has_a_serial_number_a_type_code_and_its_public_key(meter: RtuSlave) -> None:
    assert read(meter, 3, Holding.SERIAL_NUMBER, 2) == [12_345_678 >> 16, 12_345_678 & 0xFFFF]
    assert read(meter, 3, Holding.TYPE_CODE, 1) == [0x0070]
    (length,) = read(meter, 3, Holding.PUBLIC_KEY, 1)
    assert decode_bytes(length, read(meter, 3, Holding.PUBLIC_KEY + 1, (length + 1) // 2)) == KEY


@pytest.mark.parametrize(
    ("request_body", "code"),
    [
        ("01 04 00 00 00 52", 3),  # 82 registers
        ("01 04 00 01 00 02", 2),  # the middle of a float
        ("01 04 01 8C 00 04", 2),
        ("01 03 12 34 00 01", 2),
        ("01 06 00 14 00 01", 2),
        ("01 01 00 00 00 01", 1),
    ],
)
def test_what_the_meter_does_not_have_is_refused(meter: RtuSlave, request_body: str, code: int) -> None:
    assert ask(meter, request_body) == f"01 {int(request_body[3:5], 16) | 0x80:02X} {code:02X}"


def test_a_strict_meter_passes_over_requests_that_come_too_soon(world: World) -> None:
    registers = EastronRegisters(point=world.points[1], serial_number=1, public_key=KEY, keep=lambda: None)
    strict = RtuSlave(address=1, registers=registers, silence_s=0.06)

    answered = [bool(ask(strict, "01 04 00 00 00 02", now_s=100.0 + at)) for at in (0.0, 0.05, 0.07)]

    assert answered == [True, False, True]


def test_contacts_and_lamps_of_the_io_module(world: World) -> None:
    module = RtuSlave(address=10, registers=IoRegisters(world=world, contacts=contacts(2)))
    world.set_fault(FaultCode.HIGH_TEMPERATURE, active=True, connector=2)
    count = len(contacts(2))

    answer = module.receive(with_crc(struct.pack(">BBHH", 10, 2, 0, count)), now_s=100.0)
    closed = [c for c, bit in zip(contacts(2), unpack_bits(answer[3:-2], count), strict=True) if bit]
    assert [(contact.code, contact.connector) for contact in closed] == [(FaultCode.HIGH_TEMPERATURE, 2)]

    world.set_dimming(closed=True)
    answer = module.receive(with_crc(struct.pack(">BBHH", 10, 2, count, 1)), now_s=100.0)
    assert unpack_bits(answer[3:-2], 1) == [True]

    module.receive(with_crc(bytes.fromhex("0A 0F 00 04 00 04 01 04")), now_s=100.0)
    assert world.lamps[2].colour == "red"
    assert world.lamps[1].colour == "off"
