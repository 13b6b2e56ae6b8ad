"""Readers of a station with two charging points: one for each of them, and what LEGIC cards tell."""

import asyncio

import pytest

from station.domain.commands import StartSession
from station.domain.faults import FaultCode
from station.domain.legic import LegicTechnology
from station.domain.ports import ReaderSignal
from station.models import ChargingSession
from tests.db.hardware.runtime.bench import (
    CARD,
    FRIEND,
    STRANGER,
    ControlLoopBench,
    configure,
    in_virtual_time,
    list_card,
)
from tests.fakes import FakeReader


@pytest.fixture
def points() -> int:
    return 2


async def give_each_point_a_reader(bench: ControlLoopBench) -> dict[int, FakeReader]:
    await bench.kill()
    bench.hall.readers = {1: FakeReader(), 2: FakeReader()}
    await bench.start()
    return bench.hall.readers


@in_virtual_time
async def test_a_card_at_the_reader_of_a_point_means_this_point(bench: ControlLoopBench) -> None:
    readers = await give_each_point_a_reader(bench)
    # The car at the other point waits longer, which would decide at a reader for both.
    bench.hall.outlets[1].plug()
    await bench.phase("plugged", 1)
    await asyncio.sleep(3)
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)

    readers[2].tap(CARD)
    await bench.phase("charging", 2)
    assert bench.control_loop.points[1].state.phase == "plugged"

    readers[1].tap(FRIEND)
    await bench.phase("charging", 1)
    assert {each.connector_id: each.id_tag for each in ChargingSession.objects.running()} == {1: FRIEND, 2: CARD}


@in_virtual_time
async def test_a_card_at_the_reader_of_a_point_ends_its_session_there_and_no_other(bench: ControlLoopBench) -> None:
    readers = await give_each_point_a_reader(bench)
    for number, card in ((1, CARD), (2, FRIEND)):
        bench.hall.outlets[number].plug()
        await bench.phase("plugged", number)
        readers[number].tap(card)
        await bench.phase("charging", number)

    readers[2].tap(CARD)
    await asyncio.sleep(5)
    assert ChargingSession.objects.running().count() == 2
    assert readers[2].signals[-1] is ReaderSignal.REFUSED

    readers[1].tap(CARD)
    await bench.phase("finishing", 1)
    assert bench.control_loop.points[2].state.phase == "charging"


@in_virtual_time
async def test_a_card_shown_at_the_reader_of_a_point_does_not_follow_a_car_to_the_other(
    bench: ControlLoopBench,
) -> None:
    readers = await give_each_point_a_reader(bench)
    readers[1].tap(CARD)
    await bench.phase("authorized", 1)

    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    await asyncio.sleep(3)

    assert bench.control_loop.points[1].state.phase == "authorized"
    assert bench.control_loop.points[2].state.phase == "plugged"


@in_virtual_time
async def test_a_broken_reader_stops_neither_the_other_reader_nor_a_session(bench: ControlLoopBench) -> None:
    readers = await give_each_point_a_reader(bench)
    bench.hall.outlets[1].plug()
    await bench.phase("plugged", 1)
    readers[1].tap(CARD)
    await bench.phase("charging", 1)

    readers[1].silent = True
    await bench.until(lambda: FaultCode.READER_FAILURE in bench.control_loop.state.active_faults)
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    readers[2].tap(FRIEND)
    await bench.phase("charging", 2)
    assert bench.control_loop.points[1].state.phase == "charging"
    assert [(each.connector_id, each.ok) for each in bench.control_loop.snapshots.take().readers] == [
        (1, False),
        (2, True),
    ]

    readers[1].silent = False
    await bench.until(lambda: not bench.control_loop.state.active_faults)
    readers[1].tap(CARD)
    await bench.phase("finishing", 1)


@in_virtual_time
async def test_the_same_card_at_two_readers_in_one_second_begins_one_session(bench: ControlLoopBench) -> None:
    readers = await give_each_point_a_reader(bench)
    bench.go_online()
    bench.backend[CARD] = {"status": "Accepted"}
    bench.backend_thinks_s = 2.0
    for number in (1, 2):
        bench.hall.outlets[number].plug()
        await bench.phase("plugged", number)

    readers[1].tap(CARD)
    readers[2].tap(CARD)
    await bench.until(lambda: ChargingSession.objects.running().exists(), seconds=30)
    await asyncio.sleep(5)

    assert ChargingSession.objects.running().count() == 1


@pytest.mark.parametrize(
    ("technology", "key", "number", "id_tag"),
    [
        (LegicTechnology.PRIME, "AuthIdLegicPrime", "a1b2c3d4", "LP-c3b2"),
        (LegicTechnology.ADVANT, "AuthIdLegicAdvant", "e0a1b2c3d4e5f607", "LP-b2a1"),
    ],
)
@in_virtual_time
async def test_the_pattern_says_which_part_of_a_legic_card_counts(
    bench: ControlLoopBench, technology: LegicTechnology, key: str, number: str, id_tag: str
) -> None:
    configure({key: "LP-{uid:3-2}"})
    list_card(id_tag)
    bench.hall.reader.technology = technology
    bench.hall.outlets[1].plug()
    await bench.phase("plugged", 1)

    bench.hall.reader.tap(number)
    await bench.phase("charging", 1)

    assert ChargingSession.objects.get().id_tag == id_tag
    assert [each.id_tag for each in bench.control_loop.snapshots.take().seen_cards] == [id_tag]


@in_virtual_time
async def test_a_legic_card_the_pattern_does_not_fit_is_refused_with_words(bench: ControlLoopBench) -> None:
    configure({"AuthIdLegicPrime": "{uid:2-8}"})
    bench.hall.reader.technology = LegicTechnology.PRIME
    bench.hall.outlets[1].plug()
    await bench.phase("plugged", 1)

    bench.hall.reader.tap("a1b2c3d4")
    await bench.until(lambda: bench.hall.reader.signals[-1:] == [ReaderSignal.REFUSED])

    refusal = bench.control_loop.snapshots.take().points[0].last_refusal
    assert refusal is not None
    assert (refusal.id_tag, refusal.reason) == ("a1b2c3d4", "tag_invalid")


@in_virtual_time
async def test_patterns_leave_the_cards_of_others_alone(bench: ControlLoopBench) -> None:
    configure({"AuthIdLegicPrime": "LP-{uid:1-2}"})
    bench.hall.outlets[1].plug()
    await bench.phase("plugged", 1)

    bench.hall.reader.tap(STRANGER)
    bench.hall.reader.tap(CARD)
    await bench.phase("charging", 1)

    assert ChargingSession.objects.get().id_tag == CARD


# --- payment first


async def pay_first(bench: ControlLoopBench) -> None:
    configure({"GiroEStaticToken": "tkn-4711"})
    configure({"PreAuthorize": "giro-e"})
    bench.hall.outlets[1].plug()
    await bench.phase("plugged", 1)


@in_virtual_time
async def test_a_card_nobody_knows_is_paid_for_first_and_one_of_the_list_is_not(bench: ControlLoopBench) -> None:
    bench.go_online()
    for card in (STRANGER, CARD):
        bench.backend[card] = {"status": "Accepted"}
    await pay_first(bench)

    bench.hall.reader.tap(STRANGER)
    await bench.phase("charging", 1)
    bench.hall.outlets[2].plug()
    await bench.phase("plugged", 2)
    bench.hall.reader.tap(CARD)
    await bench.phase("charging", 2)

    assert [(each["id_tag"], each["pay_first"]) for each in bench.asked_about] == [(STRANGER, True), (CARD, False)]


@in_virtual_time
async def test_a_payment_that_is_declined_refuses_the_card_with_words(bench: ControlLoopBench) -> None:
    bench.go_online()
    bench.backend[STRANGER] = {"payment_declined": True}
    await pay_first(bench)

    bench.hall.reader.tap(STRANGER)
    await bench.until(lambda: bench.hall.reader.signals[-1:] == [ReaderSignal.REFUSED])

    refusal = bench.control_loop.snapshots.take().points[0].last_refusal
    assert refusal is not None
    assert refusal.because == "payment_declined"
    assert not ChargingSession.objects.exists()


@in_virtual_time
async def test_without_a_connection_nobody_charges_who_would_have_to_pay_first(bench: ControlLoopBench) -> None:
    configure({"AllowOfflineTxForUnknownId": "true"})
    bench.go_online()
    await pay_first(bench)
    bench.go_offline()

    bench.hall.reader.tap(STRANGER)
    await bench.until(lambda: bench.hall.reader.signals[-1:] == [ReaderSignal.REFUSED])
    bench.hall.reader.tap(CARD)
    await bench.phase("charging", 1)

    assert ChargingSession.objects.get().id_tag == CARD


@in_virtual_time
async def test_a_remote_start_has_been_paid_elsewhere(bench: ControlLoopBench) -> None:
    bench.go_online()
    bench.backend[STRANGER] = {"status": "Accepted"}
    await pay_first(bench)

    await bench.command(StartSession(id_tag=STRANGER, connector_id=1, authorize=True))
    await bench.phase("charging", 1)

    assert [each["pay_first"] for each in bench.asked_about] == [False]
