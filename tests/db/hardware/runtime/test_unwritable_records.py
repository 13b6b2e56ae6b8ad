"""A database that cannot be written: no energy without a record, and no end of a session is ever lost."""

import asyncio

import pytest

from station.domain.commands import PresentTag, Refusal, StartSession, StopSession
from station.domain.connector import Phase
from station.domain.faults import FaultCode
from station.models import ChargingSession
from station.services import write_probe
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


def everything(_verb: str) -> bool:
    return True


NEEDS_ROOM = {
    "begin_session",
    "request_stop",
    "end_session",
    "record_meter_values",
    "note_meter",
    "store_status",
    "store_availability",
    "log",
}


class Room:
    """The room on the disk. Without it small writes find their place in the log, and the rows of a session none."""

    def __init__(self, bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch) -> None:
        self._bench = bench
        self._is_full = False
        monkeypatch.setattr(write_probe, "is_short_of_room", lambda: self._is_full)

    def fill(self) -> None:
        self._is_full, self._bench.database.refuses = True, lambda verb: verb in NEEDS_ROOM

    def free(self) -> None:
        self._is_full, self._bench.database.refuses = False, None


@pytest.fixture
def room(bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(bench, monkeypatch)


@in_virtual_time
async def test_a_session_that_cannot_be_written_gets_no_energy(bench: ControlLoopBench) -> None:
    outlet = bench.hall.outlets[1]
    outlet.plug()
    await bench.phase("plugged")
    bench.database.refuses = lambda verb: verb == "begin_session"
    outcome = await bench.command(PresentTag(id_tag=CARD))

    assert not outcome.succeeded
    assert outcome.reason is Refusal.RECORDS_UNWRITABLE
    assert all(current == 0 for _, current, _ in outlet.history)
    assert not outlet.released
    assert bench.control_loop.points[1].session is None
    assert bench.messages() == []


@in_virtual_time
async def test_the_station_takes_cards_again_when_records_can_be_written(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.database.refuses = lambda verb: verb in {"begin_session", "log", "write"}
    await bench.command(PresentTag(id_tag=CARD))
    await asyncio.sleep(3)
    assert FaultCode.REGULATORY_COMPLIANCE_FAILURE in bench.control_loop.state.active_faults
    assert "records_unwritable" in bench.not_ready()

    bench.database.refuses = None
    await bench.until(lambda: not bench.not_ready())
    assert (await bench.command(PresentTag(id_tag=CARD))).succeeded
    await bench.phase("charging")


@in_virtual_time
async def test_an_end_that_cannot_be_written_is_written_later_with_the_true_moment_and_register(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await asyncio.sleep(60)
    bench.database.refuses = everything
    bench.hall.reader.tap(CARD)
    await bench.phase("finishing")
    ended = bench.clock.now()
    await asyncio.sleep(40)
    assert not bench.messages("StopTransaction")
    assert bench.hall.outlets[1].current == 0

    bench.database.refuses = None
    await bench.until(lambda: bench.messages("StopTransaction"))

    session = ChargingSession.objects.get()
    assert abs((session.stopped_at - ended).total_seconds()) < 1
    assert session.meter_stop_wh == bench.hall.outlets[1].register_wh
    assert len(bench.messages("StopTransaction")) == 1


@in_virtual_time
async def test_a_driver_can_leave_while_the_end_cannot_be_written(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.database.refuses = everything
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: not bench.hall.outlets[1].bolt_in)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await asyncio.sleep(5)
    bench.database.refuses = None
    await bench.until(lambda: bench.messages("StopTransaction"))
    await asyncio.sleep(5)

    assert len(bench.messages("StopTransaction")) == 1
    assert bench.messages("StopTransaction")[0][1]["meterStop"] == bench.hall.outlets[1].register_wh


@in_virtual_time
async def test_a_stop_that_cannot_be_written_does_not_hold_up_the_other_point(bench: ControlLoopBench) -> None:
    await bench.charge(1, card=CARD)
    await bench.charge(2, card=FRIEND)
    bench.database.refuses = everything
    await bench.command(StopSession(connector_id=1))
    await bench.phase("finishing", 1)
    # Unwritable records are a fault of the whole station: nobody may draw energy that cannot be written down.
    await bench.until(lambda: bench.hall.outlets[2].current == 0)

    bench.database.refuses = None
    await bench.until(lambda: bench.messages("StopTransaction"))
    await bench.phase("charging", 2)


@in_virtual_time
async def test_a_session_ends_when_records_stay_unwritable(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    bench.database.refuses = everything
    await asyncio.sleep(15)
    assert bench.hall.outlets[1].current == 0
    await asyncio.sleep(80)
    assert bench.control_loop.points[1].state.phase == Phase.FINISHING
    assert not bench.hall.outlets[1].bolt_in

    bench.database.refuses = None
    await bench.until(lambda: bench.messages("StopTransaction"))
    assert bench.messages("StopTransaction")[0][1]["reason"] == "Other"


@in_virtual_time
async def test_a_full_disk_withdraws_energy_and_ends_the_session_although_small_writes_succeed(
    bench: ControlLoopBench, room: Room
) -> None:
    await bench.charge()
    room.fill()
    await asyncio.sleep(15)
    assert bench.hall.outlets[1].current == 0
    assert "records_unwritable" in bench.not_ready()
    assert FaultCode.REGULATORY_COMPLIANCE_FAILURE in bench.control_loop.state.active_faults
    register_wh = bench.hall.outlets[1].register_wh
    await asyncio.sleep(80)
    assert bench.control_loop.points[1].state.phase == Phase.FINISHING
    assert not bench.hall.outlets[1].bolt_in
    assert not bench.messages("StopTransaction")

    room.free()
    await bench.until(lambda: bench.messages("StopTransaction"))
    _, stop = bench.messages("StopTransaction")[0]
    assert (stop["reason"], stop["meterStop"]) == ("Other", register_wh)
    await bench.until(lambda: not bench.not_ready())
    assert not bench.control_loop.state.active_faults
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await bench.charge()


@pytest.mark.parametrize("seconds", [5, 30])
@in_virtual_time
async def test_a_disk_that_is_full_for_a_moment_ends_no_session(
    bench: ControlLoopBench, room: Room, seconds: float
) -> None:
    await bench.charge()
    room.fill()
    await asyncio.sleep(seconds)
    room.free()
    await bench.until(lambda: bench.hall.outlets[1].current > 0)

    assert not bench.messages("StopTransaction")
    assert not bench.not_ready()


@in_virtual_time
async def test_a_stop_that_could_not_be_written_is_not_undone_by_a_restart(bench: ControlLoopBench, room: Room) -> None:
    await bench.charge()
    outlet = bench.hall.outlets[1]
    room.fill()
    bench.hall.reader.tap(CARD)
    await bench.phase("finishing")
    register_wh = outlet.register_wh
    await bench.kill()
    stopped_s = bench.loop.time()
    await bench.start(wait=False)
    await asyncio.sleep(12)
    assert all(current == 0 for moment, current, _ in outlet.history if moment > stopped_s)

    # Nor when there is room again: nobody knows that the card has said goodbye, but it may have.
    room.free()
    await bench.until(lambda: bench.messages("StopTransaction"))
    assert bench.messages("StopTransaction")[0][1]["meterStop"] == register_wh
    await asyncio.sleep(10)
    assert all(current == 0 for moment, current, _ in outlet.history if moment > stopped_s)


@in_virtual_time
async def test_a_session_that_charges_over_a_restart_pauses_until_records_can_be_written(
    bench: ControlLoopBench, room: Room
) -> None:
    await bench.charge()
    await bench.kill()
    room.fill()
    await bench.start()
    await bench.until(lambda: bench.hall.outlets[1].current == 0, seconds=5)
    assert "records_unwritable" in bench.not_ready()

    room.free()
    await bench.phase("charging")
    assert not bench.messages("StopTransaction")


@in_virtual_time
async def test_energy_is_off_in_time_when_a_control_loop_begins_with_a_locked_database(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.kill()
    bench.database.refuses, bench.database.refuses_after_s = lambda verb: verb in NEEDS_ROOM | {"write"}, 10.0
    await bench.start(wait=False)
    # docs/architecture.md, “What happens when”: a locked database.
    await bench.until(lambda: bench.hall.outlets[1].current == 0, seconds=25)

    bench.database.refuses = None
    await bench.phase("charging", seconds=60)
    assert not bench.messages("StopTransaction")


@in_virtual_time
async def test_a_card_that_cannot_be_looked_up_is_refused(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.database.refuses = everything
    outcome = await bench.command(PresentTag(id_tag=CARD))
    assert outcome.reason is Refusal.RECORDS_UNWRITABLE

    bench.database.refuses = None
    await bench.until(lambda: not bench.not_ready())
    assert (await bench.command(PresentTag(id_tag=CARD))).succeeded


@in_virtual_time
async def test_a_card_at_the_reader_is_refused_when_it_cannot_be_looked_up(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.database.refuses = everything
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: "refused" in bench.hall.reader.signals)


@in_virtual_time
async def test_the_same_card_ends_its_session_without_a_database(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.database.refuses = everything
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.hall.outlets[1].current == 0, seconds=3)


@pytest.mark.parametrize("seconds", [0.2, 3, 90])
@in_virtual_time
async def test_the_control_loop_survives_a_database_that_is_away_for_a_while(
    bench: ControlLoopBench, seconds: float
) -> None:
    from tests.db.hardware.runtime.test_two_points import reserve

    await bench.command(reserve(bench, 7, 2, FRIEND, seconds=1))
    await bench.command(StartSession(id_tag=CARD, connector_id=1))
    bench.hall.outlets[1].plug()
    await bench.phase("charging")
    bench.database.refuses = everything
    await bench.start_answered("Invalid")
    bench.hall.outlets[2].plug()
    await asyncio.sleep(seconds)
    bench.hall.outlets[1].unplug()
    await asyncio.sleep(seconds)
    bench.database.refuses = None

    await bench.until(lambda: bench.messages("StopTransaction"), seconds=60)
    await bench.until(lambda: not bench.not_ready())
    assert len(bench.messages("StartTransaction")) == len(bench.messages("StopTransaction")) == 1


@in_virtual_time
async def test_one_failed_write_is_no_fault_of_the_station(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.database.refuses = lambda verb: verb == "note_meter"
    await asyncio.sleep(30)

    assert not bench.control_loop.state.active_faults
    assert bench.control_loop.points[1].state.phase == "charging"


@in_virtual_time
async def test_a_session_does_not_begin_without_a_meter_and_only_that_point_is_out_of_order(
    bench: ControlLoopBench,
) -> None:
    bench.hall.meters[1].silent = True
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    # The register of before is too old to begin with.
    await asyncio.sleep(6)
    outcome = await bench.command(PresentTag(id_tag=CARD, connector_id=1))

    assert outcome.reason in {Refusal.METER_UNREADABLE, Refusal.CONNECTOR_FAULTED}
    assert not ChargingSession.objects.exists()
    assert not bench.control_loop.state.active_faults
    assert FaultCode.POWER_METER_FAILURE in bench.control_loop.points[1].active_faults


@in_virtual_time
async def test_a_register_that_jumps_is_never_billed(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(30)
    outlet = bench.hall.outlets[1]
    before = outlet.register_wh
    outlet.energy_wh += 997_643_000
    await bench.until(lambda: FaultCode.POWER_METER_FAILURE in bench.control_loop.points[1].active_faults)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=60)

    assert before - 100 <= bench.messages("StopTransaction")[0][1]["meterStop"] <= before + 100


@in_virtual_time
async def test_statuses_are_told_while_they_cannot_be_written_and_later_ones_count_on(
    bench: ControlLoopBench, room: Room
) -> None:
    def told(number: int) -> list[tuple[int, str]]:
        """Return what the OCPP process passes on: it takes a higher revision only."""
        taken: list[tuple[int, str]] = []
        for each in bench.channel_layer.sent:
            is_of_it = each["type"] == "status.changed" and each["connector_id"] == number
            if is_of_it and (not taken or each["revision"] > taken[-1][0]):
                taken.append((each["revision"], each["status"]))
        return taken

    await bench.charge()
    room.fill()
    await asyncio.sleep(15)
    assert told(0)[-1][1] == "Faulted"
    assert told(1)[-1][1] == "SuspendedEVSE"
    await bench.kill()
    room.free()
    await bench.start()
    await bench.phase("charging")
    await bench.until(lambda: told(0)[-1][1] == "Available")
    await bench.until(lambda: told(1)[-1][1] == "Charging")
    room.fill()
    await bench.until(lambda: told(0)[-1][1] == "Faulted")
    room.free()
    await bench.until(lambda: told(0)[-1][1] == "Available")
    await bench.until(lambda: told(1)[-1][1] == "Charging")
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: told(1)[-1][1] == "Finishing")


@in_virtual_time
async def test_a_database_that_keeps_the_control_loop_waiting_is_told_to_monitoring(bench: ControlLoopBench) -> None:
    await bench.until(lambda: bench.not_ready() == [])
    bench.database.latency_s = 25.0
    bench.hall.outlets[1].plug()
    await bench.until(lambda: bench.not_ready() == ["records_waiting"], seconds=8)

    bench.database.latency_s = 0.004
    await bench.until(lambda: bench.not_ready() == [], seconds=60)


@in_virtual_time
async def test_monitoring_hears_of_a_refused_write_until_one_succeeds(bench: ControlLoopBench) -> None:
    await bench.until(lambda: bench.not_ready() == [])
    bench.database.refuses = lambda verb: verb in {"begin_session", "log", "write"}
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    await bench.command(PresentTag(id_tag=CARD))
    assert bench.not_ready() == ["records_waiting"]
    bench.database.refuses = None
    await bench.until(lambda: bench.not_ready() == [], seconds=5)
