"""The software dies at any moment: every session goes on or is closed, once, and energy is not interrupted for it."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from station import clock
from station.domain.authorization import AuthorizationStatus
from station.domain.commands import PresentTag, StopSession
from station.domain.connector import Phase
from station.domain.moments import from_wire
from station.domain.stamps import Stamp
from station.models import ChargingSession, Connector, LogEntry, OutboxMessage
from station.services.messages import ConfigurationChanged, StartAnswered
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, configure, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


@in_virtual_time
async def test_a_session_goes_on_after_a_restart_of_the_software(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(20)
    await bench.kill()
    await asyncio.sleep(3)
    told = len(bench.channel_layer.sent)
    began_s = bench.loop.time()
    outlet, commands = bench.hall.outlets[1], []
    settle = outlet.settle

    def watched_settle() -> None:
        commands.append((outlet.released, outlet.offered, outlet.lock_commanded))
        settle()

    outlet.settle = watched_settle
    await bench.start()
    await asyncio.sleep(10)

    assert bench.control_loop.points[1].state.phase == Phase.CHARGING
    assert ChargingSession.objects.get().stopped_at is None
    # The car has not noticed anything.
    assert set(commands) <= {(True, 32_000, True)}
    assert all(current == 32_000 for moment, current, _ in bench.hall.outlets[1].history if moment > began_s - 3)
    statuses = [m["status"] for m in bench.channel_layer.sent[told:] if m.get("connector_id") == 1]
    assert set(statuses) <= {"Charging"}

    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))
    assert bench.messages("StopTransaction")[0][1]["meterStop"] == bench.hall.outlets[1].register_wh


@in_virtual_time
async def test_a_paused_session_stays_paused_or_goes_on(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.outlets[1].set_ready(ready=False)
    await bench.phase("suspended_ev")
    await bench.kill()
    await bench.start()
    assert bench.control_loop.points[1].state.phase == Phase.SUSPENDED_EV
    bench.hall.outlets[1].set_ready(ready=True)
    await bench.phase("charging")


@in_virtual_time
async def test_a_car_that_left_meanwhile_closes_its_session_with_the_true_register(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(17)
    await bench.kill()
    await asyncio.sleep(3)
    bench.hall.outlets[1].unplug()
    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"))
    await asyncio.sleep(2)

    _, stop = bench.messages("StopTransaction")[0]
    assert (stop["reason"], stop["meterStop"]) == ("PowerLoss", bench.hall.outlets[1].register_wh)
    assert not bench.hall.outlets[1].released
    assert not bench.hall.outlets[1].bolt_in
    assert bench.control_loop.points[1].state.phase == Phase.AVAILABLE


@in_virtual_time
async def test_after_a_power_cut_no_session_goes_on(bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.charge()
    await asyncio.sleep(17)
    await bench.kill()
    monkeypatch.setattr(clock, "boot_id", lambda: "another boot")
    outlet = bench.hall.outlets[1]
    outlet.released, outlet.lock_commanded = False, False
    outlet.settle()
    await asyncio.sleep(3)
    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"))

    _, stop = bench.messages("StopTransaction")[0]
    assert (stop["reason"], stop["meterStop"]) == ("PowerLoss", outlet.register_wh)
    assert ChargingSession.objects.running().count() == 0


def cut_power(bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, *, boot: str = "another boot") -> None:
    """Let the computer have been started anew: another boot, whose steady time begins now; boards release nothing."""
    began_s = clock.monotonic_s()

    def stamp() -> Stamp:
        return Stamp(at=clock.now(), boot_id=boot, steady_ms=round((clock.monotonic_s() - began_s) * 1000))

    monkeypatch.setattr(clock, "boot_id", lambda: boot)
    monkeypatch.setattr(clock, "stamp", stamp)
    for outlet in bench.hall.outlets.values():
        outlet.released, outlet.lock_commanded = False, False
        outlet.settle()


@pytest.mark.parametrize("lived_s", [0.0, 0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("refused", [(), ("request_stop", "end_session")])
@in_virtual_time
async def test_killed_soon_after_a_boot_what_the_power_cut_ended_is_not_taken_up_by_the_next_start(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, lived_s: float, refused: tuple[str, ...]
) -> None:
    await bench.charge()
    await asyncio.sleep(17)
    await bench.kill()
    alive_until = bench.clock.now()
    cut_power(bench, monkeypatch)
    await asyncio.sleep(3)
    bench.database.refuses = refused.__contains__
    await bench.start(wait=False)
    # The devices answer within half a second; only then sessions are decided about.
    await asyncio.sleep(lived_s)
    await bench.kill()
    bench.database.refuses = None
    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"))

    [(_, stop)] = bench.messages("StopTransaction")
    assert (stop["reason"], stop["meterStop"]) == ("PowerLoss", bench.hall.outlets[1].register_wh)
    assert from_wire(stop["timestamp"]) <= alive_until
    assert not bench.hall.outlets[1].released


@in_virtual_time
async def test_a_stop_is_not_written_twice(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))
    await bench.kill()
    await bench.start()
    await asyncio.sleep(5)

    assert len(bench.messages("StopTransaction")) == 1


@in_virtual_time
async def test_nobody_is_served_before_the_past_is_settled(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.kill()
    await bench.start(wait=False)
    outcome, _ = await asyncio.gather(
        bench.command(PresentTag(id_tag=FRIEND, connector_id=1)),
        bench.until(lambda: bench.control_loop.state.recovered),
    )
    await asyncio.sleep(5)

    assert not outcome.succeeded
    assert bench.control_loop.points[1].state.phase == Phase.CHARGING
    assert not bench.control_loop.records.failed


@in_virtual_time
async def test_a_car_that_stayed_plugged_in_is_never_told_as_a_free_point(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.told("Preparing")
    await bench.kill()
    told = len(bench.channel_layer.sent)
    await bench.start(wait=False)
    await bench.until(lambda: "starting" not in bench.not_ready())

    row = Connector.objects.get(number=1)
    assert row.status == "Preparing"
    await asyncio.sleep(3)
    assert {m["status"] for m in bench.channel_layer.sent[told:] if m.get("connector_id") == 1} <= {"Preparing"}


@in_virtual_time
async def test_silent_devices_do_not_stop_the_start_of_the_station(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.kill()
    bench.hall.controllers[1].silent = bench.hall.meters[1].silent = True
    await bench.start(wait=False)
    await bench.until(lambda: bench.control_loop.state.recovered, seconds=30)

    # Nobody knows whether current flows there, so that session is not closed yet; the other point serves.
    assert not bench.messages("StopTransaction")
    await bench.charge(2, card=FRIEND)
    bench.hall.controllers[1].silent = bench.hall.meters[1].silent = False
    await bench.until(lambda: not bench.hall.outlets[1].released)
    await bench.until(lambda: len(bench.messages("StopTransaction")) == 1)


@in_virtual_time
async def test_a_restart_while_the_other_point_is_free_does_not_overload_the_fuse(bench: ControlLoopBench) -> None:
    from tests.db.hardware.runtime.bench import configure

    configure({"/power/station/mainsMaxCurrent": "32000"})
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, follows_s=4.8)
    await bench.kill()
    bench.hall.outlets[2].plug()
    await bench.start(wait=False)
    bench.hall.reader.tap(FRIEND, seconds=2)
    await bench.until(lambda: bench.hall.outlets[2].current > 0, seconds=40)

    assert bench.hall.highest_sum() <= 32_000


@pytest.mark.parametrize("seed", range(12))
@in_virtual_time
async def test_killed_at_any_moment_the_books_are_right(bench: ControlLoopBench, seed: int) -> None:
    dice = random.Random(seed)
    sessions = 0
    for _ in range(6):
        number = dice.choice([1, 2])
        outlet = bench.hall.outlets[number]

        async def driver(outlet=outlet, number=number) -> None:
            # A driver tries like a person: plugs in, shows the card, waits, shows it again, leaves.
            if outlet.car is None:
                outlet.plug()
            await asyncio.sleep(dice.uniform(0.2, 1.5))
            bench.hall.reader.tap(CARD if number == 1 else FRIEND)
            await asyncio.sleep(dice.uniform(1, 12))
            bench.hall.reader.tap(CARD if number == 1 else FRIEND)
            await asyncio.sleep(dice.uniform(0.5, 3))
            outlet.unplug()

        acting = asyncio.ensure_future(driver())
        await asyncio.sleep(dice.uniform(0.0, 18.0))
        acting.cancel()
        await bench.kill()
        await asyncio.sleep(dice.uniform(0.1, 3.0))
        await bench.start()
        sessions = ChargingSession.objects.count()
    for number in bench.control_loop.points:
        await bench.command(StopSession(connector_id=number))
    await bench.until(lambda: not ChargingSession.objects.running().exists(), seconds=30)

    assert len(bench.messages("StartTransaction")) == len(bench.messages("StopTransaction"))
    assert len(bench.messages("StartTransaction")) >= sessions > 0
    for number in bench.control_loop.points:
        books = ChargingSession.objects.on(number).order_by("id")
        registers = [value for row in books for value in (row.meter_start_wh, row.meter_stop_wh or 0)]
        assert registers == sorted(registers)
        # No energy outside the sessions: what the meter counted is in the books, give or take a Wh for each.
        assert sum(row.meter_stop_wh - row.meter_start_wh for row in books) == pytest.approx(
            bench.hall.outlets[number].register_wh - 5_000, abs=1 + len(books)
        )


@in_virtual_time
async def test_a_session_that_cannot_be_recovered_keeps_its_own_point_from_working_and_no_other(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.charge(1)
    await bench.kill()
    before = ChargingSession.objects.values().get()
    with monkeypatch.context() as patch:
        patch.setattr("hardware.runtime.recovery.RunningSession.of", _cannot_be_read)
        await bench.start()
    await bench.until(lambda: Connector.objects.get(number=1).status == "Faulted")

    assert Connector.objects.get(number=1).error_code == "InternalError"
    assert not bench.hall.outlets[1].released
    assert ChargingSession.objects.values().get() == before
    assert LogEntry.objects.get(code="session.not_recovered").connector_id == 1
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    assert (await bench.command(PresentTag(id_tag=FRIEND, connector_id=2))).succeeded
    await bench.phase("charging", 2)


def _cannot_be_read(_row: ChargingSession) -> None:
    raise ValueError


@in_virtual_time
async def test_a_silent_meter_after_a_restart_bills_what_was_written_down_and_not_nothing(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await asyncio.sleep(600)
    noted = ChargingSession.objects.get().meter_last_wh
    assert noted > 8_000
    await bench.kill()
    bench.hall.meters[1].silent = True
    await bench.start()
    await asyncio.sleep(90)
    bench.hall.reader.tap(CARD)
    _, stop = (await bench.until(lambda: bench.messages("StopTransaction"), seconds=100))[0]

    assert stop["meterStop"] >= noted
    row = ChargingSession.objects.get()
    assert row.meter_stop_wh == row.meter_last_wh == stop["meterStop"]
    ends = [each for each in stop["transactionData"][-1]["sampledValue"] if "Register" in each["measurand"]]
    assert [each["value"] for each in ends] == [str(stop["meterStop"])]


@in_virtual_time
async def test_a_meter_that_was_exchanged_does_not_end_the_session_with_its_own_register(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await asyncio.sleep(60)
    meter, outlet = bench.hall.meters[1], bench.hall.outlets[1]
    meter.silent = True
    await asyncio.sleep(30)
    told = ChargingSession.objects.get().meter_last_wh
    meter.silent, meter.exchanged = False, True
    outlet.energy_wh += 900_000
    await asyncio.sleep(30)
    bench.hall.reader.tap(CARD)
    _, stop = (await bench.until(lambda: bench.messages("StopTransaction"), seconds=100))[0]

    assert stop["meterStop"] == told


@in_virtual_time
async def test_after_a_power_cut_of_hours_the_end_is_the_last_sign_of_life(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.charge()
    await asyncio.sleep(17)
    await bench.kill()
    alive_until = bench.clock.now()
    monkeypatch.setattr(clock, "boot_id", lambda: "another boot")
    outlet = bench.hall.outlets[1]
    outlet.released, outlet.lock_commanded = False, False
    outlet.settle()
    bench.clock.jumped = timedelta(hours=8)
    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"))

    row = ChargingSession.objects.get()
    assert row.meter_stop_wh == outlet.register_wh
    assert row.started_at < row.stopped_at <= alive_until


@in_virtual_time
async def test_a_clock_that_is_set_late_corrects_both_ends_and_every_sample_not_told_yet(
    bench: ControlLoopBench,
) -> None:
    wrong = timedelta(days=-200)
    bench.clock.jumped, bench.hall.computer.trustworthy = wrong, False
    truth = bench.clock.now() - wrong
    await bench.charge()
    await asyncio.sleep(130)
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(), True
    await asyncio.sleep(3)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))

    told = [stamp for _, payload in bench.messages() for stamp in stamps_of(payload)]
    assert len(told) > 4
    assert all(truth <= stamp <= bench.clock.now() for stamp in told)
    assert told[0] == min(told)
    row = ChargingSession.objects.get()
    assert truth <= row.started_at < row.stopped_at <= bench.clock.now()


@in_virtual_time
async def test_a_time_that_was_lost_and_comes_back_the_same_corrects_what_was_stamped_in_between(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    began = bench.clock.now()
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(days=-20_000), False
    await asyncio.sleep(30)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(), True
    await asyncio.sleep(3)

    [(_, stop)] = bench.messages("StopTransaction")
    assert began + timedelta(seconds=29) <= from_wire(stop["timestamp"]) <= bench.clock.now()


@pytest.mark.parametrize("trusted_again", [True, False])
@in_virtual_time
async def test_after_two_boots_without_a_clock_every_session_is_told_in_order_and_within_its_boot(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, *, trusted_again: bool
) -> None:
    begin_of_time = timedelta(days=-20_000)
    first = bench.clock.now()
    bench.clock.jumped, bench.hall.computer.trustworthy = begin_of_time, False
    for boot in ("b", "c"):
        await bench.charge()
        await asyncio.sleep(40)
        await bench.kill()
        cut_power(bench, monkeypatch, boot=boot)
        bench.hall.outlets[1].unplug()
        await asyncio.sleep(20)
        # A clock without a battery begins at the same moment each time.
        bench.clock.jumped = begin_of_time - (bench.clock.now() - bench.clock.jumped - first)
        await bench.start()
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(), trusted_again
    await asyncio.sleep(3)

    told = [from_wire(payload["timestamp"]) for _, payload in bench.messages("StartTransaction", "StopTransaction")]
    assert len(told) == 4
    assert told == sorted(told)
    assert first.year == told[0].year == told[-1].year
    # The last sign of life may be ten seconds old.
    for began, ended in zip(told[::2], told[1::2], strict=True):
        assert timedelta(seconds=30) <= ended - began <= timedelta(seconds=42)
    assert told[-1] <= bench.clock.now()


@in_virtual_time
async def test_without_a_known_time_no_end_is_before_its_begin(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.charge()
    await asyncio.sleep(17)
    await bench.kill()
    monkeypatch.setattr(clock, "boot_id", lambda: "another boot")
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(days=-20_000), False
    bench.hall.outlets[1].unplug()
    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"))

    row = ChargingSession.objects.get()
    assert row.stopped_at >= row.started_at
    assert row.stopped_at.year == 2026


def stamps_of(payload: dict[str, Any]) -> list[Any]:
    values = [*payload.get("meterValue", ()), *payload.get("transactionData", ())]
    moments = [payload["timestamp"]] if "timestamp" in payload else []
    return [from_wire(each) for each in (*moments, *(value["timestamp"] for value in values))]


@in_virtual_time
async def test_a_point_whose_car_left_during_a_power_cut_is_free_again(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.kill()
    bench.hall.outlets[1].unplug()
    await bench.start()

    await bench.phase("available")
    assert len(bench.messages("StopTransaction")) == 1
    await bench.told("Available")


@in_virtual_time
async def test_a_stop_that_was_confirmed_is_not_forgotten_by_a_kill(bench: ControlLoopBench) -> None:
    await bench.charge(ends_s=4.0)
    assert (await bench.command(StopSession(connector_id=1, reason="Remote"))).succeeded
    await bench.kill()
    assert not bench.messages("StopTransaction")
    await bench.start()
    for _ in range(100):
        assert not bench.hall.outlets[1].released
        await asyncio.sleep(0.1)

    [(_, stop)] = bench.messages("StopTransaction")
    assert stop["reason"] == "Remote"
    assert stop["meterStop"] == bench.hall.outlets[1].register_wh


@in_virtual_time
async def test_a_refusal_that_comes_during_the_recovery_keeps_its_consequence_over_restarts(
    bench: ControlLoopBench,
) -> None:
    configure({"MaxEnergyOnInvalidId": "500"})
    await bench.charge()
    await bench.kill()
    session = ChargingSession.objects.get()
    ChargingSession.objects.update(transaction_id=77)
    OutboxMessage.objects.filter(kind="session_began").update(status="delivered", last_error="idTagInfo:Invalid")
    await bench.start(wait=False)
    assert not bench.control_loop.state.recovered
    # Nobody listens yet to what the backend says.
    await bench.control_loop.informed(
        StartAnswered(session_id=session.pk, transaction_id=77, status=AuthorizationStatus.INVALID)
    )
    await bench.until(lambda: ChargingSession.objects.get().energy_allowed_wh is not None)
    ceiling_wh = ChargingSession.objects.get().energy_allowed_wh

    for _ in range(2):
        await asyncio.sleep(5)
        await bench.kill()
        await bench.start()
        # No start gives the refused card its energy anew.
        assert ChargingSession.objects.get().energy_allowed_wh == ceiling_wh
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=200)

    ended = ChargingSession.objects.get()
    assert ended.stop_reason == "DeAuthorized"
    assert ended.meter_stop_wh - ended.meter_start_wh < 600


@in_virtual_time
async def test_an_end_that_recovery_cannot_write_is_written_later_and_blocks_its_own_point_only(
    bench: ControlLoopBench,
) -> None:
    await bench.charge(1)
    await bench.kill()
    bench.hall.outlets[1].unplug()
    refused = []

    def refuses(verb: str) -> bool:
        if verb != "end_session" or len(refused) == 3:
            return False
        refused.append(verb)
        return True

    bench.database.refuses = refuses
    await bench.start()
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    assert (await bench.command(PresentTag(id_tag=FRIEND, connector_id=2))).succeeded
    await bench.until(lambda: ChargingSession.objects.get(connector_id=1).stopped_at is not None)

    assert len(refused) == 3
    assert len(bench.messages("StopTransaction")) == 1
    await bench.phase("charging", 2)
    await bench.phase("available", 1)
