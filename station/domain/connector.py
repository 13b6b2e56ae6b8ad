"""The machine of one charging point: IEC 61851 below, OCPP above, one table of transitions in between.

`step` never does anything; it returns the next state and the effects, in the order in which they must happen. The
order is part of the result: the session record is written (`BeginSession`) before energy is released
(`EnableCharging`), and energy is withdrawn before the session is closed. Faults and availability do not move this
machine: a fault withdraws the permission to charge, and what the backend calls Faulted or Unavailable is laid over the
phase by `status_of`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """Where a charging point stands; stored in `Connector.phase`."""

    AVAILABLE = "available"  # no car, no card
    AUTHORIZED = "authorized"  # a card was accepted, no car yet
    PLUGGED = "plugged"  # a car, no card yet
    RESERVED = "reserved"  # a car at a reserved point, and no card of the reservation yet
    LAPSED = "lapsed"  # a car without a card for longer than ConnectionTimeOut
    STARTING = "starting"  # session begun, waiting for the car's first reaction
    CHARGING = "charging"  # session, energy released, the car takes it
    SUSPENDED_EV = "suspended_ev"  # session, energy released, the car does not want it
    SUSPENDED_EVSE = "suspended_evse"  # session, the station does not release energy
    RESUMING = "resuming"  # session, energy released again, waiting for the car's reaction
    ENDING = "ending"  # session stopped and energy withdrawn, the current has still to end
    FINISHING = "finishing"  # session over, cable still there


# A session runs and may be given energy.
SESSION_PHASES = frozenset({Phase.STARTING, Phase.CHARGING, Phase.SUSPENDED_EV, Phase.SUSPENDED_EVSE, Phase.RESUMING})
_REACTING = frozenset({Phase.STARTING, Phase.RESUMING})


@dataclass(frozen=True, kw_only=True)
class Permission:
    """Who may charge here and why: the result of an authorization, bound to the session it begins.

    `origin`: reader, backend, web or modbus. `reason`: an authorization.Reason. `profile`: the TxProfile of a remote
    start, in OCPP form. `may_follow_car`: it was shown at a reader that serves more than this charging point, so that
    a car that arrives at another one of them may be meant.
    """

    id_tag: str
    origin: str
    reason: str
    parent_id_tag: str = ""
    reservation_id: int | None = None
    profile: dict[str, Any] | None = None
    may_follow_car: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """All the machine knows.

    `car`: a car is connected (pilot not A). `wants`: it asks for energy (pilot C or D).
    `permitted`: the effective current limit is at least 6 A and nothing forbids energy.
    `reserved`: the point is kept for somebody.
    While a session ends, `ending_from` is the phase it was stopped in until its meter signs, `keep_locked` says that
    its plug stays locked afterwards, `freed` and `replugged` what has happened at the socket meanwhile.
    """

    phase: Phase = Phase.AVAILABLE
    car: bool = False
    wants: bool = False
    permitted: bool = True
    reserved: bool = False
    permission: Permission | None = None
    ending_from: Phase | None = None
    keep_locked: bool = False
    freed: bool = False
    replugged: bool = False

    @property
    def has_session(self) -> bool:
        """Whether a session runs, or is being brought to its end."""
        return self.phase in SESSION_PHASES or self.phase is Phase.ENDING

    @property
    def told_phase(self) -> Phase:
        """The phase as the backend sees it: a session is told as ended when its end is written, or being signed."""
        return self.ending_from or self.phase


# --- events: what has happened


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of everything that can happen to a charging point."""


@dataclass(frozen=True, kw_only=True)
class PlugInserted(Event):
    """A car is connected."""


@dataclass(frozen=True, kw_only=True)
class PlugRemoved(Event):
    """The car's end of the cable was pulled."""


@dataclass(frozen=True, kw_only=True)
class SocketFreed(Event):
    """Neither car nor cable is there any more."""


@dataclass(frozen=True, kw_only=True)
class CarWantsEnergy(Event):
    """The car asks for energy."""


@dataclass(frozen=True, kw_only=True)
class CarPaused(Event):
    """The car stays connected and asks for nothing."""


@dataclass(frozen=True, kw_only=True)
class TagAuthorized(Event):
    """Somebody may charge here."""

    permission: Permission


@dataclass(frozen=True, kw_only=True)
class ConnectionTimedOut(Event):
    """Card without car, or car without card, for ConnectionTimeOut seconds."""


@dataclass(frozen=True, kw_only=True)
class ReactionTimedOut(Event):
    """The car did not ask for energy within the time it has to react."""


@dataclass(frozen=True, kw_only=True)
class StopRequested(Event):
    """Somebody (or the station) ends the session; `reason` is an OCPP 1.6 Reason."""

    reason: str
    id_tag: str = ""
    keep_locked: bool = False


@dataclass(frozen=True, kw_only=True)
class EnergyPermitted(Event):
    """The effective limit rose to 6 A or more."""


@dataclass(frozen=True, kw_only=True)
class EnergyForbidden(Event):
    """The effective limit fell below 6 A, or a fault forbids energy."""


@dataclass(frozen=True, kw_only=True)
class PointReserved(Event):
    """The point is kept for somebody from now on."""


@dataclass(frozen=True, kw_only=True)
class ReservationEnded(Event):
    """The point is kept for nobody any more: the reservation was used, cancelled, or is over."""


@dataclass(frozen=True, kw_only=True)
class RecordFailed(Event):
    """The session could not be written down, so it must not begin."""


@dataclass(frozen=True, kw_only=True)
class SigningBegan(Event):
    """No current flows any more after a stop, and the calibrated meter signs the end, which may take half a minute."""


@dataclass(frozen=True, kw_only=True)
class CurrentEnded(Event):
    """No current flows any more after a stop, and the end of the session is written or will be."""


# --- effects: what is to be done


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Base of everything the machine asks for."""


@dataclass(frozen=True, kw_only=True)
class LockPlug(Effect):
    """Drive the lock of the socket."""


@dataclass(frozen=True, kw_only=True)
class UnlockPlug(Effect):
    """Open the lock of the socket."""


@dataclass(frozen=True, kw_only=True)
class BeginSession(Effect):
    """Commit the session and its StartTransaction; everything after it happens only if this succeeds."""

    permission: Permission


@dataclass(frozen=True, kw_only=True)
class EndSession(Effect):
    """Commit that the session was stopped, then bring it to its end: `CurrentEnded` follows."""

    reason: str
    id_tag: str = ""


@dataclass(frozen=True, kw_only=True)
class EnableCharging(Effect):
    """Release energy at the controller."""


@dataclass(frozen=True, kw_only=True)
class DisableCharging(Effect):
    """Withdraw energy at the controller."""


class Timer(StrEnum):
    """The two clocks a charging point runs."""

    CONNECTION = "connection"  # ConnectionTimeOut
    REACTION = "reaction"  # the car's first reaction to the released energy


@dataclass(frozen=True, kw_only=True)
class StartTimer(Effect):
    """Begin to wait."""

    timer: Timer


@dataclass(frozen=True, kw_only=True)
class CancelTimer(Effect):
    """Stop waiting."""

    timer: Timer


class IllegalTransition(Exception):
    """This event has no meaning in this phase; nothing has changed."""

    def __init__(self, phase: Phase, event: Event) -> None:
        super().__init__(f"{type(event).__name__} in {phase}")
        self.phase, self.event = phase, event


Answer = tuple[State, tuple[Effect, ...]]
Transition = Callable[[State, Any], Answer]

_NO_CONNECTION_TIMER = CancelTimer(timer=Timer.CONNECTION)
_NO_REACTION_TIMER = CancelTimer(timer=Timer.REACTION)


def _stay(state: State, _event: Event) -> Answer:
    return state, ()


def _wait_for_card(state: State, _event: Event) -> Answer:
    return replace(state, phase=Phase.PLUGGED, permission=None), (StartTimer(timer=Timer.CONNECTION),)


def _take_car(state: State, event: Event) -> Answer:
    if state.reserved:
        # OCPP 1.6 section 4.9, G2: Reserved ends when the identifier it is for is presented, not with the plug. The
        # reservation has a time of its own, so ConnectionTimeOut does not run.
        return replace(state, phase=Phase.RESERVED), ()
    return _wait_for_card(state, event)


def _wait_for_car(state: State, event: TagAuthorized) -> Answer:
    return replace(state, phase=Phase.AUTHORIZED, permission=event.permission), (StartTimer(timer=Timer.CONNECTION),)


def _lapse(state: State, _event: Event) -> Answer:
    return replace(state, phase=Phase.LAPSED), ()


def _clear(state: State, _event: Event) -> Answer:
    return replace(state, phase=Phase.AVAILABLE, permission=None), (_NO_CONNECTION_TIMER,)


def _free(state: State, _event: Event) -> Answer:
    return replace(state, phase=Phase.AVAILABLE, permission=None, freed=False), (UnlockPlug(),)


def _begin(state: State, permission: Permission) -> Answer:
    begun = replace(state, permission=permission, phase=_session_phase(state, reacting=Phase.STARTING))
    release: tuple[Effect, ...] = (EnableCharging(),) if begun.permitted else ()
    reaction: tuple[Effect, ...] = (StartTimer(timer=Timer.REACTION),) if begun.phase is Phase.STARTING else ()
    return begun, (_NO_CONNECTION_TIMER, BeginSession(permission=permission), LockPlug(), *release, *reaction)


def _begin_with_card(state: State, event: TagAuthorized) -> Answer:
    return _begin(state, event.permission)


def _begin_with_car(state: State, _event: Event) -> Answer:
    if state.permission is None:  # AUTHORIZED is entered with a permission only
        raise IllegalTransition(state.phase, _event)
    return _begin(state, state.permission)


def _begin_again(state: State, event: TagAuthorized) -> Answer:
    if state.car:
        return _begin(state, event.permission)
    return _wait_for_car(state, event)


def _session_phase(state: State, *, reacting: Phase | None) -> Phase:
    """Return where a session stands; `reacting` is the phase of a car that may still answer the released energy."""
    if not state.permitted:
        return Phase.SUSPENDED_EVSE
    if state.wants:
        return Phase.CHARGING
    return reacting or Phase.SUSPENDED_EV


def _follow_car(state: State, _event: Event) -> Answer:
    phase = _session_phase(state, reacting=state.phase if state.phase in _REACTING else None)
    effects = (_NO_REACTION_TIMER,) if phase is Phase.CHARGING else ()
    return replace(state, phase=phase), effects


def _give_up_waiting(state: State, _event: Event) -> Answer:
    return replace(state, phase=_session_phase(state, reacting=None)), ()


def _release(state: State, _event: Event) -> Answer:
    released = replace(state, phase=_session_phase(state, reacting=Phase.RESUMING))
    reaction: tuple[Effect, ...] = (StartTimer(timer=Timer.REACTION),) if released.phase is Phase.RESUMING else ()
    return released, (EnableCharging(), *reaction)


def _withdraw(state: State, _event: Event) -> Answer:
    return replace(state, phase=Phase.SUSPENDED_EVSE), (DisableCharging(), _NO_REACTION_TIMER)


def _stop(state: State, event: StopRequested) -> Answer:
    ending = replace(
        state, phase=Phase.ENDING, ending_from=state.phase, keep_locked=event.keep_locked, permission=None, freed=False
    )
    return ending, (DisableCharging(), _NO_REACTION_TIMER, EndSession(reason=event.reason, id_tag=event.id_tag))


def _tell_ending(state: State, _event: Event) -> Answer:
    return replace(state, ending_from=None), ()


def _note_freed(state: State, _event: Event) -> Answer:
    return replace(state, freed=True), ()


def _note_replugged(state: State, _event: Event) -> Answer:
    return replace(state, freed=False, replugged=True), ()


def _close(state: State, event: Event) -> Answer:
    # A plug that was pulled at the car is nobody's to keep.
    unlock: tuple[Effect, ...] = () if state.keep_locked and state.car else (UnlockPlug(),)
    closed = replace(state, phase=Phase.FINISHING, ending_from=None, keep_locked=False, replugged=False)
    if state.replugged and state.car:
        waiting, effects = _take_car(closed, event)
        return waiting, (*unlock, *effects)
    return closed, unlock


def _stop_by_unplugging(state: State, _event: Event) -> Answer:
    return _stop(state, StopRequested(reason="EVDisconnected"))


def _drop_session(state: State, _event: Event) -> Answer:
    return replace(state, phase=Phase.PLUGGED, permission=None), (
        DisableCharging(),
        _NO_REACTION_TIMER,
        UnlockPlug(),
        StartTimer(timer=Timer.CONNECTION),
    )


def _unlock(state: State, _event: Event) -> Answer:
    return state, (UnlockPlug(),)


TRANSITIONS: dict[tuple[Phase, type[Event]], Transition] = {
    (Phase.AVAILABLE, PlugInserted): _take_car,
    (Phase.AVAILABLE, TagAuthorized): _wait_for_car,
    (Phase.AVAILABLE, PlugRemoved): _stay,
    (Phase.AVAILABLE, SocketFreed): _stay,
    (Phase.AUTHORIZED, PlugInserted): _begin_with_car,
    (Phase.AUTHORIZED, ConnectionTimedOut): _clear,
    (Phase.AUTHORIZED, StopRequested): _clear,
    (Phase.AUTHORIZED, SocketFreed): _stay,
    (Phase.PLUGGED, TagAuthorized): _begin_with_card,
    (Phase.PLUGGED, PlugRemoved): _clear,
    (Phase.PLUGGED, SocketFreed): _clear,
    (Phase.PLUGGED, ConnectionTimedOut): _lapse,
    (Phase.RESERVED, TagAuthorized): _begin_with_card,
    (Phase.RESERVED, ReservationEnded): _wait_for_card,
    (Phase.RESERVED, PlugRemoved): _clear,
    (Phase.RESERVED, SocketFreed): _clear,
    (Phase.LAPSED, PlugRemoved): _clear,
    (Phase.LAPSED, SocketFreed): _clear,
    (Phase.LAPSED, TagAuthorized): _begin_with_card,
    (Phase.ENDING, PlugInserted): _note_replugged,
    (Phase.ENDING, PlugRemoved): _stay,
    (Phase.ENDING, SocketFreed): _note_freed,
    (Phase.ENDING, SigningBegan): _tell_ending,
    (Phase.ENDING, CurrentEnded): _close,
    (Phase.FINISHING, PlugRemoved): _unlock,
    (Phase.FINISHING, SocketFreed): _free,
    (Phase.FINISHING, PlugInserted): _wait_for_card,
    (Phase.FINISHING, TagAuthorized): _begin_again,
}
for _phase in SESSION_PHASES:
    TRANSITIONS[_phase, PlugRemoved] = _stop_by_unplugging
    TRANSITIONS[_phase, SocketFreed] = _stop_by_unplugging
    TRANSITIONS[_phase, StopRequested] = _stop
    TRANSITIONS[_phase, CarWantsEnergy] = _follow_car
    TRANSITIONS[_phase, CarPaused] = _follow_car
    TRANSITIONS[_phase, EnergyPermitted] = _release
    TRANSITIONS[_phase, EnergyForbidden] = _withdraw
    TRANSITIONS[_phase, ReactionTimedOut] = _give_up_waiting
    TRANSITIONS[_phase, RecordFailed] = _drop_session
for _phase in Phase:
    if _phase not in SESSION_PHASES:
        for _event in (CarWantsEnergy, CarPaused, EnergyPermitted, EnergyForbidden, ReactionTimedOut):
            TRANSITIONS[_phase, _event] = _stay
for _phase in Phase:
    TRANSITIONS[_phase, PointReserved] = _stay
    TRANSITIONS.setdefault((_phase, ReservationEnded), _stay)

# What an event says about car and permission, whatever the phase.
FACTS: dict[type[Event], dict[str, bool]] = {
    PlugInserted: {"car": True, "wants": False},
    PlugRemoved: {"car": False, "wants": False},
    SocketFreed: {"car": False, "wants": False},
    CarWantsEnergy: {"car": True, "wants": True},
    CarPaused: {"car": True, "wants": False},
    EnergyPermitted: {"permitted": True},
    EnergyForbidden: {"permitted": False},
    PointReserved: {"reserved": True},
    ReservationEnded: {"reserved": False},
}


def step(state: State, event: Event) -> Answer:
    """Return the next state and what is to be done, in order; raises IllegalTransition and changes nothing."""
    transition = TRANSITIONS.get((state.phase, type(event)))
    if transition is None:
        raise IllegalTransition(state.phase, event)
    facts = FACTS.get(type(event), {})
    known = replace(
        state,
        car=facts.get("car", state.car),
        wants=facts.get("wants", state.wants),
        permitted=facts.get("permitted", state.permitted),
        reserved=facts.get("reserved", state.reserved),
    )
    return transition(known, event)


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What lies over the phase in the eyes of the backend."""

    faulted: bool = False
    operative: bool = True
    reserved: bool = False


_STATUS = {
    Phase.AVAILABLE: "Available",
    Phase.AUTHORIZED: "Preparing",
    Phase.PLUGGED: "Preparing",
    Phase.RESERVED: "Reserved",
    Phase.LAPSED: "Finishing",
    Phase.STARTING: "Preparing",
    Phase.CHARGING: "Charging",
    Phase.SUSPENDED_EV: "SuspendedEV",
    Phase.SUSPENDED_EVSE: "SuspendedEVSE",
    # The backend is told of the end of a pause when the car has taken it up, not before.
    Phase.RESUMING: "SuspendedEVSE",
    # What `State.told_phase` hides from the backend until the end is written.
    Phase.ENDING: "Finishing",
    Phase.FINISHING: "Finishing",
}


def status_of(phase: Phase, overlay: Overlay) -> str:
    """Compute the ChargePointStatus of OCPP 1.6 section 4.9."""
    if overlay.faulted:
        return "Faulted"
    if phase not in SESSION_PHASES and phase is not Phase.ENDING and not overlay.operative:
        return "Unavailable"
    if phase is Phase.AVAILABLE and overlay.reserved:
        return "Reserved"
    return _STATUS[phase]
