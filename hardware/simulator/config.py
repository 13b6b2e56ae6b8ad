"""The hardware configuration that fits the simulated station: which driver at which port."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hardware.simulator.faults import contacts
from station.domain.ports import Signal

CONTROLLER_ADDRESS, METER_ADDRESS, IO_ADDRESS = 1, 1, 10
_LINE = {"baudrate": 9600, "parity": "N", "stopbits": 1}


def controller_port(number: int) -> str:
    """Name the port of a charging point's controller."""
    return f"controller-{number}"


def meter_port(number: int) -> str:
    """Name the port of a charging point's meter."""
    return f"meter-{number}"


READER_PORT = "reader"
IO_PORT = "io"


BOARD, FLASHABLE_BOARD = "phoenix_ev_cc", "flashable_ev_cc"


def flashable_controllers(directory: Path) -> frozenset[int]:
    """Return the charging points whose controller is, by the hardware.json, the one whose firmware can be written."""
    try:
        described = json.loads((directory / "hardware.json").read_text(encoding="utf-8"))["connectors"]
        drivers = [each["controller"]["driver"] for each in described]
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()
    return frozenset(number for number, driver in enumerate(drivers, start=1) if driver == FLASHABLE_BOARD)


def hardware_config(directory: Path, connectors: int, *, flashable: Collection[int] = ()) -> dict[str, Any]:
    """Describe the simulated hardware of a data directory as the content of its hardware.json.

    `flashable`: the charging points with a controller whose firmware can be written.
    """
    folder = directory.absolute() / "sim"
    return {
        "connectors": [
            {
                "controller": {
                    "driver": FLASHABLE_BOARD if number in flashable else BOARD,
                    "port": str(folder / controller_port(number)),
                    "address": CONTROLLER_ADDRESS,
                    **_LINE,
                },
                "meter": {
                    "driver": "eastron_sdm630",
                    "port": str(folder / meter_port(number)),
                    "address": METER_ADDRESS,
                    "public_key_registers": True,
                    **_LINE,
                },
            }
            for number in range(1, connectors + 1)
        ],
        "readers": [{"driver": "elatec_twn4", "port": str(folder / READER_PORT), "connector": None, "reverse": False}],
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
