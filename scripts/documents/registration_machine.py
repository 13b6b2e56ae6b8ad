"""docs/images/registration_machine.svg: how the station registers with its backend, walked through from the start."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ocpp_client.connection.registration import (
    BootAnswered,
    Connected,
    Event,
    IllegalTransition,
    Phase,
    Registration,
    step,
)
from scripts.documents.state_diagram import Arrow, Group, Layout, Point, Transitions, render

_EVENTS: dict[type[Event], list[Event]] = {
    Connected: [Connected(), Connected(content_changed=True)],
    BootAnswered: [BootAnswered(status=status, interval_s=60) for status in ("Accepted", "Pending", "Rejected")],
}
_CONNECTED, _WITH_NEWS = "Connected", "Connected, new content"
KNOWN, UNDECIDED = "known", "undecided"

LAYOUT = Layout(
    size=(1240, 640),
    start=Phase.DUE,
    places={
        Phase.DUE: Point(140, 310),
        Phase.ASKED: Point(600, 170),
        Phase.UNANSWERED: Point(600, 470),
        Phase.PENDING: Point(1090, 110),
        Phase.ACCEPTED: Point(1090, 320),
        Phase.REJECTED: Point(1090, 530),
    },
    groups={
        KNOWN: Group(
            title="this backend has been asked",
            members=frozenset(set(Phase) - {Phase.DUE}),
            corners=(Point(430, 30), Point(1215, 610)),
        ),
        UNDECIDED: Group(
            title="no answer yet",
            members=frozenset({Phase.ASKED, Phase.UNANSWERED}),
            corners=(Point(470, 70), Point(740, 570)),
        ),
    },
    bends={
        Arrow(Phase.PENDING, Phase.ASKED): -30.0,
        Arrow(Phase.ACCEPTED, Phase.ASKED): 0.0,
        Arrow(Phase.REJECTED, Phase.ASKED): 40.0,
        Arrow(Phase.DUE, Phase.ASKED): -70.0,
        Arrow(Phase.ASKED, Phase.UNANSWERED): 60.0,
        Arrow(Phase.UNANSWERED, Phase.ASKED): 60.0,
        Arrow(UNDECIDED, Phase.DUE): 0.0,
        Arrow(KNOWN, Phase.DUE): 0.0,
    },
    shifts={
        Arrow(UNDECIDED, Phase.DUE): Point(0, 12),
        Arrow(KNOWN, Phase.DUE): Point(0, -12),
    },
    label_at={
        Arrow(Phase.ACCEPTED, Phase.ASKED): 0.35,
        Arrow(Phase.REJECTED, Phase.ASKED): 0.3,
        Arrow(Phase.PENDING, Phase.ASKED): 0.4,
        Arrow(Phase.DUE, Phase.ASKED): 0.4,
        Arrow(Phase.ASKED, Phase.UNANSWERED): 0.4,
        Arrow(Phase.UNANSWERED, Phase.ASKED): 0.4,
    },
)


def transitions() -> Transitions:
    """Walk through every state that can be reached, with every event."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    seen, todo = {Registration()}, [Registration()]
    while todo:
        state = todo.pop()
        for event in _events():
            try:
                after, _ = step(state, event)
            except IllegalTransition:
                continue
            found[state.phase, _name(event)].add(after.phase)
            # How often nobody has answered changes the waiting time, never the way.
            after = replace(after, failures=0)
            if after not in seen:
                seen.add(after)
                todo.append(after)
    _join_where_content_does_not_matter(found)
    return {key: frozenset(ends) for key, ends in found.items()}


def _join_where_content_does_not_matter(found: dict[tuple[str, str], set[str]]) -> None:
    for phase in Phase:
        if found[phase, _WITH_NEWS] == found[phase, _CONNECTED]:
            del found[phase, _WITH_NEWS]


def _events() -> Iterable[Event]:
    for kind in Event.__subclasses__():
        yield from _EVENTS.get(kind) or [kind()]


def _name(event: Event) -> str:
    if isinstance(event, BootAnswered):
        return f"BootAnswered {event.status}"
    if isinstance(event, Connected):
        return _WITH_NEWS if event.content_changed else _CONNECTED
    return type(event).__name__


def render_machine() -> str:
    """Write the drawing."""
    return render("Registration with the backend", transitions(), LAYOUT)
