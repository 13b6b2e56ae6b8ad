"""Members and leader together: whatever the network does, the sum of what the points may draw keeps the limit."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.station.domain.cluster.model import Cluster, Plan


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([0, 6_000]))
def test_at_every_instant_the_sum_of_what_the_points_may_draw_is_within_the_limit(
    seed: int, loss: float, fallback: int
) -> None:
    dice = random.Random(seed)
    plan = Plan(
        seed=seed,
        stations=dice.choice((2, 3, 5)),
        limit=dice.choice((32_000, 40_000, 63_000)),
        fallback=fallback,
        loss=loss,
        late=dice.choice((0.0, 0.1, 0.3)),
        happenings=dice.choice((5, 15, 40)),
        rotate_after_s=dice.choice((0.0, 20.0)),
        seconds=150.0,
    )
    cluster = Cluster(plan)

    cluster.run()

    assert cluster.highest <= plan.limit, "\n".join(cluster.history)


@pytest.mark.parametrize("seed", range(5))
def test_the_limit_is_used_within_15_seconds_of_a_change(seed: int) -> None:
    changes = [80.0 + 20.0 * number for number in range(12)]
    cluster = Cluster(
        Plan(seed=seed, loss=0.0, late=0.0, happenings=0, slowest_board_s=0.5, seconds=changes[-1] + 19.0)
    )
    for change_s in changes:
        cluster.after(change_s, cluster.change_demand)
        cluster.after(change_s + 15.0, cluster.measure_use)

    cluster.run()

    assert len(cluster.used) > 5
    assert min(cluster.used) >= 0.95
