"""docs/images/connector_machine.svg: the machine of a charging point, walked through from its first state."""

from collections import defaultdict

from scripts.documents.state_diagram import Arrow, Group, Layout, Point, Transitions, render
from station.domain.connector import (
    FACTS,
    SESSION_PHASES,
    Event,
    IllegalTransition,
    Overlay,
    Permission,
    Phase,
    PlugRemoved,
    SocketFreed,
    State,
    StopRequested,
    TagAuthorized,
    status_of,
    step,
)

_CARD = Permission(id_tag="CARD", origin="reader", reason="")
_EVENTS: dict[type[Event], Event] = {
    TagAuthorized: TagAuthorized(permission=_CARD),
    StopRequested: StopRequested(reason="Local"),
}
# A plug can be pulled at one end after the other; every other event is told only when it is news.
_NEVER_OLD = (PlugRemoved, SocketFreed)
SESSION = "session"

LAYOUT = Layout(
    size=(1370, 900),
    start=Phase.AVAILABLE,
    places={
        Phase.AVAILABLE: Point(140, 360),
        Phase.AUTHORIZED: Point(480, 90),
        Phase.PLUGGED: Point(480, 260),
        Phase.RESERVED: Point(480, 440),
        Phase.LAPSED: Point(480, 610),
        Phase.STARTING: Point(870, 140),
        Phase.CHARGING: Point(1190, 140),
        Phase.SUSPENDED_EV: Point(870, 390),
        Phase.RESUMING: Point(1190, 390),
        Phase.SUSPENDED_EVSE: Point(1190, 590),
        Phase.ENDING: Point(790, 840),
        Phase.FINISHING: Point(480, 840),
    },
    groups={
        SESSION: Group(
            title="session: the record is written, the plug is locked; energy while permitted",
            members=frozenset(SESSION_PHASES),
            corners=(Point(760, 60), Point(1340, 680)),
        )
    },
    notes={phase: status_of(phase, Overlay()) for phase in Phase},
    bends={
        Arrow(Phase.PLUGGED, Phase.LAPSED): -110.0,
        Arrow(Phase.FINISHING, Phase.PLUGGED): 135.0,
        Arrow(Phase.FINISHING, Phase.AUTHORIZED): 185.0,
        Arrow(Phase.FINISHING, Phase.AVAILABLE): -40.0,
        Arrow(Phase.SUSPENDED_EVSE, Phase.CHARGING): 115.0,
        Arrow(Phase.ENDING, Phase.PLUGGED): 0.0,
    },
    shifts={Arrow(SESSION, Phase.ENDING): Point(40, 0)},
    label_at={
        Arrow(Phase.PLUGGED, Phase.LAPSED): 0.72,
        Arrow(Phase.FINISHING, Phase.AUTHORIZED): 0.62,
        Arrow(Phase.FINISHING, Phase.PLUGGED): 0.35,
        Arrow(Phase.RESERVED, SESSION): 0.7,
        Arrow(Phase.LAPSED, SESSION): 0.7,
        Arrow(Phase.ENDING, Phase.RESERVED): 0.22,
        Arrow(Phase.ENDING, Phase.PLUGGED): 0.32,
        Arrow(Phase.FINISHING, SESSION): 0.35,
        Arrow(Phase.SUSPENDED_EVSE, Phase.CHARGING): 0.3,
        Arrow(SESSION, Phase.ENDING): 0.35,
    },
)


def transitions() -> Transitions:
    """Walk through every state that can be reached, with every event that would be news there."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    seen, todo = {State()}, [State()]
    while todo:
        state = todo.pop()
        for kind in Event.__subclasses__():
            if kind not in _NEVER_OLD and _is_old(state, kind):
                continue
            try:
                after, _ = step(state, _EVENTS.get(kind) or kind())
            except IllegalTransition:
                continue
            found[state.phase, kind.__name__].add(after.phase)
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return {key: frozenset(ends) for key, ends in found.items()}


def _is_old(state: State, kind: type[Event]) -> bool:
    facts = FACTS.get(kind, {})
    return bool(facts) and all(getattr(state, name) == value for name, value in facts.items())


def render_machine() -> str:
    """Write the drawing."""
    return render("The machine of a charging point", transitions(), LAYOUT)
