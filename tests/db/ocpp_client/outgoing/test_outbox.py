"""Transaction messages: in order, once, for ever (OCPP 1.6 section 3.7 with errata 3.14, 3.18, 3.54)."""

import asyncio
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError

from ocpp_client.database import in_database
from ocpp_client.outgoing import outbox_store
from ocpp_client.outgoing.outbox_sender import OutboxSender
from ocpp_client.outgoing.outbox_store import Wait
from ocpp_client.rpc.calls import Calls
from ocpp_client.storage import StorageWatch
from station import clock
from station.domain.authorization import AuthorizationStatus
from station.domain.commands import Origin, Outcome, Status
from station.domain.facts import FactKind, MeterSampled, SessionBegan, SessionEnded
from station.domain.meter_values import Measurand, MeterValue, Quantity, ReadingContext
from station.domain.units import WattHour
from station.models import AuditEntry, CachedAuthorization, ChargingSession, LogEntry, MeterSample, OutboxMessage
from station.models.backend import OutboxStatus
from station.services import outbox, sessions
from station.services.messages import StartAnswered
from station.services.outbox import SET_ASIDE_CODE
from tests.backend import CallError, Default, Delay, Silence
from tests.db.ocpp_client.conftest import MOMENT, FakeList, FakeProcesses, put


def session(connector_id=1, *, stopped=True):
    return ChargingSession.objects.create(
        connector_id=connector_id,
        id_tag="CARD",
        started_at=MOMENT,
        meter_start_wh=0,
        meter_last_wh=0,
        meter_last_at=MOMENT,
        stopped_at=MOMENT if stopped else None,
        meter_stop_wh=5 if stopped else None,
    )


def start(of):
    return put(SessionBegan(at=MOMENT, connector_id=of.connector_id, id_tag="CARD", register=WattHour(0)), of)


def values(of, wh=1):
    energy = Quantity(measurand=Measurand.ENERGY, value=wh)
    value = MeterValue(at=MOMENT, context=ReadingContext.SAMPLE_PERIODIC, quantities=(energy,))
    return put(MeterSampled(connector_id=of.connector_id, value=value), of)


def stop(of):
    return put(SessionEnded(at=MOMENT, register=WattHour(5), reason="Local"), of)


def whole_session(connector_id=1, samples=2):
    of = session(connector_id)
    start(of)
    for number in range(samples):
        values(of, number)
    stop(of)
    return of


def states():
    return list(OutboxMessage.objects.order_by("id").values_list("status", flat=True))


def entries():
    codes = LogEntry.objects.filter(code__startswith="backend.message").order_by("id")
    return list(codes.values_list("code", "cleared_at"))


def all_delivered():
    return not OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED).exists()


def sender(*, flowing=False):
    """Make a sender of its own, with nobody around it."""
    flow = asyncio.Event()
    if flowing:
        flow.set()
    return OutboxSender(
        calls=Calls(),
        flow=flow,
        local_list=FakeList(),
        control_loop=FakeProcesses(),
        on_progress=lambda: None,
        storage=StorageWatch(),
    )


def transaction_frames(backend):
    kinds = {"StartTransaction", "MeterValues", "StopTransaction"}
    return [frame for frame in backend.received() if frame.action in kinds]


async def test_3_7_an_offline_session_arrives_in_order_with_the_real_transaction_id(bench):
    async with bench(run=False) as station:
        of = await in_database(whole_session)
        await in_database(whole_session, 2)
        running = asyncio.create_task(station.link.run())
        await station.until_in_database(all_delivered)

        frames = transaction_frames(station.backend)
        assert [frame.action for frame in frames] == [
            "StartTransaction",
            "MeterValues",
            "MeterValues",
            "StopTransaction",
        ] * 2
        numbers = [frame.payload.get("transactionId") for frame in frames]
        first = (await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id
        assert numbers[:4] == [None, first, first, first]
        actions = [frame.action for frame in station.backend.received()]
        assert actions.index("StartTransaction") > max(
            n for n, action in enumerate(actions) if action == "StatusNotification"
        )
        await station.link.stop()
        await running


async def test_j_3_7_on_one_connection_a_repetition_gets_a_new_id(bench):
    async with bench(keys={"TransactionMessageRetryInterval": "1"}) as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Silence(), CallError())
        await in_database(lambda: start(session()))
        await station.until_in_database(all_delivered)

        ids = [frame.message_id for frame in station.backend.received("StartTransaction")]
        assert len(ids) == len(set(ids)) == 3


async def test_3_7_a_refused_message_is_sent_so_many_times_and_then_the_later_ones_go_on(bench, monkeypatch):
    async with bench(keys={"TransactionMessageAttempts": "4"}) as station:
        await station.ready()
        monkeypatch.setattr(outbox_store, "LONGEST_RETRY", timedelta(seconds=0.05))
        station.backend.script_next("MeterValues", CallError(), times=4)
        await in_database(whole_session)
        await station.until_in_database(lambda: states() == ["delivered", "set_aside", "delivered", "delivered"])

        frames = transaction_frames(station.backend)
        assert [frame.action for frame in frames] == ["StartTransaction"] + ["MeterValues"] * 5 + ["StopTransaction"]
        assert len({frame.message_id for frame in frames}) == len(frames)
        assert [code for code, _ in await in_database(entries)] == [outbox_store.REFUSED_CODE, SET_ASIDE_CODE]
        audited = await in_database(AuditEntry.objects.latest, "id")
        assert (audited.command, audited.data["fact"]) == ("SetMessageAside", "meter_sampled")


async def test_3_7_the_pause_grows_with_every_refusal(bench):
    async with bench(run=False, keys={"TransactionMessageRetryInterval": "60"}):
        await in_database(lambda: start(session()))
        pauses = []
        for _ in range(2):
            claimed: Any = await in_database(outbox_store.claim, MOMENT + timedelta(hours=1), None)
            await in_database(outbox_store.refuse, claimed, "CALLERROR", MOMENT)
            row = await in_database(OutboxMessage.objects.get)
            pauses.append((row.next_attempt_at - MOMENT).total_seconds())

        assert pauses == [60, 120]


async def test_no_answer_is_no_refusal_however_often(bench):
    async with bench(run=False, keys={"TransactionMessageAttempts": "1"}):
        await in_database(lambda: start(session()))
        at = MOMENT
        for _ in range(50):
            at += timedelta(hours=2)
            claimed: Any = await in_database(outbox_store.claim, at, None)
            await in_database(outbox_store.postpone, claimed, "timeout", at)

        row = await in_database(OutboxMessage.objects.get)
        assert (row.status, row.refusals, row.attempts) == ("pending", 0, 50)
        assert row.next_attempt_at - at == timedelta(minutes=50)


async def test_a_session_whose_start_is_set_aside_waits_with_it_and_is_told_whole_after_the_next_boot(
    bench, monkeypatch
):
    monkeypatch.setattr(outbox_store, "LONGEST_RETRY", timedelta(seconds=0.02))
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", CallError(), times=3)
        refused = await in_database(whole_session)
        other = await in_database(whole_session, 2)
        await station.until_in_database(lambda: states() == ["set_aside"] * 4 + ["delivered"] * 4)

        frames = transaction_frames(station.backend)
        told = [(frame.action, frame.payload.get("transactionId")) for frame in frames]
        number = (await in_database(ChargingSession.objects.get, id=other.pk)).transaction_id
        assert told == [
            *[("StartTransaction", None)] * 3,
            # Errata 3.18: the end of a transaction whose begin could not be told; its meter values wait for the begin.
            ("StopTransaction", -1),
            ("StartTransaction", None),
            *[("MeterValues", number)] * 2,
            ("StopTransaction", number),
        ]
        mark = len(frames)
        station.link.outbox.booted()
        station.link.outbox.wake()
        await station.until_in_database(all_delivered)

        number = (await in_database(ChargingSession.objects.get, id=refused.pk)).transaction_id
        told = [(frame.action, frame.payload.get("transactionId")) for frame in transaction_frames(station.backend)]
        assert told[mark:] == [
            ("StartTransaction", None),
            *[("MeterValues", number)] * 2,
            ("StopTransaction", number),
        ]
        assert await in_database(MeterSample.objects.count) == 0
        assert all(cleared for _, cleared in await in_database(entries))


async def test_what_is_refused_again_after_a_boot_is_sent_once_and_holds_nobody_up(bench, monkeypatch):
    async with bench(keys={"TransactionMessageRetryInterval": "600"}) as station:
        await station.ready()
        with monkeypatch.context() as soon:
            soon.setattr(outbox_store, "LONGEST_RETRY", timedelta(seconds=0.02))
            station.backend.script_next("StartTransaction", CallError(), times=4)
            await in_database(whole_session)
            await station.until_in_database(lambda: states() == ["set_aside"] * 4)

        def another_session_and_a_boot():
            whole_session(2)
            outbox.send_again(origin=Origin.LOCAL, actor="BootNotification", at=MOMENT)

        await in_database(another_session_and_a_boot)
        station.link.outbox.wake()
        await station.until_in_database(lambda: states() == ["set_aside"] * 4 + ["delivered"] * 4)

        frames = transaction_frames(station.backend)
        assert [frame.action for frame in frames].count("StartTransaction") == 5
        assert [frame.payload.get("transactionId") for frame in frames].count(-1) == 1


async def test_a_refusal_of_a_repeated_id_does_not_count(bench):
    from tests.backend import Drop

    async with bench(keys={"TransactionMessageAttempts": "1"}) as station:
        await station.ready()
        # The backend has it, loses the connection, and refuses the id when it comes again.
        station.backend.script_next("StartTransaction", Drop(), CallError())
        await in_database(lambda: start(session()))
        await station.until_in_database(all_delivered)

        ids = [frame.message_id for frame in station.backend.received("StartTransaction")]
        assert len(ids) == 3
        assert ids[0] == ids[1] != ids[2]


async def test_an_answer_to_a_former_id_counts(bench, monkeypatch):
    monkeypatch.setattr(outbox_store, "LONGEST_RETRY", timedelta(seconds=0.02))
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Silence(), Silence())
        of = await in_database(session)
        await in_database(start, of)
        await station.until(lambda: len(station.backend.received("StartTransaction")) == 2)
        former = station.backend.received("StartTransaction")[0].message_id
        await station.backend.send_raw(f'[3,"{former}",{{"transactionId":8,"idTagInfo":{{"status":"Accepted"}}}}]')
        await station.until_in_database(all_delivered)

        assert (await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id == 8


async def test_a_start_that_is_answered_after_it_was_set_aside_takes_its_session_with_it(bench):
    async with bench(run=False, keys={"TransactionMessageAttempts": "1"}) as station:
        of = await in_database(whole_session)
        claimed: Any = await in_database(outbox_store.claim, MOMENT, None)
        await in_database(outbox_store.refuse, claimed, "CALLERROR", MOMENT)
        end = await in_database(outbox_store.claim, MOMENT, None)
        assert end.transaction_id is None
        await in_database(outbox_store.settle, end.id, end.message_id, {}, MOMENT, station.local_list)
        assert await in_database(states) == ["set_aside"] * 4

        found: Any = await in_database(outbox_store.undelivered, claimed.message_id)
        late, session_id = found
        assert session_id == of.pk
        answer = {"transactionId": 4, "idTagInfo": {"status": "Accepted"}}
        await in_database(outbox_store.settle, late, claimed.message_id, answer, MOMENT, station.local_list)
        assert await in_database(states) == ["delivered", "pending", "pending", "pending"]
        assert (await in_database(outbox_store.claim, MOMENT, None)).transaction_id == 4
        assert of.pk


async def start_set_aside_and_end_under_way() -> tuple[Any, Any]:
    """Bring a session to where its start was refused and its end is being told without a number."""
    await in_database(whole_session, samples=0)
    began: Any = await in_database(outbox_store.claim, MOMENT, None)
    await in_database(outbox_store.refuse, began, "CALLERROR", MOMENT)
    ended: Any = await in_database(outbox_store.claim, MOMENT, None)
    assert ended.transaction_id is None
    return began, ended


ANSWER = {"transactionId": 4, "idTagInfo": {"status": "Accepted"}}


@pytest.mark.parametrize("resent", [False, True])
async def test_e_3_18_a_late_answer_to_an_end_told_without_its_number_is_none_to_the_real_one(bench, resent):
    async with bench(run=False, keys={"TransactionMessageAttempts": "1"}) as station:
        began, ended = await start_set_aside_and_end_under_way()
        await in_database(outbox_store.postpone, ended, "timeout", MOMENT)
        await in_database(outbox_store.settle, began.id, began.message_id, ANSWER, MOMENT, station.local_list)
        real = None
        if resent:
            real = await in_database(outbox_store.claim, MOMENT + timedelta(hours=2), ended.id)
            assert (real.id, real.transaction_id) == (ended.id, 4)
            assert real.message_id != ended.message_id
            assert not real.repeated

        assert await in_database(outbox_store.undelivered, ended.message_id) is None
        assert (await in_database(states))[1] == ("sent" if resent else "pending")
        if real is not None:
            await in_database(outbox_store.settle, real.id, real.message_id, {}, MOMENT, station.local_list)
            assert await in_database(states) == ["delivered", "delivered"]


async def test_e_3_18_an_end_told_and_taken_without_its_number_is_told_with_it_under_another_id(bench):
    async with bench(run=False, keys={"TransactionMessageAttempts": "1"}) as station:
        began, ended = await start_set_aside_and_end_under_way()
        await in_database(outbox_store.settle, ended.id, ended.message_id, {}, MOMENT, station.local_list)
        await in_database(outbox_store.settle, began.id, began.message_id, ANSWER, MOMENT, station.local_list)

        real = await in_database(outbox_store.claim, MOMENT, None)
        assert (real.id, real.transaction_id) == (ended.id, 4)
        # A backend that knows ids would only repeat what it said to the first one.
        assert real.message_id != ended.message_id


@pytest.mark.parametrize("outcome", ["answer", "time-out", "CALLERROR", "connection lost"])
async def test_e_3_18_while_an_end_is_told_without_its_number_the_start_may_be_answered(bench, outcome):
    async with bench(run=False, keys={"TransactionMessageAttempts": "1"}) as station:
        began, ended = await start_set_aside_and_end_under_way()
        await in_database(outbox_store.settle, began.id, began.message_id, ANSWER, MOMENT, station.local_list)
        match outcome:
            case "answer":
                await in_database(outbox_store.settle, ended.id, ended.message_id, {}, MOMENT, station.local_list)
            case "time-out":
                await in_database(outbox_store.postpone, ended, "timeout", MOMENT)
            case "CALLERROR":
                await in_database(outbox_store.refuse, ended, "CALLERROR", MOMENT)
            case _:
                await in_database(outbox_store.put_back, ended)

        assert await in_database(states) == ["delivered", "pending"]
        real = await in_database(outbox_store.claim, MOMENT, None)
        assert (real.id, real.transaction_id, real.repeated) == (ended.id, 4, False)
        assert real.message_id != ended.message_id


async def test_an_answer_to_a_former_id_counts_over_the_next_connection_too(bench):
    async with bench(run=False) as station:
        of = await in_database(session)
        await in_database(start, of)
        first: Any = await in_database(outbox_store.claim, MOMENT, None)
        await in_database(outbox_store.postpone, first, "timeout", MOMENT)
        second: Any = await in_database(outbox_store.claim, MOMENT + timedelta(hours=2), first.id)
        await in_database(outbox_store.put_back, second)
        third: Any = await in_database(outbox_store.claim, MOMENT + timedelta(hours=2), None)
        assert first.message_id != second.message_id == third.message_id

        assert await in_database(outbox_store.undelivered, first.message_id) == (first.id, of.pk)
        await in_database(outbox_store.settle, first.id, first.message_id, ANSWER, MOMENT, station.local_list)
        # What is said to the other id afterwards does not change the number.
        other = {"transactionId": 5, "idTagInfo": {"status": "Accepted"}}
        await in_database(outbox_store.settle, third.id, third.message_id, other, MOMENT, station.local_list)
        assert (await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id == 4


async def test_whatever_goes_wrong_with_an_answer_nothing_overtakes_the_message(bench, monkeypatch):
    monkeypatch.setattr("ocpp_client.outgoing.outbox_sender._AFTER_TROUBLE_S", 0.05)
    trouble = [OverflowError("date value out of range"), KeyError("?"), DatabaseError("disk full")]
    settle = outbox_store.settle

    def troubled(*args):
        if trouble:
            raise trouble.pop()
        return settle(*args)

    monkeypatch.setattr(outbox_store, "settle", troubled)
    async with bench() as station:
        await station.ready()
        of = await in_database(whole_session)
        await station.until_in_database(all_delivered)

        frames = transaction_frames(station.backend)
        number = (await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id
        assert [(frame.action, frame.payload.get("transactionId")) for frame in frames] == [
            # An answer that cannot be written is held; one that cannot be read is asked for again.
            *[("StartTransaction", None)] * 3,
            *[("MeterValues", number)] * 2,
            ("StopTransaction", number),
        ]


class BrokenDisk:
    """A database that takes nothing the outbox writes, for as long as `is_full`."""

    def __init__(self, monkeypatch):
        self.is_full = False
        self.failures = 0
        for name in ("settle", "claim", "refuse", "postpone", "put_back", "recover"):
            monkeypatch.setattr(outbox_store, name, self._through(getattr(outbox_store, name)))

    def _through(self, work):
        def tried(*args):
            if self.is_full:
                self.failures += 1
                raise DatabaseError("database or disk is full")
            return work(*args)

        return tried


@pytest.fixture
def disk(monkeypatch):
    monkeypatch.setattr("ocpp_client.outgoing.outbox_sender._AFTER_TROUBLE_S", 0.05)
    return BrokenDisk(monkeypatch)


REFUSAL = {"transactionId": 9, "idTagInfo": {"status": "Invalid"}}


async def test_an_answer_that_cannot_be_written_is_told_at_once_and_its_message_is_not_sent_again(bench, disk):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Delay(seconds=0.3, answer=REFUSAL))
        of = await in_database(lambda: session(stopped=False))
        await in_database(start, of)
        await station.backend.wait_for("StartTransaction")
        disk.is_full = True

        told = await station.until(lambda: station.processes.told(StartAnswered))
        assert (told[0].session_id, told[0].transaction_id, told[0].status) == (of.pk, 9, "Invalid")
        tries = disk.failures
        await station.until(lambda: disk.failures > tries + 5)
        disk.is_full = False
        await station.until_in_database(all_delivered)

        assert len(station.backend.received("StartTransaction")) == 1
        assert (await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id == 9
        assert len(station.processes.told(StartAnswered)) == 1


async def test_an_answer_is_held_over_a_lost_connection_too(bench, disk):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Delay(seconds=0.3, answer=REFUSAL))
        of = await in_database(session)
        await in_database(start, of)
        await in_database(lambda: stop(of))
        await station.backend.wait_for("StartTransaction")
        disk.is_full = True
        await station.until(lambda: station.processes.told(StartAnswered))
        station.link.state.flow.clear()
        await station.backend.drop()
        await station.ready()
        tries = disk.failures
        await station.until(lambda: disk.failures > tries + 2)
        disk.is_full = False
        await station.until_in_database(all_delivered)

        told = [(frame.action, frame.payload.get("transactionId")) for frame in transaction_frames(station.backend)]
        assert told == [("StartTransaction", None), ("StopTransaction", 9)]


async def test_a_late_answer_that_cannot_be_written_goes_before_the_next_sending(bench, disk):
    async with bench(keys={"TransactionMessageRetryInterval": "1"}) as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Delay(seconds=1.3, answer=REFUSAL))
        of = await in_database(lambda: session(stopped=False))
        await in_database(start, of)
        await station.until_in_database(lambda: OutboxMessage.objects.get().last_error == "timeout")
        disk.is_full = True
        await station.until(lambda: station.processes.told(StartAnswered))
        # The pause is over; the answer is held.
        await asyncio.sleep(1.2)
        disk.is_full = False
        await station.until_in_database(all_delivered)

        assert len(station.backend.received("StartTransaction")) == 1
        assert (await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id == 9


async def test_a_remote_stop_behind_a_held_answer_waits_only_a_moment(bench, disk, monkeypatch):
    monkeypatch.setattr("ocpp_client.outgoing.outbox_sender._SETTLES_S", 0.1)
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Delay(seconds=0.3, answer=ANSWER))
        await in_database(start, await in_database(lambda: session(stopped=False)))
        await station.backend.wait_for("StartTransaction")
        disk.is_full = True
        await station.until(lambda: station.processes.told(StartAnswered))

        assert await station.backend.call("RemoteStopTransaction", {"transactionId": 4}) == {"status": "Accepted"}
        disk.is_full = False
        await station.until_in_database(all_delivered)


async def test_what_is_said_to_a_repetition_of_an_answered_start_is_not_told(bench, monkeypatch):
    monkeypatch.setattr(outbox_store, "LONGEST_RETRY", timedelta(seconds=0.02))
    async with bench() as station:
        await station.ready()
        again = {"transactionId": 5, "idTagInfo": {"status": "ConcurrentTx"}}
        station.backend.script_next("StartTransaction", Silence(), Delay(seconds=0.5, answer=again))
        of = await in_database(lambda: session(stopped=False))
        await in_database(start, of)
        await station.until(lambda: len(station.backend.received("StartTransaction")) == 2)
        former = station.backend.received("StartTransaction")[0].message_id
        await station.backend.send_raw(json.dumps([3, former, ANSWER]))
        await station.until_in_database(all_delivered)
        await in_database(values, of)
        await station.backend.wait_for("MeterValues")

        [told] = station.processes.told(StartAnswered)
        assert (told.transaction_id, told.status) == (4, "Accepted")
        assert (await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id == 4


async def test_a_message_that_cannot_be_written_is_set_aside_and_the_others_go_on(bench):
    async with bench(run=False) as station:
        await in_database(whole_session)
        await in_database(lambda: OutboxMessage.objects.filter(kind="session_ended").update(fact={"reason": "?"}))
        of = await in_database(whole_session, 2)
        odd = {"register_wh": 5, "reason": "Boredom"}
        await in_database(lambda: OutboxMessage.objects.filter(session=of, kind="session_ended").update(fact=odd))
        running = asyncio.create_task(station.link.run())
        await station.until_in_database(
            lambda: states() == ["delivered"] * 3 + ["set_aside"] + ["delivered"] * 3 + ["set_aside"]
        )
        await station.link.stop()
        await running


async def test_the_operator_sends_a_whole_session_again(bench):
    async with bench(run=False, keys={"TransactionMessageAttempts": "1"}):
        of = await in_database(whole_session)
        await in_database(whole_session, 2)
        await in_database(lambda: OutboxMessage.objects.update(status=OutboxStatus.SET_ASIDE))
        end = await in_database(OutboxMessage.objects.get, session=of, kind="session_ended")
        again = await in_database(lambda: outbox.send_again(origin=Origin.WEB, actor="admin", at=MOMENT, ids=[end.pk]))

        assert again == 4
        assert await in_database(states) == ["pending"] * 4 + ["set_aside"] * 4
        audited = await in_database(AuditEntry.objects.latest, "id")
        assert (audited.origin, audited.actor, audited.command) == ("web", "admin", "SendMessagesAgain")


async def test_a_late_answer_still_counts(bench):
    async with bench(keys={"TransactionMessageRetryInterval": "60"}) as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Delay(seconds=1.3))
        of = await in_database(session)
        await in_database(start, of)
        await station.until_in_database(all_delivered, timeout=5)

        assert len(station.backend.received("StartTransaction")) == 1
        assert (await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id is not None


async def test_what_comes_behind_a_late_answer_meets_its_number(bench, monkeypatch):
    async with bench(keys={"TransactionMessageRetryInterval": "60"}) as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Silence())
        of = await in_database(session, stopped=False)
        await in_database(start, of)
        await station.until_in_database(lambda: OutboxMessage.objects.get().last_error == "timeout")
        known = []

        async def submit(*_args: Any, **_options: Any) -> Outcome:
            known.append((await in_database(ChargingSession.objects.get, id=of.pk)).transaction_id)
            return Outcome(status=Status.ACCEPTED)

        monkeypatch.setattr(station.processes, "submit", submit)
        [frame] = station.backend.received("StartTransaction")
        answer = {"transactionId": 8, "idTagInfo": {"status": "Accepted"}}
        await station.backend.send_raw(json.dumps([3, frame.message_id, answer]))
        await station.backend.call("RemoteStopTransaction", {"transactionId": 8})

        assert known == [8]


async def test_a_connection_lost_under_way_sends_the_same_id_over_the_next_one(bench):
    from tests.backend import Drop

    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Drop(booked=True))
        await in_database(whole_session)
        await station.until_in_database(all_delivered)

        ids = [frame.message_id for frame in station.backend.received("StartTransaction")]
        assert len(ids) == 2
        assert ids[0] == ids[1]
        assert len(station.backend.books.transactions) == 1


@pytest.mark.parametrize("expiry", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-05:00", "never"])
async def test_an_odd_expiry_date_does_not_cost_the_order(bench, expiry):
    async with bench() as station:
        await station.ready()
        station.backend.script_next(
            "StartTransaction", {"transactionId": 17, "idTagInfo": {"status": "Accepted", "expiryDate": expiry}}
        )
        await in_database(whole_session)
        await station.until_in_database(all_delivered)

        frames = transaction_frames(station.backend)
        assert [frame.action for frame in frames] == ["StartTransaction"] + ["MeterValues"] * 2 + ["StopTransaction"]
        assert {frame.payload["transactionId"] for frame in frames[1:]} == {17}


async def test_4_8_a_refused_card_is_told_to_the_control_loop_and_cached(bench):
    async with bench() as station:
        await station.ready()
        station.backend.script_next(
            "StartTransaction", {"transactionId": -7, "idTagInfo": {"status": "Blocked", "parentIdTag": "GROUP"}}
        )
        of = await in_database(lambda: session(stopped=False))
        await in_database(start, of)
        answered = await station.until(lambda: station.processes.told(StartAnswered))

        assert answered == [
            StartAnswered(
                session_id=of.pk, transaction_id=-7, status=AuthorizationStatus.BLOCKED, parent_id_tag="GROUP"
            )
        ]
        cached = await in_database(CachedAuthorization.objects.get, id_tag="card")
        assert (cached.status, cached.parent_id_tag) == ("Blocked", "GROUP")
        again = await in_database(outbox_store.unheard_refusals)
        assert [one.status for one in again] == ["Blocked"]


@pytest.mark.parametrize(
    "answer",
    [
        *[{"idTagInfo": {"status": status}} for status in ("accepted", "", 7, ["Accepted"], None)],
        {"idTagInfo": {}},
        {"idTagInfo": None},
        {"idTagInfo": "Accepted"},
        {},
    ],
)
async def test_7_2_a_status_that_is_none_counts_as_invalid_and_spoils_no_cache(bench, answer):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", {"transactionId": 5} | answer)
        await in_database(start, await in_database(lambda: session(stopped=False)))
        answered = await station.until(lambda: station.processes.told(StartAnswered))

        assert answered[0].status == "Invalid"
        assert not await in_database(CachedAuthorization.objects.exists)


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63 - 1])
async def test_e_3_54_any_transaction_id_is_taken(bench, number):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", {"transactionId": number, "idTagInfo": {"status": "Accepted"}})
        await in_database(whole_session)
        await station.until_in_database(all_delivered)

        assert station.backend.received("StopTransaction")[0].payload["transactionId"] == number


async def test_a_number_with_a_decimal_point_and_nothing_behind_it_is_an_integer(bench):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", {"transactionId": 7.0, "idTagInfo": {"status": "Accepted"}})
        await in_database(whole_session)
        await station.until_in_database(all_delivered)

        assert [frame.action for frame in transaction_frames(station.backend)].count("StartTransaction") == 1
        assert station.backend.received("StopTransaction")[0].payload["transactionId"] == 7


NO_NUMBERS = [{}, *[{"transactionId": number} for number in (None, "", "x", "7" * 5000, 2**63, 7.5, True, [7])]]


@pytest.mark.parametrize("number", NO_NUMBERS)
async def test_an_accepted_start_without_a_usable_number_is_not_sent_again_before_the_next_boot(bench, number):
    async with bench(keys={"TransactionMessageRetryInterval": "1"}) as station:
        await station.ready()
        station.backend.script_next("StartTransaction", number | {"idTagInfo": {"status": "Accepted"}})
        await in_database(whole_session)
        await station.until_in_database(lambda: states() == ["set_aside"] * 4)

        told = [(frame.action, frame.payload.get("transactionId")) for frame in transaction_frames(station.backend)]
        assert told == [("StartTransaction", None), ("StopTransaction", -1)]
        assert [code for code, _ in await in_database(entries)] == [SET_ASIDE_CODE]
        assert station.processes.told(StartAnswered) == []

        station.link.outbox.booted()
        await station.until_in_database(all_delivered)
        ids = [frame.message_id for frame in station.backend.received("StartTransaction")]
        assert len(ids) == len(set(ids)) == 2
        assert all(cleared for _, cleared in await in_database(entries))


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize("status", ["Invalid", "Blocked", "ConcurrentTx", "Expired"])
async def test_4_8_a_refusal_without_a_usable_number_is_told_to_the_control_loop(bench, number, status):
    async with bench(keys={"TransactionMessageRetryInterval": "1"}) as station:
        await station.ready()
        station.backend.script_next("StartTransaction", number | {"idTagInfo": {"status": status}})
        of = await in_database(lambda: session(stopped=False))
        await in_database(start, of)
        await station.until_in_database(lambda: states() == ["set_aside"])

        refusal = StartAnswered(session_id=of.pk, transaction_id=None, status=AuthorizationStatus(status))
        assert await station.until(lambda: station.processes.told(StartAnswered)) == [refusal]
        assert len(station.backend.received("StartTransaction")) == 1
        # A control loop that has not heard it finds it in the tables, and is told again after a restart.
        assert await in_database(sessions.answered_start, of.pk) == (None, AuthorizationStatus(status))
        assert await in_database(outbox_store.unheard_refusals) == [refusal]


async def test_4_8_a_late_refusal_without_a_usable_number_counts_too(bench):
    async with bench(keys={"TransactionMessageRetryInterval": "60"}) as station:
        await station.ready()
        answer = {"transactionId": None, "idTagInfo": {"status": "Blocked"}}
        station.backend.script_next("StartTransaction", Delay(seconds=1.3, answer=answer))
        of = await in_database(lambda: session(stopped=False))
        await in_database(start, of)

        [told] = await station.until(lambda: station.processes.told(StartAnswered))
        assert (told.transaction_id, told.status) == (None, "Blocked")
        assert await in_database(states) == ["set_aside"]


async def test_the_message_under_way_at_a_power_cut_is_sent_again_under_its_id(bench):
    async with bench(run=False) as station:
        row = await in_database(lambda: start(session()))
        await in_database(outbox_store.claim, clock.now(), None)
        running = asyncio.create_task(station.link.run())
        await station.until_in_database(all_delivered)

        assert [frame.message_id for frame in station.backend.received("StartTransaction")] == [row.message_id]
        await station.link.stop()
        await running


async def test_3_7_a_backlog_too_long_loses_values_in_between_and_nothing_else(bench):
    async with bench(run=False):
        first = await in_database(whole_session, 1, 9)
        second = await in_database(whole_session, 2, 5)
        await in_database(outbox_store.thin_backlog, clock.now(), most=12)

        def left(of):
            rows = OutboxMessage.objects.filter(session=of).order_by("id")
            return [row.fact["quantities"][0][1] if row.kind == FactKind.METER_SAMPLED else row.kind for row in rows]

        kept_first, kept_second = await in_database(left, first), await in_database(left, second)
        assert len(kept_first) + len(kept_second) <= 12
        assert kept_first[:2] == ["session_began", 0]
        assert kept_first[-2:] == [8, "session_ended"]
        assert kept_second[:2] == ["session_began", 0]
        assert kept_second[-2:] == [4, "session_ended"]
        # What cannot be thinned any further stays, whatever the bound says.
        await in_database(outbox_store.thin_backlog, clock.now(), most=1)
        assert len(await in_database(left, first)) >= 4
        assert await in_database(outbox_store.thin_backlog, clock.now(), most=100) == 0


async def test_delivered_messages_are_kept_for_a_week(bench):
    async with bench(run=False):
        row = await in_database(lambda: start(session()))
        await in_database(OutboxMessage.objects.update, status=OutboxStatus.DELIVERED, delivered_at=MOMENT)

        assert await in_database(outbox_store.forget_delivered, MOMENT + timedelta(days=6)) == 0
        assert await in_database(outbox_store.forget_delivered, MOMENT + timedelta(days=8)) == 1
        assert row.pk


async def test_of_many_delivered_messages_the_newest_are_kept_and_the_start_of_a_running_session(bench, monkeypatch):
    monkeypatch.setattr(outbox_store, "_AT_ONCE", 2)
    async with bench(run=False):
        running = await in_database(lambda: session(2, stopped=False))
        begun = await in_database(lambda: start(running))
        await in_database(whole_session, 1, 5)
        await in_database(OutboxMessage.objects.update, status=OutboxStatus.DELIVERED, delivered_at=MOMENT)
        owed = await in_database(lambda: values(running))

        assert await in_database(outbox_store.forget_delivered, MOMENT, most=2) == 5
        left = await in_database(lambda: list(OutboxMessage.objects.order_by("id").values_list("id", "kind")))
        assert [kind for _, kind in left] == ["session_began", "meter_sampled", "session_ended", "meter_sampled"]
        assert left[0][0] == begun.pk
        assert left[-1][0] == owed.pk


async def test_backend_calls_are_answered_while_an_own_call_waits(bench):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Delay(seconds=0.8, answer=Default()))
        await in_database(whole_session)
        await station.backend.wait_for("StartTransaction")

        answer = await station.backend.call("GetConfiguration", {"key": ["HeartbeatInterval"]}, timeout=0.5)

        assert answer["configurationKey"][0]["key"] == "HeartbeatInterval"
        await station.until_in_database(all_delivered)


@pytest.mark.django_db
def test_a_clock_that_is_set_back_makes_a_pause_no_longer():
    of = session()
    start(of)
    claimed = outbox_store.claim(MOMENT, None)
    assert isinstance(claimed, outbox_store.Claimed)
    outbox_store.postpone(claimed, "timeout", MOMENT)

    assert isinstance(outbox_store.claim(MOMENT, None), outbox_store.Wait)

    assert isinstance(outbox_store.claim(MOMENT - timedelta(days=1), None), outbox_store.Claimed)


async def test_a_look_that_began_before_somebody_waits_for_the_end_of_the_backlog_does_not_tell_it(monkeypatch):
    owed, may_go_on, looks = [], threading.Event(), []

    def look(_at, _unanswered):
        found = Wait(seconds=60) if owed else None
        looks.append(found)
        if len(looks) == 1:
            may_go_on.wait(10)
        return found

    monkeypatch.setattr(outbox_store, "look", look)
    lone = sender()
    earlier_look = asyncio.create_task(lone.step())
    while not looks:
        await asyncio.sleep(0.001)
    owed.append("StopTransaction")
    waiting = asyncio.create_task(lone.emptied(10))
    await asyncio.sleep(0)

    may_go_on.set()
    assert await earlier_look is None
    assert await lone.step() == 60
    assert not waiting.done()

    owed.clear()
    assert await lone.step() is None
    assert await waiting


@pytest.mark.parametrize("event", ["accepted anew", "the disk is full"])
async def test_each_acceptance_is_another_chance_whatever_becomes_of_the_one_before(monkeypatch, event):
    looked, begun, may_go_on, chances = threading.Event(), threading.Event(), threading.Event(), []

    def send_again(**_):
        chances.append(event)
        if len(chances) == 1:
            begun.set()
            may_go_on.wait(10)
            if event == "the disk is full":
                raise DatabaseError("database or disk is full")

    monkeypatch.setattr(outbox, "send_again", send_again)
    monkeypatch.setattr(outbox_store, "recover", lambda: None)
    monkeypatch.setattr(outbox_store, "unheard_refusals", list)
    monkeypatch.setattr(outbox_store, "look", lambda *_: looked.set())
    monkeypatch.setattr("ocpp_client.outgoing.outbox_sender._AFTER_TROUBLE_S", 0.01)
    lone = sender(flowing=True)
    lone.booted()
    running = asyncio.create_task(lone.run())
    try:
        await asyncio.to_thread(begun.wait, 10)
        if event == "accepted anew":
            lone.booted()
        may_go_on.set()

        async with asyncio.timeout(5):
            while len(chances) < 2 or not looked.is_set():
                await asyncio.sleep(0.001)
        looked.clear()
        lone.wake()
        await asyncio.to_thread(looked.wait, 10)
        assert len(chances) == 2
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
