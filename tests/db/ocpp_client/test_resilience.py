"""A hostile or careless backend gets the right answer and does no harm (OCPP-J 1.6 section 4, security whitepaper)."""

import asyncio
import gc
import json

import pytest

from ocpp_client.connection.socket import MAX_MESSAGE_BYTES
from ocpp_client.database import in_database
from ocpp_client.incoming.load import MOST_BYTES, Load
from station.models import OutboxMessage, SecurityEvent
from station.models.backend import OutboxStatus
from tests.backend import BackendCallError, Delay, Garbage, Silence, Twice
from tests.db.ocpp_client.outgoing.test_outbox import all_delivered, session, start, transaction_frames, whole_session

CALLS = [
    ("NoSuchAction", {}, "NotImplemented"),
    ("Heartbeat", {}, "NotImplemented"),
    ("BootNotification", {}, "NotImplemented"),
    ("Reset", {}, "OccurenceConstraintViolation"),
    ("Reset", {"type": 5}, "TypeConstraintViolation"),
    ("Reset", {"type": "Warm"}, "PropertyConstraintViolation"),
    ("ChangeConfiguration", {"key": "x" * 51, "value": "1"}, "PropertyConstraintViolation"),
    ("ChangeConfiguration", {"key": "x", "value": "1" * 501}, "PropertyConstraintViolation"),
    ("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": 60}, "TypeConstraintViolation"),
    ("RemoteStartTransaction", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
    ("UnlockConnector", {"connectorId": "1"}, "TypeConstraintViolation"),
    (
        "ReserveNow",
        {"connectorId": 1, "expiryDate": "soon", "idTag": "A", "reservationId": 1},
        "PropertyConstraintViolation",
    ),
    (
        "GetLog",
        {
            "logType": "SecurityLog",
            "requestId": 1,
            "log": {"remoteLocation": "ftp://x", "oldestTimestamp": "yesterday"},
        },
        "PropertyConstraintViolation",
    ),
    ("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": {}}, "OccurenceConstraintViolation"),
]


@pytest.mark.parametrize(("action", "payload", "code"), CALLS)
async def test_j_4_2_3_each_defect_has_its_code(bench, action, payload, code):
    async with bench() as station:
        await station.ready()
        with pytest.raises(BackendCallError) as refused:
            await station.backend.call(action, payload)
        assert refused.value.code == code
        assert station.processes.commands == []


async def test_unknown_fields_do_no_harm(bench):
    async with bench() as station:
        await station.ready()
        assert await station.backend.call("Reset", {"type": "Soft", "vendorHint": {"a": 1}}) == {"status": "Accepted"}


async def test_numbers_beyond_every_register_are_refused(bench):
    async with bench() as station:
        await station.ready()
        huge = 10**30
        for action, payload in [
            ("RemoteStopTransaction", {"transactionId": huge}),
            ("ClearChargingProfile", {"id": huge}),
            ("ChangeAvailability", {"connectorId": huge, "type": "Operative"}),
            ("GetCompositeSchedule", {"connectorId": 1, "duration": huge}),
            ("GetCompositeSchedule", {"connectorId": huge, "duration": 1}),
            ("CancelReservation", {"reservationId": -huge}),
            ("SendLocalList", {"listVersion": -huge, "updateType": "Full"}),
            ("UnlockConnector", {"connectorId": -huge}),
        ]:
            with pytest.raises(BackendCallError) as refused:
                await station.backend.call(action, payload)
            assert refused.value.code == "PropertyConstraintViolation"


BROKEN = [
    "",
    "nonsense",
    "{}",
    "[]",
    "[2,",
    '[2,"x","Reset",{',
    '[2,"y"]',
    '[3,"nobody",{}]',
    '[4,"nobody","X","",{}]',
    '[9,"z",{}]',
    "[[]]",
    b"\x00\xff",
    "[" * 50_000,
    '[2,"d","Reset",{"type":"\\ud800"}]',
    '[3,"nobody"]',
    "null",
    "1e999",
]


async def test_f8_broken_frames_never_end_the_conversation(bench):
    async with bench(check_schemas=False) as station:
        await station.ready()
        for text in BROKEN:
            await station.backend.send_raw(text)

        assert await station.backend.call("ClearCache") == {"status": "Accepted"}
        assert station.backend.connects == 1
        refusals = [frame for frame in station.backend.frames if frame.from_station and frame.kind == "error"]
        assert {frame.message_id for frame in refusals} == {"-1", "x", "y", "d"}
        assert {frame.code for frame in refusals} == {"FormationViolation"}
        # A volley leaves one entry in the security log, not one for each frame.
        assert 1 <= await station.until_in_database(SecurityEvent.objects.filter(type="InvalidMessages").count) <= 3


async def test_f6_a_thousand_calls_at_once_are_all_answered(bench):
    async with bench() as station:
        await station.ready()
        ids = [await station.backend.post("GetConfiguration", {"key": ["HeartbeatInterval"]}) for _ in range(300)]
        answers = [await station.backend.answer(one, timeout=20) for one in ids]
        assert all(answer["configurationKey"][0]["key"] == "HeartbeatInterval" for answer in answers)


async def test_a_flood_of_large_calls_waits_on_the_wire_and_is_served_in_order(bench, monkeypatch):
    most = 0

    def add(load: Load, size: int) -> None:
        nonlocal most
        counted(load, size)
        most = max(most, load.bytes)

    counted = Load.add
    monkeypatch.setattr(Load, "add", add)
    async with bench(check_schemas=False) as station:
        await station.ready()
        wanted = [f"flood-{number}" for number in range(150)]

        async def flood() -> None:
            for message_id in wanted:
                call = [2, message_id, "DataTransfer", {"vendorId": "v", "data": "x" * 300_000}]
                await station.backend.send_raw(json.dumps(call))

        def answered() -> list[str]:
            return [
                frame.message_id
                for frame in station.backend.frames
                if frame.kind == "result" and str(frame.message_id).startswith("flood-")
            ]

        sending = asyncio.create_task(flood())
        await station.until(lambda: len(answered()) == len(wanted), timeout=60)
        await sending

    assert answered() == wanted
    assert most < MOST_BYTES + MAX_MESSAGE_BYTES


async def test_f6_crossing_calls_in_both_directions_do_not_lock(bench):
    async with bench() as station:
        await station.ready()
        station.backend.answers["MeterValues"] = Delay(seconds=0.05)
        await in_database(whole_session, 1, 10)

        for _ in range(40):
            assert await station.backend.call("ClearCache", timeout=1) == {"status": "Accepted"}

        await station.until_in_database(all_delivered)


async def test_f7_double_late_and_senseless_answers_change_nothing(bench):
    async with bench() as station:
        await station.ready()
        station.backend.answers["MeterValues"] = Twice()
        station.backend.answers["StartTransaction"] = Twice()
        await in_database(whole_session, 1, 5)
        await station.backend.send_raw('[3,"who",{"transactionId":5}]')
        await station.until_in_database(all_delivered)
        assert len(transaction_frames(station.backend)) == 7
        assert len(station.backend.books.transactions) == 1


async def test_f7_garbage_instead_of_an_answer_is_a_time_out(bench):
    async with bench(keys={"TransactionMessageRetryInterval": "1"}) as station:
        await station.ready()
        station.backend.script_next("StartTransaction", Garbage())
        await in_database(whole_session)
        await station.until_in_database(all_delivered)
        ids = {frame.message_id for frame in station.backend.received("StartTransaction")}
        # The second attempt went over the same connection.
        assert len(ids) == 2


async def test_f9_a_message_of_one_megabyte_is_taken_and_a_bigger_one_ends_the_connection_only(bench):
    async with bench(check_schemas=False) as station:
        await station.ready()
        big = json.dumps([2, "big", "DataTransfer", {"vendorId": "v", "data": "x" * 1_000_000}])
        await station.backend.send_raw(big)
        await station.backend.wait_until(
            lambda backend: any(one.from_station and one.message_id == "big" for one in backend.frames) or None
        )
        await station.backend.send_raw(big[:-2] + "x" * 3_000_000)
        await station.backend.wait_connected(at_least=2)
        await station.until(station.link.state.flow.is_set)
        assert station.backend.connections[0].close_code == 1009


async def test_a_backend_that_closes_at_once_is_not_stormed(bench):
    async with bench(keys={"/ocpp/reconnectMinS": "1", "/ocpp/reconnectMaxS": "60"}) as station:
        await station.ready()
        station.backend.close_on_connect = 1011
        await station.backend.close(1011)
        await asyncio.sleep(3)
        assert station.backend.connects < 8


async def test_a_silent_backend_does_not_make_things_grow(bench):
    async with bench() as station:
        await station.ready()
        await in_database(lambda: start(session()))
        station.backend.answers["StartTransaction"] = Silence()
        for number in range(2000):
            await station.backend.send_raw(f'[3,"late-{number}",{{}}]')
        assert await station.backend.call("ClearCache", timeout=30) == {"status": "Accepted"}
        await station.until(lambda: len(station.link._tasks) < 50)
        gc.collect()
        station.backend.answers.clear()
        await station.backend.drop()
        await in_database(lambda: OutboxMessage.objects.update(next_attempt_at=None))
        await station.until_in_database(
            lambda: OutboxMessage.objects.filter(status=OutboxStatus.DELIVERED).exists(), timeout=15
        )
