"""The simulator as a process: its world, its lines and its control API, until it is told to end."""

import argparse
import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hardware.simulator.actions import ControlApi
from hardware.simulator.devices import lines
from hardware.simulator.files import HostFile, MetersFile
from hardware.simulator.http_server import MAXIMUM_HEAD_BYTES, HttpServer
from hardware.simulator.settings import SimulatorSettings
from hardware.simulator.sockets import CONTROL_SOCKET, listen_in_folder, listen_on_loopback
from hardware.simulator.world import World

if TYPE_CHECKING:
    from hardware.simulator.pty_line import PtyLine

# While energy flows the meters' counts are written at least this often, also when nobody asks.
KEEP_INTERVAL_S = 1.0
LAST_PORT = 65_535


class Simulator:
    """A running simulated station; `open` and `close` from within an event loop."""

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._meters = MetersFile(settings.folder)
        self._host = HostFile(settings.folder)
        self._lines: list[PtyLine] = []
        self._servers: list[asyncio.Server] = []
        self._http: HttpServer | None = None
        self.world = World.build(
            connectors=settings.connectors,
            now_s=clock(),
            socket_lock=settings.socket_lock,
        )

    @property
    def directory(self) -> Path:
        """The data directory of the station that is played."""
        return self._settings.directory

    def line(self, name: str) -> "PtyLine":
        """Return the line with this name, to pull its adapter and plug it in again."""
        return next(line for line in self._lines if line.name == name)

    async def open(self) -> None:
        """Put the lines and the control API in place; when this returns, all of them answer.

        Raises MetersFileUnreadable, ControlAddressRefused, or OSError when the control address is taken.
        """
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        meters = self._meters.open(self.world.points)
        for number, point in self.world.points.items():
            point.energy = meters[number].energy
        self._host.open()
        self.world.on_host_change = self._tell_host
        self._tell_host()
        self.world.on_line_change = self._follow_the_plugs
        self._lines = lines(
            self._settings, self.world, meters, keep=self._meters.keep, clock=self._clock, wall=self._wall
        )
        try:
            for line in self._lines:
                line.open()
            await self._listen()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Remove everything again and write the last counts."""
        for server in self._servers:
            server.close()
        if self._http is not None:
            await self._http.end_connections()
        for line in self._lines:
            line.close()
        (self._settings.folder / CONTROL_SOCKET).unlink(missing_ok=True)
        self._bring_up_to_date()
        self._meters.keep()

    async def keep_counting(self) -> None:
        """Write the meters' counts every second while energy flows, for ever."""
        while True:
            await asyncio.sleep(KEEP_INTERVAL_S)
            self._bring_up_to_date()
            self._meters.keep()

    async def _listen(self) -> None:
        api = ControlApi(world=self.world, bring_up_to_date=self._bring_up_to_date, keep=self._meters.keep)
        self._http = HttpServer(api.answer)
        listeners = [listen_in_folder(self._settings.folder / CONTROL_SOCKET)]
        if self._settings.control is not None:
            listeners.append(listen_on_loopback(*self._settings.control))
        for listener in listeners:
            start = asyncio.start_unix_server if listener.family.name == "AF_UNIX" else asyncio.start_server
            self._servers.append(await start(self._http.connected, sock=listener, limit=MAXIMUM_HEAD_BYTES))

    def _bring_up_to_date(self) -> None:
        self.world.advance(now_s=self._clock())

    def _follow_the_plugs(self) -> None:
        for line in self._lines:
            line.follow_the_plug()

    def _tell_host(self) -> None:
        self._host.tell(modem=self.world.modem, backend_link=self.world.backend_link)


async def run(settings: SimulatorSettings) -> None:
    """Play the station until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    simulator = Simulator(settings)
    await simulator.open()
    counting = asyncio.create_task(simulator.keep_counting())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({counting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if counting.done():
            counting.result()
    finally:
        stopped.cancel()
        counting.cancel()
        await simulator.close()


def parse_arguments(arguments: list[str] | None = None) -> SimulatorSettings:
    """Read the command line of the simulator as a program of its own."""
    parser = argparse.ArgumentParser(prog="python -m hardware.simulator.main", description=__doc__)
    parser.add_argument("directory", type=Path, help="data directory of the station")
    parser.add_argument("--control", type=_host_and_port, metavar="HOST:PORT", help="address of the control API")
    parser.add_argument("--connectors", type=int, default=1, choices=(1, 2))
    parser.add_argument("--tethered", action="store_true", help="fixed cables instead of sockets with a bolt")
    parser.add_argument("--strict-timing", action="store_true", help="meters insist on 60 ms of silence")
    parsed = parser.parse_args(arguments)
    return SimulatorSettings(
        directory=parsed.directory,
        control=parsed.control,
        connectors=parsed.connectors,
        socket_lock=not parsed.tethered,
        strict_timing=parsed.strict_timing,
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    asyncio.run(run(parse_arguments()))
