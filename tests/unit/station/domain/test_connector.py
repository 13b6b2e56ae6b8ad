"""The machine of a charging point: its table, its promises under any sequence of events, and its OCPP statuses."""

import itertools
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from station.domain import connector as machine
from station.domain.connector import (
    SESSION_PHASES,
    TRANSITIONS,
    BeginSession,
    CarPaused,
    CarWantsEnergy,
    ConnectionTimedOut,
    CurrentEnded,
    DisableCharging,
    EnableCharging,
    EndSession,
    EnergyForbidden,
    EnergyPermitted,
    Event,
    IllegalTransition,
    LockPlug,
    Overlay,
    Permission,
    Phase,
    PlugInserted,
    PlugRemoved,
    PointReserved,
    ReactionTimedOut,
    RecordFailed,
    ReservationEnded,
    SigningBegan,
    SocketFreed,
    StartTimer,
    State,
    StopRequested,
    TagAuthorized,
    Timer,
    UnlockPlug,
    status_of,
    step,
)

CARD = Permission(id_tag="04A2B3C4", origin="reader", reason="whitelist_accepted")
EVENTS: tuple[Event, ...] = (
    PlugInserted(),
    PlugRemoved(),
    SocketFreed(),
    CarWantsEnergy(),
    CarPaused(),
    TagAuthorized(permission=CARD),
    ConnectionTimedOut(),
    ReactionTimedOut(),
    StopRequested(reason="Local", id_tag="04A2B3C4"),
    StopRequested(reason="DeAuthorized", keep_locked=True),
    EnergyPermitted(),
    EnergyForbidden(),
    PointReserved(),
    ReservationEnded(),
    RecordFailed(),
    SigningBegan(),
    CurrentEnded(),
)
STAYS_EVERYWHERE = {PointReserved, ReservationEnded}
STAYS_OUTSIDE_A_SESSION = {CarWantsEnergy, CarPaused, EnergyPermitted, EnergyForbidden, ReactionTimedOut}


def state_in(phase: Phase, **facts: Any) -> State:
    connected = phase not in {Phase.AVAILABLE, Phase.AUTHORIZED}
    given: dict[str, Any] = {
        "car": connected,
        "wants": phase is Phase.CHARGING,
        "permitted": phase is not Phase.SUSPENDED_EVSE,
        "reserved": phase is Phase.RESERVED,
        "permission": CARD if phase in {*SESSION_PHASES, Phase.AUTHORIZED} else None,
    }
    return State(phase=phase, **(given | facts))


def names(effects: tuple[machine.Effect, ...]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


# --- the table, cell by cell

TABLE: dict[Phase, dict[type[Event], Phase]] = {
    Phase.AVAILABLE: {
        PlugInserted: Phase.PLUGGED,
        TagAuthorized: Phase.AUTHORIZED,
        PlugRemoved: Phase.AVAILABLE,
        SocketFreed: Phase.AVAILABLE,
    },
    Phase.AUTHORIZED: {
        PlugInserted: Phase.STARTING,
        ConnectionTimedOut: Phase.AVAILABLE,
        StopRequested: Phase.AVAILABLE,
        SocketFreed: Phase.AUTHORIZED,
    },
    Phase.PLUGGED: {
        TagAuthorized: Phase.STARTING,
        PlugRemoved: Phase.AVAILABLE,
        SocketFreed: Phase.AVAILABLE,
        ConnectionTimedOut: Phase.LAPSED,
    },
    Phase.RESERVED: {
        PlugRemoved: Phase.AVAILABLE,
        SocketFreed: Phase.AVAILABLE,
        TagAuthorized: Phase.STARTING,
        ReservationEnded: Phase.PLUGGED,
    },
    Phase.LAPSED: {
        PlugRemoved: Phase.AVAILABLE,
        SocketFreed: Phase.AVAILABLE,
        TagAuthorized: Phase.STARTING,
    },
    Phase.ENDING: {
        PlugInserted: Phase.ENDING,
        PlugRemoved: Phase.ENDING,
        SocketFreed: Phase.ENDING,
        SigningBegan: Phase.ENDING,
        CurrentEnded: Phase.FINISHING,
    },
    Phase.FINISHING: {
        PlugRemoved: Phase.FINISHING,
        SocketFreed: Phase.AVAILABLE,
        PlugInserted: Phase.PLUGGED,
        TagAuthorized: Phase.STARTING,
    },
    **{
        phase: {
            PlugRemoved: Phase.ENDING,
            SocketFreed: Phase.ENDING,
            StopRequested: Phase.ENDING,
            CarWantsEnergy: Phase.SUSPENDED_EVSE if phase is Phase.SUSPENDED_EVSE else Phase.CHARGING,
            CarPaused: {
                Phase.STARTING: Phase.STARTING,
                Phase.RESUMING: Phase.RESUMING,
                Phase.SUSPENDED_EVSE: Phase.SUSPENDED_EVSE,
            }.get(phase, Phase.SUSPENDED_EV),
            EnergyPermitted: Phase.CHARGING if phase is Phase.CHARGING else Phase.RESUMING,
            EnergyForbidden: Phase.SUSPENDED_EVSE,
            ReactionTimedOut: {
                Phase.CHARGING: Phase.CHARGING,
                Phase.SUSPENDED_EVSE: Phase.SUSPENDED_EVSE,
            }.get(phase, Phase.SUSPENDED_EV),
            RecordFailed: Phase.PLUGGED,
        }
        for phase in SESSION_PHASES
    },
}


@pytest.mark.parametrize(("phase", "event"), list(itertools.product(Phase, EVENTS)), ids=str)
def test_every_cell_of_the_table(phase: Phase, event: Event) -> None:
    before = state_in(phase)
    expected = TABLE[phase].get(type(event))
    if expected is None and phase not in SESSION_PHASES and type(event) in STAYS_OUTSIDE_A_SESSION:
        expected = phase
    if expected is None and type(event) in STAYS_EVERYWHERE:
        expected = phase

    if expected is None:
        with pytest.raises(IllegalTransition) as refused:
            step(before, event)
        assert (refused.value.phase, refused.value.event) == (phase, event)
        assert before == state_in(phase)
    else:
        after, _ = step(before, event)
        assert after.phase is expected


def test_the_table_knows_no_event_that_this_test_does_not() -> None:
    assert {event for _, event in TRANSITIONS} == {type(event) for event in EVENTS}


# --- the order of effects


def test_the_session_record_comes_before_the_lock_and_the_lock_before_the_energy() -> None:
    _, effects = step(state_in(Phase.PLUGGED), TagAuthorized(permission=CARD))

    assert names(effects) == ["CancelTimer", "BeginSession", "LockPlug", "EnableCharging", "StartTimer"]
    assert BeginSession(permission=CARD) in effects
    assert StartTimer(timer=Timer.REACTION) in effects


def test_a_session_that_is_not_permitted_begins_without_energy() -> None:
    after, effects = step(state_in(Phase.PLUGGED, permitted=False), TagAuthorized(permission=CARD))

    assert after.phase is Phase.SUSPENDED_EVSE
    assert names(effects) == ["CancelTimer", "BeginSession", "LockPlug"]


def test_energy_ends_before_the_books_are_closed_and_the_plug_is_released_last() -> None:
    ending, stopping = step(state_in(Phase.CHARGING), StopRequested(reason="Local", id_tag="CARD"))
    finishing, closing = step(ending, CurrentEnded())

    assert names(stopping) == ["DisableCharging", "CancelTimer", "EndSession"]
    assert EndSession(reason="Local", id_tag="CARD") in stopping
    assert names(closing) == ["UnlockPlug"]
    assert (ending.phase, finishing.phase) == (Phase.ENDING, Phase.FINISHING)


def test_the_backend_is_told_of_the_end_when_the_current_has_ended() -> None:
    ending, _ = step(state_in(Phase.CHARGING), StopRequested(reason="Local"))
    finishing, _ = step(ending, CurrentEnded())

    assert (ending.told_phase, finishing.told_phase) == (Phase.CHARGING, Phase.FINISHING)


def test_the_backend_is_told_that_a_session_finishes_while_its_meter_signs_the_end() -> None:
    ending, _ = step(state_in(Phase.CHARGING), StopRequested(reason="Local"))
    signing, effects = step(ending, SigningBegan())
    left, _ = step(signing, SocketFreed())

    assert (signing.phase, signing.told_phase, effects) == (Phase.ENDING, Phase.ENDING, ())
    assert left.freed


def test_a_stop_may_keep_the_plug_locked() -> None:
    ending, _ = step(state_in(Phase.CHARGING), StopRequested(reason="DeAuthorized", keep_locked=True))
    _, effects = step(ending, CurrentEnded())

    assert names(effects) == []


def test_a_plug_that_was_pulled_at_the_car_is_not_kept() -> None:
    ending, _ = step(state_in(Phase.CHARGING), StopRequested(reason="DeAuthorized", keep_locked=True))
    pulled, _ = step(ending, PlugRemoved())
    _, effects = step(pulled, CurrentEnded())

    assert names(effects) == ["UnlockPlug"]


def test_another_car_that_came_while_the_session_ended_waits_for_a_card() -> None:
    ending, _ = step(state_in(Phase.CHARGING), PlugRemoved())
    another, _ = step(ending, PlugInserted())
    after, effects = step(another, CurrentEnded())

    assert after.phase is Phase.PLUGGED
    assert names(effects) == ["UnlockPlug", "StartTimer"]


def test_a_session_that_cannot_be_written_down_ends_without_energy_and_without_a_stop() -> None:
    after, effects = step(state_in(Phase.STARTING), RecordFailed())

    assert after.phase is Phase.PLUGGED
    assert after.permission is None
    assert names(effects) == ["DisableCharging", "CancelTimer", "UnlockPlug", "StartTimer"]


def test_a_car_that_wants_energy_already_is_charging_at_once() -> None:
    after, effects = step(state_in(Phase.PLUGGED, wants=True), TagAuthorized(permission=CARD))

    assert after.phase is Phase.CHARGING
    assert StartTimer(timer=Timer.REACTION) not in effects


def test_energy_that_comes_back_gives_the_car_its_time_to_react_again() -> None:
    after, effects = step(state_in(Phase.SUSPENDED_EVSE), EnergyPermitted())

    assert after.phase is Phase.RESUMING
    assert names(effects) == ["EnableCharging", "StartTimer"]


def test_a_card_shown_to_an_empty_cable_waits_for_the_car() -> None:
    after, effects = step(state_in(Phase.FINISHING, car=False), TagAuthorized(permission=CARD))

    assert after.phase is Phase.AUTHORIZED
    assert names(effects) == ["StartTimer"]


# --- reservations


def test_section_4_9_g2_a_car_at_a_reserved_point_waits_for_the_holders_card_without_a_time_out() -> None:
    reserved, _ = step(State(), PointReserved())

    plugged, effects = step(reserved, PlugInserted())
    assert status_of(plugged.phase, Overlay(reserved=True)) == "Reserved"
    assert effects == ()
    begun, effects = step(plugged, TagAuthorized(permission=CARD))
    assert begun.phase is Phase.STARTING
    assert BeginSession(permission=CARD) in effects


def test_section_4_9_a_reservation_that_ends_leaves_its_waiting_car_preparing() -> None:
    plugged, _ = step(State(reserved=True), PlugInserted())

    after, effects = step(plugged, ReservationEnded())

    assert status_of(after.phase, Overlay()) == "Preparing"
    assert effects == (StartTimer(timer=Timer.CONNECTION),)


def test_a_reservation_that_comes_after_the_car_does_not_hide_it() -> None:
    plugged, _ = step(State(), PlugInserted())

    after, effects = step(plugged, PointReserved())

    assert (after.phase, effects) == (Phase.PLUGGED, ())
    assert status_of(after.phase, Overlay(reserved=True)) == "Preparing"


def test_a_car_that_leaves_a_reserved_point_leaves_it_reserved() -> None:
    plugged, _ = step(State(reserved=True), PlugInserted())

    after, _ = step(plugged, PlugRemoved())

    assert status_of(after.phase, Overlay(reserved=after.reserved)) == "Reserved"


# --- no sequence of events breaks a promise


class AnyLife(RuleBasedStateMachine):
    """Carries the effects out like the control loop and watches what must never happen."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.energy = self.session = self.ending = self.locked = False
        self.begun = self.ended = 0

    @initialize(permitted=st.booleans())
    def begin(self, *, permitted: bool) -> None:
        self.state = State(permitted=permitted)

    @rule(event=st.sampled_from(EVENTS), writable=st.sampled_from([True, True, True, False]))
    def something_happens(self, *, event: Event, writable: bool) -> None:
        before = self.state
        try:
            self.state, effects = step(before, event)
        except IllegalTransition:
            assert self.state is before
            assert (before.phase, type(event)) not in TRANSITIONS
            return
        if isinstance(event, RecordFailed):
            # Outside of a failing start it never comes; a session that was begun is forgotten together with it.
            self.session = False
            self.ended = self.begun
        if isinstance(event, CurrentEnded):
            assert self.ending
            self.session = self.ending = False
            self.ended += 1
        for effect in effects:
            if isinstance(effect, BeginSession) and not writable:
                self.state, effects = step(self.state, RecordFailed())
                self.carry_out(effects)
                return
            self.carry_out((effect,))

    def carry_out(self, effects: tuple[machine.Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case BeginSession():
                    assert not self.session, "a session begins inside another"
                    self.session = True
                    self.begun += 1
                case EndSession():
                    assert self.session, "a session ends that never began"
                    assert not self.energy, "a session is brought to its end while energy is released"
                    assert not self.ending, "a session is brought to its end twice"
                    self.ending = True
                case EnableCharging():
                    assert self.session, "energy without a session"
                    self.energy = True
                case DisableCharging():
                    self.energy = False
                case LockPlug():
                    assert not self.energy, "energy before the lock"
                    self.locked = True
                case UnlockPlug():
                    assert not self.energy, "the plug is released under energy"
                    assert not self.ending, "the plug is released while current may flow"
                    self.locked = False
                case _:
                    pass

    @invariant()
    def energy_needs_a_session_and_a_permission(self) -> None:
        assert not self.energy or (self.state.has_session and self.session and self.state.permitted)

    @invariant()
    def every_session_begins_and_ends_once(self) -> None:
        assert self.session == self.state.has_session
        assert self.begun - self.ended == (1 if self.session else 0)

    @invariant()
    def the_phase_agrees_with_the_facts(self) -> None:
        permitted = self.state.phase in SESSION_PHASES or self.state.phase is Phase.AUTHORIZED
        assert (self.state.permission is not None) == permitted
        assert self.ending == (self.state.phase is Phase.ENDING)
        assert self.ending or self.state.ending_from is None
        if self.state.phase is Phase.CHARGING:
            assert self.state.wants
            assert self.energy
        if self.state.phase is Phase.SUSPENDED_EVSE:
            assert not self.energy
        if self.state.phase in {Phase.STARTING, Phase.RESUMING, Phase.SUSPENDED_EV}:
            assert self.energy


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


# --- what the backend sees: the matrix of OCPP 1.6 section 4.9

BACKEND_SEES = {
    Phase.AVAILABLE: "Available",
    Phase.AUTHORIZED: "Preparing",
    Phase.PLUGGED: "Preparing",
    Phase.RESERVED: "Reserved",
    Phase.LAPSED: "Finishing",
    Phase.STARTING: "Preparing",
    Phase.CHARGING: "Charging",
    Phase.SUSPENDED_EV: "SuspendedEV",
    Phase.SUSPENDED_EVSE: "SuspendedEVSE",
    Phase.RESUMING: "SuspendedEVSE",
    Phase.ENDING: "Finishing",
    Phase.FINISHING: "Finishing",
}
# Rows A to I of the matrix: the statuses that may follow each status.
ALLOWED = {
    "Available": {
        "Preparing",
        "Charging",
        "SuspendedEV",
        "SuspendedEVSE",
        "Reserved",
        "Unavailable",
        "Faulted",
    },
    "Preparing": {"Available", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing", "Faulted"},
    "Charging": {"Available", "SuspendedEV", "SuspendedEVSE", "Finishing", "Unavailable", "Faulted"},
    "SuspendedEV": {"Available", "Charging", "SuspendedEVSE", "Finishing", "Unavailable", "Faulted"},
    "SuspendedEVSE": {"Available", "Charging", "SuspendedEV", "Finishing", "Unavailable", "Faulted"},
    "Finishing": {"Available", "Preparing", "Unavailable", "Faulted"},
    "Reserved": {"Available", "Preparing", "Unavailable", "Faulted"},
}
# Ours: energy that comes back after a pause is again "about to charge", and a card shown after the time-out of a car
# (Finishing) or at a reserved point may start at once when the car already wants energy, or may not have any: Preparing
# is then too short a state to be told.
TOLERATED = {("SuspendedEVSE", "Preparing"), ("SuspendedEV", "Preparing")}
STARTS_AT_ONCE = {"Preparing", "Charging", "SuspendedEV", "SuspendedEVSE"}


@pytest.mark.parametrize("phase", Phase)
def test_the_status_without_anything_over_it(phase: Phase) -> None:
    assert status_of(phase, Overlay()) == BACKEND_SEES[phase]


@pytest.mark.parametrize(
    ("phase", "operative", "reserved"), list(itertools.product(Phase, [True, False], [True, False]))
)
def test_a_fault_is_over_everything(phase: Phase, *, operative: bool, reserved: bool) -> None:
    assert status_of(phase, Overlay(faulted=True, operative=operative, reserved=reserved)) == "Faulted"


@pytest.mark.parametrize("phase", Phase)
def test_out_of_service_shows_only_where_no_session_runs(phase: Phase) -> None:
    seen = status_of(phase, Overlay(operative=False))

    assert seen == (BACKEND_SEES[phase] if phase in {*SESSION_PHASES, Phase.ENDING} else "Unavailable")


@pytest.mark.parametrize("phase", Phase)
def test_a_reservation_shows_only_on_a_free_connector(phase: Phase) -> None:
    seen = status_of(phase, Overlay(reserved=True))

    assert seen == ("Reserved" if phase is Phase.AVAILABLE else BACKEND_SEES[phase])


@pytest.mark.parametrize(("phase", "event"), [*TRANSITIONS], ids=str)
@pytest.mark.parametrize("wants", [True, False])
@pytest.mark.parametrize("permitted", [True, False])
def test_every_change_of_status_is_one_the_standard_knows(
    phase: Phase, event: type[Event], *, wants: bool, permitted: bool
) -> None:
    happened = next(each for each in EVENTS if type(each) is event)
    before = state_in(phase, wants=wants, permitted=permitted)
    # The machine never comes to charge a car that does not want it, or to release energy that is not permitted.
    real = (phase is not Phase.CHARGING or (wants and permitted)) and (
        phase is not Phase.SUSPENDED_EVSE or not permitted
    )

    after, _ = step(before, happened)

    old, new = status_of(before.phase, Overlay()), status_of(after.phase, Overlay())
    starts = (
        phase in {Phase.LAPSED, Phase.FINISHING, Phase.RESERVED} and event is TagAuthorized and new in STARTS_AT_ONCE
    )
    assert not real or old == new or new in ALLOWED[old] or (old, new) in TOLERATED or starts or event is RecordFailed
