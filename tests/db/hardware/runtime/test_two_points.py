"""Two charging points behind one main fuse: cards, reservations and the sum of currents at every instant."""

import asyncio
import random

import pytest

from station.domain.commands import (
    CancelReservation,
    PresentTag,
    Refusal,
    Reserve,
    StartSession,
    Status,
    StopSession,
)
from station.domain.connector import Phase
from station.domain.moments import to_wire
from station.models import ChargingSession, LogEntry, ReservationRow
from station.services.messages import ConfigurationChanged, ProfilesChanged
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


@pytest.fixture
def points() -> int:
    return 2


def mains(amperes: int) -> None:
    configure({"/power/station/mainsMaxCurrent": str(amperes * 1000)})


# --- sharing


@in_virtual_time
async def test_two_cars_share_the_mains(bench: ControlLoopBench) -> None:
    mains(32)
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD, follows_s=4.8)
    assert bench.hall.outlets[1].current == 32_000

    await bench.charge(2, card=FRIEND, follows_s=4.8)
    await bench.until(lambda: bench.hall.outlets[2].current == 16_000)

    assert bench.hall.outlets[1].current == 16_000
    assert bench.hall.highest_sum() <= 32_000
    assert bench.control_loop.limits.present[2].effective.source == "station_mains"


@in_virtual_time
async def test_the_first_car_gets_its_current_back_when_the_second_leaves(bench: ControlLoopBench) -> None:
    mains(32)
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD, follows_s=4.8, ends_s=2.9)
    await bench.charge(2, card=FRIEND, follows_s=4.8, ends_s=2.9)
    await asyncio.sleep(10)
    bench.hall.reader.tap(FRIEND)
    await bench.phase("finishing", 2)
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)

    assert bench.hall.highest_sum() <= 32_000


@in_virtual_time
async def test_where_the_mains_feed_only_one_the_second_waits(bench: ControlLoopBench) -> None:
    mains(10)
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD)
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    bench.hall.reader.tap(FRIEND)
    await bench.phase("suspended_evse", 2)
    await asyncio.sleep(20)
    assert bench.hall.outlets[2].current == 0

    await bench.command(StopSession(connector_id=1))
    await bench.phase("charging", 2)
    await bench.until(lambda: bench.hall.outlets[2].current == 10_000)
    assert bench.hall.highest_sum() <= 10_000
    assert ChargingSession.objects.count() == 2


@in_virtual_time
async def test_a_station_profile_limits_the_sum(bench: ControlLoopBench) -> None:
    profile(20, purpose="ChargePointMaxProfile")
    await bench.control_loop.informed(ProfilesChanged())
    await bench.charge(1, card=CARD)
    await bench.charge(2, card=FRIEND)
    await bench.until(lambda: bench.hall.outlets[2].current == 10_000)

    assert bench.hall.highest_sum() <= 20_000
    assert bench.control_loop.limits.present[1].effective.source == "charging_profile"


@in_virtual_time
async def test_a_car_that_has_charged_on_one_phase_may_wake_its_other_rectifiers(bench: ControlLoopBench) -> None:
    mains(32)
    configure({"ConnectorPhaseRotation": "0.RST,1.RST,2.STR"})
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD, phases=1)
    await bench.charge(2, card=FRIEND, phases=1)
    await asyncio.sleep(60)

    outlet = bench.hall.outlets[1]
    assert outlet.car is not None
    outlet.car.phases = 3
    outlet.set_ready(ready=False)
    await asyncio.sleep(5)
    outlet.set_ready(ready=True)
    await asyncio.sleep(30)

    # Whatever phases the cars choose, they are within the mains on each of them.
    assert outlet.current == bench.hall.outlets[2].current == 16_000


@pytest.mark.parametrize(
    ("rotation", "second"), [("2.STR", 32_000), ("2.RST", 16_000), ("2.Unknown", 16_000), ("0.RST", 16_000)]
)
@in_virtual_time
async def test_points_wired_to_different_phases_share_nothing(
    bench: ControlLoopBench, rotation: str, second: int
) -> None:
    await bench.kill()
    bench.hall.phases = {1: 1, 2: 1}
    mains(32)
    configure({"ConnectorPhaseRotation": f"1.RST,{rotation}"})
    await bench.start()
    await bench.charge(1, card=CARD, phases=1)
    await bench.charge(2, card=FRIEND, phases=1)

    await bench.until(lambda: bench.hall.outlets[2].current == second)
    assert bench.hall.outlets[1].current == second


@in_virtual_time
async def test_watts_of_a_station_profile_are_the_sum_of_all_phases(bench: ControlLoopBench) -> None:
    await bench.kill()
    bench.hall.phases = {1: 1}
    configure({"ConnectorPhaseRotation": "1.RST,2.STR"})
    profile(11_040, unit="W", purpose="ChargePointMaxProfile")
    await bench.start()
    await bench.charge(1, card=CARD, phases=1)
    # 48 A on all phases together: alone it could have them on one, if it were rated for them.
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)

    await bench.charge(2, card=FRIEND)
    await bench.until(lambda: bench.hall.outlets[2].current == 12_000, seconds=30)
    assert bench.hall.outlets[1].current == 12_000
    assert bench.control_loop.limits.present[2].effective.source == "charging_profile"


@in_virtual_time
async def test_a_limit_in_watts_holds_in_total_for_a_car_on_three_phases(bench: ControlLoopBench) -> None:
    profile(7_360, unit="W", phases=1)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.charge(1, card=CARD, phases=3)
    await asyncio.sleep(10)

    assert 0 < bench.hall.outlets[1].current * 3 * 230 <= 7_360_000


@in_virtual_time
async def test_a_board_that_is_silent_at_the_start_may_feed_a_car(bench: ControlLoopBench) -> None:
    mains(32)
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD)
    await bench.kill()
    bench.hall.controllers[1].silent = True
    await bench.start()
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    bench.hall.reader.tap(FRIEND)
    await asyncio.sleep(60)
    assert bench.hall.outlets[1].current == 32_000
    assert bench.hall.highest_sum() <= 32_000

    bench.hall.controllers[1].silent = False
    await bench.until(lambda: bench.hall.outlets[2].current > 0, seconds=60)
    assert bench.hall.highest_sum() <= 32_000


@in_virtual_time
@pytest.mark.parametrize("seed", range(4))
async def test_boards_that_take_their_time_do_not_exceed_the_mains(bench: ControlLoopBench, seed: int) -> None:
    dice = random.Random(seed)
    mains(32)
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD, follows_s=4.9, ends_s=2.9)
    await bench.charge(2, card=FRIEND, follows_s=4.9, ends_s=2.9)
    for _ in range(60):
        board = bench.hall.controllers[dice.choice([1, 2])]
        board.latency_s = dice.choice([0.01, 0.07, 0.5, 2.0])
        profile(dice.choice([6, 8, 12, 16, 24, 32]), connector_id=dice.choice([1, 2]))
        await bench.control_loop.informed(ProfilesChanged())
        await asyncio.sleep(dice.choice([0.05, 0.3, 1.0, 3.0, 7.0]))

    assert bench.hall.highest_sum() <= 32_000


@in_virtual_time
async def test_a_controller_that_falls_silent_keeps_its_share(bench: ControlLoopBench) -> None:
    mains(32)
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD)
    # The board goes on with what it was told last: nobody can take it back.
    bench.hall.controllers[1].silent = True
    await asyncio.sleep(5)
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    bench.hall.reader.tap(FRIEND)
    await asyncio.sleep(30)

    assert bench.hall.outlets[1].current == 32_000
    assert bench.hall.highest_sum() <= 32_000


@in_virtual_time
async def test_a_reduction_the_board_did_not_take_is_not_given_to_another(bench: ControlLoopBench) -> None:
    mains(32)
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD)
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    bench.hall.reader.tap(FRIEND)
    await bench.until(lambda: bench.control_loop.points[2].session is not None)
    bench.hall.controllers[1].silent = True
    await asyncio.sleep(30)

    assert bench.hall.highest_sum() <= 32_000


@pytest.mark.parametrize("seed", range(6))
@in_virtual_time
async def test_whatever_happens_the_sum_stays_below_the_fuse(bench: ControlLoopBench, seed: int) -> None:
    dice = random.Random(seed)
    mains(32)
    await bench.control_loop.informed(ConfigurationChanged())
    fuse = 32_000
    cards = [CARD, FRIEND]
    for _ in range(40):
        number = dice.choice([1, 2])
        outlet, point = bench.hall.outlets[number], bench.control_loop.points[number]
        match dice.randrange(7):
            case 0 if outlet.car is None and not outlet.cable:
                outlet.plug(
                    Car(
                        max_current=dice.choice([8_000, 16_000, 32_000]),
                        phases=dice.choice([1, 3]),
                        follows_s=dice.uniform(0.1, 4.9),
                        ends_s=dice.uniform(0.1, 2.9),
                        starts_s=dice.uniform(0.1, 3.0),
                    )
                )
            case 1:
                bench.hall.reader.tap(cards[number - 1])
            case 2 if outlet.car is not None:
                outlet.set_ready(ready=dice.choice([True, False]))
            case 3 if outlet.car is not None and dice.random() < 0.5:
                outlet.unplug()
            case 4:
                profile(dice.choice([0, 7, 13, 25, 32]), connector_id=number)
                await bench.control_loop.informed(ProfilesChanged())
            case 5:
                await bench.command(StopSession(connector_id=number))
            case 6 if point.session is not None and dice.random() < 0.2:
                await bench.start_answered("Invalid")
            case _:
                pass
        await asyncio.sleep(dice.uniform(0.05, 8.0))

    assert [bench.hall.highest_sum(phase) <= fuse for phase in range(3)] == [True] * 3
    for number in bench.control_loop.points:
        await bench.command(StopSession(connector_id=number))
    await bench.until(lambda: not ChargingSession.objects.running().exists())
    starts, stops = bench.messages("StartTransaction"), bench.messages("StopTransaction")
    assert len(starts) == len(stops) == ChargingSession.objects.count()


# --- which point a card means


@in_virtual_time
async def test_a_waiting_card_follows_the_car_to_the_other_point(bench: ControlLoopBench) -> None:
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: any(point.state.phase == "authorized" for point in bench.control_loop.points.values()))
    bench.hall.outlets[2].plug()
    await bench.phase("charging", 2)

    assert bench.control_loop.points[1].state.phase == Phase.AVAILABLE
    assert ChargingSession.objects.get().connector_id == 2


@in_virtual_time
async def test_a_card_means_the_car_that_waits_longest(bench: ControlLoopBench) -> None:
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    await asyncio.sleep(3)
    bench.hall.outlets[1].plug()
    await bench.phase("plugged", 1)
    bench.hall.reader.tap(CARD)
    await bench.phase("charging", 2)

    assert bench.control_loop.points[1].state.phase == Phase.PLUGGED


@in_virtual_time
async def test_a_card_means_the_plugs_of_this_moment_not_those_of_the_last_poll(bench: ControlLoopBench) -> None:
    await bench.charge(2, card=FRIEND)
    bench.hall.reader.tap(FRIEND)
    await bench.phase("finishing", 2)
    await asyncio.sleep(10)

    bench.hall.outlets[2].unplug()
    bench.hall.outlets[1].plug()
    outcome = await bench.control_loop.admission.present_tag(CARD, None, origin="reader")

    assert outcome.data == {"connector_id": 1}


@in_virtual_time
async def test_a_card_ends_its_own_session_when_no_car_waits(bench: ControlLoopBench) -> None:
    await bench.charge(1, card=CARD)
    await bench.charge(2, card=FRIEND)
    bench.hall.reader.tap(CARD)
    await bench.phase("finishing", 1)

    assert bench.control_loop.points[2].state.phase == Phase.CHARGING


@in_virtual_time
async def test_a_card_that_owns_a_session_ends_it_although_another_car_waits(bench: ControlLoopBench) -> None:
    await bench.charge(1, card=CARD)
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)

    assert (await bench.command(PresentTag(id_tag=CARD))).succeeded
    await bench.until(lambda: bench.messages("StopTransaction"))
    assert bench.control_loop.points[2].state.phase == "plugged"

    # The next tap means the car that waits.
    assert (await bench.command(PresentTag(id_tag=CARD))).succeeded
    await bench.phase("charging", 2)
    assert ChargingSession.objects.running().count() == 1


@in_virtual_time
async def test_a_card_of_the_group_stops_only_when_the_backend_knows_it(bench: ControlLoopBench) -> None:
    bench.go_online()
    for tag in (CARD, FRIEND):
        bench.backend[tag] = {"status": "Accepted", "parent": "FLEET"}
    bench.backend[STRANGER] = {"status": "Accepted", "parent": "OTHER"}
    bench.backend["04000009"] = {"status": "Accepted", "parent": "fleet"}
    await bench.charge(1, card=CARD)
    await bench.charge(2, card=FRIEND)
    assert not (await bench.command(PresentTag(id_tag=STRANGER))).succeeded
    assert not bench.messages("StopTransaction")

    assert (await bench.command(PresentTag(id_tag="04000009"))).succeeded
    await bench.until(lambda: bench.messages("StopTransaction"))


@in_virtual_time
async def test_a_remote_start_without_a_connector_finds_the_free_one(bench: ControlLoopBench) -> None:
    await bench.charge(1, card=CARD)
    outcome = await bench.command(StartSession(id_tag=FRIEND))

    assert outcome.data == {"connector_id": 2}


# --- reservations


def reserve(
    bench: ControlLoopBench, number: int, connector: int, tag: str, *, seconds: float = 300, parent: str = ""
) -> Reserve:
    from datetime import timedelta

    return Reserve(
        reservation_id=number,
        connector_id=connector,
        id_tag=tag,
        expires_at=to_wire(bench.clock.now() + timedelta(seconds=seconds)),
        parent_id_tag=parent,
    )


@in_virtual_time
async def test_a_reserved_point_waits_for_its_driver(bench: ControlLoopBench) -> None:
    assert (await bench.command(reserve(bench, 7, 1, CARD))).data == {"ocpp": "Accepted"}
    await bench.told("Available", "Reserved")
    outcome = await bench.command(StartSession(id_tag=FRIEND, connector_id=1))
    assert outcome.reason is Refusal.CONNECTOR_RESERVED

    bench.hall.outlets[1].plug()
    await bench.phase("reserved")
    # Longer than ConnectionTimeOut: the reservation has a time of its own.
    await asyncio.sleep(200)
    bench.hall.reader.tap(FRIEND)
    await bench.until(lambda: LogEntry.objects.filter(data__reason="connector_reserved").exists())
    bench.hall.reader.tap(CARD)
    await bench.phase("charging")

    await bench.told("Available", "Reserved", "Preparing", "Charging")
    assert bench.messages("StartTransaction")[0][1]["reservationId"] == 7
    assert not ReservationRow.objects.exists()


@in_virtual_time
async def test_4_9_a_waiting_car_is_preparing_when_the_reservation_has_ended(bench: ControlLoopBench) -> None:
    await bench.command(reserve(bench, 7, 1, CARD, seconds=200))
    bench.hall.outlets[1].plug()
    await bench.phase("reserved")
    await asyncio.sleep(201)
    await bench.told("Reserved", "Preparing")

    await bench.phase("lapsed", seconds=200)
    await bench.told("Reserved", "Preparing", "Finishing")


@in_virtual_time
async def test_4_9_a_reserved_point_whose_car_leaves_again_has_nothing_to_tell(bench: ControlLoopBench) -> None:
    await bench.command(reserve(bench, 7, 1, CARD))
    await bench.told("Available", "Reserved")
    bench.hall.outlets[1].plug()
    await bench.phase("reserved")
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await asyncio.sleep(5)

    await bench.told("Available", "Reserved")


@in_virtual_time
async def test_5_13_as_many_reservations_of_the_station_as_points_reserve_each_of_them(bench: ControlLoopBench) -> None:
    await bench.command(reserve(bench, 7, 0, CARD))
    await asyncio.sleep(2)
    await bench.told("Available", number=1)
    await bench.command(reserve(bench, 8, 0, FRIEND))
    await bench.told("Available", "Reserved", number=1)
    await bench.told("Available", "Reserved", number=2)

    await bench.charge(1, card=CARD)
    await asyncio.sleep(2)
    await bench.told("Available", "Reserved", number=2)
    await bench.command(CancelReservation(reservation_id=8))
    await bench.told("Available", "Reserved", "Available", number=2)


@in_virtual_time
async def test_5_13_the_last_free_point_shows_the_reservation_of_the_station(bench: ControlLoopBench) -> None:
    await bench.command(reserve(bench, 7, 0, CARD))
    await bench.charge(1, card=FRIEND)
    await bench.told("Available", "Reserved", number=2)

    bench.hall.reader.tap(FRIEND)
    await bench.phase("finishing")
    await bench.until(lambda: not bench.hall.outlets[1].bolt_in)
    bench.hall.outlets[1].unplug()
    await bench.told("Available", "Reserved", "Available", number=2)


@in_virtual_time
async def test_a_card_means_its_reserved_point_rather_than_a_car_that_waits_longer(bench: ControlLoopBench) -> None:
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    await bench.command(reserve(bench, 7, 1, CARD))
    bench.hall.outlets[1].plug()
    await bench.phase("reserved", 1)

    bench.hall.reader.tap(CARD)
    await bench.phase("charging", 1)
    assert bench.control_loop.points[2].state.phase is Phase.PLUGGED


@in_virtual_time
async def test_a_card_that_is_refused_at_a_reserved_point_is_refused_on_its_display_alone(
    bench: ControlLoopBench,
) -> None:
    await bench.command(reserve(bench, 7, 1, CARD))
    bench.hall.outlets[1].plug()
    await bench.phase("reserved", 1)

    assert (await bench.command(PresentTag(id_tag=FRIEND))).reason is Refusal.CONNECTOR_RESERVED

    shown = bench.control_loop.snapshots.take().points
    assert [point.last_refusal is not None for point in shown] == [True, False]


@in_virtual_time
async def test_a_used_reservation_is_over_with_its_session(bench: ControlLoopBench) -> None:
    await bench.command(reserve(bench, 7, 1, CARD))
    await bench.charge(1, card=CARD)
    bench.hall.reader.tap(CARD)
    await bench.phase("finishing")
    await bench.until(lambda: not bench.hall.outlets[1].bolt_in)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await bench.told("Finishing", "Available")

    await bench.charge(1, card=FRIEND)
    assert "reservationId" not in bench.messages("StartTransaction")[1][1]


@in_virtual_time
async def test_a_reservation_for_a_group_lets_its_members_start(bench: ControlLoopBench) -> None:
    list_card("04000001", group="FLEET")
    await bench.command(reserve(bench, 7, 1, "04999999", parent="FLEET"))
    bench.hall.outlets[1].plug()
    await bench.phase("reserved")
    bench.hall.reader.tap("04000001")
    await bench.phase("charging")


@in_virtual_time
async def test_a_reservation_ends_by_itself(bench: ControlLoopBench) -> None:
    await bench.command(reserve(bench, 7, 1, CARD, seconds=20))
    await bench.told("Reserved")
    await asyncio.sleep(21)

    await bench.told("Reserved", "Available")
    assert not ReservationRow.objects.exists()


@in_virtual_time
async def test_a_reservation_that_ended_while_the_process_was_away_cannot_be_cancelled(bench: ControlLoopBench) -> None:
    await bench.command(reserve(bench, 7, 2, CARD, seconds=20))
    await bench.kill()
    await asyncio.sleep(30)
    await bench.start()

    assert (await bench.command(CancelReservation(reservation_id=7))).status is Status.REJECTED


@in_virtual_time
async def test_a_reservation_can_be_cancelled_and_survives_a_restart(bench: ControlLoopBench) -> None:
    await bench.command(reserve(bench, 7, 2, CARD))
    await bench.kill()
    await bench.start()
    await bench.told("Reserved", number=2)

    assert (await bench.command(CancelReservation(reservation_id=8))).status is Status.REJECTED
    assert (await bench.command(CancelReservation(reservation_id=7))).status is Status.ACCEPTED
    await bench.told("Reserved", "Available", number=2)


@in_virtual_time
async def test_reservations_that_cannot_be_kept_are_refused(bench: ControlLoopBench) -> None:
    await bench.charge(1, card=CARD)

    async def answer(order: Reserve) -> object:
        return (await bench.command(order)).data.get("ocpp")

    assert await answer(reserve(bench, 1, 1, FRIEND)) == "Occupied"
    assert await answer(reserve(bench, 1, 9, FRIEND)) == "Rejected"
    assert await answer(reserve(bench, 1, 2, FRIEND, seconds=-5)) == "Rejected"
    assert await answer(reserve(bench, 1, 2, FRIEND)) == "Accepted"
    assert await answer(reserve(bench, 2, 2, CARD)) == "Occupied"
    assert await answer(reserve(bench, 1, 2, CARD)) == "Accepted"


@in_virtual_time
async def test_a_reservation_of_the_station_keeps_one_point_free(bench: ControlLoopBench) -> None:
    configure({"ReserveConnectorZeroSupported": "true"})
    assert (await bench.command(reserve(bench, 7, 0, CARD))).data == {"ocpp": "Accepted"}
    await bench.charge(1, card=FRIEND)
    assert (await bench.command(StartSession(id_tag=STRANGER, connector_id=2))).reason is Refusal.CONNECTOR_RESERVED
    await bench.charge(2, card=CARD)

    assert bench.messages("StartTransaction")[1][1]["reservationId"] == 7


@in_virtual_time
async def test_5_13_the_backend_is_asked_for_the_group_that_opens_a_reserved_point(bench: ControlLoopBench) -> None:
    bench.go_online()
    bench.backend[STRANGER] = {"status": "Accepted", "parent": "FLEET"}
    await bench.command(reserve(bench, 9, 1, CARD, parent="FLEET"))

    # Without AuthorizeRemoteTxRequests the card itself is not judged.
    await bench.command(StartSession(id_tag=STRANGER, connector_id=1))
    bench.hall.outlets[1].plug()
    await bench.phase("charging", 1)

    assert ChargingSession.objects.get().reservation_id == 9
    assert bench.messages("StartTransaction")[0][1]["reservationId"] == 9


@pytest.mark.parametrize("named", [None, 1, 3])
@in_virtual_time
async def test_watts_of_a_profile_hold_on_the_phases_its_point_is_wired_to(
    bench: ControlLoopBench, named: int | None
) -> None:
    bench.hall.phases = {1: 1}
    await bench.kill()
    profile(3_680, connector_id=1, unit="W", phases=named)
    profile(5_520, connector_id=2, unit="W", phases=named)
    await bench.start()
    await bench.charge(1, phases=1)
    await bench.charge(2, card=FRIEND)

    await bench.until(lambda: bench.hall.outlets[1].current == 16_000)
    await bench.until(lambda: bench.hall.outlets[2].current == 8_000)
    assert max(current for _, current, _ in bench.hall.outlets[1].history) == 16_000
