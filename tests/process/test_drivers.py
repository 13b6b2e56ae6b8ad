"""Links and drivers over real pseudo-terminals."""

import asyncio
import contextlib
import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hardware.drivers import elatec_twn4
from hardware.drivers.config import build, parse
from hardware.drivers.eastron_sdm import EastronSdm
from hardware.drivers.elatec_twn4 import ATTEMPTS, TIMEOUT_S, ElatecTwn4, LetterCase
from hardware.drivers.modbus_io import InputAssignment, ModbusIo
from hardware.drivers.phoenix_ev_cc import PhoenixEvCc
from hardware.links.serial_bus import BusSettings, ModbusRefused, Patience, SerialBus
from hardware.protocols.eastron import SILENCE_S, Quantity, encode_block, encode_u32
from hardware.protocols.phoenix import IdentificationBlock, StatusBlock
from hardware.protocols.twn4 import Command, FoundTag, Function, Reply
from hardware.simulator.config import B23, OCMF, SDM630, SML, PlayedDevices, hardware_config
from hardware.simulator.main import Simulator
from hardware.simulator.settings import SimulatorSettings
from station.domain.faults import FaultCode
from station.domain.ports import (
    DeviceFailed,
    DeviceGarbled,
    DeviceRefused,
    DeviceSilent,
    Identification,
    LampColour,
    LampPattern,
    Pilot,
    ReaderSignal,
    SignedEnd,
    SigningMeter,
)
from station.domain.units import MilliAmpere
from tests.process.serial_bench import PtyDevice, Registers, RtuBench

pytestmark = pytest.mark.process

QUICK = Patience(timeout_s=0.1, attempts=2)
# For a busy machine; what is measured here takes milliseconds, and would take a minute or more if it waited.
AT_ONCE_S = 20.0


@contextlib.asynccontextmanager
async def plugged_in(port):
    port.plug_in()
    try:
        yield port
    finally:
        port.unplug()


def phoenix_registers() -> Registers:
    registers = Registers()
    registers.holding = {4000: 3, 4001: 2, 4002: 3, 4006: 0, 22000: 32}
    registers.coils = {20000: False, 20001: False, 20002: False}
    block = IdentificationBlock(
        order_designation="EV-CC-AC1-M3",
        order_number="1622452",
        serial_number="4711",
        hardware_id=10,
        hardware_version=3,
        firmware_letter="V",
        firmware_major=1,
        firmware_minor=5,
    )
    registers.input.update(enumerate(block.encode(), 1000))
    status = StatusBlock(pilot=Pilot.C, pwm_on=True, cable_a=32, duty_percent=27, current_a=16)
    registers.holding.update(enumerate(status.encode(), 24000))
    return registers


def meter_registers() -> Registers:
    registers = Registers()
    registers.holding.update(zip((0xFC00, 0xFC01, 0xFC02), (*encode_u32(4712), 0), strict=True))
    registers.input.update(enumerate(encode_block({Quantity.IMPORT_ENERGY: 1.234}, start=0, count=0x4C)))
    return registers


@pytest.fixture
async def bench(tmp_path):
    """A bus with a Phoenix board at address 1, a meter at 2 and an I/O module at 10."""
    io = Registers()
    io.coils = dict.fromkeys(range(8), False)
    bench: Any = RtuBench(tmp_path / "bus", {1: phoenix_registers(), 2: meter_registers(), 10: io})
    bench.devices = {10: io}
    async with plugged_in(bench.port):
        yield bench


@pytest.fixture
async def bus(bench):
    bus = SerialBus(BusSettings(port=str(bench.port.path)))
    bus.acquire()
    yield bus
    bus.release()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def eventually(ask, *, within_s=5.0):
    """Ask until there is an answer instead of a DeviceFailed."""
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            return await ask()
        except DeviceFailed:
            if time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.02)


async def test_three_drivers_share_one_bus(bench, bus):
    controller = PhoenixEvCc(bus, address=1)
    meter = EastronSdm(bus, address=2)
    io = ModbusIo(bus, address=10, inputs=[InputAssignment(input=4, code=FaultCode.OTHER_ERROR, connector=1)])
    bench.devices[10].discrete[4] = True
    for device in (controller, meter, io):
        await device.open()

    identity, meter_identity = await asyncio.gather(controller.identify(), meter.identify())
    await controller.set_current(MilliAmpere(16_000))
    status, reading, inputs = await asyncio.gather(controller.read_status(), meter.read(), io.read())
    await io.show(2, LampPattern(colour=LampColour.BLUE))

    assert (identity.serial, meter_identity.serial) == ("4711", "4712")
    assert (status.pilot, status.offered, reading.import_energy) == (Pilot.C, 16_000, 1_234)
    assert inputs.faults == {1: {FaultCode.OTHER_ERROR}}
    assert bench.devices[10].coils[5]
    for device in (controller, meter, io):
        await device.close()


async def test_frames_are_those_of_the_fact_sheet(bench, bus):
    controller = PhoenixEvCc(bus, address=1)

    await controller.set_current(MilliAmpere(16_000))
    await controller.set_enabled(True)
    await controller.lock()

    sent = [frame.hex(" ").upper() for _, frame in bench.port.received]
    assert sent == [
        "01 06 55 F0 00 10 99 F9",
        "01 06 55 F0 00 10 99 F9",
        "01 05 4E 20 FF 00 9A D8",
        "01 05 4E 22 FF 00 3B 18",
    ]


async def test_an_answer_in_single_bytes_is_put_together(bench, bus):
    bench.port.pieces = 1000

    assert (await PhoenixEvCc(bus, address=1).read_status()).pilot is Pilot.C


async def test_a_missing_register_is_a_refusal_and_is_not_asked_again(bench, bus):
    with pytest.raises(ModbusRefused) as caught:
        await bus.read_holding(1, 999, 1, QUICK)

    assert caught.value.code == 2
    assert len(bench.port.received) == 1


async def test_a_silent_device_is_told_within_its_time_and_does_not_block_its_neighbour(bench, bus):
    bench.muted.add(1)

    async with asyncio.timeout(AT_ONCE_S):
        with pytest.raises(DeviceSilent):
            await bus.read_holding(1, 24000, 1, QUICK)
        with pytest.raises(DeviceSilent):
            await bus.read_holding(1, 24000, 1, QUICK)

    # Two attempts, and only one more while the device is known to be silent.
    assert len(bench.port.received) == 3
    assert await bus.read_holding(2, 0xFC01, 1, QUICK) == [4712]
    bench.muted.clear()
    assert len(await bus.read_holding(1, 24000, 1, QUICK)) == 1


async def test_noise_is_a_device_error_and_the_next_good_answer_is_read(bench, bus, caplog):
    random_bytes = random.Random(7)
    for _ in range(25):
        bench.garble = lambda answer: random_bytes.randbytes(random_bytes.randrange(1, 2 * len(answer)))
        with pytest.raises(DeviceFailed):
            await bus.read_holding(1, 24000, 26, Patience(timeout_s=0.02, attempts=1))
    bench.garble = lambda answer: answer[:-1] + bytes([answer[-1] ^ 1])
    with pytest.raises(DeviceGarbled):
        await bus.read_holding(1, 24000, 26, QUICK)
    bench.garble = None

    assert len(await bus.read_holding(1, 24000, 26, QUICK)) == 26
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_an_answer_of_another_function_or_length_is_noise(bench, bus):
    good = await bus.read_holding(1, 24000, 2, QUICK)
    replies = iter(["01 04 02 41 31 48 B4", "01 03 02 41 31 49 C0"])
    bench.garble = lambda _answer: bytes.fromhex(next(replies))

    for _ in range(2):
        with pytest.raises(DeviceGarbled):
            await bus.read_holding(1, 24000, 2, Patience(timeout_s=0.1, attempts=1))

    bench.garble = None
    assert await bus.read_holding(1, 24000, 2, QUICK) == good


async def test_a_late_answer_is_not_taken_for_the_next_one(bench, bus):
    late = []
    bench.garble = lambda answer: late.append(answer) or b""
    with pytest.raises(DeviceSilent):
        await bus.read_holding(1, 24000, 1, Patience(timeout_s=0.05, attempts=1))
    bench.garble = None
    bench.port.send(late[0])

    assert await bus.read_holding(1, 24001, 1, QUICK) == [32]


async def test_the_bus_is_silent_before_a_meter_is_asked(bench, bus):
    meter = EastronSdm(bus, address=2)

    await meter.identify()
    await meter.read()
    await bus.read_holding(1, 24000, 1, QUICK)
    await meter.read()

    asked_s = [at_s for at_s, frame in bench.port.received if frame[0] == 2]
    assert all(later - earlier >= SILENCE_S for earlier, later in itertools.pairwise(asked_s))


async def test_losing_the_port_ends_a_wait_at_once_and_the_bus_comes_back(bench, bus):
    bench.muted.add(1)
    asking = asyncio.ensure_future(bus.read_holding(1, 24000, 1, Patience(timeout_s=60, attempts=3)))
    await bench.port.hears()

    bench.port.unplug()
    async with asyncio.timeout(AT_ONCE_S):
        with pytest.raises(DeviceSilent):
            await asking

    with pytest.raises(DeviceSilent):
        await bus.read_holding(2, 0xFC01, 1, QUICK)
    bench.muted.clear()
    bench.port.plug_in()
    assert await eventually(lambda: bus.read_holding(2, 0xFC01, 1, QUICK)) == [4712]


async def test_a_cancellation_that_meets_the_loss_of_the_port_is_not_lost(bench):
    bus = SerialBus(BusSettings(port=str(bench.port.path)))
    bus.acquire()
    bench.muted.add(1)
    asking = asyncio.ensure_future(bus.read_holding(1, 24000, 1, Patience(timeout_s=30, attempts=3)))
    await bench.port.hears()

    bus.release()
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_port_that_does_not_exist_is_told_at_once_and_found_later(tmp_path):
    bench: Any = RtuBench(tmp_path / "later", {1: phoenix_registers()})
    controller = PhoenixEvCc(SerialBus(BusSettings(port=str(bench.port.path))), address=1)
    await controller.open()
    async with asyncio.timeout(AT_ONCE_S):
        for _ in range(100):
            with pytest.raises(DeviceSilent):
                await controller.read_status()

    async with plugged_in(bench.port):
        assert (await eventually(controller.read_status)).pilot is Pilot.C
        await controller.close()


async def test_closing_a_bus_ends_a_wait_and_keeps_no_file_open(bench):
    before = open_files()
    bus = SerialBus(BusSettings(port=str(bench.port.path)))
    bus.acquire()
    bench.muted.add(1)
    asking = asyncio.ensure_future(bus.read_holding(1, 24000, 1, Patience(timeout_s=30, attempts=1)))
    await bench.port.hears()

    bus.release()

    with pytest.raises(DeviceSilent):
        await asking
    assert open_files() == before
    with pytest.raises(DeviceSilent):
        await bus.read_holding(2, 0xFC01, 1, QUICK)


class Reader:
    """The far end of a reader's line: answers a search with `tag`, everything else with success."""

    def __init__(self, path) -> None:
        self.port = PtyDevice(path, self._answer)
        self.tag: FoundTag | None = None
        self.raw: bytes | None = None
        self.status = 0

    @property
    def commands(self) -> list[Command]:
        return [Command.decode(line) for _, line in self.port.received]

    def _answer(self, line: bytes) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.status:
            return Reply(status=self.status).encode()
        if Command.decode(line).function is not Function.SEARCH_TAG:
            return Reply().encode()
        return Reply(result=b"\0" if self.tag is None else self.tag.encode()).encode()


@pytest.fixture
async def far_end(tmp_path):
    far_end = Reader(tmp_path / "reader")
    async with plugged_in(far_end.port):
        yield far_end


@pytest.fixture
async def reader(far_end):
    reader = ElatecTwn4(str(far_end.port.path))
    await reader.open()
    yield reader
    await reader.close()


async def test_a_card_is_told_as_lower_case_hex_without_losing_zeros(far_end, reader):
    assert await reader.poll() == ()
    far_end.tag = FoundTag(type=0x80, bits=32, id=bytes.fromhex("00AE3695"))
    far_end.port.pieces = 1000

    (tag,) = await reader.poll()

    assert tag.uid == "00ae3695"
    assert far_end.commands[0].function is Function.SET_TAG_TYPES


async def test_a_text_id_is_handed_on_unchanged(far_end, reader):
    far_end.tag = FoundTag(type=0x7F, bits=160, id=b"Ab-04:xyz 1234567890")

    assert [tag.uid for tag in await reader.poll()] == ["Ab-04:xyz 1234567890"]


async def test_a_reader_may_be_set_to_reversed_upper_case_ids(far_end):
    reader = ElatecTwn4(str(far_end.port.path), reverse=True, case=LetterCase.UPPER)
    await reader.open()
    far_end.tag = FoundTag(type=0x80, bits=32, id=bytes.fromhex("AE36959E"))

    assert [tag.uid for tag in await reader.poll()] == ["9E9536AE"]
    await reader.close()


async def test_a_card_with_an_id_too_long_is_no_card_and_no_failure(far_end, reader):
    far_end.tag = FoundTag(type=0x80, bits=88, id=bytes(11))

    assert await reader.poll() == ()


@pytest.mark.parametrize(
    ("signal", "light", "beeps"),
    [(ReaderSignal.ACCEPTED, 2, 1), (ReaderSignal.REFUSED, 1, 2), (ReaderSignal.WAIT, 4, 0)],
)
async def test_the_driver_of_a_car_sees_and_hears_the_answer(far_end, reader, signal, light, beeps):
    await reader.signal(signal)

    functions = [command.function for command in far_end.commands]
    lit = [command.parameters for command in far_end.commands if command.function is Function.GPIO_SET]
    assert lit == [bytes([light])]
    assert functions.count(Function.BEEP) == beeps


async def test_a_reader_that_refuses_is_unwell(far_end, reader):
    far_end.status = 3

    with pytest.raises(DeviceRefused):
        await reader.poll()


async def test_noise_from_a_reader_is_a_device_error(far_end, reader):
    random_bytes = random.Random(11)
    for _ in range(40):
        far_end.raw = random_bytes.randbytes(random_bytes.randrange(0, 30)) + b"\r"
        with pytest.raises(DeviceFailed):
            await reader.poll()
    far_end.raw = b"0" * 2000
    with pytest.raises(DeviceGarbled):
        await reader.poll()
    far_end.raw = None

    assert await reader.poll() == ()


async def test_a_reader_unplugged_while_asked_is_told_at_once_and_set_up_again_when_it_is_back(
    far_end, reader, monkeypatch
):
    await reader.poll()
    monkeypatch.setattr(elatec_twn4, "TIMEOUT_S", 60)
    far_end.raw = b""
    asking = asyncio.ensure_future(reader.poll())
    await far_end.port.hears()

    far_end.port.unplug()
    async with asyncio.timeout(AT_ONCE_S):
        with pytest.raises(DeviceSilent):
            await asking

    far_end.raw = None
    far_end.port.received.clear()
    far_end.port.plug_in()
    assert await eventually(reader.poll) == ()
    assert Function.SET_TAG_TYPES in [command.function for command in far_end.commands]


async def test_a_silent_reader_is_told_after_two_questions(far_end, reader):
    far_end.raw = b""

    async with asyncio.timeout(AT_ONCE_S):
        with pytest.raises(DeviceSilent):
            await reader.poll()

    assert len(far_end.port.received) == ATTEMPTS
    # The fact sheet's two seconds.
    assert ATTEMPTS * TIMEOUT_S < 2


@pytest.mark.parametrize(
    ("meter", "key_lengths"), [(SDM630, [182, 182]), (B23, [182, 0]), (OCMF, [182, 182]), (SML, [182, 0])]
)
async def test_every_device_of_the_simulated_station_answers_its_driver(tmp_path, meter, key_lengths):
    """Meters insist on their 60 ms of silence here; a station may have two kinds of them."""
    described = hardware_config(tmp_path, 2, devices={2: PlayedDevices(meter=meter)})
    (tmp_path / "hardware.json").write_text(json.dumps(described))
    simulator = Simulator(SimulatorSettings(directory=tmp_path, connectors=2, strict_timing=True))
    await simulator.open()
    devices = build(parse(described))
    ((_, reader),) = devices.readers
    everything: list[Any] = [*devices.controllers.values(), *devices.meters.values(), reader, devices.io]
    for device in everything:
        await device.open()

    identities = [await controller.identify() for controller in devices.controllers.values()]
    keys = [(await meter.identify()).public_key for meter in devices.meters.values()]
    for controller in devices.controllers.values():
        await controller.set_available(True)
        await controller.set_current(MilliAmpere(16_900))
        await controller.read_status()
    status = await devices.controllers[1].read_status()
    readings = [await meter.read() for meter in (*devices.meters.values(), *devices.meters.values())]
    await devices.io.show(1, LampPattern(colour=LampColour.GREEN))

    assert len({identity.serial for identity in identities}) == 2
    # DER of a P-256 public key: 91 bytes, beginning with the head of SubjectPublicKeyInfo. A B23 does not sign.
    assert [len(key) for key in keys] == key_lengths
    assert all(key.startswith("3059") for key in keys if key)
    assert (status.pilot, status.faults, status.button_pressed) == (Pilot.A, frozenset(), False)
    assert {reading.import_energy for reading in readings} == {0}
    assert all(voltage for reading in readings for voltage in reading.voltages)
    assert (await devices.io.read()).faults == {}
    assert await reader.poll() == ()
    for device in everything:
        await device.close()
    await simulator.close()


async def test_a_signing_meter_knows_its_open_transaction_after_a_power_cut(tmp_path):
    described = hardware_config(tmp_path, 1, devices={1: PlayedDevices(meter=OCMF)})
    (tmp_path / "hardware.json").write_text(json.dumps(described))
    meter = build(parse(described)).meters[1]
    assert isinstance(meter, SigningMeter)
    customer = Identification(assigned=True, level="HEARSAY", flags=("RFID_PLAIN",), kind="ISO14443", data="04A2B3C4")
    settings = SimulatorSettings(directory=tmp_path)
    simulator = Simulator(settings)
    await simulator.open()
    await meter.open()

    begin = await meter.begin_transaction(customer)
    await simulator.close()
    simulator = Simulator(settings)
    await simulator.open()

    assert await eventually(meter.open_transaction) == customer
    end = await meter.end_transaction(SignedEnd.POWER_FAILURE)
    key = load_der_public_key(bytes.fromhex((await meter.identify()).public_key))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for record, page in ((begin, b'"PG":"T1"'), (end, b'"PG":"T2"')):
        _, payload, signature = record.raw.split(b"|")
        assert page in payload
        key.verify(bytes.fromhex(json.loads(signature)["SD"]), payload, ec.ECDSA(SHA256()))
    await meter.close()
    await simulator.close()


async def test_a_poll_asks_once(bench, bus, far_end, reader):
    """What the processor has to do for a poll grows with its frames; benchmarks/cost.py measures it."""
    polls = {
        "controller": (PhoenixEvCc(bus, address=1).read_status, bench.port.received),
        "meter": (EastronSdm(bus, address=2).read, bench.port.received),
        "reader": (reader.poll, far_end.port.received),
    }
    for name, (poll, received) in polls.items():
        await poll()
        received.clear()
        for _ in range(10):
            await poll()
        assert len(received) == 10, name
