"""Opening and closing the vendor's access to the computer: two units of systemd, which nothing else starts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from station import private_files
from station.domain.vendor_access import Door
from station.host.dbus.bus import Bus, ServiceAbsent, run

_SYSTEMD, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_MANAGER, _UNIT = "org.freedesktop.systemd1.Manager", "org.freedesktop.systemd1.Unit"
# deploy/vendor: each ends itself after a day, also if nobody is left who would stop it.
UNITS: Mapping[Door, str] = {
    Door.LOCAL: "station-vendor-local.service",
    Door.REMOTE: "station-vendor-remote.service",
}
_OPEN_STATES = frozenset({"active", "activating", "reloading"})


@dataclass(frozen=True)
class SystemVendorAccess:
    """The units of a real station."""

    def is_open(self, door: Door) -> bool:
        async def task(bus: Bus) -> bool:
            path = await bus.call(_SYSTEMD, _PATH, f"{_MANAGER}.LoadUnit", "s", [UNITS[door]])
            if await bus.get(_SYSTEMD, path, f"{_UNIT}.LoadState") != "loaded":
                raise ServiceAbsent(UNITS[door], "this unit is not installed")
            return await bus.get(_SYSTEMD, path, f"{_UNIT}.ActiveState") in _OPEN_STATES

        return run(task)

    def switch(self, door: Door, *, is_open: bool) -> None:
        verb = "StartUnit" if is_open else "StopUnit"

        async def task(bus: Bus) -> None:
            await bus.call(_SYSTEMD, _PATH, f"{_MANAGER}.{verb}", "ss", [UNITS[door], "replace"])

        if self.is_open(door) is not is_open:
            run(task)


@dataclass(frozen=True)
class SimulatedVendorAccess:
    """A desk, on which nobody may open anything: a file says what a station would have switched."""

    file: Path

    def is_open(self, door: Door) -> bool:
        return self._read().get(door.value) is True

    def switch(self, door: Door, *, is_open: bool) -> None:
        if self.is_open(door) is not is_open:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            private_files.write(self.file, json.dumps(self._read() | {door.value: is_open}).encode())

    def _read(self) -> dict[str, object]:
        try:
            content = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
