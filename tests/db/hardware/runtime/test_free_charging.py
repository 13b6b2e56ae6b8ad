"""Free charging: whoever is plugged in while the station cannot charge begins when it can, once, without replugging."""

import asyncio
import random
from datetime import timedelta

import pytest

from station.domain.commands import Reserve, SetAvailability, StopSession
from station.domain.connector import Phase
from station.domain.faults import FaultCode
from station.models import ChargingSession, LogEntry, OutboxMessage
from station.services import write_probe
from tests.db.hardware.runtime.bench import CARD, ControlLoopBench, configure, in_virtual_time

# Longer than ConnectionTimeOut: the point shows a car that has waited too long.
LONG_S = 200.0


def free_charging() -> None:
    configure({"/hw/auth/device/Dummy/enabled": "true", "/auth/identification": "none"})


def refusals() -> list[str]:
    return [each.data["reason"] for each in LogEntry.objects.filter(code="start.refused").order_by("id")]


def starts(bench: ControlLoopBench) -> int:
    return len(bench.messages("StartTransaction"))


@in_virtual_time
async def test_a_car_that_came_while_the_point_was_faulted_begins_when_the_fault_is_over(
    bench: ControlLoopBench,
) -> None:
    free_charging()
    point = bench.control_loop.points[1]
    point.set_faults("test", frozenset({FaultCode.GROUND_FAILURE}))
    point.tell_changed()
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)
    assert point.state.phase is Phase.LAPSED
    assert (refusals(), starts(bench)) == (["connector_faulted"], 0)

    point.set_faults("test", frozenset())
    point.tell_changed()
    await bench.phase("charging", seconds=5)
    await asyncio.sleep(LONG_S)

    assert (refusals(), starts(bench)) == (["connector_faulted"], 1)


@in_virtual_time
async def test_a_car_that_came_while_the_disk_was_full_begins_when_there_is_room(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_charging()
    is_full = True
    monkeypatch.setattr(write_probe, "is_short_of_room", lambda: is_full)
    await bench.until(lambda: bench.control_loop.records.failed)
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)
    assert (starts(bench), ChargingSession.objects.count()) == (0, 0)

    is_full = False
    await bench.phase("charging", seconds=15)
    await asyncio.sleep(LONG_S)
    assert starts(bench) == 1


@in_virtual_time
async def test_records_that_cannot_be_read_when_the_car_comes_cost_only_time(bench: ControlLoopBench) -> None:
    free_charging()
    bench.database.refuses = lambda verb: verb in {"get_bool", "get", "write", "log"}
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)
    bench.database.refuses = None

    await bench.phase("charging", seconds=65)
    await asyncio.sleep(LONG_S)
    assert starts(bench) == 1


@in_virtual_time
async def test_a_meter_that_is_away_is_asked_with_pauses_and_nothing_is_told_twice(bench: ControlLoopBench) -> None:
    free_charging()
    bench.hall.meters[1].silent = True
    await asyncio.sleep(10)
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)
    assert starts(bench) == 0
    assert len(refusals()) == len(set(refusals())) > 0

    bench.hall.meters[1].silent = False
    await bench.phase("charging", seconds=65)
    await asyncio.sleep(LONG_S)
    assert starts(bench) == 1


@in_virtual_time
async def test_a_backend_that_is_away_is_no_reason_to_replug(bench: ControlLoopBench) -> None:
    free_charging()
    bench.go_online()
    bench.go_offline()
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)
    assert (refusals(), starts(bench), bench.asked_about) == (["tag_refused"], 0, [])

    bench.backend["DUMMY"] = {"status": "Accepted"}
    bench.go_online()
    await bench.phase("charging", seconds=65)
    assert (starts(bench), len(bench.asked_about)) == (1, 1)


@in_virtual_time
async def test_an_id_the_backend_refuses_is_asked_about_once(bench: ControlLoopBench) -> None:
    free_charging()
    bench.go_online()
    bench.backend["DUMMY"] = {"status": "Blocked"}
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)

    assert (refusals(), len(bench.asked_about), starts(bench)) == (["tag_refused"], 1, 0)


@in_virtual_time
async def test_a_point_out_of_service_begins_when_it_is_back_in_service(bench: ControlLoopBench) -> None:
    free_charging()
    await bench.command(SetAvailability(connector_id=1, operative=False))
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)
    assert starts(bench) == 0

    await bench.command(SetAvailability(connector_id=1, operative=True))
    await bench.phase("charging", seconds=5)
    assert starts(bench) == 1


@in_virtual_time
async def test_a_point_that_waits_for_an_update_begins_when_that_was_given_up(bench: ControlLoopBench) -> None:
    free_charging()
    point = bench.control_loop.points[1]
    point.set_update_pending(pending=True)
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)
    assert (refusals(), starts(bench)) == (["connector_unavailable"], 0)

    point.set_update_pending(pending=False)
    await bench.phase("charging", seconds=5)
    assert starts(bench) == 1


@in_virtual_time
async def test_a_point_kept_for_somebody_else_begins_when_it_is_not_any_more(bench: ControlLoopBench) -> None:
    free_charging()
    until = (bench.clock.now() + timedelta(seconds=LONG_S)).isoformat()
    await bench.command(Reserve(reservation_id=5, connector_id=0, id_tag=CARD, expires_at=until))
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S - 10)
    assert starts(bench) == 0

    await bench.phase("charging", seconds=20)
    assert starts(bench) == 1


@pytest.mark.parametrize("reason", ["Local", "Remote", "Other"])
@pytest.mark.parametrize("restarts", [0, 2])
def test_a_session_somebody_ended_is_not_begun_again(bench: ControlLoopBench, reason: str, restarts: int) -> None:
    async def scenario() -> None:
        free_charging()
        bench.hall.outlets[1].plug()
        await bench.phase("charging")
        await bench.command(StopSession(connector_id=1, reason=reason))
        await bench.phase("finishing")
        await bench.until(lambda: bench.messages("StopTransaction"))
        await asyncio.sleep(2)
        for _ in range(restarts):
            await bench.kill()
            await bench.start()
            await asyncio.sleep(5)
        bench.control_loop.points[1].set_faults("test", frozenset({FaultCode.GROUND_FAILURE}))
        bench.control_loop.points[1].tell_changed()
        await asyncio.sleep(5)
        bench.control_loop.points[1].set_faults("test", frozenset())
        bench.control_loop.points[1].tell_changed()
        await asyncio.sleep(LONG_S)
        assert bench.control_loop.points[1].state.phase is Phase.FINISHING
        assert starts(bench) == 1

        # The next car is another one.
        bench.hall.outlets[1].unplug()
        await bench.phase("available")
        bench.hall.outlets[1].plug()
        await bench.phase("charging")
        assert starts(bench) == 2

    bench.run(scenario())


@in_virtual_time
async def test_a_card_may_begin_again_what_somebody_ended_before_a_restart(bench: ControlLoopBench) -> None:
    free_charging()
    bench.hall.outlets[1].plug()
    await bench.phase("charging")
    await bench.command(StopSession(connector_id=1, reason="Local"))
    await bench.phase("finishing")
    await asyncio.sleep(2)
    await bench.kill()
    await bench.start()
    await asyncio.sleep(2)
    bench.hall.reader.tap(CARD)
    await bench.phase("charging")

    assert [session.id_tag for session in ChargingSession.objects.order_by("id")] == ["DUMMY", CARD]


@in_virtual_time
async def test_a_car_that_was_refused_before_a_restart_begins_after_it(bench: ControlLoopBench) -> None:
    free_charging()
    bench.hall.meters[1].silent = True
    await asyncio.sleep(10)
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)
    await bench.kill()
    await bench.start()
    await asyncio.sleep(LONG_S)
    assert starts(bench) == 0
    bench.hall.meters[1].silent = False

    await bench.phase("charging", seconds=65)
    await asyncio.sleep(LONG_S)
    assert starts(bench) == 1


@in_virtual_time
async def test_a_car_whose_session_the_loss_of_power_ended_goes_on_with_a_new_one(bench: ControlLoopBench) -> None:
    free_charging()
    bench.hall.outlets[1].plug()
    await bench.phase("charging")
    await asyncio.sleep(20)
    await bench.kill()
    # Nobody knows whether it is the same car.
    await asyncio.sleep(400)
    await bench.start()
    await bench.until(lambda: ChargingSession.objects.count() == 2, seconds=60)
    await bench.phase("charging")
    await asyncio.sleep(LONG_S)

    assert [stop["reason"] for _, stop in bench.messages("StopTransaction")] == ["PowerLoss"]
    assert starts(bench) == 2


@in_virtual_time
async def test_without_free_charging_nothing_begins_by_itself(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await asyncio.sleep(LONG_S)

    assert (refusals(), OutboxMessage.objects.filter(kind="start").count(), starts(bench)) == ([], 0, 0)


@in_virtual_time
async def test_a_card_that_begins_while_the_backend_thinks_about_free_charging_is_no_refusal(
    bench: ControlLoopBench,
) -> None:
    free_charging()
    bench.go_online()
    configure({"LocalPreAuthorize": "true"})
    bench.backend["DUMMY"] = {"status": "Accepted"}
    bench.backend_thinks_s = 5.0
    bench.hall.outlets[1].plug()
    await bench.until(lambda: bench.asked_about)
    bench.hall.reader.tap(CARD)
    await bench.phase("charging", seconds=2)
    await asyncio.sleep(LONG_S)

    assert [session.id_tag for session in ChargingSession.objects.all()] == [CARD]
    assert refusals() == []


class Surroundings:
    """What may be in the way, and a driver who comes and goes."""

    def __init__(self, bench: ControlLoopBench) -> None:
        self.bench = bench
        self.obstacles = set[str]()
        self.is_plugged = False
        self.started_before = 0

    @property
    def begun(self) -> int:
        """The sessions of the car that stands here, or stood here last."""
        return starts(self.bench) - self.started_before

    def turn(self, obstacle: str) -> None:
        """Let an obstacle come, or go."""
        self.obstacles ^= {obstacle}
        is_there, point = obstacle in self.obstacles, self.bench.control_loop.points[1]
        if obstacle == "meter":
            self.bench.hall.meters[1].silent = is_there
        elif obstacle == "update":
            point.set_update_pending(pending=is_there)
        elif obstacle == "fault":
            point.set_faults("test", frozenset({FaultCode.GROUND_FAILURE} if is_there else ()))
            point.tell_changed()

    def clear(self, *obstacles: str) -> None:
        for obstacle in self.obstacles & set(obstacles):
            self.turn(obstacle)

    async def plug(self) -> None:
        """Come, or leave."""
        if self.is_plugged:
            self.bench.hall.outlets[1].unplug()
            await self.bench.phase("available", seconds=90)
        else:
            self.bench.hall.outlets[1].plug()
            self.started_before = starts(self.bench)
        self.is_plugged = not self.is_plugged

    async def stop(self) -> None:
        await self.bench.command(StopSession(connector_id=1, reason="Remote"))

    async def restart(self) -> None:
        self.clear("fault", "update")
        await self.bench.kill()
        await self.bench.start()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_each_plug_in_has_one_session_as_soon_as_it_can(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice, here = random.Random(seed), Surroundings(bench)
    monkeypatch.setattr(write_probe, "is_short_of_room", lambda: "disk" in here.obstacles)

    async def scenario() -> None:
        free_charging()
        for _ in range(25):
            action = dice.choice([None, None, here.plug, here.stop, here.restart])
            if action is None:
                here.turn(dice.choice(["fault", "disk", "meter", "update"]))
            else:
                await action()
            await asyncio.sleep(dice.choice([0.2, 3, 30, 100]))
            assert here.begun <= 1
        here.clear("fault", "disk", "meter", "update")
        if not here.is_plugged:
            await here.plug()
        await asyncio.sleep(90)
        assert here.begun == 1

    bench.run(scenario())
