"""Three real stations in networks of their own share one limit while cables are cut and processes die, for so long.

    python -m benchmarks.cluster --minutes 10 [--seed 1]

All meters are read all the time: no moment may show more than the limit. After each disturbance is over it is measured
how long it takes until the limit is used again. It needs root, for the network namespaces.
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
from contextlib import suppress
from pathlib import Path

from tests.cluster_site import ClusterSite, Meters, Network, server_of, wait_until_used
from tests.station import NeverHappened

LIMIT_A = 48
RECOVERY_S = 180.0
# Shorter and longer than a lease, and longer than the time until a lost station may rise.
CUTS_S = (3.0, 12.0, 35.0, 65.0)


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
        """Kill a control loop."""
        self._random.choice(self._site.stations).kill("hardware")

    def stop(self) -> None:
        """Stop a control loop, which its supervisor replaces."""
        self._random.choice(self._site.stations).kill("hardware", signal.SIGSTOP)

    def stop_server(self) -> None:
        """Stop the master's server, which its control loop replaces."""
        os.kill(server_of(self._site.master), signal.SIGSTOP)

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
    print(f"limit used {wait_until_used(meters, timeout_s=RECOVERY_S):.1f} s after the cars came", flush=True)
    disturbances, took = Disturbances(site, network, seed), dict[str, list[float]]()
    until_s = time.monotonic() + minutes * 60
    never = 0
    while time.monotonic() < until_s:
        kind = disturbances.disturb()
        with suppress(NeverHappened):
            took.setdefault(kind, []).append(wait_until_used(meters, timeout_s=RECOVERY_S))
            print(f"{kind}: limit used again after {took[kind][-1]:.1f} s", flush=True)
            continue
        never += 1
        print(f"{kind}: limit not used within {RECOVERY_S:.0f} s", flush=True)
    for kind, times in sorted(took.items()):
        print(
            f"{kind}: {len(times)} times, used again after {statistics.median(times):.1f} s, at most {max(times):.1f} s"
        )
    print(
        f"{len(meters.moments)} moments read, {meters.unread} not read, longest gap {meters.longest_gap_s():.1f} s, "
        f"{len(meters.excesses)} above the limit, {never} times not used again"
    )
    return 1 if meters.excesses or never else 0


if __name__ == "__main__":
    sys.exit(main())
