"""docs/images/cluster_run.svg: a simulated cluster while things fail: the limit, the sum and every charging point."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from tests.reliability.cluster.happenings import Happening, Scene
from tests.reliability.cluster.stations import StationPlan
from tests.reliability.cluster.world import World

SEED = 1
_LIMIT_A, _LOWERED_A = 63, 40
# The leader that has never led waits until everything is over that another one may have lent.
_BEGIN_S, _UNTIL_S = 55.0, 455.0
_WIDTH, _HEIGHT = 960, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 150, 96, 44
_HIGHEST_A = 70
_MA_PER_A = 1_000
# Hues that stay apart on light and dark ground, and for most people who see colours differently.
_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377")
_STYLE = """
  svg { background: #ffffff; font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; }
  text { fill: #1c2733; } .small { font-size: 11px; fill: #4a5b6d; }
  .grid { stroke: #d5dbe1; stroke-width: 1; } .band { fill: #8a94a0; fill-opacity: 0.16; }
  .point { fill-opacity: 0.75; } .limit { fill: none; stroke: #c0151f; stroke-width: 2.2; }
  .sum { fill: none; stroke: #10233a; stroke-width: 1.6; }
  .drawn { fill: none; stroke: #10233a; stroke-width: 1.2; stroke-dasharray: 2 3; }
  @media (prefers-color-scheme: dark) {
    svg { background: #14191f; } text { fill: #e6ebf0; } .small { fill: #a9b4c0; }
    .grid { stroke: #333c46; } .limit { stroke: #ff6b6b; } .sum, .drawn { stroke: #f2f5f8; }
  }
"""

_STATIONS = (
    StationPlan(
        name=f"S{number}",
        phases=(1, 2, 3),
        ratings=ratings,
        mains=32_000,
        fallback=6_000,
        clock_began_s=1_000.0 * number,
        clock_rate=rate,
    )
    for number, ratings, rate in ((1, (32_000,), 1.0), (2, (32_000, 32_000), 1.005), (3, (32_000, 32_000), 0.995))
)
_SCENE = Scene(stations=tuple(_STATIONS), limit=_LIMIT_A * _MA_PER_A, policy_rotation_s=0.0)
_CARS = ((60.0, 0, 1), (70.0, 1, 1), (85.0, 2, 1), (100.0, 1, 2))
_STORY = (
    *(Happening(at_s=at_s, kind="arrive", station=place, point=point, amount=32_000) for at_s, place, point in _CARS),
    Happening(at_s=130, kind="limit", lasts_s=40, amount=_LOWERED_A * _MA_PER_A),
    Happening(at_s=205, kind="cut", station=2, lasts_s=80),
    Happening(at_s=230, kind="arrive", station=2, point=2, amount=32_000),
    Happening(at_s=320, kind="leader_restart", lasts_s=8),
    Happening(at_s=370, kind="silent_board", station=1, point=1, lasts_s=30),
    Happening(at_s=375, kind="leave", station=0, point=1),
    Happening(at_s=380, kind="arrive", station=0, point=1, amount=32_000),
    Happening(at_s=425, kind="leave", station=1, point=2),
)
_WORDS = {
    "limit": f"limit lowered to {_LOWERED_A} A",
    "cut": "no link to station 3",
    "leader_restart": "master restarts",
    "silent_board": "a board of station 2 hears nothing",
}
_TITLE = (
    "A cluster of three stations with five charging points while things fail: what the points may draw on a phase "
    "never exceeds the limit"
)
_Steps = Sequence[tuple[float, float]]


def render() -> str:
    """Return the drawing as SVG."""
    world = World(SEED, scene=_SCENE, story=_STORY)
    outcome = world.run(_UNTIL_S)
    if outcome.violations:
        raise AssertionError(outcome.violations)
    keys = [f"{plan.name}/{number}" for plan in _SCENE.stations for number in range(1, len(plan.ratings) + 1)]
    rows = _stack(world.checker.allowed, keys)
    drawn = _stack(world.checker.drawn, keys)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
            f"<title>{_TITLE}</title>",
            f"<style>{_STYLE}</style>",
            *_bands(),
            *_axes(),
            *_areas(rows, keys),
            _line([(at_s, sums[-1]) for at_s, sums in drawn], "drawn"),
            _line([(at_s, sums[-1]) for at_s, sums in rows], "sum"),
            _line(_limits(), "limit"),
            *_legend(keys),
            "</svg>\n",
        ]
    )


def _stack(changes: Iterable[tuple[float, str, int]], keys: Sequence[str]) -> list[tuple[float, list[float]]]:
    """Sum the points up from the first to each: one row for every moment at which something changes."""
    present = dict.fromkeys(keys, 0.0)
    rows = [(0.0, [0.0] * len(keys))]
    for at_s, key, current_ma in changes:
        present[key] = current_ma / _MA_PER_A
        sums, total = [], 0.0
        for each in keys:
            total += present[each]
            sums.append(total)
        rows.append((at_s, sums))
    return [*rows, (_UNTIL_S, rows[-1][1])]


def _limits() -> _Steps:
    steps = [(0.0, float(_LIMIT_A))]
    for each in _STORY:
        if each.kind == "limit":
            steps += [(each.at_s, each.amount / _MA_PER_A), (each.at_s + each.lasts_s, float(_LIMIT_A))]
    return [*steps, (_UNTIL_S, float(_LIMIT_A))]


def _x(at_s: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (max(at_s, _BEGIN_S) - _BEGIN_S) / (_UNTIL_S - _BEGIN_S)


def _y(current_a: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * current_a / _HIGHEST_A


def _corners(steps: _Steps) -> list[tuple[float, float]]:
    """Return the corners of stairs: a value holds until the next one."""
    corners = [steps[0]]
    for at_s, value in steps[1:]:
        corners += [(at_s, corners[-1][1]), (at_s, value)]
    return corners


def _path(corners: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_x(at_s):.1f},{_y(value):.1f}" for at_s, value in corners)


def _line(steps: _Steps, kind: str) -> str:
    return f'<polyline class="{kind}" points="{_path(_corners(steps))}"/>'


def _areas(rows: Sequence[tuple[float, list[float]]], keys: Sequence[str]) -> Iterator[str]:
    below = [(0.0, 0.0), (_UNTIL_S, 0.0)]
    for place in range(len(keys)):
        above = _corners([(at_s, sums[place]) for at_s, sums in rows])
        yield f'<polygon class="point" fill="{_COLOURS[place]}" points="{_path([*above, *reversed(below)])}"/>'
        below = above


def _bands() -> Iterator[str]:
    row = 0
    for each in _STORY:
        if each.kind in _WORDS:
            left, right, text_y = _x(each.at_s), _x(each.at_s + each.lasts_s), _TOP - 10 - 20 * (row % 3)
            yield (
                f'<rect class="band" x="{left:.1f}" y="{text_y - 12}" width="{right - left:.1f}" '
                f'height="{_HEIGHT - _BOTTOM - text_y + 12}"/>'
            )
            yield f'<text x="{left + 3:.1f}" y="{text_y}">{escape(_WORDS[each.kind])}</text>'
            row += 1


def _axes() -> Iterator[str]:
    for current_a in range(0, _HIGHEST_A + 1, 10):
        y = _y(current_a)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="small" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{current_a} A</text>'
    for at_s in range(0, int(_UNTIL_S - _BEGIN_S) + 1, 60):
        yield (
            f'<text class="small" x="{_x(_BEGIN_S + at_s):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{at_s // 60} min</text>"
        )


def _legend(keys: Sequence[str]) -> Iterator[str]:
    x, y = _WIDTH - _RIGHT + 14, _TOP + 8
    for kind, words in (("limit", "limit of the cluster"), ("sum", "sum they may draw"), ("drawn", "sum they draw")):
        yield f'<line class="{kind}" x1="{x}" x2="{x + 18}" y1="{y - 4}" y2="{y - 4}"/>'
        yield f'<text class="small" x="{x + 23}" y="{y}">{words}</text>'
        y += 20
    for place, key in reversed(list(enumerate(keys))):
        station, _, number = key.removeprefix("S").partition("/")
        yield f'<rect class="point" x="{x}" y="{y - 11}" width="18" height="13" fill="{_COLOURS[place]}"/>'
        yield f'<text class="small" x="{x + 23}" y="{y}">station {station}, point {number}</text>'
        y += 20
