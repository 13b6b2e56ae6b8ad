"""The allocator of levels 1 and 2 with a whole cluster."""

import random
import time

from benchmarks.result import Result, latency
from station.domain.allocation import LEVEL_2, Budget, Demand, State, confirmed, step
from station.domain.units import MilliAmpere

_POINTS = 200
_CYCLES = 300
_BUDGET = Budget.uniform(MilliAmpere(800_000), total=2_000_000)


async def measure() -> list[Result]:
    """Decide again and again while cars come, go and draw less than they may."""
    dice = random.Random(1)
    state, took_s = State(), []
    active = [dice.random() < 0.7 for _ in range(_POINTS)]
    for cycle in range(_CYCLES):
        for _ in range(5):
            point = dice.randrange(_POINTS)
            active[point] = not active[point]
        demands = [_demand(point, is_active=active[point], dice=dice) for point in range(_POINTS)]
        began_s = time.monotonic()
        state, commands = step(state, demands, float(cycle), budget=_BUDGET, policy=LEVEL_2)
        took_s.append(time.monotonic() - began_s)
        for command in commands:
            state = confirmed(state, command.point_id, command.limit, cycle + 0.5, policy=LEVEL_2)
    return [latency(f"allocator, {_POINTS} points", took_s, bar_ms=5)]


def _demand(point: int, *, is_active: bool, dice: random.Random) -> Demand:
    limit = MilliAmpere(dice.choice((16_000, 20_000, 32_000)))
    phases = frozenset({1 + point % 3}) if point % 4 == 0 else frozenset({1, 2, 3})
    return Demand(
        point_id=f"point-{point:03}",
        active=is_active,
        limit=limit,
        phases=phases,
        waiting_since_s=float(point),
    )
