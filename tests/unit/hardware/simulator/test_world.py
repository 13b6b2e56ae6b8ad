from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.protocols.phoenix import BoardError
from hardware.simulator.electricity import OPEN_CIRCUIT_MV
from hardware.simulator.faults import SHOWN_BY_DEVICES, contacts, is_of_station
from hardware.simulator.point import ChargingPoint, ConnectorIsLocked
from hardware.simulator.world import LineDevice, LineMode, NoVehicle, VehicleChange, World
from station.domain.faults import NOT_PHYSICAL, FaultCode
from station.domain.ports import Pilot

NOTHING = VehicleChange()


@dataclass
class WorldBench:
    """A world, its clock and the commands a station would give."""

    world: World
    now_s: float = 100.0

    @property
    def point(self) -> ChargingPoint:
        return self.world.points[1]

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.world.advance(now_s=self.now_s)

    def command(self, *, release: bool = True, limit_a: int = 16, lock: bool = True) -> None:
        self.point.board.set_limit(limit_a)
        self.point.board.release_coil, self.point.board.lock_coil = release, lock
        self.point.settle()


@pytest.fixture
def bench() -> WorldBench:
    return WorldBench(world=World.build(connectors=2, now_s=100.0))


@pytest.fixture
def charging(bench: WorldBench) -> WorldBench:
    bench.world.plug(1, NOTHING, cable_a=None)
    bench.command()
    bench.wait(1.0)
    return bench


def test_a_car_charges_at_the_permitted_current_once_released(charging: WorldBench) -> None:
    point = charging.point

    assert (point.pilot, point.contactor_closed, point.lock.locked, point.offered_a) == (Pilot.C, True, True, 16)
    assert point.load.currents_ma == (16_000, 16_000, 16_000)
    assert 10_900 < point.load.power_w < 11_100


def test_an_unreleased_car_waits_in_b_without_pwm(bench: WorldBench) -> None:
    bench.world.plug(1, NOTHING, cable_a=None)
    bench.wait(5.0)

    assert (bench.point.pilot, bench.point.offered_a, bench.point.contactor_closed) == (Pilot.B, 0, False)


def test_the_contactor_closes_at_once_when_the_car_becomes_ready(bench: WorldBench) -> None:
    bench.world.plug(1, VehicleChange(ready=False), cable_a=None)
    bench.command()
    assert (bench.point.pilot, bench.point.offered_a, bench.point.contactor_closed) == (Pilot.B, 16, False)

    bench.world.change_vehicle(1, VehicleChange(ready=True))

    assert (bench.point.pilot, bench.point.contactor_closed) == (Pilot.C, True)


@pytest.mark.parametrize(("limit_a", "within_s"), [(32, 1.0), (6, 0.3)])
def test_the_car_follows_a_changed_limit_in_time(charging: WorldBench, limit_a: int, within_s: float) -> None:
    charging.command(limit_a=limit_a)
    charging.wait(within_s)

    assert charging.point.load.currents_ma == (limit_a * 1000,) * 3


def test_the_car_winds_down_before_the_contactor_opens_when_the_release_ends(charging: WorldBench) -> None:
    charging.command(release=False)
    assert (charging.point.offered_a, charging.point.pilot, charging.point.contactor_closed) == (0, Pilot.C, True)

    charging.wait(0.3)

    assert (charging.point.pilot, charging.point.contactor_closed, charging.point.load.power_w) == (Pilot.B, False, 0)


def test_a_car_that_pauses_opens_the_circuit_at_once_and_stays_permitted(charging: WorldBench) -> None:
    charging.world.change_vehicle(1, VehicleChange(ready=False))

    point = charging.point
    assert (point.pilot, point.contactor_closed, point.load.power_w, point.offered_a) == (Pilot.B, False, 0, 16)


def test_energy_is_the_integral_of_power(charging: WorldBench) -> None:
    before_wh, power_w = charging.point.energy.total_wh, charging.point.load.power_w

    charging.wait(360)

    assert charging.point.energy.total_wh - before_wh == pytest.approx(power_w / 10, rel=1e-6)


def test_speed_multiplies_energy_and_nothing_else(charging: WorldBench) -> None:
    charging.world.set_speed(60)
    before_wh, power_w = charging.point.energy.total_wh, charging.point.load.power_w

    charging.wait(6)

    assert charging.point.load.power_w == power_w
    assert charging.point.energy.total_wh - before_wh == pytest.approx(power_w / 10, rel=1e-6)


def test_a_full_battery_ends_in_state_b_after_tapering(bench: WorldBench) -> None:
    bench.world.plug(1, VehicleChange(battery_wh=1000), cable_a=None)
    bench.world.set_speed(60)
    bench.command(limit_a=32)
    currents: list[int] = []

    for _ in range(200):
        bench.wait(0.1)
        currents.append(bench.point.load.currents_ma[0])

    assert (bench.point.pilot, bench.point.contactor_closed, bench.point.offered_a) == (Pilot.B, False, 32)
    assert bench.point.energy.total_wh == pytest.approx(1000)
    assert any(6_000 < current < 30_000 for current in currents[20:])


@pytest.mark.parametrize(("phases", "expected"), [(1, (10, 0, 0)), (2, (10, 10, 0)), (3, (10, 10, 10))])
def test_a_car_loads_only_its_phases(bench: WorldBench, phases: int, expected: tuple[int, ...]) -> None:
    bench.world.plug(1, VehicleChange(phases=phases, max_current_a=10), cable_a=None)
    bench.command()
    bench.wait(1.0)

    assert bench.point.load.currents_ma == tuple(1000 * current for current in expected)
    sags = [no_load > loaded for no_load, loaded in zip(OPEN_CIRCUIT_MV, bench.point.load.voltages_mv, strict=True)]
    assert sags == [current > 0 for current in expected]


def test_a_thin_cable_limits_the_offer(bench: WorldBench) -> None:
    bench.world.plug(1, NOTHING, cable_a=13)
    bench.command(limit_a=32)

    assert bench.point.offered_a == 13


def test_a_board_that_nobody_talks_to_goes_on_delivering(charging: WorldBench) -> None:
    charging.wait(600.0)

    assert charging.point.offered_a == 16
    assert charging.point.load.currents_ma[0] == 16_000


def test_an_unavailable_board_signals_state_f_and_opens_the_contactor(charging: WorldBench) -> None:
    charging.point.board.available_coil = False
    charging.point.settle()

    assert (charging.point.pilot, charging.point.contactor_closed, charging.point.load.power_w) == (Pilot.F, False, 0)


def test_a_restarting_board_gives_no_pilot_and_forgets_its_commands(charging: WorldBench) -> None:
    charging.point.board.restart(now_s=charging.now_s)
    charging.point.settle()
    assert (charging.point.pilot, charging.point.contactor_closed) == (Pilot.E, False)

    charging.wait(1.0)

    assert (charging.point.pilot, charging.point.offered_a, charging.point.board.limit_a) == (Pilot.B, 0, 6)


def test_the_station_end_stays_while_locked_and_follows_when_the_bolt_opens(charging: WorldBench) -> None:
    with pytest.raises(ConnectorIsLocked):
        charging.world.unplug_station(1, force=False)
    charging.world.unplug_vehicle(1)
    assert (charging.point.pilot, charging.point.plugged, charging.point.contactor_closed) == (Pilot.A, True, False)

    charging.command(release=False, lock=False)
    charging.wait(0.1)
    assert charging.point.plugged

    charging.wait(0.1)
    assert not charging.point.plugged
    assert not charging.point.lock.locked


def test_force_pulls_a_locked_plug(charging: WorldBench) -> None:
    charging.world.unplug_station(1, force=True)

    assert (charging.point.plugged, charging.point.vehicle, charging.point.lock.locked) == (False, None, False)


def test_a_jammed_bolt_is_reported_and_keeps_the_contactor_open(bench: WorldBench) -> None:
    bench.world.set_lock_failure(1, fails=True)
    bench.world.plug(1, NOTHING, cable_a=None)
    bench.command()
    bench.wait(1.0)
    assert BoardError.LOCKING_FAILED in bench.point.errors
    assert (bench.point.lock.locked, bench.point.contactor_closed) == (False, False)

    bench.world.set_lock_failure(1, fails=False)
    bench.wait(1.0)

    assert (bench.point.errors, bench.point.lock.locked, bench.point.contactor_closed) == (frozenset(), True, True)


def test_a_bolt_that_jams_while_locked_holds_the_plug(charging: WorldBench) -> None:
    charging.world.set_lock_failure(1, fails=True)
    charging.command(release=False, lock=False)
    charging.wait(1.0)

    assert charging.point.errors == {BoardError.UNLOCKING_FAILED}
    assert charging.point.lock.locked


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (FaultCode.GROUND_FAILURE, BoardError.RESIDUAL_CURRENT),
        (FaultCode.POWER_SWITCH_FAILURE, BoardError.CONTACTOR),
        (FaultCode.EV_COMMUNICATION_ERROR, BoardError.PILOT_INVALID),
        (FaultCode.CONNECTOR_LOCK_FAILURE, BoardError.LOCK_FEEDBACK_LOST),
    ],
)
def test_faults_of_the_board_show_in_its_error_word_and_end_the_current(
    charging: WorldBench, code: FaultCode, error: BoardError
) -> None:
    charging.world.set_fault(code, active=True, connector=1)
    charging.wait(0.5)
    assert charging.point.errors == {error}
    assert charging.point.load.power_w == 0
    assert charging.point.contactor_closed is (code is FaultCode.POWER_SWITCH_FAILURE)

    charging.world.set_fault(code, active=False, connector=1)
    charging.wait(1.0)
    assert not charging.point.errors
    assert charging.point.load.power_w > 0


def test_a_tripped_residual_current_device_opens_at_once(charging: WorldBench) -> None:
    charging.world.set_fault("GroundFailure", active=True, connector=1)

    assert (charging.point.contactor_closed, charging.point.load.power_w) == (False, 0)


def test_a_missing_phase_is_missing_everywhere_and_carries_no_current(charging: WorldBench) -> None:
    charging.world.set_fault("UnderVoltage", active=True, connector=2)

    assert charging.world.points[2].load.voltages_mv[2] == 0
    assert (charging.point.load.voltages_mv[2], charging.point.load.currents_ma[2]) == (0, 0)
    assert charging.point.load.currents_ma[0] == 16_000


@pytest.mark.parametrize("code", sorted(set(FaultCode) - NOT_PHYSICAL))
@pytest.mark.parametrize("connector", [None, 2])
def test_every_fault_of_the_catalogue_has_a_cause_that_comes_and_goes(
    bench: WorldBench, code: FaultCode, connector: int | None
) -> None:
    world = bench.world

    def causes() -> list[object]:
        contact_states = [world.contact_is_closed(contact.code, contact.connector) for contact in contacts(2)]
        lines = [world.line_mode(number, device) for number in (1, 2) for device in LineDevice]
        points = [(point.errors, point.load.voltages_mv) for point in world.points.values()]
        station = [world.arrester_failed, world.reader_is_silent, world.modem_signal_percent, world.io_mode]
        return [contact_states, lines, points, station]

    before = causes()
    world.set_fault(code, active=True, connector=connector)
    assert causes() != before
    assert (code in world.faults) is is_of_station(code)

    world.set_fault(code, active=False, connector=connector)
    assert causes() == before


def test_every_fault_without_a_device_of_its_own_has_exactly_one_contact_at_its_place() -> None:
    wired = [(contact.code, contact.connector) for contact in contacts(2)]

    assert len(wired) == len(set(wired))
    assert {code for code, _ in wired} == set(FaultCode) - SHOWN_BY_DEVICES - NOT_PHYSICAL
    assert all((connector == 0) is is_of_station(code) for code, connector in wired)
    assert [contact.input for contact in contacts(2)] == list(range(len(wired)))


def test_a_button_stays_pressed_until_it_was_seen(bench: WorldBench) -> None:
    bench.world.press_button(1)
    bench.wait(1.0)
    assert bench.point.button.is_pressed(now_s=bench.now_s)

    bench.point.button.was_seen = True
    assert not bench.point.button.is_pressed(now_s=bench.now_s)


def test_a_car_that_is_not_there_cannot_pause(bench: WorldBench) -> None:
    with pytest.raises(NoVehicle):
        bench.world.change_vehicle(1, VehicleChange(ready=False))


def test_plugging_twice_keeps_the_car_and_changes_what_is_given(charging: WorldBench) -> None:
    charging.world.plug(1, VehicleChange(max_current_a=10), cable_a=None)
    charging.wait(0.5)

    assert charging.point.vehicle is not None
    assert charging.point.load.currents_ma == (10_000,) * 3


def test_reset_takes_cars_and_faults_away_and_keeps_the_counts(charging: WorldBench) -> None:
    charging.world.set_fault("OtherError", active=True, connector=1)
    charging.world.set_line(2, LineDevice.METER, LineMode.SILENT)
    charging.world.set_backend_link(up=False)
    charging.world.set_speed(60)
    counted_wh = charging.point.energy.total_wh

    charging.world.reset()

    assert (charging.point.vehicle, charging.point.plugged, charging.point.faults) == (None, False, set())
    assert charging.world.line_mode(2, LineDevice.METER) is LineMode.OK
    assert charging.world.backend_link
    assert charging.point.energy.total_wh == counted_wh > 0
    assert charging.world.factor == 60


def test_a_fixed_cable_needs_no_bolt_and_cannot_be_pulled_at_the_station() -> None:
    bench = WorldBench(world=World.build(connectors=1, now_s=100.0, socket_lock=False))
    bench.world.plug(1, NOTHING, cable_a=None)
    bench.command()
    bench.wait(1.0)
    assert (bench.point.contactor_closed, bench.point.lock.locked, bench.point.plugged) == (True, False, True)

    bench.world.unplug_vehicle(1)

    assert (bench.point.plugged, bench.point.pilot) == (False, Pilot.A)


_commands = st.fixed_dictionaries(
    {"release": st.booleans(), "limit_a": st.integers(0, 70), "lock": st.booleans(), "available": st.booleans()}
)
_happenings = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.001, 20.0)),
    st.tuples(st.just("command"), _commands),
    st.tuples(
        st.just("plug"),
        st.builds(
            VehicleChange,
            max_current_a=st.floats(1, 80),
            phases=st.integers(1, 3),
            ready=st.booleans(),
            battery_wh=st.none() | st.floats(1, 5000),
        ),
    ),
    st.tuples(st.just("unplug"), st.booleans()),
    st.tuples(st.just("fault"), st.tuples(st.sampled_from(sorted(set(FaultCode) - NOT_PHYSICAL)), st.booleans())),
    st.tuples(st.just("jam"), st.booleans()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("speed"), st.floats(0.1, 3600)),
    st.tuples(st.just("reset"), st.none()),
)


def _happen(bench: WorldBench, name: str, value: object) -> None:
    world, point = bench.world, bench.point
    match name, value:
        case "wait", float() as seconds:
            bench.wait(seconds)
        case "command", dict() as command:
            point.board.available_coil = command.pop("available")
            bench.command(**command)
        case "plug", VehicleChange() as change:
            world.plug(1, change, cable_a=None)
        case "unplug", bool() as at_station:
            if at_station:
                world.unplug_station(1, force=True)
            else:
                world.unplug_vehicle(1)
        case "fault", (str() as code, bool() as active):
            world.set_fault(code, active=active, connector=1)
        case "jam", bool() as jammed:
            world.set_lock_failure(1, fails=jammed)
        case "restart", _:
            point.board.restart(now_s=bench.now_s)
            point.settle()
        case "speed", float() as factor:
            world.set_speed(factor)
        case _:
            world.reset()


@settings(max_examples=150, deadline=None)
@given(happenings=st.lists(_happenings, max_size=30))
def test_whatever_happens_the_contactor_is_never_closed_unsafely_and_the_meter_never_runs_backwards(
    happenings: list[tuple[str, object]],
) -> None:
    bench = WorldBench(world=World.build(connectors=1, now_s=100.0))
    point = bench.point
    counted_wh = 0.0
    for name, value in happenings:
        was_closed = point.contactor_closed
        _happen(bench, name, value)

        energy_wh, load = point.energy.total_wh, point.load
        if point.contactor_closed and not point.welded:
            assert point.pilot in (Pilot.C, Pilot.D)
            assert point.vehicle is not None
            assert not point.tripped
            assert point.board.available
            assert was_closed or point.pwm_on
        if load.power_w > 0:
            assert point.contactor_closed
        assert energy_wh >= counted_wh
        assert load.power_w == pytest.approx(
            sum(u * i for u, i in zip(load.voltages_mv, load.currents_ma, strict=True)) / 1e6
        )
        assert point.lock.locked is False or point.plugged
        counted_wh = energy_wh


@settings(max_examples=40, deadline=None)
@given(happenings=st.lists(_happenings, max_size=15), limit_a=st.integers(6, 63))
def test_a_second_after_a_new_limit_no_phase_carries_more(happenings: list[tuple[str, object]], limit_a: int) -> None:
    bench = WorldBench(world=World.build(connectors=1, now_s=100.0))
    for name, value in happenings:
        _happen(bench, name, value)

    bench.command(limit_a=limit_a)
    bench.wait(1.0)

    assert max(bench.point.load.currents_ma) <= 1000 * bench.point.offered_a <= 1000 * limit_a


@settings(max_examples=40, deadline=None)
@given(happenings=st.lists(_happenings, max_size=15))
def test_three_seconds_after_the_end_of_pwm_nothing_flows(happenings: list[tuple[str, object]]) -> None:
    bench = WorldBench(world=World.build(connectors=1, now_s=100.0))
    for name, value in happenings:
        _happen(bench, name, value)

    bench.command(release=False)
    bench.wait(3.0)

    assert bench.point.load.power_w == 0
    assert bench.point.contactor_closed is bench.point.welded
