"""The firmware of a controller is written over a real serial line, and interruptions only delay it."""

import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hardware.drivers.config import build, parse
from hardware.drivers.flashable_ev_cc import FlashableEvCc
from hardware.links.serial_bus import BusSettings, ModbusRefused, Patience, SerialBus
from hardware.protocols.bootloader import BLOCK_START, Block
from hardware.simulator.config import FLASHABLE_BOARD, PlayedDevices, hardware_config
from hardware.simulator.main import Simulator
from hardware.simulator.settings import SimulatorSettings
from hardware.simulator.world import LineDevice, LineMode
from station.domain.flashing import BootState, Step, next_step
from station.domain.ports import DeviceFailed, DeviceRefused, DeviceSilent, FirmwareWriter
from tests.station import Station, wait_until

pytestmark = pytest.mark.process

PATIENCE = Patience(timeout_s=0.25, attempts=1)
BEFORE, AFTER = "V1.25", "V1.26"


# --- the driver on its line


FLASHABLE = PlayedDevices(controller=FLASHABLE_BOARD)


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    (tmp_path / "hardware.json").write_text(json.dumps(hardware_config(tmp_path, 2, devices={1: FLASHABLE})))
    simulator = Simulator(SimulatorSettings(directory=tmp_path, connectors=2))
    await simulator.open()
    yield simulator
    await simulator.close()


@pytest.fixture
async def bus(simulator: Simulator, tmp_path: Path) -> AsyncIterator[SerialBus]:
    bus = SerialBus(BusSettings(port=str(tmp_path / "sim" / "controller-1")))
    bus.acquire()
    yield bus
    bus.release()


@pytest.fixture
def controller(bus: SerialBus) -> FlashableEvCc:
    return FlashableEvCc(bus, address=1)


async def write(controller: FlashableEvCc, *, until: Step = Step.DONE, blocks: int | None = None) -> None:
    """Do step after step, as the control loop does, up to a step or a number of stored blocks."""
    is_begun = False
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        try:
            status = await controller.boot_status()
            is_begun |= status.state is not BootState.RUNNING
            step = next_step(controller.image, status, is_begun=is_begun)
            if step is until or (blocks is not None and status.stored >= blocks and step is Step.WRITE):
                return
            match step:
                case Step.ENTER:
                    is_begun = True
                    await controller.enter_bootloader()
                case Step.BEGIN:
                    await controller.begin_transfer()
                case Step.WRITE:
                    await controller.write_block(status.stored)
                case Step.VERIFY:
                    await controller.verify_transfer()
                case Step.ACTIVATE:
                    await controller.activate()
                case _:
                    pass
        except DeviceSilent:
            # It starts anew.
            continue
    raise AssertionError("the firmware was never written")


async def test_the_board_runs_the_new_firmware_and_keeps_it(
    simulator: Simulator, controller: FlashableEvCc, tmp_path: Path
) -> None:
    assert (await controller.identify()).firmware == BEFORE

    await write(controller)

    assert (await controller.identify()).firmware == AFTER == controller.image.version
    assert json.loads((tmp_path / "sim" / "firmware-1.json").read_text())["minor"] == 26


async def test_without_its_firmware_the_board_answers_nothing_else(controller: FlashableEvCc) -> None:
    await write(controller, blocks=3)

    with pytest.raises(DeviceRefused):
        await controller.read_status()
    with pytest.raises(DeviceRefused):
        await controller.set_enabled(True)


async def test_no_firmware_is_stopped_while_energy_is_released(controller: FlashableEvCc) -> None:
    await controller.set_enabled(True)

    with pytest.raises(DeviceRefused):
        await controller.enter_bootloader()

    assert (await controller.boot_status()).state is BootState.RUNNING


async def test_a_damaged_block_and_one_out_of_turn_are_not_stored(controller: FlashableEvCc, bus: SerialBus) -> None:
    await write(controller, blocks=2)
    right = Block(number=2, data=controller.image.block(2)).encode()
    for wrong in ([*right[:-1], right[-1] ^ 1], Block(number=3, data=controller.image.block(3)).encode()):
        with pytest.raises(ModbusRefused):
            await bus.write_registers(1, BLOCK_START, wrong, PATIENCE)

    assert (await controller.boot_status()).stored == 2
    await write(controller)
    assert (await controller.identify()).firmware == AFTER


async def test_a_transfer_that_is_not_whole_is_not_activated(controller: FlashableEvCc) -> None:
    await write(controller, blocks=5)
    await controller.verify_transfer()

    with pytest.raises(DeviceRefused):
        await controller.activate()

    assert (await controller.boot_status()).state is BootState.REFUSED
    await write(controller)
    assert (await controller.identify()).firmware == AFTER


async def test_after_a_silence_the_transfer_goes_on_where_it_stood(
    simulator: Simulator, controller: FlashableEvCc
) -> None:
    await write(controller, blocks=10)
    simulator.world.lines[1, LineDevice.CONTROLLER] = LineMode.SILENT
    with pytest.raises(DeviceFailed):
        await controller.write_block(10)
    simulator.world.lines[1, LineDevice.CONTROLLER] = LineMode.OK

    assert (await controller.boot_status()).stored == 10
    await write(controller)
    assert (await controller.identify()).firmware == AFTER


async def test_the_public_board_cannot_be_written(simulator: Simulator, tmp_path: Path) -> None:
    devices = build(parse(hardware_config(tmp_path, 2, devices={1: FLASHABLE})))

    assert list(devices.firmware_writers) == [1]
    board = FlashableEvCc(SerialBus(BusSettings(port=str(tmp_path / "sim" / "controller-2"))), address=1)
    await board.open()
    with pytest.raises(DeviceRefused):
        await board.boot_status()
    await board.close()
    assert isinstance(board, FirmwareWriter)


# --- the whole station

ORDER = """
from station import clock
from station.domain.commands import FlashControllers, Origin
from station.services.commands import submit_command
for _ in range(2):
    outcome = submit_command(FlashControllers(), origin=Origin.LOCAL, actor="test", at=clock.now())
    print("OUTCOME", outcome.status.value, outcome.data)
"""


class Site:
    """A station whose controllers can be written; the second one, too, unless said otherwise."""

    def __init__(self, station: Station) -> None:
        self.station = station

    def order(self) -> str:
        """Order it twice, the second time while the first one is carried out."""
        return self.station.manage("shell", "-c", ORDER).stdout

    def memory(self, number: int) -> dict[str, Any]:
        """Return what the simulated board keeps of its firmware."""
        path = self.station.data / "sim" / f"firmware-{number}.json"
        content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"has_firmware": True, "minor": 25}
        return content

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        place = f"file:{self.station.data / 'station.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(place, uri=True, timeout=10)) as database:
            return database.execute(question).fetchall()

    def results(self) -> list[tuple[int, str, dict[str, str]]]:
        found = self.rows("SELECT connector_id, code, data FROM station_logentry ORDER BY connector_id")
        return [(number, code, json.loads(data)) for number, code, data in found if code.startswith("controller.flash")]

    def status(self, number: int) -> str:
        return str(dict(self.rows("SELECT number, status FROM station_connector"))[number])

    def charges(self, number: int) -> bool:
        return bool(self.station.connector(number)["power_w"] > 0)


@pytest.fixture
def flashable() -> list[int]:
    return [1, 2]


@pytest.fixture
def site(tmp_path: Path, flashable: list[int]) -> Iterator[Site]:
    data = tmp_path / "station"
    data.mkdir(mode=0o700)
    (data / "hardware.json").write_text(
        json.dumps(hardware_config(data, 2, devices=dict.fromkeys(flashable, FLASHABLE)))
    )
    with Station.start(tmp_path, data=data, environment={"STATION_DATA_DIR": str(data)}) as station:
        yield Site(station)


DONE = {"before": BEFORE, "after": AFTER}


def test_the_control_loop_dies_in_the_middle_and_the_next_one_goes_on(site: Site) -> None:
    assert site.order().count("OUTCOME accepted {'connectors': [1, 2]}") == 2
    wait_until(lambda: not site.memory(1)["has_firmware"], what="the firmware is stopped")
    site.station.kill("hardware")

    wait_until(lambda: len(site.results()) == 2, timeout_s=60, what="both controllers are written")

    assert site.results() == [(1, "controller.flashed", DONE), (2, "controller.flashed", DONE)]
    wait_until(lambda: [site.status(1), site.status(2)] == ["Available", "Available"], what="both are in service")
    assert [site.memory(number)["minor"] for number in (1, 2)] == [26, 26]


def test_a_silent_line_delays_one_point_while_the_other_charges(site: Site) -> None:
    site.station.config_set({"LocalAuthorizeOffline": "true", "AllowOfflineTxForUnknownId": "true"})
    site.order()
    wait_until(lambda: not site.memory(1)["has_firmware"], what="the firmware is stopped")
    site.station.sim("/connectors/1/line", {"mode": "silent"})
    wait_until(lambda: site.results() == [(2, "controller.flashed", DONE)], timeout_s=60, what="point 2 is written")

    site.station.sim("/connectors/2/plug", {})
    site.station.wait_sim(lambda point: point["cp_state"] != "A", number=2)
    site.station.sim("/reader/swipe", {"uid": "04A2B3C4"})
    wait_until(lambda: site.charges(2), timeout_s=20, what="point 2 charges")
    assert site.status(1) in {"Unavailable", "Faulted"}
    assert "OUTCOME rejected {'connectors': [2]}" in site.order()
    site.station.sim("/connectors/1/line", {"mode": "ok"})

    wait_until(lambda: len(site.results()) == 2, timeout_s=60, what="point 1 is written")
    wait_until(lambda: site.status(1) == "Available", what="point 1 is in service")
    assert site.charges(2)
