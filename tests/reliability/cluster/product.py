"""How the world makes the product's members and leader; a test of the checker makes worse ones."""

import random
from dataclasses import replace

from station.domain.cluster.leader import KnownMember, Leader
from station.domain.cluster.member import Member
from station.domain.cluster.timing import LARGEST_JITTER_S, POLICY
from station.domain.units import MilliAmpere
from tests.reliability.cluster.happenings import Scene
from tests.reliability.cluster.stations import Station


def make_member(station: Station, dice: random.Random) -> Member:
    """Make the member of a station whose process has just begun."""
    return Member(
        station=station.plan.name,
        run=f"{dice.getrandbits(64):x}",
        fallback=MilliAmpere(station.plan.fallback),
        held={point.number: MilliAmpere(point.board.held) for point in station.points},
        now_s=station.clock.now_s,
        jitter_s=dice.uniform(0, LARGEST_JITTER_S),
    )


def make_leader(scene: Scene, station: Station, dice: random.Random, predecessor: str | None) -> Leader:
    """Make a leader that knows the list of members and who led on this station before, and nothing else."""
    return Leader(
        [
            KnownMember(
                station=plan.name,
                points=tuple(range(1, len(plan.ratings) + 1)),
                fallback=MilliAmpere(plan.fallback),
                rating=MilliAmpere(max(plan.ratings)),
            )
            for plan in scene.stations
        ],
        epoch=f"{dice.getrandbits(64):x}",
        now_s=station.clock.now_s,
        policy=replace(POLICY, rotate_after_s=scene.policy_rotation_s),
        predecessor=predecessor,
    )
