"""Three real stations in networks of their own share one limit while cables are cut and processes die, for so long.

    python -m benchmarks.cluster --minutes 10 [--seed 1]

All meters are read all the time: no moment may show more than the limit. After each disturbance is over it is measured
how long it takes until the limit is used again, and stays used. It needs root, for the network namespaces.
"""

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster_site import USED_WITHIN_S, ClusterSite, Meters, Network, server_of
from tests.station import NeverHappened, Station, wait_until

LIMIT_A = 48
RECOVERY_S = 180.0
# Shorter and longer than a lease, and longer than the time until a lost station may rise.
CUTS_S = (3.0, 12.0, 35.0, 65.0)
# Longer than it takes until a control loop that hangs has been replaced.
STAYS_S = 15.0
# Generous for a busy machine.
REPLACED_S = 60.0


class Disturbances:
    """What happens to the stations, one after the other, drawn by a seed."""

    def __init__(self, site: ClusterSite, network: Network, seed: int) -> None:
        self._site = site
        self._network = network
        self._random = random.Random(seed)
        self.counts: dict[str, int] = {}

    def disturb(self) -> str:
        """Let something happen, and be over; return what it was."""
        kinds: tuple[Callable[[], None], ...] = (
            self.cut,
            self.cut,
            self.kill,
            self.stop,
            self.stop_server,
            self.cut_and_kill,
            self.unplug,
        )
        kind = self._random.choice(kinds)
        kind()
        self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
        return kind.__name__

    def cut(self) -> None:
        """Pull a cable, and plug it in again."""
        index = self._random.randrange(len(self._site.stations))
        self._network.cut(index)
        time.sleep(self._random.choice(CUTS_S))
        self._network.mend(index)

    def kill(self) -> None:
        """Kill a control loop; it is over when another one has taken its place."""
        self._replace(self._random.choice(self._site.stations), signal.SIGKILL)

    def stop(self) -> None:
        """Stop a control loop, which its supervisor replaces."""
        self._replace(self._random.choice(self._site.stations), signal.SIGSTOP)

    def stop_server(self) -> None:
        """Stop the master's server, which its control loop replaces."""
        stopped = server_of(self._site.master)
        os.kill(stopped, signal.SIGSTOP)
        wait_until(lambda: server_of(self._site.master) != stopped, timeout_s=REPLACED_S)

    def _replace(self, station: Station, number: signal.Signals) -> None:
        ended = station.kill("hardware", number)
        wait_until(
            lambda: station.child_pids().get("hardware", ended) != ended and station.healthy(), timeout_s=REPLACED_S
        )

    def cut_and_kill(self) -> None:
        """Kill a control loop while a cable is pulled."""
        index = self._random.randrange(len(self._site.stations))
        self._network.cut(index)
        time.sleep(self._random.uniform(0.0, 40.0))
        self.kill()
        time.sleep(self._random.choice(CUTS_S))
        self._network.mend(index)

    def unplug(self) -> None:
        """Let a car go and the next one come."""
        station = self._random.choice(self._site.stations)
        station.sim("/connectors/1/unplug", {})
        time.sleep(self._random.uniform(5.0, 20.0))
        self._site.plug_in(station)


def main() -> int:
    """Run for so long, and tell what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if problem := Network.why_not():
        sys.exit(f"no network namespaces here: {problem}")
    # Who ends it wants no stations and no namespaces left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    with (
        tempfile.TemporaryDirectory() as directory,
        ClusterSite.in_namespaces(Path(directory), limit_a=LIMIT_A) as site,
    ):
        meters = Meters(site.stations, LIMIT_A * 1_000, states=lambda station: station.sim("/state"))
        meters.start()
        try:
            assert site.network is not None  # noqa: S101 - for the type checker
            return _measure(site, site.network, meters, minutes=options.minutes, seed=options.seed)
        finally:
            meters.stop()


def _measure(site: ClusterSite, network: Network, meters: Meters, *, minutes: float, seed: int) -> int:
    for station in site.stations:
        site.plug_in(station)
    # The master does not know yet who belongs to it: it waits until everything another one may have lent is over.
    print(f"limit used {_until_used_for_good(meters):.1f} s after the cars came", flush=True)
    disturbances, took = Disturbances(site, network, seed), dict[str, list[float]]()
    began_s = time.monotonic()
    never = 0
    while time.monotonic() < began_s + minutes * 60:
        kind = disturbances.disturb()
        try:
            needed_s = _until_used_for_good(meters)
        except NeverHappened:
            never += 1
            print(f"{kind}: limit not used within {RECOVERY_S:.0f} s", flush=True)
        else:
            took.setdefault(kind, []).append(needed_s)
            print(f"{kind}: limit used again after {needed_s:.1f} s", flush=True)
    for kind, times in sorted(took.items()):
        print(f"{kind}: {len(times)} times, used after {statistics.median(times):.1f} s, at most {max(times):.1f} s")
    all_times = [needed_s for times in took.values() for needed_s in times]
    in_time = sum(needed_s <= USED_WITHIN_S for needed_s in all_times)
    print(
        f"{sum(disturbances.counts.values())} disturbances in {time.monotonic() - began_s:.0f} s; limit used within "
        f"{USED_WITHIN_S:.0f} s after {in_time}, not at all after {never}"
    )
    offered = max(moment.offered for moment in meters.moments) / 1_000
    drawn = max(max(moment.drawn) for moment in meters.moments) / 1_000
    print(
        f"{len(meters.moments)} moments read, {meters.unread} not read, longest gap {meters.longest_gap_s():.1f} s; "
        f"highest sum signalled {offered:.1f} A, drawn {drawn:.1f} A of {LIMIT_A} A; {len(meters.excesses)} above it"
    )
    return 1 if meters.excesses or never else 0


def _until_used_for_good(meters: Meters) -> float:
    """Return after how many seconds the limit was used and stayed so.

    What has just happened shows only later: a share is still drawn when its control loop has died a moment ago.
    """
    began_s = time.monotonic()
    unused_s = began_s

    def stays_used() -> bool:
        nonlocal unused_s
        now_s = time.monotonic()
        if not meters.is_used():
            unused_s = now_s
        return now_s - unused_s >= STAYS_S

    wait_until(stays_used, timeout_s=RECOVERY_S + STAYS_S, what="limit used")
    return unused_s - began_s


if __name__ == "__main__":
    sys.exit(main())
