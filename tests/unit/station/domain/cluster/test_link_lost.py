"""What the page foretells of a cluster whose links are cut: every step, and never more than the limit."""

from hypothesis import given
from hypothesis import strategies as st

from station.domain.allocation import Budget, Demand, allocate
from station.domain.cluster.link_lost import LATEST_S, Step, outlook
from station.domain.snapshot import ClusterPointSnapshot, ClusterStationSnapshot
from station.domain.units import MilliAmpere

A = 1_000


def station(name: str, role: str, *granted_a: float, fallback_a: int = 6) -> ClusterStationSnapshot:
    return ClusterStationSnapshot(
        id=name,
        name=name,
        role=role,
        points=tuple(
            ClusterPointSnapshot(
                number=number,
                state="charging" if granted else "waiting",
                active=True,
                limit_ma=MilliAmpere(32 * A),
                granted_ma=MilliAmpere(int(granted * A)),
            )
            for number, granted in enumerate(granted_a, 1)
        ),
        rating_ma=MilliAmpere(32 * A),
        fallback_ma=MilliAmpere(fallback_a * A),
        link_age_s=1,
    )


def test_beside_two_full_points_a_slave_rises_to_its_fallback_only_after_they_were_reduced() -> None:
    # The manual's limit: 31.5 + 31.5 + 6 would be 69 A.
    steps = outlook((station("m", "master", 31.5, 31.5), station("s", "slave", 0)), MilliAmpere(63 * A))

    assert [step.limits["s"] for step in steps] == [(0,), (0,), (0,), (0,), (6 * A,)]
    assert [step.limits["m"] for step in steps][:2] == [(31_500, 31_500), (28_500, 28_500)]
    assert max(max(step.sums) for step in steps) == 63 * A


def test_what_the_leases_gave_is_shared_out_at_the_master_when_they_have_ended() -> None:
    steps = {
        each.step: each
        for each in outlook((station("m", "master", 21), station("s", "slave", 21, 21)), MilliAmpere(63 * A))
    }

    assert steps[Step.LEASES_END].limits == {"m": (21 * A,), "s": (6 * A, 6 * A)}
    assert steps[Step.MASTER_SHARES_REST].limits["m"] == (32 * A,)
    assert steps[Step.FALLBACKS].sums == (44 * A, 44 * A, 44 * A)


def test_the_steps_come_one_after_the_other() -> None:
    assert list(LATEST_S.values()) == sorted(LATEST_S.values())


@given(
    limit_a=st.integers(12, 200),
    fallbacks_a=st.lists(st.sampled_from([0, 6, 10]), min_size=1, max_size=8),
    masters=st.integers(1, 2),
    demands=st.lists(st.booleans(), min_size=18, max_size=18),
)
def test_no_step_exceeds_the_limit_when_the_fallbacks_fit(
    limit_a: int, fallbacks_a: list[int], masters: int, demands: list[bool]
) -> None:
    if 2 * sum(fallbacks_a) > limit_a:
        return
    count = masters + 2 * len(fallbacks_a)
    wanted = [Demand(point_id=str(n), active=demands[n], limit=MilliAmpere(32 * A)) for n in range(count)]
    granted = [each.limit / A for each in allocate(Budget.uniform(MilliAmpere(limit_a * A)), wanted)]
    stations = [station("m", "master", *granted[:masters])]
    for index, fallback in enumerate(fallbacks_a):
        first = masters + 2 * index
        stations.append(station(f"s{index}", "slave", *granted[first : first + 2], fallback_a=fallback))

    for step in outlook(stations, MilliAmpere(limit_a * A)):
        assert max(step.sums) <= limit_a * A
