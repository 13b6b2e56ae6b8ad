"""Draws a state machine as SVG: boxes where the author put them, arrows as the machine really goes.

Arrows that all states of a group share are drawn once, from or to the frame of the group. A state that the author has
not placed, or a placed one that is never reached, is an error: the drawing is looked at again when a machine changes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from math import hypot
from typing import NamedTuple

_BOX = (150, 46)
# Two arrows between the same boxes keep apart by bowing so far each.
_PAIR_BEND = 26.0
_LINE_HEIGHT = 14
_CHARACTER_WIDTH = 6.3
_STYLE = """
  svg { background: #ffffff; font-family: system-ui, "DejaVu Sans", sans-serif; }
  .state { fill: #eef4fb; stroke: #1f4e79; stroke-width: 1.5; }
  .frame { fill: #f7f7f5; stroke: #8a8a80; stroke-dasharray: 6 4; }
  .arrow { fill: none; stroke: #333333; stroke-width: 1.3; marker-end: url(#head); }
  .name { font-size: 14px; font-weight: 600; text-anchor: middle; fill: #10233a; }
  .note { font-size: 11px; text-anchor: middle; fill: #4a5b6d; }
  .title { font-size: 12px; font-style: italic; fill: #55554d; }
  .label { font-size: 11px; text-anchor: middle; fill: #111111; }
  .plate { fill: #ffffff; fill-opacity: 0.88; }
"""


_ARROW_HEAD = (
    '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
    ' orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#333333"/></marker></defs>'
)


class Point(NamedTuple):
    """A place on the drawing, in pixels from the upper left corner."""

    x: float
    y: float


class Arrow(NamedTuple):
    """From one box to another (a state, or the name of a group)."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """States that are drawn in a frame (upper left and lower right corner)."""

    title: str
    members: frozenset[str]
    corners: tuple[Point, Point]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the author put things.

    `bends`: how far an arrow bows to its right. `shifts`: how far both its ends are moved. `label_at`: how far along it
    the label stands, where not in the middle. `notes`: a second line in a box.
    """

    size: tuple[int, int]
    places: Mapping[str, Point]
    start: str
    groups: Mapping[str, Group] = field(default_factory=dict)
    bends: Mapping[Arrow, float] = field(default_factory=dict)
    shifts: Mapping[Arrow, Point] = field(default_factory=dict)
    label_at: Mapping[Arrow, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


class LayoutOutdated(Exception):
    """The machine has states that the drawing does not know, or the other way round."""


# What happens in a state, and every state it may lead to from there.
Transitions = Mapping[tuple[str, str], frozenset[str]]


def render(title: str, transitions: Transitions, layout: Layout) -> str:
    """Write the drawing."""
    reached = {state for (state, _), _ in transitions.items()} | {
        each for ends in transitions.values() for each in ends
    }
    if reached != layout.places.keys():
        raise LayoutOutdated(f"{title}: {sorted(reached ^ layout.places.keys())}")
    width, height = layout.size
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        _ARROW_HEAD,
    ]
    parts += [_frame(group) for group in layout.groups.values()]
    arrows = _arrows(transitions, layout)
    drawn = [
        _draw(arrow, labels, layout, bend=_PAIR_BEND if Arrow(arrow.target, arrow.source) in arrows else 0.0)
        for arrow, labels in sorted(arrows.items())
    ]
    parts += [line for line, _ in drawn]
    parts += [_box(name, place, layout.notes.get(name, "")) for name, place in layout.places.items()]
    parts.append(_entry(layout))
    parts += [label for _, label in drawn]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _arrows(transitions: Transitions, layout: Layout) -> dict[Arrow, list[str]]:
    """Join what leads the same way; what a whole group does is one arrow of its frame."""
    arrows: defaultdict[Arrow, list[str]] = defaultdict(list)
    left = {(state, event): set(ends) - {state} for (state, event), ends in transitions.items()}
    for name, group in layout.groups.items():
        for event in sorted({event for state, event in left if state in group.members}):
            # A state that an event leaves as it is does not speak against the rest of its group.
            moved = {state: left[state, event] for state in group.members if left.get((state, event))}
            targets = {end for ends in moved.values() for end in ends}
            if len(targets) == 1 and moved.keys() | targets >= group.members and len(moved) > 1:
                arrows[Arrow(name, *targets)].append(event)
                for state in moved:
                    del left[state, event]
    for (state, event), ends in sorted(left.items()):
        single = set(ends)
        for name, group in layout.groups.items():
            inside = single & group.members
            if state not in group.members and len(inside) > 1:
                arrows[Arrow(state, name)].append(event)
                single -= inside
        for end in sorted(single):
            arrows[Arrow(state, end)].append(event)
    return dict(arrows)


def _rectangle(name: str, layout: Layout) -> tuple[Point, Point]:
    if name in layout.groups:
        return layout.groups[name].corners
    place, (width, height) = layout.places[name], _BOX
    return Point(place.x - width / 2, place.y - height / 2), Point(place.x + width / 2, place.y + height / 2)


def _ends(arrow: Arrow, layout: Layout) -> tuple[Point, Point]:
    """Find where the arrow leaves and arrives; a frame is met on the side that is nearest."""
    centres = {}
    for name, other in (arrow, arrow[::-1]):
        if name in layout.groups:
            low, high = layout.groups[name].corners
            near = layout.places[other]
            centres[name] = Point(min(max(near.x, low.x + 20), high.x - 20), min(max(near.y, low.y + 20), high.y - 20))
        else:
            centres[name] = layout.places[name]
    shift = layout.shifts.get(arrow, Point(0, 0))
    centres = {name: Point(each.x + shift.x, each.y + shift.y) for name, each in centres.items()}
    source, target = centres[arrow.source], centres[arrow.target]
    if arrow.target in layout.groups.get(arrow.source, _NO_GROUP).members:
        low, high = layout.groups[arrow.source].corners
        return Point(low.x, target.y), _at_edge(target, Point(low.x, target.y), _rectangle(arrow.target, layout))
    return (
        _at_edge(source, target, _rectangle(arrow.source, layout)),
        _at_edge(target, source, _rectangle(arrow.target, layout)),
    )


_NO_GROUP = Group(title="", members=frozenset(), corners=(Point(0, 0), Point(0, 0)))


def _at_edge(inside: Point, outside: Point, corners: tuple[Point, Point]) -> Point:
    low, high = corners
    step_x, step_y = outside.x - inside.x, outside.y - inside.y
    scales = [1.0]
    if step_x:
        scales.append(((high.x if step_x > 0 else low.x) - inside.x) / step_x)
    if step_y:
        scales.append(((high.y if step_y > 0 else low.y) - inside.y) / step_y)
    scale = min(each for each in scales if each >= 0)
    return Point(inside.x + step_x * scale, inside.y + step_y * scale)


def _draw(arrow: Arrow, labels: Iterable[str], layout: Layout, *, bend: float) -> tuple[str, str]:
    start, end = _ends(arrow, layout)
    bend = layout.bends.get(arrow, bend)
    length = hypot(end.x - start.x, end.y - start.y) or 1.0
    normal = Point(-(end.y - start.y) / length, (end.x - start.x) / length)
    middle = Point((start.x + end.x) / 2 + 2 * bend * normal.x, (start.y + end.y) / 2 + 2 * bend * normal.y)
    line = (
        f'<path class="arrow" d="M{start.x:.0f},{start.y:.0f} Q{middle.x:.0f},{middle.y:.0f} {end.x:.0f},{end.y:.0f}"/>'
    )
    t = layout.label_at.get(arrow, 0.5)
    weights = ((1 - t) ** 2, 2 * t * (1 - t), t**2)
    at = Point(
        sum(weight * point.x for weight, point in zip(weights, (start, middle, end), strict=True)),
        sum(weight * point.y for weight, point in zip(weights, (start, middle, end), strict=True)),
    )
    return line, "\n".join(_label(at, list(labels)))


def _label(at: Point, lines: list[str]) -> Iterator[str]:
    width = max(map(len, lines)) * _CHARACTER_WIDTH + 8
    top = at.y - len(lines) * _LINE_HEIGHT / 2
    yield (
        f'<rect class="plate" x="{at.x - width / 2:.0f}" y="{top - 1:.0f}" width="{width:.0f}"'
        f' height="{len(lines) * _LINE_HEIGHT + 2}"/>'
    )
    for number, text in enumerate(lines):
        yield f'<text class="label" x="{at.x:.0f}" y="{top + 11 + number * _LINE_HEIGHT:.0f}">{escape(text)}</text>'


def _box(name: str, place: Point, note: str) -> str:
    width, height = _BOX
    left, top = place.x - width / 2, place.y - height / 2
    lines = [
        f'<rect class="state" x="{left:.0f}" y="{top:.0f}" width="{width}" height="{height}" rx="9"/>',
        f'<text class="name" x="{place.x:.0f}" y="{place.y + (-2 if note else 5):.0f}">{escape(name)}</text>',
    ]
    if note:
        lines.append(f'<text class="note" x="{place.x:.0f}" y="{place.y + 15:.0f}">{escape(note)}</text>')
    return "\n".join(lines)


def _frame(group: Group) -> str:
    low, high = group.corners
    return (
        f'<rect class="frame" x="{low.x:.0f}" y="{low.y:.0f}" width="{high.x - low.x:.0f}"'
        f' height="{high.y - low.y:.0f}" rx="14"/>\n'
        f'<text class="title" x="{low.x + 14:.0f}" y="{low.y + 20:.0f}">{escape(group.title)}</text>'
    )


def _entry(layout: Layout) -> str:
    place, (width, _) = layout.places[layout.start], _BOX
    x = place.x - width / 2
    return (
        f'<circle cx="{x - 34:.0f}" cy="{place.y:.0f}" r="6" fill="#333333"/>\n'
        f'<path class="arrow" d="M{x - 28:.0f},{place.y:.0f} L{x:.0f},{place.y:.0f}"/>'
    )
