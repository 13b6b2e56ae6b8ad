"""Finding what is connected, against every simulated device on real pseudo-terminals."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hardware.drivers.config import parse
from hardware.drivers.config_data import Role
from hardware.drivers.search import LINES, Extent, Searched, search
from hardware.links.port import SerialPort
from hardware.simulator.config import IO_PORT, READER_PORT, PlayedDevices, controller_port, hardware_config, meter_port
from hardware.simulator.main import Simulator
from hardware.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.process

CONTROLLERS = ("phoenix_ev_cc", "flashable_ev_cc", "mennekes_amtron", "abl_evcc")
METERS = ("eastron_sdm630", "abb_b23", "ocmf_meter", "sml")


@asynccontextmanager
async def station(folder: Path, devices: dict[int, PlayedDevices], reader: str) -> AsyncIterator[Simulator]:
    config = hardware_config(folder, len(devices), devices=devices, reader=reader)
    (folder / "hardware.json").write_text(json.dumps(config))
    simulator = Simulator(SimulatorSettings(directory=folder, connectors=len(devices)))
    await simulator.open()
    yield simulator
    await simulator.close()


def by_name(results: list[Searched]) -> dict[str, Searched]:
    return {Path(result.port).name: result for result in results}


async def test_every_controller_and_meter_is_found_by_its_name_and_nothing_is_switched(tmp_path: Path):
    played = {
        number: PlayedDevices(controller=controller, meter=meter)
        for number, (controller, meter) in enumerate(zip(CONTROLLERS, METERS, strict=True), start=1)
    }
    async with station(tmp_path, played, "elatec_twn4") as simulator:
        ports = [str(path) for path in sorted((tmp_path / "sim").iterdir()) if path.is_symlink()]

        results = by_name(await search(ports, Extent(lines=LINES[:4])))

        for number, devices in played.items():
            (controller,) = results[controller_port(number)].found
            (meter,) = results[meter_port(number)].found
            assert (controller.role, controller.driver) == (Role.CONTROLLER, devices.controller)
            assert (meter.role, meter.driver) == (Role.METER, devices.meter)
            assert controller.serial
            assert meter.serial
            # What was found is what hardware.json may say.
            parse({"connectors": [{"controller": controller.entry, "meter": meter.entry}]})
            point = simulator.world.points[number]
            assert not point.contactor_closed
        (reader,) = results[READER_PORT].found
        assert (reader.role, reader.driver) == (Role.READER, "elatec_twn4")
        (module,) = results[IO_PORT].found
        assert (module.role, module.driver, module.options["address"]) == (Role.IO, "modbus_io", 10)


@pytest.mark.parametrize("reader", ["pn532", "stx_etx"])
async def test_a_reader_is_found_also_when_it_only_speaks_of_cards(tmp_path: Path, reader: str):
    async with station(tmp_path, {1: PlayedDevices()}, reader) as simulator:
        # Whoever installs holds a card to it when the search asks for one.
        extent = Extent(lines=LINES[:1], on_listening=lambda _port: simulator.world.swipe("1e00a5b9c3", connector=None))

        (result,) = await search([str(tmp_path / "sim" / READER_PORT)], extent)

        assert [found.driver for found in result.found] == [reader]


async def test_a_port_that_is_in_use_or_gone_is_told(tmp_path: Path):
    async with station(tmp_path, {1: PlayedDevices()}, "elatec_twn4"):
        busy, gone = str(tmp_path / "sim" / meter_port(1)), str(tmp_path / "none")
        holder = SerialPort(busy, on_received=lambda _: None, on_lost=lambda _: None, baudrate=9600)

        results = by_name(await search([busy, gone], Extent()))

        holder.close()
        assert results[Path(busy).name].trouble
        assert results["none"].trouble
        assert not results["none"].found
