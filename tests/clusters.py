"""A cluster as tests of pages and of the codec use it: one master with two charging points, a slave, and a lost one."""

from datetime import UTC, datetime

from station.domain.snapshot import (
    ClusterFoundSnapshot,
    ClusterPointSnapshot,
    ClusterRefusalSnapshot,
    ClusterSnapshot,
    ClusterStationSnapshot,
)
from station.domain.units import PAUSE, MilliAmpere

_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECOND_MASTER = ClusterFoundSnapshot(
    id="WB-0009",
    name="Tiefgarage 9",
    role="master",
    points=1,
    address="192.168.1.29:6390",
    web="http://192.168.1.29/",
    same_cluster=True,
)
STATIONS = (
    ClusterStationSnapshot(
        id="WB-0001",
        name="Tiefgarage 1",
        role="master",
        rating_ma=MilliAmpere(32_000),
        fallback_ma=MilliAmpere(6_000),
        reserved_ma=MilliAmpere(25_500),
        link_age_s=0,
        points=(
            ClusterPointSnapshot(
                number=1,
                state="charging",
                active=True,
                limit_ma=MilliAmpere(32_000),
                granted_ma=MilliAmpere(25_500),
                held_ma=MilliAmpere(25_500),
                flowing_ma=MilliAmpere(24_900),
            ),
            ClusterPointSnapshot(number=2, state="idle", limit_ma=MilliAmpere(32_000), granted_ma=PAUSE),
        ),
    ),
    ClusterStationSnapshot(
        id="WB-0002",
        name="Tiefgarage 2",
        role="slave",
        rating_ma=MilliAmpere(32_000),
        fallback_ma=MilliAmpere(6_000),
        reserved_ma=MilliAmpere(25_500),
        link_age_s=1,
        points=(
            ClusterPointSnapshot(
                number=1,
                state="charging",
                active=True,
                limit_ma=MilliAmpere(32_000),
                granted_ma=MilliAmpere(25_500),
                held_ma=MilliAmpere(25_500),
                flowing_ma=MilliAmpere(16_000),
            ),
        ),
    ),
    ClusterStationSnapshot(
        id="WB-0003",
        name="Tiefgarage 3",
        role="slave",
        rating_ma=MilliAmpere(16_000),
        fallback_ma=MilliAmpere(6_000),
        reserved_ma=MilliAmpere(12_000),
        link_age_s=47,
        lost=True,
        points=(
            ClusterPointSnapshot(
                number=1,
                state="waiting",
                active=True,
                limit_ma=MilliAmpere(16_000),
                granted_ma=PAUSE,
                waiting=True,
            ),
        ),
    ),
)
FOUND = (
    ClusterFoundSnapshot(
        id="WB-0001",
        name="Tiefgarage 1",
        role="master",
        points=2,
        address="192.168.1.21:6390",
        web="http://192.168.1.21/",
        same_cluster=True,
    ),
    ClusterFoundSnapshot(id="WB-0002", name="Tiefgarage 2", role="slave", points=1, web="http://192.168.1.22/"),
)
# At the master; everything that can be said is said, so that no field of the codec is left out.
MASTER = ClusterSnapshot(
    enabled=True,
    role="master",
    state="leading",
    problem="second_master",
    problem_detail="192.168.1.29:6390",
    own_id="WB-0001",
    fallback_ma=MilliAmpere(6_000),
    master_id="WB-0001",
    master_address="192.168.1.21:6390",
    lease_remaining_s=28,
    link_age_s=1,
    rise_in_s=48,
    limit_ma=MilliAmpere(63_000),
    total_ma=MilliAmpere(120_000),
    reserved_ma=(MilliAmpere(63_000), MilliAmpere(63_000), MilliAmpere(57_000)),
    stations=STATIONS,
    found=FOUND,
    search_problem="no_network",
    second_master=SECOND_MASTER,
    refusal=ClusterRefusalSnapshot(at=_AT, station="WB-0666", reason="id_taken"),
    malformed=3,
)
# At a slave in good order.
SLAVE = ClusterSnapshot(
    enabled=True,
    role="slave",
    state="member",
    own_id="WB-0002",
    fallback_ma=MilliAmpere(6_000),
    master_id="WB-0001",
    master_address="192.168.1.21:6390",
    lease_remaining_s=28,
    link_age_s=1,
    rise_in_s=50,
    limit_ma=MilliAmpere(63_000),
    reserved_ma=(MilliAmpere(63_000), MilliAmpere(63_000), MilliAmpere(57_000)),
    stations=STATIONS,
    found=FOUND,
)
