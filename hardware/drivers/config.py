"""The hardware configuration: read it, check it, make the devices it names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardware.drivers.config_check import Parser
from hardware.drivers.config_data import (
    ConnectorConfig,
    ControllerLampsConfig,
    DeviceConfig,
    GpioLampsConfig,
    HardwareConfig,
    HardwareConfigInvalid,
    Problem,
    ProblemCode,
    Role,
    gettext_noop,
)
from hardware.drivers.controller_lamps import ControllerLamps, OutputLamp
from hardware.drivers.gpio_lamps import GpioLamps, LampLines
from hardware.drivers.lamp import IoWithLamps
from hardware.drivers.registry import CONTROLLERS, IO_MODULES, METERS, READERS, Buses
from station.domain.ports import Devices, LampColour

__all__ = [
    "ConnectorConfig",
    "DeviceConfig",
    "Devices",
    "HardwareConfig",
    "HardwareConfigInvalid",
    "Problem",
    "ProblemCode",
    "Role",
    "build",
    "load",
    "parse",
]


def load(path: Path) -> HardwareConfig:
    """Read and check a configuration file; HardwareConfigInvalid when it is missing, no JSON, or wrong."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        template = gettext_noop("the file cannot be read: %(reason)s")
        raise _unusable(path, ProblemCode.FILE_UNREADABLE, template, reason=error.strerror or "") from error
    except json.JSONDecodeError as error:
        template = gettext_noop("the file is no JSON (line %(line)s, column %(column)s)")
        place = {"line": str(error.lineno), "column": str(error.colno)}
        raise _unusable(path, ProblemCode.NOT_JSON, template, **place) from error
    except (ValueError, RecursionError) as error:
        raise _unusable(path, ProblemCode.NOT_JSON, gettext_noop("the file is no JSON in UTF-8")) from error
    return parse(data)


def _unusable(path: Path, code: ProblemCode, template: str, **data: str) -> HardwareConfigInvalid:
    return HardwareConfigInvalid((Problem(code=code, where=str(path), template=template, data=data),))


def parse(data: object) -> HardwareConfig:
    """Check a configuration; HardwareConfigInvalid with every mistake when there is one."""
    return Parser().parse(data)


def build(config: HardwareConfig) -> Devices:
    """Make the devices; those on one port share one bus."""
    buses = Buses()
    numbered = list(enumerate(config.connectors, start=1))
    io = None if config.io is None else IO_MODULES[config.io.driver].make(config.io.options, buses, None)
    controllers = {
        number: CONTROLLERS[item.controller.driver].make(item.controller.options, buses, number)
        for number, item in numbered
    }
    match config.lamps:
        case GpioLampsConfig() as wired:
            io = IoWithLamps(io, _gpio_lamps(wired))
        case ControllerLampsConfig() as wired:
            io = IoWithLamps(io, _controller_lamps(wired, controllers))
    return Devices(
        controllers=controllers,
        meters={
            number: METERS[item.meter.driver].make(item.meter.options, buses, number)
            for number, item in numbered
            if item.meter is not None
        },
        readers=[
            (connector := reader.options["connector"], READERS[reader.driver].make(reader.options, buses, connector))
            for reader in config.readers
        ],
        phases={number: item.phases for number, item in numbered},
        io=io,
    )


def _controller_lamps(config: ControllerLampsConfig, controllers: Mapping[int, Any]) -> ControllerLamps:
    """Wire the lamps; the configuration check ensures that the controllers have these outputs."""
    return ControllerLamps(
        {
            each["connector"]: OutputLamp(
                controller=controllers[each["connector"]],
                outputs={LampColour(name): output for name, output in each.items() if name != "connector"},
            )
            for each in config.outputs
        }
    )


def _gpio_lamps(config: GpioLampsConfig) -> GpioLamps:
    lamps = [
        LampLines(
            connector=each["connector"],
            lines={LampColour(name): line for name, line in each.items() if name != "connector"},
        )
        for each in config.lines
    ]
    return GpioLamps(config.chip, lamps, active_low=config.active_low)
