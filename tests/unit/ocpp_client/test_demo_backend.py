"""The demo backend and the scriptable test backend: a central system others can be measured against."""

import asyncio
import json
import ssl
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidMessage, InvalidStatus
from websockets.typing import Origin, Subprotocol

from ocpp_client.demo_backend.books import IrregularityKind
from ocpp_client.demo_backend.central import DemoBackend, HostIsNotLoopback
from ocpp_client.demo_backend.link import StationAway as NobodyThere
from ocpp_client.demo_backend.link import StationLink
from ocpp_client.demo_backend.wire import Call
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
from tests.certificates import CertificateAuthority, client_context, server_context

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


async def test_a_repeated_message_id_has_the_same_answer_and_one_booking() -> None:
    async with Backend.start() as backend, station_at(backend.url) as station:
        first = await station.ask("m1", "StartTransaction", START)
        again = await station.ask("m1", "StartTransaction", START)

        assert first == again
        assert len(backend.books.transactions) == 1
        assert backend.books.repeats == 1


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


async def test_a_delayed_answer_lets_others_pass_and_a_call_in_between_is_noted() -> None:
    async with Backend.start() as backend, station_at(backend.url) as station:
        backend.script_next("Authorize", Delay(seconds=0.05))

        await station.send(2, "slow", "Authorize", {"idTag": "X"})
        first = await station.ask("quick", "Heartbeat", {})
        second = await station.receive()

        assert (first[1], second[1]) == ("quick", "slow")
        assert [(one.action, two.action) for one, two in backend.overlapping_calls] == [("Authorize", "Heartbeat")]


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


async def test_a_frozen_backend_leaves_pings_unanswered() -> None:
    impatient: dict[str, Any] = {"ping_interval": 0.02, "ping_timeout": 0.05, "close_timeout": 0.05}
    async with Backend.start() as backend, station_at(backend.url, **impatient) as station:
        await backend.wait_connected()
        backend.freeze()

        with pytest.raises(ConnectionClosed):
            await station.receive()


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


async def test_tls_lets_in_only_whom_the_authority_knows(tmp_path: Path) -> None:
    authority, other = CertificateAuthority.make(tmp_path, "ours"), CertificateAuthority.make(tmp_path, "other")
    tls = server_context(authority.server(), client_authority=authority)
    async with Backend.start(tls=tls) as backend:
        mine = client_context(authority, client=authority.client("CS-1"))
        async with station_at(backend.url, ssl=mine) as station:
            assert (await station.ask("m1", "Heartbeat", {}))[0] == 3
        with pytest.raises((ssl.SSLError, ConnectionError, InvalidMessage)):
            await connect(f"{backend.url}/CS-1", subprotocols=OCPP, ssl=client_context(authority))
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(f"{backend.url}/CS-1", subprotocols=OCPP, ssl=client_context(other))

        assert backend.connections[0].client_certificate["subject"] == ((("commonName", "CS-1"),),)


@pytest.mark.parametrize(("which", "reason"), [("expired", "expired"), ("wrong_name", "mismatch")])
async def test_a_bad_server_certificate_is_noticed_by_a_careful_client(tmp_path: Path, which: str, reason: str) -> None:
    authority = CertificateAuthority.make(tmp_path)
    server = authority.expired_server() if which == "expired" else authority.wrong_name_server()
    async with Backend.start(tls=server_context(server)) as backend:
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            await connect(f"{backend.url}/CS-1", subprotocols=OCPP, ssl=client_context(authority))


def http(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    address = urlsplit(url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


async def test_transaction_numbers_and_retries_survive_a_restart_of_the_demo_backend(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    async with DemoBackend(host="127.0.0.1", port=0, state_file=file) as demo, station_at(demo.endpoint) as station:
        first = await station.ask("m1", "StartTransaction", START)
        on_disk = json.loads(file.read_text())["books"]["transactions"]
    async with DemoBackend(host="127.0.0.1", port=0, state_file=file) as demo, station_at(demo.endpoint) as station:
        again = await station.ask("m1", "StartTransaction", START)
        second = await station.ask("m2", "StartTransaction", START | {"connectorId": 2, "idTag": "BLOCKED1"})

        assert [one["start_message_id"] for one in on_disk] == ["m1"]
        assert again == first
        assert second[2] == {"transactionId": 2, "idTagInfo": {"status": "Blocked"}}
        assert len(demo.books.transactions) == 2


async def test_a_state_file_that_makes_no_sense_is_put_aside(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text('{"books": 7}')

    async with DemoBackend(host="127.0.0.1", port=0, state_file=file) as demo:
        assert demo.books.transactions == []

    assert (tmp_path / "state.json.broken").read_text() == '{"books": 7}'


async def test_the_demo_backend_refuses_what_the_schema_refuses_and_what_it_does_not_know(tmp_path: Path) -> None:
    demo_backend = DemoBackend(host="127.0.0.1", port=0, state_file=tmp_path / "state.json")
    async with demo_backend as demo, station_at(demo.endpoint) as station:
        assert (await station.ask("m1", "Authorize", {}))[2] == "OccurenceConstraintViolation"
        assert (await station.ask("m2", "Authorize", {"idTag": 7}))[2] == "TypeConstraintViolation"
        assert (await station.ask("m3", "Authorize", {"idTag": "x" * 21}))[2] == "PropertyConstraintViolation"
        assert (await station.ask("m4", "Authorize", {"idTag": "x", "y": 1}))[2] == "FormationViolation"
        assert (await station.ask("m5", "Reset", {}))[2] == "NotImplemented"
        await station.send(2, "m6")
        assert (await station.receive())[2] == "FormationViolation"


async def test_the_page_speaks_both_languages_and_trusts_no_station(tmp_path: Path) -> None:
    demo_backend = DemoBackend(host="127.0.0.1", port=0, state_file=tmp_path / "state.json")
    async with demo_backend as demo:
        empty = await asyncio.to_thread(http, demo.endpoint, "/", **{"Accept-Language": "fr, de;q=0.8, en;q=0.3"})
        async with station_at(demo.endpoint, "%3Cscript%3E") as station:
            evil = "<img src=x onerror='1'>"
            await station.ask("m1", "BootNotification", {"chargePointVendor": "<b>&", "chargePointModel": evil[:20]})
            status = {"connectorId": 1, "status": "Charging", "errorCode": "NoError", "info": evil}
            await station.ask("m2", "StatusNotification", status)
            await station.ask("m3", "StartTransaction", START | {"idTag": "<i>\"'"})
            code, headers, english = await asyncio.to_thread(http, demo.endpoint, "/?lang=en")
            state = json.loads((await asyncio.to_thread(http, demo.endpoint, "/api/state"))[2])
        wrong_host = await asyncio.to_thread(http, demo.endpoint, "/", Host="evil.example")
        missing = await asyncio.to_thread(http, demo.endpoint, "/nothing")

    assert "Noch hat sich keine Station gemeldet" in empty[2]
    assert (code, "No transaction yet." in english) == (200, False)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not [tag for tag in ("<script>", "<img", "<b>", "<i>") if tag in english]
    assert "&lt;script&gt;" in english
    assert state["stations"][0]["connected"] is True
    assert state["transactions"][0]["id_tag"] == "<i>\"'"
    assert (wrong_host[0], missing[0]) == (403, 404)


async def test_commands_over_control_reach_the_station_and_no_stranger_gives_them(tmp_path: Path) -> None:
    demo_backend = DemoBackend(host="127.0.0.1", port=0, state_file=tmp_path / "state.json")
    async with demo_backend as demo:
        control = f"{demo.endpoint}/control"
        with pytest.raises(InvalidStatus, match="403"):
            await connect(control, origin=Origin("http://evil.example"))
        with pytest.raises(InvalidStatus, match="403"):
            await connect(control, additional_headers={"Sec-Fetch-Site": "cross-site"})
        async with (
            station_at(demo.endpoint) as station,
            connect(control, origin=Origin(demo.endpoint.replace("ws:", "http:"))) as page,
        ):
            request = {"station": "CS-1", "action": "UnlockConnector", "payload": {"connectorId": 1}}
            await page.send(json.dumps(request))
            call = await station.receive()
            await station.send(3, call[1], {"status": "Unlocked"})
            answer = json.loads(await page.recv())
            await page.send(json.dumps(request | {"station": "CS-2"}))
            away = json.loads(await page.recv())
            await page.send("{")
            broken = json.loads(await page.recv())

    assert (call[2:], answer) == (["UnlockConnector", {"connectorId": 1}], {"payload": {"status": "Unlocked"}})
    assert away["error"]["code"] == "StationAway"
    assert broken["error"]["code"] == "CommandIsBroken"


async def test_no_web_page_plays_a_station(tmp_path: Path) -> None:
    demo_backend = DemoBackend(host="127.0.0.1", port=0, state_file=tmp_path / "state.json")
    async with demo_backend as demo:
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": demo.endpoint.replace("ws:", "http:")},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket"},
        ):
            for place in ("CS-1", "control"):
                with pytest.raises(InvalidStatus, match="403"):
                    await connect(
                        f"{demo.endpoint}/{place}", subprotocols=[Subprotocol("ocpp1.6")], additional_headers=headers
                    )
        foreign = await asyncio.to_thread(http, demo.endpoint, "/api/state", **{"Sec-Fetch-Site": "cross-site"})
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        followed = await asyncio.to_thread(http, demo.endpoint, "/", **link)

    assert (foreign[0], followed[0]) == (403, 200)


async def test_a_station_that_leaves_in_the_middle_of_a_call_leaves_no_mess(tmp_path: Path) -> None:
    demo_backend = DemoBackend(host="127.0.0.1", port=0, state_file=tmp_path / "state.json")
    async with demo_backend as demo, connect(f"{demo.endpoint}/control") as page:
        for _ in range(20):
            station = await connect(f"{demo.endpoint}/CS-1", subprotocols=[Subprotocol("ocpp1.6")])
            await station.send(json.dumps([2, "m1", "Heartbeat", {}]))
            await station.recv()
            request = {"station": "CS-1", "action": "UnlockConnector", "payload": {"connectorId": 1}}
            await page.send(json.dumps(request))
            station.transport.abort()
            assert json.loads(await page.recv())["error"]["code"] == "StationAway"


class LeavingStation:
    """A socket whose other end goes away while a frame is being sent, before the sending is told."""

    def __init__(self) -> None:
        self.has_left = asyncio.Event()
        self.end_is_noticed = asyncio.Event()

    async def recv(self) -> str:
        await self.has_left.wait()
        raise ConnectionClosedError(None, None)

    async def send(self, _text: str) -> None:
        self.has_left.set()
        await self.end_is_noticed.wait()
        raise ConnectionClosedError(None, None)


async def test_a_call_whose_connection_ended_while_it_was_sent_finds_the_station_away() -> None:
    async def respond(_link: StationLink, _call: Call) -> None:
        pass

    station = LeavingStation()
    link = StationLink("CS-1", cast("ServerConnection", station), respond=respond, observe=lambda *_: None)
    posting = asyncio.create_task(link.post("Reset", {"type": "Soft"}))
    await link.serve()
    station.end_is_noticed.set()

    with pytest.raises(NobodyThere):
        await posting


def test_the_demo_backend_never_listens_where_others_reach_it(tmp_path: Path) -> None:
    with pytest.raises(HostIsNotLoopback):
        DemoBackend(host="0.0.0.0", port=0, state_file=tmp_path / "state.json")


async def test_the_process_ends_in_order_on_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    arguments = ["-m", "ocpp_client.demo_backend", "--listen", "127.0.0.1:0", "--state-file", str(file)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    line = (await asyncio.wait_for(process.stderr.readline(), 10)).decode()
    async with station_at(line.split()[-1]) as station:
        await station.ask("m1", "Heartbeat", {})
        process.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            await station.receive()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert await asyncio.wait_for(process.wait(), 5) == 0
    assert [one["action"] for one in json.loads(file.read_text())["messages"]] == ["Heartbeat", "Heartbeat"]
