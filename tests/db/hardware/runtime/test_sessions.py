"""What happens during a session and at its end."""

import asyncio

from station.domain.authorization import AuthorizationStatus
from station.domain.commands import (
    PresentTag,
    Refusal,
    Reset,
    SetAvailability,
    StartSession,
    Status,
    StopSession,
    UnlockConnector,
)
from station.domain.connector import Phase
from station.domain.faults import FaultCode
from station.domain.ports import LampColour
from station.models import ChargingSession, Connector, LogEntry, OutboxMessage
from station.services.messages import ConfigurationChanged, ProfilesChanged, StartAnswered
from tests.db.hardware.runtime.bench import (
    CARD,
    FRIEND,
    STRANGER,
    ControlLoopBench,
    configure,
    in_virtual_time,
    list_card,
    profile,
)
from tests.fakes import Car


async def stopped(bench: ControlLoopBench) -> dict[str, object]:
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=30)
    return bench.messages("StopTransaction")[0][1]


@in_virtual_time
async def test_a_car_that_pauses_suspends_the_session_and_goes_on(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.outlets[1].set_ready(ready=False)
    await bench.phase("suspended_ev")
    bench.hall.outlets[1].set_ready(ready=True)
    await bench.phase("charging")

    await bench.told("Charging", "SuspendedEV", "Charging")
    assert bench.messages("StopTransaction") == []


@in_virtual_time
async def test_a_car_that_never_wants_energy_suspends_the_session(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug(Car(ready=False))
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await bench.phase("starting")
    await bench.phase("suspended_ev")

    await bench.told("Preparing", "SuspendedEV")


@in_virtual_time
async def test_a_limit_below_six_amperes_pauses_and_never_ends_a_session(bench: ControlLoopBench) -> None:
    await bench.charge()
    profile(5.9)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.phase("suspended_evse")
    await bench.until(lambda: bench.hall.outlets[1].current == 0)
    await asyncio.sleep(30)
    assert bench.hall.outlets[1].current == 0

    profile(10)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.phase("charging")

    await bench.until(lambda: bench.hall.outlets[1].current == 10_000)
    await bench.told("Charging", "SuspendedEVSE", "Charging")
    assert [action for action, _ in bench.messages()] == ["StartTransaction"]


@in_virtual_time
async def test_a_new_limit_reaches_the_car_at_once(bench: ControlLoopBench) -> None:
    await bench.charge()
    asked_s = bench.loop.time()
    configure({"/power/station/mainsMaxCurrent": "13000"})
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.until(lambda: bench.hall.outlets[1].offered == 13_000)

    assert bench.loop.time() - asked_s < 0.25


@in_virtual_time
async def test_a_thin_cable_sets_the_limit(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug(cable=13_000)
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await bench.phase("charging")

    assert bench.hall.outlets[1].offered == 13_000
    assert bench.control_loop.limits.present[1].effective.source == "cable"


@in_virtual_time
async def test_pulling_the_cars_end_stops_the_session_with_the_last_register(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(100)
    outlet = bench.hall.outlets[1]
    outlet.car = None
    outlet._flow(0)
    stop = await stopped(bench)

    assert (stop["reason"], stop["meterStop"]) == ("EVDisconnected", outlet.register_wh)
    await bench.phase("available")
    await bench.told("Charging", "Finishing", "Available")
    told = [m for m in bench.channel_layer.sent if m["type"] == "status.changed" and m["status"] == "Finishing"]
    assert told[0]["info"] == "EV side disconnected"
    assert told[0]["error_code"] == "NoError"


@in_virtual_time
async def test_the_stop_button_ends_the_session(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.outlets[1].button = True
    stop = await stopped(bench)
    bench.hall.outlets[1].button = False

    assert stop["reason"] == "Local"
    assert "idTag" not in stop


@in_virtual_time
async def test_the_stop_button_stops_plug_and_charge_only_where_the_owner_allows_it(bench: ControlLoopBench) -> None:
    configure({"/hw/auth/device/Dummy/enabled": "true", "/auth/identification": "none"})
    configure({"/hw/auth/device/Dummy/allowStop": "false"})
    bench.hall.outlets[1].plug()
    await bench.phase("charging")
    bench.hall.outlets[1].button = True
    await asyncio.sleep(3)
    bench.hall.outlets[1].button = False
    assert bench.control_loop.points[1].state.phase == Phase.CHARGING

    configure({"/hw/auth/device/Dummy/allowStop": "true"})
    await asyncio.sleep(1)
    bench.hall.outlets[1].button = True
    await bench.phase("finishing")


@in_virtual_time
async def test_the_final_register_waits_for_a_car_that_stops_slowly(bench: ControlLoopBench) -> None:
    await bench.charge(ends_s=2.9)
    await asyncio.sleep(30)
    bench.hall.reader.tap(CARD)
    stop = await stopped(bench)
    await asyncio.sleep(5)

    assert stop["meterStop"] == bench.hall.outlets[1].register_wh


@in_virtual_time
async def test_a_card_of_the_same_group_may_stop(bench: ControlLoopBench) -> None:
    list_card("04000001", group="FLEET")
    list_card("04000002", group="fleet")
    await bench.charge(card="04000001")
    bench.hall.reader.tap("04000002")
    stop = await stopped(bench)

    assert (stop["reason"], stop["idTag"]) == ("Local", "04000002")


@in_virtual_time
async def test_another_card_does_not_stop_a_session(bench: ControlLoopBench) -> None:
    await bench.charge()
    outcome = await bench.command(PresentTag(id_tag=FRIEND))

    assert outcome.reason is Refusal.CONNECTOR_OCCUPIED
    assert bench.control_loop.points[1].state.phase == Phase.CHARGING


# --- the backend changes its mind


@in_virtual_time
async def test_a_session_the_backend_refuses_afterwards_is_stopped_and_the_plug_stays_locked(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await bench.start_answered("Invalid")
    stop = await stopped(bench)
    await asyncio.sleep(5)

    assert stop["reason"] == "DeAuthorized"
    assert bench.hall.outlets[1].locked

    bench.hall.reader.tap(CARD)
    await bench.until(lambda: not bench.hall.outlets[1].locked)
    assert ChargingSession.objects.count() == 1


@in_virtual_time
async def test_a_refused_card_draws_nothing_while_the_database_keeps_everybody_waiting(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.database.latency_s = 9.0
    refused = asyncio.create_task(bench.start_answered("Invalid"))
    await bench.until(lambda: bench.hall.outlets[1].current == 0, seconds=5)

    bench.database.latency_s = 0.004
    await refused
    assert (await stopped(bench))["reason"] == "DeAuthorized"


@in_virtual_time
async def test_a_slow_database_costs_a_refused_card_only_time_where_it_may_draw_some_energy(
    bench: ControlLoopBench,
) -> None:
    configure({"MaxEnergyOnInvalidId": "500"})
    await bench.charge()
    bench.database.latency_s = 9.0
    refused = asyncio.create_task(bench.start_answered("Invalid"))
    await bench.until(lambda: bench.hall.outlets[1].current == 0, seconds=5)

    bench.database.latency_s = 0.004
    await refused
    await bench.until(lambda: bench.hall.outlets[1].current > 0, seconds=10)
    assert bench.messages("StopTransaction") == []


@in_virtual_time
async def test_a_refusal_without_a_transaction_id_stops_the_session_too(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.start_answered("Invalid", transaction_id=None)

    assert (await stopped(bench))["reason"] == "DeAuthorized"
    assert bench.hall.outlets[1].current == 0


@in_virtual_time
async def test_a_refusal_without_a_transaction_id_is_found_in_the_tables_when_its_message_was_lost(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    OutboxMessage.objects.filter(kind="session_began").update(
        status="set_aside", last_error="idTagInfo:Blocked, no transactionId: None"
    )

    assert (await stopped(bench))["reason"] == "DeAuthorized"
    assert ChargingSession.objects.get().deauthorized_at is not None


@in_virtual_time
async def test_a_refusal_without_a_transaction_id_leaves_a_known_one_alone(bench: ControlLoopBench) -> None:
    configure({"StopTransactionOnInvalidId": "false"})
    await bench.charge()
    await bench.start_answered()
    await bench.control_loop.informed(
        StartAnswered(
            session_id=ChargingSession.objects.get().pk, transaction_id=None, status=AuthorizationStatus.INVALID
        )
    )
    await bench.phase("suspended_evse")

    assert bench.control_loop.points[1].session.transaction_id == 77


@in_virtual_time
async def test_a_refused_session_goes_on_without_energy_where_the_owner_wants_it(bench: ControlLoopBench) -> None:
    configure({"StopTransactionOnInvalidId": "false"})
    await bench.charge()
    await bench.start_answered("Blocked")
    await bench.phase("suspended_evse")
    await asyncio.sleep(30)

    assert bench.messages("StopTransaction") == []
    assert bench.hall.outlets[1].current == 0
    assert bench.control_loop.points[1].session.suspended

    await bench.kill()
    await bench.start()
    assert bench.control_loop.points[1].session.suspended
    await asyncio.sleep(10)
    assert bench.hall.outlets[1].current == 0


@in_virtual_time
async def test_a_refused_session_may_draw_the_energy_it_is_allowed(bench: ControlLoopBench) -> None:
    configure({"MaxEnergyOnInvalidId": "500"})
    await bench.charge()
    await bench.start_answered("Invalid")
    await asyncio.sleep(5)
    assert bench.control_loop.points[1].state.phase == Phase.CHARGING
    await bench.phase("finishing", seconds=200)
    await stopped(bench)

    session = ChargingSession.objects.get()
    # 22 kW are 6 Wh a second, and the meter is read once a second.
    assert 500 <= session.meter_stop_wh - session.meter_start_wh <= 520
    assert session.stop_reason == "DeAuthorized"


@in_virtual_time
async def test_another_drivers_session_is_not_unlocked_by_the_card_of_a_refused_one(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.start_answered("Invalid")
    await stopped(bench)
    bench.hall.reader.tap(FRIEND)
    await bench.phase("charging")
    await asyncio.sleep(2)
    bench.hall.reader.tap(CARD)
    await asyncio.sleep(2)

    assert bench.hall.outlets[1].locked
    assert bench.control_loop.points[1].state.phase == Phase.CHARGING


@in_virtual_time
async def test_a_parent_told_by_the_backend_lets_the_group_stop(bench: ControlLoopBench) -> None:
    list_card("04000002", group="FLEET")
    await bench.charge()
    await bench.start_answered(parent="FLEET")
    bench.hall.reader.tap("04000002")

    assert (await stopped(bench))["idTag"] == "04000002"


# --- lock


@in_virtual_time
async def test_a_jammed_lock_never_gets_energy(bench: ControlLoopBench) -> None:
    outlet = bench.hall.outlets[1]
    outlet.bolt_jammed = True
    outlet.plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: FaultCode.CONNECTOR_LOCK_FAILURE in bench.control_loop.points[1].active_faults)
    await asyncio.sleep(5)

    assert not outlet.released
    assert all(current == 0 for _, current, _ in outlet.history)
    await bench.told("Faulted")
    assert bench.hall.io.lamps[1].blinks == 5

    outlet.bolt_jammed = False
    await bench.phase("charging")


@in_virtual_time
async def test_a_jammed_lock_is_never_even_released_to(bench: ControlLoopBench) -> None:
    outlet = bench.hall.outlets[1]
    released = []
    settle = outlet.settle

    def watch() -> None:
        released.append(outlet.released)
        settle()

    outlet.settle = watch
    outlet.bolt_jammed = True
    outlet.plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await asyncio.sleep(5)

    assert True not in released


@in_virtual_time
async def test_unlocking_ends_the_session_first(bench: ControlLoopBench) -> None:
    await bench.charge()
    outcome = await bench.command(UnlockConnector(connector_id=1))

    assert outcome.status is Status.UNLOCKED
    assert not bench.hall.outlets[1].locked
    assert (await stopped(bench))["reason"] == "UnlockCommand"


@in_virtual_time
async def test_unlocking_without_a_session(bench: ControlLoopBench) -> None:
    assert (await bench.command(UnlockConnector(connector_id=1))).status is Status.UNLOCKED
    assert (await bench.command(UnlockConnector(connector_id=2))).status is Status.NOT_SUPPORTED
    assert bench.messages() == []


@in_virtual_time
async def test_a_plug_that_cannot_be_unlocked_is_told(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.outlets[1].bolt_jammed = True
    bench.hall.outlets[1].lock_at_s = bench.loop.time()
    outcome = await bench.command(UnlockConnector(connector_id=1), life_s=30)

    assert outcome.status is Status.UNLOCK_FAILED
    await bench.told("Faulted")


# --- faults


@in_virtual_time
async def test_a_fault_withdraws_energy_and_its_end_gives_it_back(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.outlets[1].faults.add(FaultCode.GROUND_FAILURE)
    began_s = bench.loop.time()
    await bench.until(lambda: bench.hall.outlets[1].current == 0)
    assert bench.loop.time() - began_s < 2
    await bench.told("Charging", "Faulted")
    assert bench.hall.io.lamps[1] == type(bench.hall.io.lamps[1])(colour=LampColour.RED, blinks=4)

    bench.hall.outlets[1].faults.clear()
    await bench.phase("charging")
    await bench.told("Charging")
    assert bench.messages("StopTransaction") == []
    entry = LogEntry.objects.get(code="fault.GroundFailure")
    assert entry.cleared_at is not None


@in_virtual_time
async def test_a_fault_that_stays_ends_the_session(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.outlets[1].faults.add(FaultCode.GROUND_FAILURE)
    await asyncio.sleep(55)
    assert bench.messages("StopTransaction") == []
    await asyncio.sleep(15)

    assert (await stopped(bench))["reason"] == "Other"
    assert not bench.hall.outlets[1].locked


@in_virtual_time
async def test_a_faulted_point_takes_no_card(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].faults.add(FaultCode.OVER_CURRENT_FAILURE)
    await bench.told("Faulted")

    assert (await bench.command(PresentTag(id_tag=CARD))).reason is Refusal.CONNECTOR_FAULTED
    assert (await bench.command(StartSession(id_tag=CARD, connector_id=1))).reason is Refusal.CONNECTOR_FAULTED


@in_virtual_time
async def test_a_controller_that_falls_silent_is_a_fault_and_comes_back(bench: ControlLoopBench) -> None:
    bench.hall.controllers[1].silent = True
    await bench.until(lambda: bench.control_loop.points[1].blocked)
    await bench.told("Faulted")
    assert Connector.objects.get(number=1).vendor_error_code == "EVSECommunicationError"

    bench.hall.controllers[1].silent = False
    await bench.until(lambda: not bench.control_loop.points[1].blocked)
    await bench.told("Faulted", "Available")


@in_virtual_time
async def test_a_meter_that_falls_silent_pauses_the_session(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.meters[1].silent = True
    await bench.phase("suspended_evse")
    bench.hall.meters[1].silent = False
    await bench.phase("charging")


@in_virtual_time
async def test_without_a_meter_value_no_session_begins(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.meters[1].silent = True
    bench.control_loop.points[1]._meter.reading = None
    outcome = await bench.command(PresentTag(id_tag=CARD))

    assert not outcome.succeeded
    assert not ChargingSession.objects.exists()
    assert not bench.hall.outlets[1].released


@in_virtual_time
async def test_a_welded_contactor_is_found_by_its_current(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.outlets[1].welded = True
    outlet = bench.hall.outlets[1]
    outlet.target = lambda: 10_000
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: FaultCode.POWER_SWITCH_FAILURE in bench.control_loop.points[1].active_faults)
    await asyncio.sleep(60)
    # What flows is somebody's: the books stay open.
    assert not bench.messages("StopTransaction")
    await bench.told("Faulted")

    outlet.unplug()
    assert (await stopped(bench))["meterStop"] == outlet.register_wh
    await bench.until(lambda: not bench.control_loop.points[1].active_faults)


@in_virtual_time
async def test_a_car_that_stops_as_late_as_the_standard_allows_is_no_welded_contactor(bench: ControlLoopBench) -> None:
    await bench.charge(ends_s=5.9)
    bench.hall.reader.tap(CARD)
    for _ in range(100):
        await asyncio.sleep(0.1)
        assert not bench.control_loop.points[1].active_faults
    assert (await stopped(bench))["meterStop"] == bench.hall.outlets[1].register_wh


@in_virtual_time
async def test_a_station_fault_at_an_input_blocks_every_point(bench: ControlLoopBench) -> None:
    bench.hall.io.faults = {0: frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE})}
    await bench.until(lambda: bench.control_loop.state.blocked)

    assert (await bench.command(PresentTag(id_tag=CARD))).reason is Refusal.CONNECTOR_FAULTED
    assert bench.not_ready() == ["station_faulted"]
    await bench.told("Faulted", number=0)

    bench.hall.io.faults = {}
    await bench.until(lambda: not bench.not_ready())


@in_virtual_time
async def test_a_signal_that_is_weak_for_a_minute_is_a_warning_until_it_is_better_for_a_minute(
    bench: ControlLoopBench,
) -> None:
    computer = bench.hall.computer
    told = []
    for signal, lasts_s in ((19, 55), (19, 10), (25, 120), (31, 55), (31, 10)):
        computer.signal = signal
        await asyncio.sleep(lasts_s)
        told.append(FaultCode.WEAK_SIGNAL in bench.control_loop.state.active_faults)

    assert told == [False, True, True, True, False]
    assert bench.not_ready() == []


@in_virtual_time
async def test_a_silent_reader_is_a_warning(bench: ControlLoopBench) -> None:
    bench.hall.reader.silent = True
    await bench.until(lambda: FaultCode.READER_FAILURE in bench.control_loop.state.active_faults)
    assert (await bench.command(PresentTag(id_tag=CARD))).succeeded

    bench.hall.reader.silent = False
    await bench.until(lambda: not bench.control_loop.state.active_faults)


# --- availability


@in_virtual_time
async def test_out_of_service_and_back(bench: ControlLoopBench) -> None:
    assert (await bench.command(SetAvailability(connector_id=1, operative=False))).status is Status.ACCEPTED
    await bench.told("Unavailable")
    assert not bench.hall.outlets[1].available
    assert (await bench.command(PresentTag(id_tag=CARD))).reason is Refusal.CONNECTOR_UNAVAILABLE

    assert (await bench.command(SetAvailability(connector_id=1, operative=True))).status is Status.ACCEPTED
    await bench.told("Unavailable", "Available")
    assert bench.hall.outlets[1].available


@in_virtual_time
async def test_out_of_service_waits_for_the_session_without_an_available_between(bench: ControlLoopBench) -> None:
    await bench.charge()
    assert (await bench.command(SetAvailability(connector_id=1, operative=False))).status is Status.SCHEDULED
    await asyncio.sleep(5)
    assert bench.control_loop.points[1].state.phase == Phase.CHARGING
    bench.hall.outlets[1].lock_commanded = True
    bench.hall.outlets[1].unplug()
    await bench.until(lambda: not bench.hall.outlets[1].available)
    await asyncio.sleep(5)

    assert "Available" not in bench.statuses()[bench.statuses().index("Charging") :]
    assert bench.statuses()[-1] == "Unavailable"


@in_virtual_time
async def test_a_scheduled_change_survives_a_restart(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.command(SetAvailability(connector_id=0, operative=False))
    await bench.kill()
    await bench.start()
    assert bench.control_loop.points[1].scheduled_operative is False
    assert bench.control_loop.state.operative is False
    await bench.command(StopSession(connector_id=1))
    await bench.until(lambda: not bench.hall.outlets[1].available)

    row = Connector.objects.get(number=1)
    await bench.told("Unavailable")
    row.refresh_from_db()
    assert (row.operative, row.scheduled_operative) == (False, None)


@in_virtual_time
async def test_a_scheduled_change_can_be_taken_back(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.command(SetAvailability(connector_id=1, operative=False))
    assert (await bench.command(SetAvailability(connector_id=1, operative=True))).status is Status.ACCEPTED
    await bench.command(StopSession(connector_id=1))
    await stopped(bench)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")

    assert Connector.objects.get(number=1).operative


@in_virtual_time
async def test_a_waiting_card_is_sent_away_when_the_point_goes_out_of_service(bench: ControlLoopBench) -> None:
    await bench.command(PresentTag(id_tag=CARD))
    await bench.phase("authorized")
    await bench.command(SetAvailability(connector_id=1, operative=False))

    assert bench.control_loop.points[1].state.phase == Phase.AVAILABLE
    await bench.told("Unavailable")


@in_virtual_time
async def test_a_stranger_at_a_busy_station_changes_nothing(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.reader.tap(STRANGER)
    await asyncio.sleep(3)

    assert bench.control_loop.points[1].state.phase == Phase.CHARGING


@in_virtual_time
async def test_9_1_22_a_restart_that_fails_is_tried_again_before_it_is_reported(bench: ControlLoopBench) -> None:
    configure({"ResetRetries": "2"})
    bench.hall.computer.refuses = True
    await bench.command(Reset(hard=False))
    await bench.until(lambda: FaultCode.RESET_FAILURE in bench.control_loop.state.active_faults, seconds=30)
    assert LogEntry.objects.filter(code="station.restart.failed").count() == 3

    await bench.command(Reset(hard=True))
    await bench.until(lambda: LogEntry.objects.filter(code="station.restart.failed").count() == 4)
    bench.hall.computer.refuses = False

    await bench.until(lambda: bench.hall.computer.restarts == ["computer"], seconds=10)
    assert FaultCode.RESET_FAILURE not in bench.control_loop.state.active_faults
