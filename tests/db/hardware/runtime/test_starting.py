"""How a session begins: card first, plug first, remote starts, refused cards, time-outs."""

import asyncio

from station.domain.commands import Outcome, PresentTag, Refusal, StartSession, Status, StopSession
from station.domain.connector import Phase
from station.domain.ports import LampColour, LampPattern, ReaderSignal
from station.models import AuditEntry, ChargingSession, Connector, LogEntry
from tests.db.hardware.runtime.bench import CARD, FRIEND, STRANGER, ControlLoopBench, configure, in_virtual_time


@in_virtual_time
async def test_card_first_then_car(bench: ControlLoopBench) -> None:
    bench.hall.reader.tap(CARD)
    await bench.phase("authorized")
    bench.hall.outlets[1].plug()
    await bench.phase("charging")

    session = ChargingSession.objects.get()
    assert (session.id_tag, session.connector_id, session.meter_start_wh) == (CARD, 1, 5_000)
    assert [action for action, _ in bench.messages()] == ["StartTransaction"]
    assert bench.messages()[0][1] == {
        "connectorId": 1,
        "idTag": CARD,
        "meterStart": 5_000,
        "timestamp": session.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    await bench.told("Available", "Preparing", "Charging")
    assert ReaderSignal.ACCEPTED in bench.hall.reader.signals


@in_virtual_time
async def test_car_first_then_card(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    assert not bench.hall.outlets[1].locked
    bench.hall.reader.tap(CARD)
    await bench.phase("charging")

    assert bench.hall.outlets[1].locked
    await bench.told("Available", "Preparing", "Charging")


@in_virtual_time
async def test_the_same_card_ends_the_session_without_asking_anybody(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(60)
    bench.hall.reader.tap(CARD.lower())
    await bench.phase("finishing")
    await bench.until(lambda: bench.messages("StopTransaction"))

    _, stop = bench.messages("StopTransaction")[0]
    assert (stop["reason"], stop["idTag"], stop["meterStop"]) == (
        "Local",
        CARD.lower(),
        bench.hall.outlets[1].register_wh,
    )
    await bench.until(lambda: not bench.hall.outlets[1].locked)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await bench.told("Charging", "Finishing", "Available")


@in_virtual_time
async def test_a_card_held_to_the_reader_is_one_tap(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD, seconds=8.0)
    await bench.phase("charging")
    await asyncio.sleep(10)

    assert bench.control_loop.points[1].state.phase == Phase.CHARGING


@in_virtual_time
async def test_a_card_nobody_knows_is_refused(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(STRANGER)
    await bench.until(lambda: LogEntry.objects.filter(code="start.refused").exists())

    assert bench.control_loop.points[1].state.phase == Phase.PLUGGED
    assert bench.hall.reader.signals[-1] is ReaderSignal.REFUSED
    assert not ChargingSession.objects.exists()
    assert not bench.hall.outlets[1].released


@in_virtual_time
async def test_a_card_without_a_car_is_forgotten_after_the_time_out(bench: ControlLoopBench) -> None:
    bench.hall.reader.tap(CARD)
    await bench.phase("authorized")
    began_s = bench.loop.time()
    await bench.phase("available", seconds=130)

    assert 119.5 < bench.loop.time() - began_s < 121.5
    assert not ChargingSession.objects.exists()
    await bench.told("Preparing", "Available")


@in_virtual_time
async def test_a_car_without_a_card_has_to_be_plugged_in_anew_after_the_time_out(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("lapsed", seconds=130)
    await bench.told("Finishing")

    bench.hall.reader.tap(CARD)
    await bench.until(lambda: LogEntry.objects.filter(data__reason="replug_needed").exists())
    assert not ChargingSession.objects.exists()

    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await asyncio.sleep(2)
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await bench.phase("charging")


@in_virtual_time
async def test_the_same_card_again_withdraws_it(bench: ControlLoopBench) -> None:
    bench.hall.reader.tap(CARD)
    await bench.phase("authorized")
    await asyncio.sleep(2)
    bench.hall.reader.tap(CARD)
    await bench.phase("available")


@in_virtual_time
async def test_a_remote_start_without_authorization_asks_nobody(bench: ControlLoopBench) -> None:
    bench.go_online()
    outcome = await bench.command(StartSession(id_tag=STRANGER, connector_id=1))
    bench.hall.outlets[1].plug()
    await bench.phase("charging")

    assert outcome == Outcome(status=Status.ACCEPTED, data={"connector_id": 1})
    assert not [message for message in bench.channel_layer.sent if message["type"] == "authorize.request"]
    assert ChargingSession.objects.get().origin == "backend"
    assert AuditEntry.objects.get(command="StartSession").data["id_tag"] == "04DE…"


@in_virtual_time
async def test_a_remote_start_with_authorization_asks_the_backend(bench: ControlLoopBench) -> None:
    bench.go_online()
    bench.backend[STRANGER] = {"status": "Accepted", "parent": "FLEET"}
    await bench.command(StartSession(id_tag=STRANGER, connector_id=1, authorize=True))
    bench.hall.outlets[1].plug()
    await bench.phase("charging")

    assert [m["id_tag"] for m in bench.channel_layer.sent if m["type"] == "authorize.request"] == [STRANGER]
    assert ChargingSession.objects.get().parent_id_tag == "FLEET"


@in_virtual_time
async def test_a_card_about_which_the_backend_says_nothing_usable_is_refused_by_that_name(
    bench: ControlLoopBench,
) -> None:
    bench.go_online()
    configure({"AllowOfflineTxForUnknownId": "true"})
    bench.backend[STRANGER] = {}
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")

    bench.hall.reader.tap(STRANGER)
    await bench.until(lambda: LogEntry.objects.filter(code="start.refused").exists())

    assert LogEntry.objects.get(code="start.refused").data["because"] == "backend_answer_unusable"
    assert not ChargingSession.objects.exists()


@in_virtual_time
async def test_a_remote_start_the_backend_refuses_does_not_begin(bench: ControlLoopBench) -> None:
    bench.go_online()
    bench.backend[STRANGER] = {"status": "Blocked"}
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    await bench.command(StartSession(id_tag=STRANGER, connector_id=1, authorize=True))
    await bench.until(lambda: LogEntry.objects.filter(code="start.refused").exists())

    assert not ChargingSession.objects.exists()


@in_virtual_time
async def test_remote_starts_that_cannot_succeed_are_refused_at_once(bench: ControlLoopBench) -> None:
    async def refused(command: StartSession) -> Refusal | None:
        return (await bench.command(command)).reason

    assert await refused(StartSession(id_tag=CARD, connector_id=7)) is Refusal.CONNECTOR_UNKNOWN
    assert await refused(StartSession(id_tag=CARD, connector_id=0)) is Refusal.CONNECTOR_UNKNOWN
    assert await refused(StartSession(id_tag="x" * 21)) is Refusal.TAG_INVALID
    assert await refused(StartSession(id_tag="")) is Refusal.TAG_INVALID
    assert await refused(StartSession(id_tag=CARD, charging_profile={})) is Refusal.PROFILE_INVALID
    assert await refused(StartSession(id_tag=CARD)) is None
    assert await refused(StartSession(id_tag=CARD, connector_id=1)) is Refusal.START_PENDING
    await bench.phase("authorized")
    assert await refused(StartSession(id_tag=FRIEND, connector_id=1)) is Refusal.START_PENDING
    bench.hall.outlets[1].plug()
    await bench.phase("charging")
    assert await refused(StartSession(id_tag=FRIEND, connector_id=1)) is Refusal.CONNECTOR_OCCUPIED


@in_virtual_time
async def test_a_command_that_comes_too_late_does_nothing(bench: ControlLoopBench) -> None:
    outcome = await bench.command(StartSession(id_tag=CARD), life_s=-1)

    assert outcome.reason is Refusal.TOO_LATE
    assert bench.control_loop.points[1].state.phase == Phase.AVAILABLE
    assert AuditEntry.objects.get().reason == "too_late"


@in_virtual_time
async def test_two_remote_starts_at_one_moment_make_one_session(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    first, second = await asyncio.gather(
        bench.command(StartSession(id_tag=CARD, connector_id=1)),
        bench.command(StartSession(id_tag=FRIEND, connector_id=1)),
    )
    await bench.phase("charging")

    assert {first.status, second.status} == {Status.ACCEPTED, Status.REJECTED}
    assert ChargingSession.objects.count() == 1


@in_virtual_time
async def test_a_remote_stop_by_transaction_number(bench: ControlLoopBench) -> None:
    await bench.charge()
    assert (await bench.command(StopSession(transaction_id=5))).reason is Refusal.TRANSACTION_UNKNOWN

    await bench.start_answered(transaction_id=-5)
    outcome = await bench.command(StopSession(transaction_id=-5, reason="Remote"))
    await bench.until(lambda: bench.messages("StopTransaction"))

    assert outcome.status is Status.ACCEPTED
    assert bench.messages("StopTransaction")[0][1]["reason"] == "Remote"
    assert "idTag" not in bench.messages("StopTransaction")[0][1]


@in_virtual_time
async def test_a_remote_stop_finds_a_number_whose_message_was_lost(bench: ControlLoopBench) -> None:
    await bench.charge()
    ChargingSession.objects.update(transaction_id=99)

    outcome = await bench.command(StopSession(transaction_id=99, reason="Remote"))

    assert outcome.status is Status.ACCEPTED


@in_virtual_time
async def test_a_driver_does_not_wait_for_a_backend_whose_process_is_gone(bench: ControlLoopBench) -> None:
    bench.go_online()
    # The table says "connected", but the snapshot of the process has expired.
    bench.redis.uptime_s = 1000
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await bench.phase("charging", seconds=5)

    assert not [message for message in bench.channel_layer.sent if message["type"] == "authorize.request"]
    assert ChargingSession.objects.get().authorized_by == "offline_listed"


@in_virtual_time
async def test_a_redis_that_hangs_holds_up_neither_a_card_nor_a_status(bench: ControlLoopBench) -> None:
    bench.go_online()
    bench.channel_layer.hangs = True
    bench.hall.outlets[1].plug()
    await bench.until(lambda: Connector.objects.get(number=1).status == "Preparing", seconds=5)
    bench.hall.reader.tap(STRANGER)
    await bench.until(lambda: LogEntry.objects.filter(code="start.refused").exists(), seconds=5)


@in_virtual_time
async def test_plug_and_charge_needs_no_card(bench: ControlLoopBench) -> None:
    configure({"/hw/auth/device/Dummy/enabled": "true", "/auth/identification": "none"})
    bench.hall.outlets[1].plug()
    await bench.phase("charging")

    assert ChargingSession.objects.get().origin == "plug"


@in_virtual_time
async def test_a_card_can_be_presented_by_hand(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")

    outcome = await bench.command(PresentTag(id_tag=CARD))

    assert outcome.status is Status.ACCEPTED
    await bench.phase("charging")


@in_virtual_time
async def test_a_card_shown_twice_quickly_is_judged_once(bench: ControlLoopBench) -> None:
    bench.go_online()
    bench.backend_thinks_s = 3.0
    bench.backend[CARD] = {"status": "Accepted"}
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await asyncio.sleep(1.5)
    bench.hall.reader.tap(CARD)
    await bench.phase("charging")
    await asyncio.sleep(5)

    assert bench.control_loop.points[1].state.phase == Phase.CHARGING
    assert ChargingSession.objects.count() == 1


@in_virtual_time
async def test_a_backend_that_never_answers_does_not_freeze_the_station(bench: ControlLoopBench) -> None:
    bench.go_online()
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await asyncio.sleep(1)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await bench.until(lambda: not bench.control_loop.admission._undecided, seconds=40)


@in_virtual_time
async def test_redis_away_costs_nothing_but_freshness(bench: ControlLoopBench) -> None:
    bench.redis.down = bench.channel_layer.down = True
    await bench.charge()
    await asyncio.sleep(5)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))


@in_virtual_time
async def test_9_1_2_a_refused_card_makes_the_lamp_blink_as_often_as_blink_repeat_says(bench: ControlLoopBench) -> None:
    configure({"BlinkRepeat": "4"})
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    await bench.until(lambda: bench.hall.io.lamps[1] == LampPattern(colour=LampColour.YELLOW))
    bench.hall.reader.tap(STRANGER)

    await bench.until(lambda: bench.hall.io.lamps[1] == LampPattern(colour=LampColour.YELLOW, blinks=4))
    await bench.until(lambda: bench.hall.io.lamps[1] == LampPattern(colour=LampColour.YELLOW), seconds=6)
