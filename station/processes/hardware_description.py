"""Describing the hardware: from what was found, and what an installer says of it, to hardware.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.drivers import config
from hardware.drivers.config_data import Role
from hardware.drivers.search import Found
from station import private_files
from station.domain.ports import MOST_PHASES


@dataclass(frozen=True, kw_only=True)
class Point:
    """Which of the found devices belong to a charging point."""

    controller: Found
    meter: Found
    phases: int = MOST_PHASES


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A reader and its charging point; None: it serves the whole station."""

    device: Found
    point: int | None = None


def usable(found: Sequence[Found], role: Role) -> list[Found]:
    """Return the devices of a kind, in the order they were found."""
    return [device for device in found if device.role is role]


def proposed(found: Sequence[Found]) -> list[Point]:
    """Return charging points as most stations are wired: the first controller with the first meter, and so on.

    Where both hang on one bus each, equal addresses or ports belong together only by chance; the order is what an
    installer can see and correct.
    """
    pairs = zip(usable(found, Role.CONTROLLER), usable(found, Role.METER), strict=False)
    return [Point(controller=controller, meter=meter) for controller, meter in pairs]


def described(
    points: Sequence[Point], readers: Sequence[Reader], io: Found | None, *, before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of hardware.json.

    `before`: the present content. What nobody can find stays: lamps, inputs of the module at the same place, and what
    else was said of a device that is still there.
    """
    content: dict[str, Any] = {
        "connectors": [
            {"controller": _entry(point.controller, before), "meter": _entry(point.meter, before)}
            | ({} if point.phases == MOST_PHASES else {"phases": point.phases})
            for point in points
        ],
        "readers": [_entry(reader.device, before) | {"connector": reader.point} for reader in readers],
    }
    if io is not None:
        content["io"] = {"inputs": [], **_entry(io, before)}
    if "lamps" in before:
        content["lamps"] = before["lamps"]
    return content


def _entry(found: Found, before: Mapping[str, Any]) -> dict[str, Any]:
    earlier = next((each for each in _entries(before) if _is_same(each, found)), {})
    return {**earlier, **found.entry}


def _entries(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # By hand, anything may have been written there.
    connectors, readers = (
        given if isinstance(given, list) else [] for given in map(content.get, ("connectors", "readers"))
    )
    points = [each for each in connectors if isinstance(each, dict)]
    listed = [each.get(name) for each in points for name in ("controller", "meter")]
    listed += [*readers, content.get("io")]
    return [each for each in listed if isinstance(each, dict)]


def _is_same(entry: Mapping[str, Any], found: Found) -> bool:
    return all(entry.get(name) == found.entry.get(name) for name in ("driver", "port", "address"))


def present(path: Path) -> dict[str, Any]:
    """Return what the file says now; nothing where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write(path: Path, content: Mapping[str, Any]) -> Path | None:
    """Check and write a description at once; return where the earlier one is kept. Raises HardwareConfigInvalid."""
    config.parse(content)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return private_files.write_keeping_former(path, f"{text}\n".encode())
