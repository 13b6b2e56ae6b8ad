"""What happens in a seed's world: how it is built, which cars come, what fails and when, all drawn beforehand."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.reliability.cluster.stations import StationPlan

_PHASES = ((1, 2, 3), (1, 2, 3), (1, 2, 3), (1, 2, 3), (1,), (2,), (3,))
# How much of a week has passed is of no matter to a settled cluster, so the time between two happenings is cut short.
_GAPS_S = ((0.5, 0.0, 1.5), (0.3, 1.5, 12.0), (0.2, 15.0, 70.0))
# The share of points with a car over the hours of a working day, and on a Sunday.
_BUSY = (0.5,) * 6 + (0.4, 0.6, 0.8, 0.9, 0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.8, 0.9, 0.9, 0.8, 0.7, 0.6, 0.6, 0.5)
_QUIET = 0.4
# What goes wrong between few stations goes wrong between many, too, and costs less time to find.
_SIZES = ((0.8, 2, 5), (0.15, 6, 12), (0.045, 13, 40), (0.005, 41, 200))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How the world is built."""

    stations: tuple[StationPlan, ...]
    limit: int
    policy_rotation_s: float


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One thing that happens; `lasts_s` for what ends by itself."""

    at_s: float
    kind: str
    station: int = 0
    point: int = 1
    lasts_s: float = 0.0
    amount: float = 0.0
    others: tuple[int, ...] = ()


def draw_scene(dice: random.Random, points: int | None) -> Scene:
    """Build a cluster of up to so many points; None: most are small, some large."""
    wanted = points or _number_of_points(dice)
    plans: list[StationPlan] = []
    fallback_a = dice.choice((0, 6, 6, 6, 8))
    while sum(len(plan.ratings) for plan in plans) < wanted:
        left = wanted - sum(len(plan.ratings) for plan in plans)
        rating = dice.choice((16_000, 20_000, 32_000, 32_000))
        count = min(left, dice.choice((1, 2, 2)))
        plans.append(
            StationPlan(
                name=f"S{len(plans) + 1:03}",
                phases=dice.choice(_PHASES),
                ratings=(rating,) * count,
                mains=rating if count == 1 else dice.choice((rating, rating * 2, 20_000)),
                fallback=1_000 * dice.choice((0, fallback_a, fallback_a)),
                clock_began_s=dice.uniform(0, 1e6),
                clock_rate=1 + dice.choice((-0.005, 0.005, dice.uniform(-0.005, 0.005))),
            )
        )
    least = max(6_000, sum_of_fallbacks(plans))
    most = max(least, sum(plan.mains for plan in plans))
    limit = dice.choice((least, int(dice.triangular(least, most, least + (most - least) / 3))))
    return Scene(
        stations=tuple(plans), limit=limit // 1000 * 1000, policy_rotation_s=dice.choice((0.0, 0.0, 60.0, 300.0))
    )


def sum_of_fallbacks(plans: Sequence[StationPlan]) -> int:
    """Return the fallbacks of all points on the phase that has most of them."""
    return max(sum(len(plan.ratings) * plan.fallback for plan in plans if phase in plan.phases) for phase in (1, 2, 3))


def total_of_fallbacks(plans: Sequence[StationPlan]) -> int:
    """Return the fallbacks of all points over all phases together."""
    return sum(len(plan.ratings) * plan.fallback * len(plan.phases) for plan in plans)


def _number_of_points(dice: random.Random) -> int:
    roll = dice.random()
    for part, least, most in _SIZES:
        if roll < part:
            return dice.randint(least, most)
        roll -= part
    return _SIZES[0][1]


def draw_happenings(dice: random.Random, scene: Scene, number: int, *, faults: float) -> tuple[Happening, ...]:
    """Draw what happens; `faults`: the part of it that is not cars."""
    now_s, hour = 0.0, dice.randrange(7 * 24)
    busy = _QUIET if hour >= 6 * 24 else _BUSY[hour % 24]
    happenings = [
        _arrival(dice, dice.uniform(0, 30), place, point)
        for place, plan in enumerate(scene.stations)
        for point in range(1, len(plan.ratings) + 1)
        if dice.random() < busy
    ]
    for _ in range(number):
        now_s += _gap(dice)
        place = dice.randrange(len(scene.stations))
        point = dice.randint(1, len(scene.stations[place].ratings))
        if dice.random() < faults:
            happenings.append(_fault(dice, now_s, place, point, scene))
        elif dice.random() < 0.15:
            happenings.append(Happening(at_s=now_s, kind=dice.choice(("wake", "vary")), station=place, point=point))
        elif dice.random() < 1 - busy:
            happenings.append(Happening(at_s=now_s, kind="leave", station=place, point=point))
        else:
            happenings.append(_arrival(dice, now_s, place, point))
    return tuple(sorted(happenings, key=lambda each: each.at_s))


def _gap(dice: random.Random) -> float:
    roll = dice.random()
    for part, low, high in _GAPS_S:
        if roll < part:
            return dice.uniform(low, high)
        roll -= part
    return 1.0


def _arrival(dice: random.Random, at_s: float, place: int, point: int) -> Happening:
    return Happening(at_s=at_s, kind="arrive", station=place, point=point, amount=dice.choice((6_000, 13_000, 32_000)))


def _fault(dice: random.Random, at_s: float, place: int, point: int, scene: Scene) -> Happening:
    kind = dice.choice(
        (
            *("loss", "delay", "double", "cut", "cut", "deaf_up", "deaf_down", "late", "part", "flap"),
            *("restart", "restart", "leader_restart", "move", "power_cut", "stop", "stop", "leader_stop"),
            *("slow_board", "silent_board", "limit", "limit", "dim"),
        )
    )
    lasts_s = dice.choice((dice.uniform(0.2, 8), dice.uniform(5, 35), dice.uniform(25, 90)))
    if kind in {"stop", "leader_stop"}:
        # Longer than this nobody is stopped: the supervisor ends a process that gives no sign of life for 5 s.
        lasts_s = dice.uniform(0.1, 6.0)
    elif kind in {"restart", "leader_restart"}:
        lasts_s = dice.uniform(0.3, 10.0)
    amount = dice.random()
    if kind in {"limit", "dim"}:
        least = max(6_000, sum_of_fallbacks(scene.stations))
        amount = dice.randint(least, max(least, scene.limit)) // 100 * 100
    elif kind == "late":
        amount = dice.uniform(0, 28)
    others: tuple[int, ...] = ()
    if kind == "part":
        others = tuple(each for each in range(len(scene.stations)) if dice.random() < 0.5)
    return Happening(at_s=at_s, kind=kind, station=place, point=point, lasts_s=lasts_s, amount=amount, others=others)
