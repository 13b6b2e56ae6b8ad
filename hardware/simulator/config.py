"""The hardware configuration that fits the simulated station: which driver at which port."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hardware.simulator.faults import contacts
from station.domain.ports import MOST_PHASES, LampColour, Signal

IO_ADDRESS = 10
_LINE = {"baudrate": 9600, "parity": "N", "stopbits": 1}


def controller_port(number: int) -> str:
    """Name the port of a charging point's controller."""
    return f"controller-{number}"


def meter_port(number: int) -> str:
    """Name the port of a charging point's meter."""
    return f"meter-{number}"


READER_PORT = "reader"
IO_PORT = "io"


BOARD, FLASHABLE_BOARD, ABL, AMTRON = "phoenix_ev_cc", "flashable_ev_cc", "abl_evcc", "mennekes_amtron"
TWN4, PN532, STX_ETX = "elatec_twn4", "pn532", "stx_etx"
SDM630, B23, OCMF, SML = "eastron_sdm630", "abb_b23", "ocmf_meter", "sml"


@dataclass(frozen=True, kw_only=True)
class PlayedDevices:
    """What is played at a charging point, by the names of the drivers; `phases`: by how many it is connected.

    `lamp`: the output of the controller for each colour, where the lamp is wired to it instead of the input module.
    """

    controller: str = BOARD
    meter: str = SDM630
    phases: int = MOST_PHASES
    lamp: Mapping[LampColour, str] = field(default_factory=dict)


USUAL = PlayedDevices()
# Address and line of each controller as its maker delivers it.
_CONTROLLERS: dict[str, dict[str, Any]] = {
    BOARD: {"address": 1, **_LINE},
    FLASHABLE_BOARD: {"address": 1, **_LINE},
    ABL: {"address": 1, "baudrate": 38400, "parity": "E", "stopbits": 1},
    AMTRON: {"address": 50, "baudrate": 57600, "parity": "N", "stopbits": 2},
}
METER_ADDRESS = 1
# Address and line of each meter; the one that pushes has no address.
_METERS: dict[str, dict[str, Any]] = {
    SDM630: {"address": METER_ADDRESS, "public_key_registers": True, **_LINE},
    B23: {"address": METER_ADDRESS, **_LINE},
    OCMF: {"address": METER_ADDRESS, **_LINE},
    SML: {"baudrate": 9600, "crc": "x25"},
}


def controller_address(driver: str) -> int:
    """Return the address at which a controller is played."""
    return int(_CONTROLLERS[driver]["address"])


def chosen(directory: Path) -> dict[int, PlayedDevices]:
    """Return what the hardware.json asks for, by charging point; what the simulator cannot play is the usual."""
    try:
        content = json.loads((directory / "hardware.json").read_text(encoding="utf-8"))
        described, lamps = content["connectors"], _lamps(content.get("lamps"))
        return {
            number: _devices(each, lamps.get(number, {}))
            for number, each in enumerate(described, start=1)
            if isinstance(each, Mapping)
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _lamps(described: object) -> dict[int, Mapping[LampColour, str]]:
    """Return the outputs of the lamps that are wired to controllers, by charging point."""
    outputs = described.get("outputs", ()) if isinstance(described, Mapping) else ()
    return {
        each["connector"]: {LampColour(name): output for name, output in each.items() if name != "connector"}
        for each in outputs
    }


def _devices(described: Mapping[str, Any], lamp: Mapping[LampColour, str]) -> PlayedDevices:
    controller, meter = _driver(described.get("controller")), _driver(described.get("meter"))
    return PlayedDevices(
        controller=controller if controller in _CONTROLLERS else USUAL.controller,
        meter=meter if meter in _METERS else USUAL.meter,
        phases=1 if described.get("phases") == 1 else USUAL.phases,
        lamp=lamp,
    )


def _driver(described: object) -> str:
    name = described.get("driver") if isinstance(described, Mapping) else None
    return name if isinstance(name, str) else ""


def chosen_reader(directory: Path) -> str:
    """Return the driver of the reader that the hardware.json asks for; the usual one for what cannot be played."""
    try:
        driver = json.loads((directory / "hardware.json").read_text(encoding="utf-8"))["readers"][0]["driver"]
    except (OSError, ValueError, LookupError, TypeError):
        return TWN4
    return driver if driver in (TWN4, PN532, STX_ETX) else TWN4


def hardware_config(
    directory: Path,
    connectors: int,
    *,
    devices: Mapping[int, PlayedDevices] = MappingProxyType({}),
    reader: str = TWN4,
) -> dict[str, Any]:
    """Describe the simulated hardware of a data directory as the content of its hardware.json.

    `devices`: what is played where it is not the usual, by charging point.
    """
    folder = directory.absolute() / "sim"
    played = {number: devices.get(number, USUAL) for number in range(1, connectors + 1)}
    return {
        "connectors": [
            {
                "controller": {
                    "driver": each.controller,
                    "port": str(folder / controller_port(number)),
                    **_CONTROLLERS[each.controller],
                    # As delivered its outputs signal what the board sees.
                    **({"commission": True} if each.lamp else {}),
                },
                "meter": {
                    "driver": each.meter,
                    "port": str(folder / meter_port(number)),
                    **_METERS[each.meter],
                },
                **({} if each.phases == USUAL.phases else {"phases": each.phases}),
            }
            for number, each in played.items()
        ],
        "readers": [{"driver": reader, "port": str(folder / READER_PORT), "connector": None, "reverse": False}],
        **_described_lamps(played),
        "io": {
            "driver": "modbus_io",
            "port": str(folder / IO_PORT),
            "address": IO_ADDRESS,
            **_LINE,
            "inputs": [
                {"input": contact.input, "code": contact.code.value, "connector": contact.connector}
                for contact in contacts(connectors)
            ]
            + [{"input": len(contacts(connectors)), "signal": Signal.DIMMING.value}],
        },
    }


def _described_lamps(played: Mapping[int, PlayedDevices]) -> dict[str, Any]:
    outputs = [
        {"connector": number, **{colour.value: output for colour, output in each.lamp.items()}}
        for number, each in played.items()
        if each.lamp
    ]
    return {"lamps": {"outputs": outputs}} if outputs else {}
