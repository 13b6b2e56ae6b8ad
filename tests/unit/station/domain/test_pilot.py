"""The pilot filter: believed is what two observations far enough apart agree about."""

from hypothesis import given
from hypothesis import strategies as st

from station.domain.connector import CarPaused, CarWantsEnergy, Event, PlugInserted, PlugRemoved, SocketFreed
from station.domain.pilot import DEBOUNCE_S, PilotFilter
from station.domain.ports import Pilot
from station.domain.units import MilliAmpere

CABLE = MilliAmpere(32_000)
NONE = MilliAmpere(0)


def settle(
    belief: PilotFilter, pilot: Pilot, cable: MilliAmpere | None, at_s: float
) -> tuple[PilotFilter, tuple[Event, ...]]:
    belief, early = belief.observe(pilot, cable, at_s=at_s)
    assert early == ()
    return belief.observe(pilot, cable, at_s=at_s + 1.1 * DEBOUNCE_S)


def test_a_car_is_believed_after_the_debounce_time_and_not_before() -> None:
    belief, events = PilotFilter().observe(Pilot.B, CABLE, at_s=1.0)
    assert events == ()

    belief, events = belief.observe(Pilot.B, CABLE, at_s=1.0 + DEBOUNCE_S / 2)
    assert events == ()

    belief, events = belief.observe(Pilot.B, CABLE, at_s=1.0 + DEBOUNCE_S)
    assert events == (PlugInserted(),)
    assert belief.doubt is None


def test_a_car_that_wants_energy_from_the_first_moment_is_plugged_in_first() -> None:
    _, events = settle(PilotFilter(), Pilot.C, CABLE, 0.0)

    assert events == (PlugInserted(), CarWantsEnergy())


def test_a_pilot_that_chatters_between_b_and_c_tells_nothing() -> None:
    belief, _ = settle(PilotFilter(), Pilot.B, CABLE, 0.0)
    told = []

    for number in range(200):
        belief, events = belief.observe(Pilot.C if number % 2 else Pilot.B, CABLE, at_s=1.0 + number * 0.1)
        told += events

    assert told == []


def test_a_cable_that_stays_in_the_socket_frees_it_only_when_it_is_pulled() -> None:
    belief, _ = settle(PilotFilter(), Pilot.B, CABLE, 0.0)

    belief, at_the_car = settle(belief, Pilot.A, CABLE, 1.0)
    _, at_the_station = settle(belief, Pilot.A, NONE, 2.0)

    assert at_the_car == (PlugRemoved(),)
    assert at_the_station == (SocketFreed(),)


def test_a_tethered_cable_frees_the_point_with_the_car() -> None:
    belief, _ = settle(PilotFilter(), Pilot.C, None, 0.0)

    _, events = settle(belief, Pilot.A, None, 1.0)

    assert events == (PlugRemoved(), SocketFreed())


def test_a_cable_without_a_car_is_no_car() -> None:
    belief, events = settle(PilotFilter(), Pilot.A, CABLE, 0.0)
    assert events == ()

    _, events = settle(belief, Pilot.A, NONE, 1.0)
    assert events == (SocketFreed(),)


def test_a_mute_pilot_says_nothing_about_the_car() -> None:
    belief, _ = settle(PilotFilter(), Pilot.C, CABLE, 0.0)

    for at_s, mute in ((1.0, Pilot.E), (2.0, Pilot.F)):
        belief, events = settle(belief, mute, CABLE, at_s)
        assert events == ()

    assert belief.connected
    assert belief.wants


def test_an_empty_socket_disproves_the_car_even_with_a_mute_pilot() -> None:
    belief, _ = settle(PilotFilter(), Pilot.C, CABLE, 0.0)

    _, events = settle(belief, Pilot.E, NONE, 1.0)

    assert events == (PlugRemoved(), SocketFreed())


def test_a_pause_of_the_car_is_told_once() -> None:
    belief, _ = settle(PilotFilter(), Pilot.C, CABLE, 0.0)

    belief, events = settle(belief, Pilot.B, CABLE, 1.0)
    _, again = settle(belief, Pilot.B, CABLE, 2.0)

    assert events == (CarPaused(),)
    assert again == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Pilot)),
            st.sampled_from([CABLE, NONE, None]),
            st.floats(min_value=0.001, max_value=0.2),
        ),
        max_size=60,
    )
)
def test_whatever_is_observed_the_events_alternate(observations: list[tuple[Pilot, MilliAmpere | None, float]]) -> None:
    belief, at_s, connected, wants = PilotFilter(), 0.0, False, False

    for pilot, cable, after_s in observations:
        at_s += after_s
        belief, events = belief.observe(pilot, cable, at_s=at_s)
        for event in events:
            match event:
                case PlugInserted():
                    assert not connected
                    connected, wants = True, False
                case PlugRemoved():
                    assert connected
                    connected = wants = False
                case SocketFreed():
                    assert not connected
                case CarWantsEnergy():
                    assert connected
                    assert not wants
                    wants = True
                case CarPaused():
                    assert connected
                    assert wants
                    wants = False

    assert (connected, wants) == (belief.connected, belief.wants)
