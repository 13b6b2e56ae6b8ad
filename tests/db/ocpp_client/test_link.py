"""The connection and the registration over a real WebSocket (OCPP 1.6 section 4.2, OCPP-J 1.6 sections 3 and 5)."""

import asyncio
import ssl
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from websockets.asyncio.client import ClientConnection

from ocpp_client.connection import change_detector, connection, endpoint, publisher, registration_runner, socket
from ocpp_client.connection.connection import Connection
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.registration_runner import RegistrationRunner
from ocpp_client.database import in_database
from ocpp_client.link import Timing
from station.domain.configuration import Change, Origin
from station.domain.link_security import LinkSecurity
from station.models import BackendState, LogEntry
from station.services import configuration
from tests.backend import Backend, CallError, Delay, Silence
from tests.db.ocpp_client.conftest import MOMENT

CONTENT = {
    "chargePointVendor": "Technagon GmbH",
    "chargePointModel": "TE-AC22",
    "chargePointSerialNumber": "100002440",
    "firmwareVersion": "1.2.3",
    "iccid": "8949",
}


async def test_4_2_after_acceptance_the_station_tells_who_it_is_and_every_status(bench):
    async with bench(interval_s=77) as station:
        await station.ready()

        boot = await station.backend.wait_for("BootNotification")
        assert boot.payload == CONTENT
        statuses = [frame.payload["connectorId"] for frame in station.backend.received("StatusNotification")]
        assert statuses == [0, 1, 2]
        assert await in_database(configuration.get, "HeartbeatInterval") == "77"
        assert (await in_database(BackendState.load)).accepted_by == f"{station.backend.url} TE100002440"
        assert station.backend.connection().path == "/TE100002440"
        assert station.clock.taken
        assert (await in_database(BackendState.load)).connected
        await station.until(lambda: station.processes.snapshots[-1].registration == "accepted")


async def test_j_5_4_a_reconnect_brings_no_second_boot(bench):
    async with bench() as station:
        await station.ready()
        mark = station.backend.mark()

        await station.backend.drop()
        await station.backend.wait_connected(at_least=2)
        await station.until(station.link.state.flow.is_set)

        assert station.backend.received("BootNotification", after=mark) == []
        assert station.backend.received("StatusNotification", after=mark) == []


async def test_an_interval_that_was_set_since_the_boot_outlives_a_reconnect(bench):
    async with bench(interval_s=60) as station:
        await station.ready()
        await station.backend.call("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "3600"})
        mark = station.backend.mark()

        await station.backend.drop()
        await station.backend.wait_connected(at_least=2)
        await station.until(station.link.state.flow.is_set)

        assert station.backend.received("BootNotification", after=mark) == []
        keys = await station.backend.call("GetConfiguration", {"key": ["HeartbeatInterval"]})
        assert keys["configurationKey"][0]["value"] == "3600"


async def test_j_5_4_a_reconnect_with_other_boot_content_brings_a_boot(bench):
    async with bench() as station:
        await station.ready()
        mark = station.backend.mark()

        station.facts.facts = type(station.facts.facts)(firmware_version="2.0.0")
        await station.backend.drop()

        boot = await station.backend.wait_for("BootNotification", after=mark)
        assert boot.payload["firmwareVersion"] == "2.0.0"


async def test_4_2_a_rejected_station_is_silent_until_the_interval_is_over(bench):
    async with bench() as station:
        station.backend.script_next(
            "BootNotification", {"status": "Rejected", "currentTime": "2026-11-20T12:00:00Z", "interval": 1}
        )
        await station.until(lambda: station.link.state.registration.must_be_silent)

        message_id = await station.backend.post("GetConfiguration", {})
        await station.backend.wait_for("BootNotification", count=2)
        await station.ready()

        answered = [frame for frame in station.backend.frames if frame.message_id == message_id and frame.from_station]
        assert answered == []
        assert len(station.backend.received("BootNotification")) == 2


async def test_4_2_while_pending_only_what_is_triggered_is_sent(bench):
    async with bench() as station:
        station.backend.script_next(
            "BootNotification", {"status": "Pending", "currentTime": "2026-11-20T12:00:00Z", "interval": 600}
        )
        await station.until(lambda: station.link.state.registration.phase == "pending")

        assert (await station.backend.call("GetConfiguration", {"key": ["HeartbeatInterval"]}))["configurationKey"]
        assert await station.backend.call("RemoteStartTransaction", {"idTag": "A"}) == {"status": "Rejected"}
        assert await station.backend.call("RemoteStopTransaction", {"transactionId": 1}) == {"status": "Rejected"}
        trigger = {"requestedMessage": "StatusNotification", "connectorId": 1}
        assert await station.backend.call("TriggerMessage", trigger) == {"status": "Accepted"}
        await station.backend.wait_for("StatusNotification")
        assert await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"}) == {
            "status": "Accepted"
        }
        await station.ready()
        assert station.processes.commands == []
        assert [frame.action for frame in station.backend.received()][:3] == [
            "BootNotification",
            "StatusNotification",
            "BootNotification",
        ]


async def test_e_3_35_once_accepted_a_triggered_boot_is_rejected(bench):
    async with bench() as station:
        await station.ready()

        answer = await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"})

        assert answer == {"status": "Rejected"}


async def test_e_3_35_after_a_reconnect_without_boot_a_triggered_one_is_sent_and_all_statuses_follow(bench):
    async with bench() as station:
        await station.ready()
        await station.backend.drop()
        await station.backend.wait_connected(at_least=2)
        await station.until(station.link.state.flow.is_set)
        mark = station.backend.mark()

        answer = await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"})

        assert answer == {"status": "Accepted"}
        await station.backend.wait_for("StatusNotification", after=mark, count=3)
        sent = [frame.action for frame in station.backend.received(after=mark)]
        assert sent[:4] == ["BootNotification", *["StatusNotification"] * 3]
        answer = await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"})
        assert answer == {"status": "Rejected"}


async def test_4_2_1_a_trigger_right_behind_the_answer_asks_for_another_boot_notification(bench, monkeypatch):
    pending = {"status": "Pending", "currentTime": "2026-11-20T12:00:00Z", "interval": 600}

    async def take_time_slowly(*_arguments):
        await asyncio.sleep(0.3)

    monkeypatch.setattr(registration_runner, "take_time", take_time_slowly)
    async with bench() as station:
        station.backend.script_next("BootNotification", pending)
        await station.backend.wait_until(lambda backend: any(one.kind == "result" for one in backend.frames) or None)

        answer = await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"})

        assert answer == {"status": "Accepted"}
        await station.backend.wait_for("BootNotification", count=2)


async def test_4_2_an_accepted_station_that_a_triggered_boot_sets_to_pending_sends_nothing_more(bench):
    pending = {"status": "Pending", "currentTime": "2026-11-20T12:00:00Z", "interval": 600}
    async with bench() as station:
        await station.ready()
        await station.backend.drop()
        await station.backend.wait_connected(at_least=2)
        await station.until(station.link.state.flow.is_set)
        station.backend.script_next("BootNotification", pending)

        await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"})

        await station.until(lambda: not station.link.state.flow.is_set())
        assert not station.link.state.online


async def test_4_2_an_unanswered_boot_is_followed_by_nothing_else(bench, monkeypatch):
    monkeypatch.setattr("ocpp_client.connection.registration.FIRST_RETRY_S", 0.2)
    monkeypatch.setattr("ocpp_client.connection.registration.OWN_RETRY_S", 0.2)
    async with bench() as station:
        station.backend.script_next("BootNotification", Silence(), CallError(), CallError(code="NotSupported"))

        await station.ready()

        sent = [frame.action for frame in station.backend.received()]
        assert sent[:5] == ["BootNotification"] * 4 + ["StatusNotification"]


async def test_4_2_a_backend_that_is_slower_than_the_time_out_is_heard_all_the_same(bench, monkeypatch):
    monkeypatch.setattr("ocpp_client.connection.registration.FIRST_RETRY_S", 30.0)
    timing = Timing(answer_timeout_s=0.3, look_s=0.1, recovery_s=0.0)
    async with bench(run=False, timing=timing) as station:
        station.backend.script_next("BootNotification", Delay(seconds=0.8))
        running = asyncio.create_task(station.link.run())
        try:
            await station.ready()

            assert len(station.backend.received("BootNotification")) == 1
        finally:
            await station.link.stop()
            await running


async def test_j_3_1_a_boot_repeated_after_a_time_out_keeps_its_id_and_takes_the_first_answer(bench, monkeypatch):
    monkeypatch.setattr("ocpp_client.connection.registration.FIRST_RETRY_S", 0.1)
    timing = Timing(answer_timeout_s=0.3, look_s=0.1, recovery_s=0.0)
    async with bench(run=False, timing=timing, check_schemas=False) as station:
        station.backend.script_next("BootNotification", Delay(seconds=0.55), Silence())
        running = asyncio.create_task(station.link.run())
        try:
            await station.ready()

            boots = station.backend.received("BootNotification")
            assert len(boots) == 2
            assert boots[0].message_id == boots[1].message_id
        finally:
            await station.link.stop()
            await running


async def test_j_3_a_backend_without_the_subprotocol_is_no_backend(bench):
    async with bench(subprotocols=["ocpp2.0.1"], check_schemas=False) as station:
        await station.until(lambda: station.link.state.last_error == "subprotocol_refused")
        assert station.backend.received() == []


async def test_an_unknown_identity_and_a_refused_password_have_their_own_codes(bench):
    async with bench() as station:
        await station.ready()
        for status, code in ((404, "identity_unknown"), (401, "unauthorized"), (503, "backend_unavailable")):
            station.backend.refuse_with = status
            if station.link.state.connected:
                await station.backend.drop()
            await station.until(lambda code=code: station.link.state.last_error == code)


async def test_a_backend_that_comes_back_is_found_again(bench):
    async with bench() as station:
        await station.ready()
        async with station.backend.outage():
            await station.until(lambda: not station.link.state.connected)
            await station.until(lambda: station.link.state.last_error == "connection_refused")
        await station.ready()
        assert (await in_database(BackendState.load)).connected
        times = await in_database(
            lambda: LogEntry.objects.filter(code="backend.offline").exclude(cleared_at=None).count()
        )
        assert times == 1


async def test_a_missing_pong_ends_the_connection_and_a_new_one_follows(bench):
    timing = Timing(answer_timeout_s=1.0, look_s=0.1, pong_timeout_s=0.3, recovery_s=0.0)
    async with bench(timing=timing, keys={"WebSocketPingInterval": "1"}) as station:
        await station.ready()

        station.backend.freeze()

        await station.backend.wait_connected(at_least=2)
        await station.until(station.link.state.flow.is_set)


@pytest.mark.parametrize("moment", ["the address was read", "the certificates were read", "the connection opened"])
async def test_an_address_that_changes_while_the_station_connects_is_connected_to(bench, monkeypatch, moment):
    """Whatever asks for another connection is heard, also where there is none to close yet."""
    changed = asyncio.Event()

    nobody_else_looks = Timing(look_s=1e6)
    async with bench(run=False, timing=nobody_else_looks) as station, Backend.start() as other:
        match moment:
            case "the address was read":
                take = Connection._take_endpoint

                async def take_and_change(self: Connection, wanted: Endpoint | None) -> None:
                    await take(self, wanted)
                    if not changed.is_set():
                        changed.set()
                        await station.configure(__ocpp__url=other.url)
                        station.link.control.reconnect()

                monkeypatch.setattr(Connection, "_take_endpoint", take_and_change)
            case "the certificates were read":
                loop, read = asyncio.get_running_loop(), endpoint.accepted_tls_context

                def read_and_change(target: Endpoint) -> ssl.SSLContext | None:
                    context = read(target)
                    if not changed.is_set():
                        changed.set()
                        _set_url(other.url)
                        loop.call_soon_threadsafe(station.link.control.reconnect)
                    return context

                monkeypatch.setattr(endpoint, "accepted_tls_context", read_and_change)
            case "the connection opened":
                open_socket = socket.open_proven_first

                async def open_and_change(*args: Any) -> tuple[ClientConnection, LinkSecurity]:
                    opened = await open_socket(*args)
                    if not changed.is_set():
                        changed.set()
                        await station.configure(__ocpp__url=other.url)
                        # Once this task is done, before the one that waits for it goes on.
                        asyncio.get_running_loop().call_soon(station.link.control.reconnect)
                    return opened

                monkeypatch.setattr(connection, "open_proven_first", open_and_change)
        running = asyncio.create_task(station.link.run())
        try:
            await other.wait_connected()
            await other.wait_for("BootNotification")
            assert station.backend.connects <= 1
            await station.until(lambda: not [one for one in station.backend.connections if one.is_open])
        finally:
            await station.link.stop()
            await asyncio.wait_for(running, 10)


@pytest.mark.parametrize("moment", ["before the first look", "while the database is busy"])
async def test_an_address_that_no_message_tells_of_is_found(bench, monkeypatch, moment):
    """A page wrote it, and its message was lost; the look at the settings begins late or has to begin again."""
    changed = threading.Event()

    class Watch(configuration.ConfigurationWatch):
        def __init__(self) -> None:
            if moment == "before the first look" and not changed.is_set():
                changed.set()
                _set_url(other.url)
            super().__init__()

        def changes(self) -> tuple[Change, ...]:
            found = super().changes()
            if moment == "while the database is busy" and not changed.is_set():
                changed.set()
                _set_url(other.url)
                super().changes()
                raise OperationalError("database is locked")
            return found

    monkeypatch.setattr(configuration, "ConfigurationWatch", Watch)
    async with Backend.start() as other, bench() as station:
        await other.wait_connected()
        await station.until(changed.is_set)


async def test_an_address_that_is_changed_back_before_the_next_look_is_connected_to(bench):
    """The backend sets another one, which is told; a command takes that back and tells nobody."""
    rare_looks = Timing(look_s=1.0)
    async with Backend.start() as other, bench(timing=rare_looks) as station:
        await station.ready()
        first_look = station.link._changes
        await station.until(lambda: first_look._watch is not None and not first_look._has_news)
        before = station.backend.connects
        await station.configure(__ocpp__url=other.url)
        station.link.control.reconnect()
        await other.wait_connected()
        await station.configure(__ocpp__url=station.backend.url)

        await station.backend.wait_connected(at_least=before + 1)


async def test_an_address_that_cannot_be_read_at_a_later_look_is_read_at_the_next(bench, monkeypatch):
    """The change itself was seen, and is so no more; the first look of the process is not there to make up for it."""
    looks = iter([None, OperationalError("database is locked")])
    first_was_taken = threading.Event()

    def configured() -> Endpoint | None:
        if failure := next(looks, None):
            raise failure
        first_was_taken.set()
        return endpoint.configured()

    monkeypatch.setattr(change_detector, "endpoint", SimpleNamespace(configured=configured))
    async with Backend.start() as other, bench() as station:
        await station.ready()
        await station.until(first_was_taken.is_set)

        await in_database(_set_url, other.url)

        await other.wait_connected()
        assert next(looks, "none") == "none"


def _set_url(url: str) -> None:
    configuration.change({"/ocpp/url": url}, origin=Origin.LOCAL, actor="test", at=MOMENT)


async def test_a_new_ping_interval_holds_at_once(bench):
    timing = Timing(answer_timeout_s=1.0, look_s=0.1, pong_timeout_s=0.3, recovery_s=0.0)
    async with bench(timing=timing, keys={"WebSocketPingInterval": "3600"}) as station:
        await station.ready()

        await station.backend.call("ChangeConfiguration", {"key": "WebSocketPingInterval", "value": "1"})
        station.backend.freeze()

        await station.until(lambda: not station.link.state.connected)
        station.backend.thaw()


async def test_the_simulated_network_cuts_the_link_and_gives_it_back_at_once(bench):
    async with bench(keys={"/ocpp/reconnectMinS": "60", "/ocpp/reconnectMaxS": "300"}) as station:
        await station.ready()

        station.uplink.up = False
        await station.until(lambda: not station.link.state.connected)
        await station.until(lambda: station.link.state.last_error == "network_down")
        station.uplink.up = True

        await station.backend.wait_connected(at_least=2, timeout=2)
        await station.ready()


async def test_a_cut_that_is_over_before_the_watch_sees_it_is_no_reason_to_wait_for_ever(bench):
    timing = Timing(answer_timeout_s=1.0, look_s=0.1, uplink_look_s=0.2, recovery_s=0.0)
    async with bench(run=False, timing=timing) as station:
        link = station.link
        # What an interrupted run left behind says "cut" until the simulator has started.
        station.uplink.is_up = lambda: False
        running = asyncio.create_task(link.run())
        try:
            await station.until(lambda: link._connection.awaits_uplink)
            station.uplink.is_up = lambda: True
            await station.ready()
        finally:
            await link.stop()
            await running


@pytest.mark.parametrize("step", ["_content_changed", "_message", "_record"])
async def test_a_database_that_is_busy_for_a_moment_does_not_end_the_registration(bench, monkeypatch, step):
    monkeypatch.setattr("ocpp_client.connection.registration.FIRST_RETRY_S", 0.1)
    original, failures = getattr(RegistrationRunner, step), iter([OperationalError("database is locked")])

    def busy_once(*arguments):
        if failure := next(failures, None):
            raise failure
        return original(*arguments)

    monkeypatch.setattr(RegistrationRunner, step, busy_once)
    async with bench() as station:
        await station.ready()
        assert next(failures, None) is None


async def test_a_state_that_could_not_be_recorded_is_recorded_later(bench, monkeypatch):
    original, failures = publisher._record, iter([OperationalError("database is locked")] * 3)

    def busy(*arguments):
        if failure := next(failures, None):
            raise failure
        return original(*arguments)

    monkeypatch.setattr("ocpp_client.connection.publisher._record", busy)
    monkeypatch.setattr("ocpp_client.connection.publisher.REFRESH_S", 0.1)
    async with bench() as station:
        await station.ready()
        assert await station.until_in_database(lambda: BackendState.load().connected)


async def test_heartbeats_follow_the_interval_and_a_change_of_it(bench):
    async with bench(interval_s=1) as station:
        await station.ready()
        await station.backend.wait_for("Heartbeat", count=2)

        assert await station.backend.call("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "3600"}) == {
            "status": "Accepted"
        }
        await asyncio.sleep(0.1)
        mark = station.backend.mark()
        await asyncio.sleep(1.2)
        assert station.backend.received("Heartbeat", after=mark) == []


async def test_the_station_says_goodbye_with_1001(bench):
    async with bench() as station:
        await station.ready()
        connection = station.backend.connection()
    assert connection.close_code == 1001
