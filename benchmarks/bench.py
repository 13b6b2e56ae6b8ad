"""The bench: a real station with simulated hardware and a real backend, both made for one measurement."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Any

from tests.backend import Backend, Frame
from tests.station import Station

FIRST_PORT, LAST_PORT = 21_000, 21_999
TAG = "04A2B3C4"
# The resolution of what is found out by asking the simulator again and again.
_LOOK_S = 0.004


def _free_ports() -> Iterator[int]:
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if is_free(port):
            yield port


def is_free(port: int) -> bool:
    """Return whether nobody listens at a port."""
    with closing(socket()) as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


@dataclass(kw_only=True)
class MeasuredStation:
    """A station and the backend it talks to."""

    station: Station
    backend: Backend
    started_s: float = field(default=0.0)

    async def launch(self) -> None:
        """Start the station and wait until it is registered and ready to charge."""
        mark = self.backend.mark()
        self.started_s = time.monotonic()
        await asyncio.to_thread(self.station.launch, ready=False)
        await self.backend.wait_for("BootNotification", after=mark, timeout=30)
        await asyncio.to_thread(self.station.wait_healthy)
        # The last of the statuses told after an accepted registration.
        await self.backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2, after=mark)

    async def sim(self, path: str, body: Any = None) -> dict[str, Any]:
        """Do something to the simulated world, or look at it."""
        return await asyncio.to_thread(self.station.sim, path, body)

    async def connector(self, number: int = 1) -> dict[str, Any]:
        """Read the physical truth of one charging point."""
        return await asyncio.to_thread(self.station.connector, number)

    async def until(self, fits: Callable[[dict[str, Any]], bool], *, number: int = 1, timeout_s: float = 15.0) -> float:
        """Wait for a physical truth; return the moment it was first seen."""
        deadline_s = time.monotonic() + timeout_s
        while not fits(state := await self.connector(number)):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not within {timeout_s} s: {state}")
            await asyncio.sleep(_LOOK_S)
        return time.monotonic()

    async def status(self, name: str, *, after: int, number: int = 1, timeout_s: float = 15.0) -> Frame:
        """Wait until the backend is told a status."""
        return await self.backend.wait_for(
            "StatusNotification",
            where=lambda sent: sent["connectorId"] == number and sent["status"] == name,
            after=after,
            timeout=timeout_s,
        )

    async def start_charging(self, *, number: int = 1, tag: str = TAG) -> Frame:
        """Plug in, start remotely and wait for current; return the StartTransaction."""
        mark = self.backend.mark()
        await self.sim(f"/connectors/{number}/plug", {"max_current_a": 32})
        await self.status("Preparing", after=mark, number=number)
        await self.backend.call("RemoteStartTransaction", {"connectorId": number, "idTag": tag})
        started = await self.backend.wait_for("StartTransaction", after=mark)
        await self.status("Charging", after=mark, number=number)
        return started

    async def leave(self, *, number: int = 1) -> None:
        """Pull the car's end and wait until the point is free."""
        mark = self.backend.mark()
        await self.sim(f"/connectors/{number}/unplug", {})
        await self.status("Available", after=mark, number=number)


@asynccontextmanager
async def bench(
    name: str, *, config: Mapping[str, str] | None = None, launched: bool = True
) -> AsyncIterator[MeasuredStation]:
    """Give a fresh station in a directory of its own; everything is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=os.environ.get("BENCH_DIRECTORY")))
    ports = _free_ports()
    station = Station(data=directory / "station", http_port=next(ports), sim_port=next(ports))
    try:
        async with Backend.start(port=next(ports), check_schemas=False) as backend:
            keys = {"/ocpp/url": f"{backend.url}/", **(config or {})}
            await asyncio.to_thread(station.config_set, keys)
            made = MeasuredStation(station=station, backend=backend)
            if launched:
                await made.launch()
            try:
                yield made
            finally:
                await asyncio.to_thread(station.kill_all)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
