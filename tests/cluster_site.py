"""Several real stations side by side that share one supply, and somebody who reads all their meters all the time."""

import ctypes
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from station import private_files
from station.host.firewall import LAN_INTERFACES
from station.paths import DataDirectory
from tests.station import NeverHappened, Station, wait_until

# Boards take whole amperes, and what is lent has to be a current that can be signalled: this much of a limit can be
# used at least when it divides well.
FALLBACK_A = 6
USED_SHARE = 0.95
USED_WITHIN_S = 15.0
LOOK_EVERY_S = 0.05
# A car's meter shows what it draws with the resolution of a real one.
METER_MA = 200
# A station's simulator is another process, so its word is as old as its answer took.
LATE_S = 1.0
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What all stations together signal to their cars and draw, per phase, in milliampere."""

    at_s: float
    offered: int
    drawn: tuple[int, int, int]


class Meters:
    """Reads the physical truth of all stations over and over, and keeps every moment at which it was too much."""

    def __init__(
        self, stations: Sequence[Station], limit_ma: int, *, states: Callable[[Station], dict[str, Any]]
    ) -> None:
        self._stations = stations
        self._states = states
        self.limit_ma = limit_ma
        self.moments: list[Moment] = []
        self.excesses: list[Moment] = []
        self.unread = 0
        self._is_over = threading.Event()
        self._readers = ThreadPoolExecutor(max_workers=len(stations))
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End reading."""
        self._is_over.set()
        self._thread.join()
        self._readers.shutdown()

    def newest(self) -> Moment | None:
        """Return the last moment at which all stations answered."""
        return self.moments[-1] if self.moments else None

    def is_used(self) -> bool:
        """Return whether as much of the limit is drawn as can be."""
        newest = self.newest()
        return newest is not None and max(newest.drawn) >= self.limit_ma * USED_SHARE

    def longest_gap_s(self) -> float:
        """Return how long nobody looked at most."""
        return max((later.at_s - former.at_s for former, later in pairwise(self.moments)), default=0.0)

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            moment = self._read()
            if moment is None:
                self.unread += 1
                continue
            self.moments.append(moment)
            if moment.offered > self.limit_ma or max(moment.drawn) > self.limit_ma + METER_MA:
                self.excesses.append(moment)

    def _read(self) -> Moment | None:
        began_s = time.monotonic()
        try:
            states = list(self._readers.map(self._states, self._stations))
        except (OSError, HTTPException, AssertionError):
            return None
        if time.monotonic() - began_s > LATE_S:
            # Read at moments too far apart to belong together.
            return None
        points = [point for state in states for point in state["connectors"]]
        drawn = [round(sum(point["currents_a"][phase] for point in points) * 1_000) for phase in range(3)]
        return Moment(
            at_s=began_s,
            offered=sum(point["offered_a"] for point in points) * 1_000,
            drawn=(drawn[0], drawn[1], drawn[2]),
        )


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Let this thread be in a network namespace meanwhile."""
    with Path("/proc/thread-self/ns/net").open() as before, Path(f"/run/netns/{namespace}").open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(descriptor: int) -> None:
    # os.setns comes with Python 3.12.
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@dataclass(kw_only=True)
class HousedStation(Station):
    """A station in a network namespace of its own; everything is asked there."""

    namespace: str

    @override
    def sim(self, path: str, body: Any = None) -> dict[str, Any]:
        with entered(self.namespace):
            return super().sim(path, body)

    @override
    def healthy(self) -> bool:
        with entered(self.namespace):
            return super().healthy()


class Network:
    """A switch with a cable to each station, which can be cut and mended."""

    def __init__(self, count: int) -> None:
        self._switch = f"cl{os.getpid()}"
        self.namespaces = [f"{self._switch}-{index}" for index in range(count)]

    @staticmethod
    def why_not() -> str:
        """Return why there can be none here; empty: there can."""
        probe = f"clprobe{os.getpid()}"
        if shutil.which("ip") is None:
            return "no ip (package iproute2)"
        made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
        if made.returncode == 0:
            commands = (
                ["link", "add", "br0", "type", "bridge"],
                ["link", "add", "one", "type", "veth", "peer", "name", "two"],
            )
            for command in commands:
                if made.returncode == 0:
                    made = subprocess.run(["ip", "-n", probe, *command], capture_output=True, text=True, check=False)
            subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
        return made.stderr.strip() if made.returncode else ""

    def build(self) -> None:
        """Lay the cables."""
        for name in (self._switch, *self.namespaces):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "br0", "up")
        for index, name in enumerate(self.namespaces):
            port = f"port{index}"
            _ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self._switch, "link", "set", port, "master", "br0")
            _ip("-n", name, "address", "add", f"192.168.77.{index + 1}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            self.mend(index)

    def cut(self, index: int) -> None:
        """Pull the cable of a station."""
        _ip("-n", self._switch, "link", "set", f"port{index}", "down")

    def mend(self, index: int) -> None:
        """Plug it in again."""
        _ip("-n", self._switch, "link", "set", f"port{index}", "up")

    def take_down(self) -> None:
        """Leave nothing behind."""
        for name in (self._switch, *self.namespaces):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass(kw_only=True)
class ClusterSite:
    """A master and its slaves, each with one car at its first charging point."""

    stations: Sequence[Station]
    limit_a: int
    network: Network | None = None
    present: tuple[int, ...] = ()

    @property
    def master(self) -> Station:
        """The station that divides the current."""
        return self.stations[0]

    @classmethod
    @contextmanager
    def on_loopback(cls, directory: Path, ports: Sequence[int], *, limit_a: int) -> Iterator[Self]:
        """Start three stations at 127.0.0.1 whose slaves are told where the master is."""
        master_port, *others = ports
        stations = [
            Station(data=directory / f"station{index}", http_port=others[2 * index], sim_port=others[2 * index + 1])
            for index in range(3)
        ]
        with cls(stations=stations, limit_a=limit_a)._running(address=f"127.0.0.1:{master_port}") as site:
            yield site

    @classmethod
    @contextmanager
    def in_namespaces(cls, directory: Path, *, limit_a: int) -> Iterator[Self]:
        """Start three stations in networks of their own, which find one another."""
        network = Network(3)
        stations = [
            HousedStation(
                data=directory / f"station{index}",
                namespace=namespace,
                within=("ip", "netns", "exec", namespace),
                environment={LAN_INTERFACES: "eth0"},
            )
            for index, namespace in enumerate(network.namespaces)
        ]
        try:
            network.build()
            with cls(stations=stations, limit_a=limit_a, network=network)._running(address="") as site:
                yield site
        finally:
            network.take_down()

    @contextmanager
    def _running(self, *, address: str) -> Iterator[Self]:
        """Configure the stations by keys alone, start them, and stop them at the end."""
        common = {
            "/cluster/enabled": "true",
            # Stations of other tests at this computer are not to find a second master here.
            "/cluster/key": secrets.token_hex(16),
            "/cluster/fallbackA": str(FALLBACK_A),
            "/cluster/address": address,
            "/auth/identification": "none",
        }
        try:
            for station in self.stations:
                leads = station is self.master
                mine = {"/cluster/role": "master", "/cluster/limitA": str(self.limit_a)} if leads else {}
                station.config_set(common | mine)
                if leads:
                    # It has led before, and nobody since: it need not wait until what another one lent is over.
                    private_files.write(DataDirectory(station.data).cluster_epoch, b"before\n")
                station.launch(ready=False)
            for station in self.stations:
                station.wait_healthy(timeout_s=90)
            yield self
        finally:
            for station in self.stations:
                station.kill_all()

    def plug_in(self, station: Station, number: int = 1) -> None:
        """Bring a car, which charges without a card."""
        station.sim(f"/connectors/{number}/plug", {})

    def offered(self, station: Station) -> int:
        """Return what a station signals to all its cars, in ampere."""
        return sum(point["offered_a"] for point in station.sim("/state")["connectors"])

    def wait_offered(self, *amperes: int, timeout_s: float) -> None:
        """Wait until the stations signal so much to their cars."""

        def arrived() -> bool:
            self.present = tuple(self.offered(station) for station in self.stations)
            return self.present == amperes

        try:
            wait_until(arrived, timeout_s=timeout_s)
        except NeverHappened as problem:
            raise NeverHappened(f"{amperes} within {timeout_s} s: it is {self.present}") from problem

    def wait_other_than(self, *amperes: int, timeout_s: float) -> None:
        """Wait until the stations signal something else than so much to their cars."""
        wait_until(lambda: tuple(self.offered(each) for each in self.stations) != amperes, timeout_s=timeout_s)

    @contextmanager
    def watched(
        self, states: Callable[[Station], dict[str, Any]] = lambda station: station.sim("/state")
    ) -> Iterator[Meters]:
        """Read all meters meanwhile; what was ever too much fails."""
        meters = Meters(self.stations, self.limit_a * 1_000, states=states)
        meters.start()
        try:
            yield meters
        finally:
            meters.stop()
        assert not meters.excesses, f"{len(meters.excesses)} moments above the limit, the first: {meters.excesses[0]}"


def wait_until_used(meters: Meters, *, timeout_s: float = USED_WITHIN_S) -> float:
    """Wait until the limit is used; return how long that took."""
    began_s = time.monotonic()
    wait_until(meters.is_used, timeout_s=timeout_s, what="limit used")
    return time.monotonic() - began_s


def server_of(master: Station) -> int:
    """Wait for the server of a master to live and return its process id: a child of the control loop."""

    def find() -> int | None:
        parent = master.pid_of("hardware")
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            # Whatever is listed may have ended before it is read: servers are replaced here.
            with suppress(FileNotFoundError, ProcessLookupError):
                for child in children.read_text().split():
                    if "redis" in Path(f"/proc/{child}/comm").read_text():
                        return int(child)
        return None

    return wait_until(find, what="the master's server") or 0
