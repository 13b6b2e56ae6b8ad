"""The simulator as a process of its own: real pseudo-terminals, real sockets, real signals."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient

from hardware.drivers.config import Devices, build, parse
from hardware.protocols.eastron import Quantity, decode_float
from hardware.simulator.config import hardware_config
from hardware.simulator.point import STEP_S
from hardware.simulator.sockets import short_path
from station.domain.faults import FaultCode
from station.domain.ports import DeviceSilent, LampColour, LampPattern, Pilot
from station.domain.units import MilliAmpere

pytestmark = pytest.mark.process

DEADLINE_S = 10.0
ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], Any]) -> Any:
    """Try until the condition holds, and return what it answers; OSError means not yet."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        with suppress(OSError):
            if answer := condition():
                return answer
        time.sleep(0.01)
    pytest.fail(f"not within {DEADLINE_S} s: {condition}")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the control socket in the simulator's folder."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(self._path) as address:
            self.sock.connect(address)


class Running:
    """A simulator process and its control API."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = directory / "sim"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "hardware.simulator.main", str(self.directory), "--connectors", "2"]
        self.process = subprocess.Popen([*command, "--control", f"127.0.0.1:{self.port}"], cwd=ROOT)
        wait_for(lambda: self.request("GET", "/state")[0] == 200)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        self.process = None
        return code

    def request(self, method: str, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        return self._ask(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S), method, path, fields)

    def request_by_socket(self, method: str, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        return self._ask(UnixConnection(self.folder / "control.sock"), method, path, fields)

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        status, body = self.request("POST", path, **fields)
        assert status == 200, body
        return body

    def point(self, number: int = 1) -> dict[str, Any]:
        state: dict[str, Any] = self.request("GET", "/state")[1]["connectors"][number - 1]
        return state

    @staticmethod
    def _ask(
        connection: http.client.HTTPConnection, method: str, path: str, fields: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        try:
            connection.request(method, path, json.dumps(fields) if method == "POST" else None)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    simulator = Running(tmp_path / ("a long data directory with blanks " * 4))
    simulator.start()
    yield simulator
    if simulator.process is not None:
        simulator.end(signal.SIGKILL)


def modbus(running: Running, port: str) -> ModbusSerialClient:
    client = ModbusSerialClient(str(running.folder / port), baudrate=9600, timeout=1, retries=0)
    assert client.connect()
    return client


def release(client: ModbusSerialClient, *, amperes: int) -> None:
    client.write_register(22000, amperes, device_id=1)
    client.write_coil(20002, True, device_id=1)
    client.write_coil(20000, True, device_id=1)


def meter_wh(client: ModbusSerialClient) -> float:
    words = client.read_input_registers(Quantity.IMPORT_ENERGY, count=2, device_id=1).registers
    return 1000 * decode_float(words[0], words[1])


def test_a_car_is_charged_over_the_real_lines_and_the_control_port(running: Running) -> None:
    running.post("/connectors/1/plug", max_current_a=20)
    controller, meter = modbus(running, "controller-1"), modbus(running, "meter-1")

    release(controller, amperes=16)
    state = wait_for(lambda: (point := running.point())["power_w"] > 10_000 and point)

    assert (state["cp_state"], state["contactor"], state["offered_a"], state["phases"]) == ("C", True, 16, 3)
    assert state["power_w"] == pytest.approx(
        sum(u * i for u, i in zip(state["voltages_v"], state["currents_a"], strict=True)), abs=0.6
    )
    first_wh = meter_wh(meter)
    wait_for(lambda: meter_wh(meter) > first_wh + 2)
    assert wait_for(lambda: running.point()["locked"])
    controller.close()
    meter.close()


def test_both_doors_of_the_control_api_answer_alike_and_refusals_change_nothing(running: Running) -> None:
    running.post("/connectors/2/plug")

    assert running.request_by_socket("GET", "/state")[1]["connectors"][1]["cp_state"] == "B"
    assert running.request_by_socket("POST", "/connectors/2/fault", code="NoError", active=True)[0] == 409
    assert running.request("POST", "/connectors/9/plug")[0] == 404
    assert running.request("GET", "/reset")[0] == 405
    assert running.point(2)["cp_state"] == "B"


def test_the_count_survives_a_kill_at_any_moment_and_the_rest_starts_anew(running: Running) -> None:
    running.post("/speed", factor=1000)
    running.post("/connectors/1/plug")
    controller, meter = modbus(running, "controller-1"), modbus(running, "meter-1")
    release(controller, amperes=32)
    wait_for(lambda: meter_wh(meter) > 500)
    told_wh = max(meter_wh(meter) for _ in range(30))
    running.end(signal.SIGKILL)
    controller.close()
    meter.close()

    running.start()

    state = running.point()
    assert state["energy_wh"] >= told_wh - 0.01
    assert (state["cp_state"], state["plugged"], state["offered_a"]) == ("A", False, 0)
    meter = modbus(running, "meter-1")
    assert meter_wh(meter) == pytest.approx(state["energy_wh"], rel=1e-6)
    meter.close()


def test_sigterm_ends_in_order_and_leaves_no_ports_behind(running: Running) -> None:
    assert (running.folder / "reader").is_symlink()

    assert running.end(signal.SIGTERM) == 0

    left = {path.name for path in running.folder.iterdir()}
    assert left == {"meters.json", "host.json", "meter-1.key", "meter-2.key"}


def test_a_second_simulator_takes_over_after_a_kill_although_everything_still_lies_there(running: Running) -> None:
    running.end(signal.SIGKILL)
    assert (running.folder / "control.sock").exists()

    running.start()

    assert running.request_by_socket("GET", "/state")[0] == 200
    client = modbus(running, "controller-1")
    assert client.read_holding_registers(24000, count=1, device_id=1).registers == [0x4131]
    client.close()


def test_an_open_address_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hardware.simulator.main", str(tmp_path), "--control", "0.0.0.0:0"]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=DEADLINE_S, check=False)

    assert ended.returncode != 0
    assert b"loopback" in ended.stderr


def test_silence_and_garbage_on_a_line(running: Running) -> None:
    client = ModbusSerialClient(str(running.folder / "controller-1"), baudrate=9600, timeout=0.1, retries=0)
    assert client.connect()

    def answers() -> bool:
        try:
            return not client.read_holding_registers(24000, count=1, device_id=1).isError()
        except Exception:  # noqa: BLE001 - whatever pymodbus makes of noise, it is no answer
            return False

    assert answers()
    for mode in ("silent", "garbage"):
        running.post("/connectors/1/line", mode=mode, device="controller")
        assert not answers()
    running.post("/connectors/1/line", mode="ok", device="controller")
    wait_for(answers)
    client.close()


def test_the_host_side_of_the_world_is_told_before_the_answer(running: Running) -> None:
    def told() -> dict[str, Any]:
        content: dict[str, Any] = json.loads((running.folder / "host.json").read_text())
        return content

    before = told()["revision"]
    running.post("/network", backend=False)
    assert (told()["backend_link"], told()["revision"]) == (False, before + 1)
    running.post("/fault", code="WeakSignal", active=True)
    assert told()["modem"]["signal"] == 5
    running.post("/reset")
    assert (told()["modem"]["signal"], told()["backend_link"], told()["revision"]) == (80, True, before + 3)


@pytest.fixture
async def devices(running: Running) -> AsyncIterator[Devices]:
    built = build(parse(hardware_config(running.directory, 2)))
    assert built.io is not None
    opened: list[Any] = [built.controllers[1], built.meters[1], built.readers[0][1], built.io]
    for device in opened:
        await device.open()
    yield built
    for device in opened:
        await device.close()


async def test_the_stations_own_drivers_charge_a_car_on_the_simulated_hardware(
    running: Running, devices: Devices
) -> None:
    controller, meter = devices.controllers[1], devices.meters[1]
    await controller.identify()
    identity = await meter.identify()
    known = json.loads((running.folder / "meters.json").read_text())["1"]
    assert (identity.serial, identity.public_key) == (str(known["serial_number"]), known["public_key"].upper())

    running.post("/connectors/1/plug")
    await controller.set_current(MilliAmpere(10_000))
    await controller.lock()
    await controller.set_enabled(True)
    end_s = time.monotonic() + DEADLINE_S
    while (await meter.read()).currents != (10_000, 10_000, 10_000):
        assert time.monotonic() < end_s

    status = await controller.read_status()
    assert (status.pilot, status.contactor_closed, status.locked, status.offered) == (Pilot.C, True, True, 10_000)
    running.post("/connectors/1/fault", code="GroundFailure", active=True)
    status = await controller.read_status()
    assert (set(status.faults), status.contactor_closed) == ({FaultCode.GROUND_FAILURE}, False)


async def test_the_stations_own_drivers_see_cards_and_contacts_and_light_lamps(
    running: Running, devices: Devices
) -> None:
    _, reader = devices.readers[0]
    io = devices.io
    assert io is not None

    running.post("/connectors/1/fault", code="HighTemperature", active=True)
    assert (await io.read()).faults == {1: {FaultCode.HIGH_TEMPERATURE}}

    running.post("/reader/swipe", uid="Mixed Case 20 chars!")
    assert [tag.uid for tag in await reader.poll()] == ["Mixed Case 20 chars!"]
    running.post("/fault", code="ReaderFailure", active=True)
    with pytest.raises(DeviceSilent):
        await reader.poll()

    await io.show(1, LampPattern(colour=LampColour.BLUE))
    assert running.request("GET", "/state")[1]["lamp"][0]["colour"] == "blue"


def test_a_request_is_answered_when_it_comes_and_not_at_the_next_step_of_the_world(running: Running) -> None:
    line = os.open(running.folder / "controller-1", os.O_RDWR | os.O_NOCTTY)
    request = bytes.fromhex("01 03 5D C0 00 1A D7 91")
    taken_s = []
    for _ in range(100):
        begun_s = time.perf_counter()
        os.write(line, request)
        answer = b""
        while len(answer) < 57:
            answer += os.read(line, 100)
        taken_s.append(time.perf_counter() - begun_s)
    os.close(line)

    # Waiting for the next step costs half of it on average; answering takes a millisecond. A busy machine delays some.
    assert sorted(taken_s)[10] < STEP_S / 5
