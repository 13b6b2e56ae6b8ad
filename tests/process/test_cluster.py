"""Three real stations that share one supply: whatever dies, stops or is cut off, their meters never show too much."""

import os
import signal
from pathlib import Path

import pytest

from tests.cluster_site import FALLBACK_A, ClusterSite, Network, server_of, wait_until_used
from tests.process.judgement import free_ports

pytestmark = pytest.mark.process

LIMIT_A = 48
EQUAL = (16, 16, 16)
# A lease of 30 s, 30 s until a lost station may rise, the time a car has to follow; the rest is for a busy machine.
PATIENCE_S = 180.0


def test_three_stations_set_up_by_keys_share_a_limit_whatever_is_killed_or_stopped(tmp_path: Path) -> None:
    with ClusterSite.on_loopback(tmp_path, free_ports(7), limit_a=LIMIT_A) as site, site.watched() as meters:
        master, slave, other = site.stations
        for station in site.stations:
            site.plug_in(station)
        site.wait_offered(*EQUAL, timeout_s=PATIENCE_S)
        wait_until_used(meters, timeout_s=PATIENCE_S)

        slave.kill("hardware")
        other.kill("hardware", signal.SIGSTOP)
        os.kill(server_of(master), signal.SIGSTOP)
        site.wait_other_than(*EQUAL, timeout_s=PATIENCE_S)
        site.wait_offered(*EQUAL, timeout_s=PATIENCE_S)

        master.kill("hardware")
        site.wait_other_than(*EQUAL, timeout_s=PATIENCE_S)
        site.wait_offered(*EQUAL, timeout_s=PATIENCE_S)
        assert all(station.healthy() for station in site.stations)


def test_stations_in_networks_of_their_own_find_their_master_and_a_cut_cable_never_costs_the_limit(
    tmp_path: Path,
) -> None:
    if problem := Network.why_not():
        pytest.skip(f"no network namespaces here: {problem}")
    with ClusterSite.in_namespaces(tmp_path, limit_a=LIMIT_A) as site, site.watched():
        assert site.network is not None
        for station in site.stations:
            site.plug_in(station)
        site.wait_offered(*EQUAL, timeout_s=PATIENCE_S)

        site.network.cut(2)
        # The lost station may draw the fallback at both of its charging points, whether a car is there or not.
        site.wait_offered(18, 18, FALLBACK_A, timeout_s=PATIENCE_S)

        site.network.mend(2)
        site.wait_offered(*EQUAL, timeout_s=PATIENCE_S)
