"""`python -m benchmarks.cluster_simulation --seeds 10000` lives through so many clusters, checking every instant.

The world is that of tests/reliability/cluster. `--processes` runs several seeds at once, `--first` begins elsewhere,
`--points` fixes the size, `--diary` tells what happened in each seed. `--record FILE` keeps each seed's figures, and a
run that was interrupted goes on where the file ends; `--write` replaces the table in docs/loadmanagement.md. `--scale`
measures instead what a leader of 10, 100 and 1,000 stations costs.
"""

import argparse
import dataclasses
import json
import multiprocessing
import random
import sys
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.result import percentile
from station.domain.allocation import Budget
from station.domain.cluster.leader import KnownMember, Leader
from station.domain.cluster.member import Member
from station.domain.cluster.messages import Grant, PointReport, Report
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere
from tests.reliability.cluster.world import Outcome, World

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "loadmanagement.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
_GOOD_USE = 0.95
# So often the messages of a seed go through their codec.
_BYTES_EVERY = 8
_RATING = MilliAmpere(32_000)
_WARM_UP, _CYCLES = 40, 60


@dataclass(frozen=True, kw_only=True)
class Order:
    """One seed to live through."""

    seed: int
    points: int | None
    diary: bool


def live(order: Order) -> Outcome:
    """Live through a seed: in a fifth of them nothing fails, so that it can be seen how much of the limit is used."""
    dice = random.Random(f"benchmark {order.seed}")
    faults = dice.choice((0.0, 0.2, 0.4, 0.6, 0.8))
    world = World(
        order.seed,
        points=order.points,
        happenings=dice.choice((4, 6, 8, 8, 12, 24)),
        faults=faults,
        in_bytes=order.seed % _BYTES_EVERY == 0,
    )
    outcome = world.run()
    if order.diary:
        print("\n".join(world.diary))
    return outcome


def main(arguments: list[str]) -> int:
    """Run what was asked for and print the figures; 1 when the invariant was violated."""
    parser = argparse.ArgumentParser(prog="cluster_simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--points", type=int, default=None)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--diary", action="store_true")
    parser.add_argument("--record", type=Path, default=None)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--scale", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.scale:
        print("\n".join(scale()))
        return 0
    outcomes = list(_recorded(asked.record)) if asked.record and asked.record.exists() else []
    done = {outcome.seed for outcome in outcomes}
    orders = [
        Order(seed=seed, points=asked.points, diary=asked.diary)
        for seed in range(asked.first, asked.first + asked.seeds)
        if seed not in done
    ]
    with multiprocessing.Pool(asked.processes) as pool:
        for outcome in pool.imap_unordered(live, orders):
            outcomes.append(outcome)
            for violation in outcome.violations[:1]:
                print(violation, flush=True)
            if asked.record:
                with asked.record.open("a") as file:
                    file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
    table = "\n".join(summary(outcomes))
    print(table)
    if asked.write:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _recorded(file: Path) -> Iterator[Outcome]:
    for line in file.read_text().splitlines():
        yield Outcome(**json.loads(line))


def summary(outcomes: list[Outcome]) -> Iterable[str]:
    """Say in Markdown what came of all seeds."""
    violated = sum(bool(outcome.violations) for outcome in outcomes)
    hours = sum(outcome.virtual_s for outcome in outcomes) / 3600
    sizes = sorted(outcome.points for outcome in outcomes)
    used = sorted(part for outcome in outcomes for part in outcome.used)
    yield "| what | measured |\n| --- | --- |"
    yield f"| seeds | {len(outcomes):,} |"
    yield f"| points per cluster | {sizes[0]} to {sizes[-1]}, half of them up to {percentile(sizes, 0.5)} |"
    yield f"| simulated hours | {hours:,.0f} |"
    yield f"| events | {sum(outcome.acts for outcome in outcomes):,} |"
    yield f"| messages | {sum(outcome.messages for outcome in outcomes):,} |"
    yield f"| cars · faults and changes of the limit | {_sum(outcomes, 'cars'):,} · {_sum(outcomes, 'faults'):,} |"
    yield f"| seeds in which the sum exceeded the limit | {violated} |"
    unknowable = sum(bool(outcome.unknowable) for outcome in outcomes)
    yield f"| besides: by what a silent board held at a station that was cut off | {unknowable} |"
    if not violated:
        # The rule of three: with none in n, the part of bad seeds is below 3/n with 95 % confidence.
        yield f"| with 95 % confidence fewer than | 1 in {len(outcomes) // 3:,} seeds |"
    if used:
        good = sum(part >= _GOOD_USE for part in used) / len(used)
        yield (
            f"| used of the limit, 15 s after the last change | ≥ 95 % in {good:.1%} of {len(used):,} cases; "
            f"1st percentile {percentile(used, 0.01):.1%}, 5th {percentile(used, 0.05):.1%}, "
            f"median {percentile(used, 0.5):.1%} |"
        )


def _sum(outcomes: Iterable[Outcome], name: str) -> int:
    return sum(getattr(outcome, name) for outcome in outcomes)


def scale() -> Iterator[str]:
    """Measure a leader of 10, 100 and 1,000 stations with two points each, every point asking for current."""
    yield "| stations | reports and grants per second | of bytes | memory | cycle, median | 95th percentile |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for stations in (10, 100, 1_000):
        yield _scale_of(stations)


def _scale_of(stations: int) -> str:
    names = [f"S{number:04}" for number in range(1, stations + 1)]
    tracemalloc.start()
    leader = Leader(
        [KnownMember(station=name, points=(1, 2), fallback=MINIMUM_CURRENT, rating=_RATING) for name in names],
        epoch="scale",
        now_s=0.0,
    )
    members = [
        Member(station=name, run="1", fallback=MINIMUM_CURRENT, held={1: PAUSE, 2: PAUSE}, now_s=0.0, jitter_s=0.0)
        for name in names
    ]
    budget = Budget.uniform(MilliAmpere(stations * 20_000))
    sizes: list[int] = []
    for second in range(_WARM_UP):
        _cycle(leader, members, float(second), budget, sizes)
    memory_mib = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    sizes.clear()
    took_s = [_cycle(leader, members, float(second), budget, sizes) for second in range(_WARM_UP, _WARM_UP + _CYCLES)]
    middle, high = (percentile(took_s, share) * 1_000 for share in (0.5, 0.95))
    return (
        f"| {stations:,} | {len(sizes) / _CYCLES:.0f} | {sum(sizes) // len(sizes)} | {memory_mib:.1f} MiB "
        f"| {middle:.1f} ms | {high:.1f} ms |"
    )


def _cycle(leader: Leader, members: Sequence[Member], now_s: float, budget: Budget, sizes: list[int]) -> float:
    """Go on by a second, in which every other member reports; return what that takes the leader.

    Every fifth car comes or goes within ten seconds, so that there is something to decide.
    """
    asking = members[int(now_s) % 2 :: 2]
    by_name = {member.station: member for member in asking}
    reports = [member.report(now_s, _points(member, now_s)).encode() for member in asking]
    began_s = time.process_time()
    for report in reports:
        leader.hear(Report.decode(report), now_s)
    grants = [(station, grant.encode()) for station, grant in leader.decide(now_s, budget).items()]
    took_s = time.process_time() - began_s
    for station, grant in grants:
        if station in by_name:
            by_name[station].take(Grant.decode(grant), now_s)
    sizes += [len(report) for report in reports] + [len(grant) for _, grant in grants]
    return took_s


def _points(member: Member, now_s: float) -> Iterator[PointReport]:
    turn = int(member.station[1:]) + int(now_s) // 10
    for number in (1, 2):
        limits = member.limits_of(number, now_s)
        active = (turn + number) % 5 != 0
        held = min(limits.values()) if active else PAUSE
        yield PointReport(number=number, active=active, limit=_RATING, held=held, flowing=held)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
