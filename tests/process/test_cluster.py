"""Three real stations that share one supply: whatever dies, stops or is cut off, their meters never show too much."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_site import ClusterSite, server_of, wait_until_used
from tests.process.judgement import free_ports
from tests.station import wait_until

pytestmark = pytest.mark.process

LIMIT_A, FALLBACK_A = 48, 6
# A lease of 30 s, the time a car has to follow, the pause between two decisions, and a busy computer.
AFTER_A_LEASE_S = 75.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ClusterSite]:
    with ClusterSite.on_loopback(tmp_path, free_ports(7), limit_a=LIMIT_A, fallback_a=FALLBACK_A) as site:
        yield site


def test_three_stations_share_a_limit_whatever_is_killed_stopped_or_cut_off(site: ClusterSite) -> None:
    master, slave, other = site.stations
    with site.watched() as meters:
        for station in site.stations:
            site.plug_in(station)
        site.wait_offered(16, 16, 16, timeout_s=AFTER_A_LEASE_S)
        wait_until_used(meters)

        site.cables[1].cut()
        slave.kill("hardware")
        os.kill(server_of(master), signal.SIGSTOP)
        wait_until(lambda: site.offered(other) == FALLBACK_A, timeout_s=AFTER_A_LEASE_S, what="fallback")
        site.wait_offered(18, 18, FALLBACK_A, timeout_s=AFTER_A_LEASE_S)

        site.cables[1].mend()
        master.kill("hardware")
        slave.kill("hardware", signal.SIGSTOP)
        site.wait_offered(16, 16, 16, timeout_s=AFTER_A_LEASE_S)
        assert site.master.healthy()
        assert len(meters.moments) > 100
