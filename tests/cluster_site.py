"""Several real stations side by side that share one supply, and somebody who reads all their meters all the time."""

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from tests.station import NeverHappened, Station, wait_until

# Boards take whole amperes, and what is lent has to be a current that can be signalled: this much of a limit can be
# used at least when it divides well.
USED_SHARE = 0.95
USED_WITHIN_S = 15.0
LOOK_EVERY_S = 0.05
# A car's meter shows what it draws with the resolution of a real one.
METER_MA = 200
# A station's simulator is another process, so its word is as old as its answer took.
LATE_S = 1.0


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


class Cable:
    """The way from a slave to its master: a relay in this process that can be cut and mended."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._is_cut = False
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing through any more; nobody is told, as with a cable that is pulled."""
        self._is_cut = True

    def mend(self) -> None:
        """Let everything new through; connections of before are gone."""
        self._is_cut = False
        self._drop()

    def close(self) -> None:
        """End."""
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        for end in list(self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to_port), timeout=2)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                self._ends |= {near, far}
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if not self._is_cut:
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends -= {source, target}
        source.close()


@dataclass(kw_only=True)
class ClusterSite:
    """A master and its slaves, each with one car at its first charging point."""

    stations: list[Station]
    cables: list[Cable] = field(default_factory=list)
    limit_a: int
    present: tuple[int, ...] = ()

    @property
    def master(self) -> Station:
        """The station that divides the current."""
        return self.stations[0]

    @classmethod
    @contextmanager
    def on_loopback(cls, directory: Path, ports: Sequence[int], *, limit_a: int, fallback_a: int = 6) -> Iterator[Self]:
        """Start three stations that are configured by keys alone, beside one another at 127.0.0.1."""
        master_port, *others = ports
        stations = [
            Station(data=directory / f"station{index}", http_port=others[2 * index], sim_port=others[2 * index + 1])
            for index in range(3)
        ]
        cables = [Cable(master_port) for _ in stations[1:]]
        site = cls(stations=stations, cables=cables, limit_a=limit_a)
        common = {
            "/cluster/enabled": "true",
            # Stations of other tests at this computer are not to find a second master here.
            "/cluster/key": secrets.token_hex(16),
            "/cluster/fallbackA": str(fallback_a),
            "/auth/identification": "none",
        }
        addresses = [f"127.0.0.1:{master_port}", *(f"127.0.0.1:{cable.port}" for cable in cables)]
        try:
            for station, address in zip(stations, addresses, strict=True):
                leads = station is site.master
                mine = {"/cluster/role": "master", "/cluster/limitA": str(limit_a)} if leads else {}
                station.config_set({**common, **mine, "/cluster/address": address})
            # A master that has never led waits until everything is over that another one may have lent.
            (site.master.data / "cluster.epoch").write_text("the one before\n")
            for station in stations:
                station.launch(ready=False)
            for station in stations:
                station.wait_healthy(timeout_s=60)
            yield site
        finally:
            for station in stations:
                station.kill_all()
            for cable in cables:
                cable.close()

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
            for child in children.read_text().split():
                if "redis" in Path(f"/proc/{child}/comm").read_text():
                    return int(child)
        return None

    return wait_until(find, what="the master's server") or 0
