"""The demo backend and the scriptable test backend: a central system others can be measured against."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from ocpp_client.demo_backend.books import IrregularityKind
from tests.backend import (
    Backend,
    BackendCallError,
    CallError,
    Delay,
    Drop,
    Garbage,
    NoAnswer,
    Silence,
    StationAway,
    Twice,
)

OCPP = [Subprotocol("ocpp1.6")]
START = {"connectorId": 1, "idTag": "04A2B3C4", "meterStart": 100, "timestamp": "2026-03-01T10:00:00Z"}


class Station:
    """The other end of the wire, by hand."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, *elements: Any) -> None:
        await self.socket.send(json.dumps(elements))

    async def receive(self) -> Any:
        return json.loads(await asyncio.wait_for(self.socket.recv(), 5))

    async def ask(self, message_id: str, action: str, payload: dict[str, Any]) -> Any:
        await self.send(2, message_id, action, payload)
        return await self.receive()


@asynccontextmanager
async def station_at(url: str, identity: str = "CS-1", **options: Any) -> AsyncIterator[Station]:
    async with connect(f"{url}/{identity}", **{"subprotocols": OCPP, **options}) as socket:
        yield Station(socket)


def energy(value_wh: int, at: str) -> list[dict[str, Any]]:
    return [{"timestamp": at, "sampledValue": [{"value": str(value_wh), "unit": "Wh"}]}]


@pytest.mark.asyncio
async def test_a_whole_transaction_is_booked_with_its_energy() -> None:
    async with Backend.start() as backend, station_at(backend.url) as station:
        boot = await station.ask("m1", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
        start = await station.ask("m2", "StartTransaction", START)
        number = start[2]["transactionId"]
        sample = {"connectorId": 1, "transactionId": number, "meterValue": energy(600, "2026-03-01T10:10:00Z")}
        await station.ask("m3", "MeterValues", sample)
        stop = {"transactionId": number, "meterStop": 1100, "timestamp": "2026-03-01T10:20:00Z", "reason": "Remote"}
        await station.ask("m4", "StopTransaction", stop)

        assert (boot[2]["status"], boot[2]["interval"]) == ("Accepted", 180)
        (transaction,) = backend.books.transactions
        assert (transaction.energy_wh, transaction.reason, transaction.meter_values) == (1000, "Remote", 1)
        assert backend.books.irregularities == []
        assert backend.schema_errors == []


@pytest.mark.asyncio
async def test_a_repeated_message_id_has_the_same_answer_and_one_booking() -> None:
    async with Backend.start() as backend, station_at(backend.url) as station:
        first = await station.ask("m1", "StartTransaction", START)
        again = await station.ask("m1", "StartTransaction", START)

        assert first == again
        assert len(backend.books.transactions) == 1
        assert backend.books.repeats == 1


@pytest.mark.asyncio
async def test_the_books_name_what_a_good_station_never_does() -> None:
    async with Backend.start() as backend, station_at(backend.url) as station:
        number = (await station.ask("m1", "StartTransaction", START))[2]["transactionId"]
        await station.ask("m2", "StartTransaction", START)
        stop = {"transactionId": number, "meterStop": 50, "timestamp": "2026-03-01T09:00:00Z"}
        await station.ask("m3", "StopTransaction", stop)
        await station.ask("m4", "StopTransaction", stop)
        await station.ask("m5", "StopTransaction", stop | {"transactionId": 999})
        late = {"connectorId": 1, "transactionId": number, "meterValue": energy(160, "2026-03-01T11:00:00Z")}
        await station.ask("m6", "MeterValues", late)

        assert [(one.message_id, one.kind) for one in backend.books.irregularities] == [
            ("m2", IrregularityKind.DUPLICATE_START),
            ("m3", IrregularityKind.METER_RUNS_BACKWARDS),
            ("m3", IrregularityKind.OUT_OF_ORDER),
            ("m4", IrregularityKind.DUPLICATE_STOP),
            ("m5", IrregularityKind.UNKNOWN_TRANSACTION),
            ("m6", IrregularityKind.OUT_OF_ORDER),
        ]


@pytest.mark.asyncio
async def test_answers_follow_the_script_and_then_the_rule() -> None:
    async with Backend.start() as backend, station_at(backend.url) as station:
        backend.answers["Authorize"] = lambda payload: {"idTagInfo": {"status": f"Got{payload['idTag']}"}}
        backend.script_next("Heartbeat", CallError(code="InternalError"), Garbage(text="~"), Twice())

        ruled = await station.ask("a", "Authorize", {"idTag": "X"})
        refused = await station.ask("b", "Heartbeat", {})
        await station.send(2, "c", "Heartbeat", {})
        garbage = await station.socket.recv()
        twice = [await station.ask("d", "Heartbeat", {}), await station.receive()]
        normal = await station.ask("e", "Heartbeat", {})

        assert ruled[2]["idTagInfo"]["status"] == "GotX"
        assert refused[:3] == [4, "b", "InternalError"]
        assert garbage == "~"
        assert twice[0] == twice[1]
        assert "currentTime" in normal[2]


@pytest.mark.asyncio
async def test_a_delayed_answer_lets_others_pass_and_a_call_in_between_is_noted() -> None:
    async with Backend.start() as backend, station_at(backend.url) as station:
        backend.script_next("Authorize", Delay(seconds=0.05))

        await station.send(2, "slow", "Authorize", {"idTag": "X"})
        first = await station.ask("quick", "Heartbeat", {})
        second = await station.receive()

        assert (first[1], second[1]) == ("quick", "slow")
        assert [(one.action, two.action) for one, two in backend.overlapping_calls] == [("Authorize", "Heartbeat")]


@pytest.mark.asyncio
async def test_a_lost_answer_may_or_may_not_have_been_booked() -> None:
    async with Backend.start() as backend:
        backend.script_next("StartTransaction", Silence(), Drop(booked=True))
        async with station_at(backend.url) as station:
            await station.send(2, "m1", "StartTransaction", START)
            await backend.wait_for("StartTransaction")
            assert backend.books.transactions == []

            await station.send(2, "m1", "StartTransaction", START)
            with pytest.raises(ConnectionClosed):
                await station.receive()
        async with station_at(backend.url) as station:
            answer = await station.ask("m1", "StartTransaction", START)

        assert [one.transaction_id for one in backend.books.transactions] == [answer[2]["transactionId"]]
        assert backend.connects == 2


@pytest.mark.asyncio
async def test_calls_to_the_station_end_in_a_payload_a_refusal_or_a_reason() -> None:
    async with Backend.start() as backend:
        with pytest.raises(StationAway):
            await backend.call("ClearCache")
        async with station_at(backend.url) as station:
            await backend.wait_connected(station="CS-1")
            asked = asyncio.create_task(backend.call("ClearCache", message_id="c1"))
            call = await station.receive()
            await station.send(3, "c1", {"status": "Accepted"})
            assert (call, await asked) == ([2, "c1", "ClearCache", {}], {"status": "Accepted"})

            await backend.post("Reset", {"type": "Soft"}, message_id="c2")
            await station.receive()
            await station.send(4, "c2", "NotSupported", "", {})
            await backend.wait_until(lambda one: one.frames[-1].code == "NotSupported")
            with pytest.raises(BackendCallError, match="NotSupported"):
                await backend.answer("c2")

            with pytest.raises(NoAnswer):
                await backend.call("ClearCache", timeout=0.02)

            unanswered = asyncio.create_task(backend.call("ClearCache"))
            await station.receive()
            await backend.drop()
            with pytest.raises(StationAway):
                await unanswered


@pytest.mark.asyncio
async def test_every_frame_against_the_schema_is_reported() -> None:
    async with Backend.start() as backend, station_at(backend.url) as station:
        await station.ask("m1", "Authorize", {"idTag": "X" * 21})
        await station.ask("m2", "StatusNotification", {"connectorId": 1, "status": "Charging"})
        await station.ask("m3", "StartTransaction", START | {"timestamp": "2026-03-01 10:00"})
        await station.ask("m4", "Nonsense", {})
        await station.send(3, "m5", {})
        await station.ask("x" * 37, "Heartbeat", {})
        await station.socket.send(b'[2,"m7","Heartbeat",{}]')
        await station.receive()

        assert {error.frame.message_id for error in backend.schema_errors} == {"m1", "m2", "m3", "m4", "m5", "m7", None}


@pytest.mark.asyncio
async def test_an_outage_ends_on_the_same_port() -> None:
    async with Backend.start() as backend:
        async with station_at(backend.url) as station, backend.outage():
            with pytest.raises(ConnectionClosed):
                await station.receive()
            with pytest.raises(OSError, match="Connect call failed"):
                await connect(f"{backend.url}/CS-1", subprotocols=OCPP)
        async with station_at(backend.url) as station:
            assert (await station.ask("m1", "Heartbeat", {}))[0] == 3

        assert backend.connects == 2


@pytest.mark.asyncio
async def test_the_handshake_knows_passwords_of_any_bytes_and_other_subprotocols() -> None:
    async with Backend.start(basic_auth=("CS-1", b"\xff\x00:secret")) as backend:
        with pytest.raises(InvalidStatus, match="401"):
            await connect(f"{backend.url}/CS-1", subprotocols=OCPP)
        header = {"Authorization": "Basic Q1MtMTr/ADpzZWNyZXQ="}
        async with station_at(backend.url, additional_headers=header) as station:
            assert (await station.ask("m1", "Heartbeat", {}))[0] == 3
        backend.basic_auth = None
        async with station_at(backend.url, subprotocols=[Subprotocol("ocpp2.0.1")]) as station:
            with pytest.raises(ConnectionClosed) as closed:
                await station.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1002
        backend.refuse_with = 404
        with pytest.raises(InvalidStatus, match="404"):
            await connect(f"{backend.url}/CS-1", subprotocols=OCPP)

        assert backend.refused_handshakes == [("/CS-1", 401), ("/CS-1", 404)]


@pytest.mark.asyncio
async def test_a_frozen_backend_leaves_pings_unanswered() -> None:
    impatient = {"ping_interval": 0.02, "ping_timeout": 0.05, "close_timeout": 0.05}
    async with Backend.start() as backend, station_at(backend.url, **impatient) as station:
        await backend.wait_connected()
        backend.freeze()

        with pytest.raises(ConnectionClosed):
            await station.receive()


@pytest.mark.asyncio
async def test_a_stalled_handshake_does_not_hold_up_the_end() -> None:
    async with Backend.start() as backend:
        backend.stall_handshake = True
        with pytest.raises(TimeoutError):
            await connect(f"{backend.url}/CS-1", subprotocols=OCPP, open_timeout=0.05)
        hanging = asyncio.create_task(connect(f"{backend.url}/CS-1", subprotocols=OCPP).__aenter__())
        await asyncio.wait([hanging], timeout=0.05)
        await asyncio.wait_for(backend.stop_listening(), 2)
        with pytest.raises((OSError, InvalidMessage)):
            await hanging


def test_the_backend_serves_tests_without_an_event_loop() -> None:
    async def visit(url: str) -> None:
        async with station_at(url) as station:
            await station.ask("m1", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
            call = await station.receive()
            await station.send(3, call[1], {"status": "Accepted"})
            await station.receive()

    with Backend.threaded() as backend:
        station = threading.Thread(target=asyncio.run, args=(visit(backend.url),))
        station.start()
        assert backend.wait_for("BootNotification").payload["chargePointVendor"] == "V"
        assert backend.call("ClearCache") == {"status": "Accepted"}
        backend.send_raw('[3,"m1",{}]')
        station.join(5)
        assert backend.wait_until(lambda one: not one.connections[0].is_open)
