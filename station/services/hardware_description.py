"""What hardware.json says, as far as settings depend on it; whether it is right is found by whoever loads it."""

import json
from typing import Any

from django.conf import settings

from station.domain.ports import MOST_PHASES, Signal


def has_dimming_input() -> bool:
    """Return whether an input is assigned to the grid operator's control box."""
    try:
        return any(each.get("signal") == Signal.DIMMING for each in _read()["io"]["inputs"])
    except (KeyError, TypeError, AttributeError):
        return False


def connected_phases(connectors: int) -> dict[int, int]:
    """Return by how many phases each charging point is connected to the mains; by three where nothing is said."""
    found = dict.fromkeys(range(1, connectors + 1), MOST_PHASES)
    try:
        for number, each in enumerate(_read()["connectors"], start=1):
            if number in found and each.get("phases") == 1:
                found[number] = 1
    except (KeyError, TypeError, AttributeError):
        return dict.fromkeys(found, MOST_PHASES)
    return found


def _read() -> Any:
    try:
        return json.loads(settings.DATA.hardware.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
