"""Three real stations that share one supply: whatever dies, stops or is cut off, their meters never show too much."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_site import ClusterSite, wait_until_used
from tests.process.judgement import free_ports
from tests.station import wait_until

pytestmark = pytest.mark.process

LIMIT_A = 30


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ClusterSite]:
    with ClusterSite.on_loopback(tmp_path, free_ports(7), limit_a=LIMIT_A) as site:
        yield site


def test_three_stations_share_a_limit_equally(site: ClusterSite) -> None:
    with site.watched() as meters:
        for station in site.stations:
            site.plug_in(station)
        wait_until_used(meters, timeout_s=60)
        wait_until(lambda: [site.offered(each) for each in site.stations] == [10, 10, 10], timeout_s=30)
