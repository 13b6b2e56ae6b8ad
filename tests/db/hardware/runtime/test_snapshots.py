"""What the live snapshot shows beside the present: who charged last, who was refused, how long a card is waited for."""

import asyncio
from datetime import timedelta

from station import clock
from station.domain.snapshot import HardwareSnapshot, PointSnapshot, decode, encode
from station.models import ChargingSession
from tests.db.hardware.runtime.bench import CARD, STRANGER, ControlLoopBench, in_virtual_time


def shown(bench: ControlLoopBench) -> PointSnapshot:
    """Return the first point as a page reads it."""
    snapshot = decode(HardwareSnapshot, encode(bench.control_loop.snapshots.take()))
    assert snapshot is not None
    point = snapshot.point(1)
    assert point is not None
    return point


@in_virtual_time
async def test_the_last_finished_session_is_shown_also_after_a_restart(bench: ControlLoopBench) -> None:
    await bench.charge()
    assert shown(bench).last_session is None
    bench.hall.reader.tap(CARD)
    await bench.phase("finishing")
    await bench.until(lambda: shown(bench).session is None)

    finished = shown(bench).last_session
    await bench.kill()
    await bench.start()

    row = ChargingSession.objects.get()
    assert finished is not None
    assert (finished.id, finished.id_tag, finished.reason) == (row.pk, CARD, "Local")
    assert finished.energy_wh == (row.meter_stop_wh or 0) - row.meter_start_wh
    assert shown(bench).last_session == finished


@in_virtual_time
async def test_a_refused_card_is_shown_with_its_reason(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(STRANGER)

    refusal = await bench.until(lambda: shown(bench).last_refusal)

    assert refusal is not None
    assert (refusal.id_tag, refusal.reason) == (STRANGER, "tag_refused")
    assert clock.now() - refusal.at < timedelta(seconds=1)


@in_virtual_time
async def test_a_card_that_waits_for_its_car_says_until_when(bench: ControlLoopBench) -> None:
    bench.hall.reader.tap(CARD)
    await bench.phase("authorized")

    waiting = shown(bench).waiting_card

    assert waiting is not None
    assert waiting.id_tag == CARD
    assert waiting.until is not None
    assert timedelta(seconds=100) < waiting.until - clock.now() <= timedelta(seconds=120)


@in_virtual_time
async def test_the_last_cards_at_the_reader_are_shown_for_some_minutes(bench: ControlLoopBench) -> None:
    for uid in (CARD, STRANGER, CARD):
        bench.hall.reader.tap(uid)
        await asyncio.sleep(5)

    state = bench.control_loop.snapshots.take().seen_cards

    assert [each.id_tag for each in state] == [CARD, STRANGER]
    await asyncio.sleep(11 * 60)
    assert bench.control_loop.snapshots.take().seen_cards == ()


@in_virtual_time
async def test_the_power_of_each_phase_is_known_outside_the_control_loop(bench: ControlLoopBench) -> None:
    await bench.charge(phases=2)
    await asyncio.sleep(3)

    (point,) = bench.control_loop.snapshots.take().points
    assert point.phase_powers_w == (7_360, 7_360, 0)
    assert point.power_w == 14_720


@in_virtual_time
async def test_a_line_shows_its_last_answer_and_the_polls_without_one(bench: ControlLoopBench) -> None:
    await bench.until(lambda: shown(bench).controller.line.heard_at)
    before = shown(bench).controller.line

    bench.hall.controllers[1].silent = True
    await bench.until(lambda: shown(bench).controller.ok is False)

    silent = shown(bench).controller.line
    assert silent.errors >= before.errors + 3
    bench.hall.controllers[1].silent = False
    await bench.until(lambda: shown(bench).controller.ok)
    assert silent.heard_at is not None
    assert (shown(bench).controller.line.heard_at or silent.heard_at) > silent.heard_at
