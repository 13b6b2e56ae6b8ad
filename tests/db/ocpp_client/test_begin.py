"""What follows from an acceptance belongs to one connection and one answer of the backend (OCPP 1.6 section 4.2)."""

import asyncio
import threading
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from django.db import OperationalError

from ocpp_client.database import in_database
from ocpp_client.link import Timing
from ocpp_client.outgoing import meter_keys, statuses
from ocpp_client.outgoing.outbox_sender import OutboxSender
from station.models import Connector, OutboxMessage
from station.models.backend import OutboxStatus
from tests.backend import Backend, Default, Drop
from tests.db.ocpp_client.outgoing.test_outbox import all_delivered, whole_session

PATIENT = Timing(answer_timeout_s=1.0, look_s=0.1, uplink_look_s=0.02, recovery_s=60.0)


def busy(work, *times):
    """Make work that fails so, each time in its turn, and then never again."""
    is_busy = iter(times)

    def maybe_work():
        if next(is_busy, False):
            raise OperationalError("database is locked")
        return work()

    return maybe_work


@asynccontextmanager
async def running(station):
    run = asyncio.create_task(station.link.run())
    try:
        yield
    finally:
        await station.link.stop()
        await asyncio.wait_for(run, 10)


def answer(status):
    return {"status": status, "currentTime": "2026-11-20T12:00:00Z", "interval": 600}


def phase(station):
    return station.link.state.registration.phase.value


def settle_past(station):
    station.processes.live = SimpleNamespace(not_ready=())


async def nothing_follows_any_more(station):
    """Wait until whatever an acceptance has begun is over."""
    await station.until(lambda: len(station.link._registration._tasks) == 0)


async def move(station, other):
    await station.configure(__ocpp__url=other.url)
    station.link.control.reconnect()


def told(backend, after=0):
    return [frame.payload["connectorId"] for frame in backend.received("StatusNotification", after=after)]


def meter_is_read():
    Connector.objects.filter(number=1).update(meter_public_key="ab")


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
async def test_4_2_what_one_backend_has_allowed_is_not_done_with_another_that_has_not(bench, status):
    async with Backend.start() as other, bench(run=False, timing=PATIENT) as station, running(station):
        await station.until(lambda: phase(station) == "accepted")
        other.script_next("BootNotification", answer(status))
        await move(station, other)
        await station.until(lambda: phase(station) == status.lower())

        settle_past(station)
        await nothing_follows_any_more(station)

        assert not station.link.state.flow.is_set()
        assert [frame.action for frame in other.received()] == ["BootNotification"]


async def test_4_2_a_backend_that_takes_its_acceptance_back_is_told_nothing(bench):
    async with bench(run=False, timing=PATIENT) as station, running(station):
        await station.until(lambda: phase(station) == "accepted")
        # A boot that is asked for over the connection of the first one is refused.
        await station.backend.drop()
        await station.backend.wait_connected(at_least=2)
        await station.until(lambda: station.link.state.online)
        station.backend.script_next("BootNotification", answer("Pending"))
        await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"})
        await station.until(lambda: phase(station) == "pending")

        settle_past(station)
        await nothing_follows_any_more(station)

        assert not station.link.state.flow.is_set()
        assert told(station.backend) == []

        await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"})
        await station.ready()
        assert told(station.backend) == [0, 1, 2]


async def test_a_resumed_connection_that_is_lost_while_the_database_is_busy_lets_nothing_flow(bench, monkeypatch):
    looked, may_go_on, read = threading.Event(), threading.Event(), statuses._present

    def read_slowly():
        if is_busy and not looked.is_set():
            looked.set()
            may_go_on.wait(10)
        return read()

    is_busy = False
    monkeypatch.setattr(statuses, "_present", read_slowly)
    async with bench() as station:
        await station.ready()
        is_busy = True
        await station.backend.drop()
        await station.until(looked.is_set)
        async with station.backend.outage():
            await station.until(lambda: not station.link.state.connected)

            may_go_on.set()
            await nothing_follows_any_more(station)

            assert not station.link.state.flow.is_set()
        await station.ready()


async def test_what_a_lost_connection_kept_from_being_done_is_done_over_the_next(bench):
    def set_aside():
        whole_session()
        OutboxMessage.objects.update(status=OutboxStatus.SET_ASIDE)
        meter_is_read()

    async with bench(run=False, timing=PATIENT) as station:
        await in_database(set_aside)
        async with running(station):
            await station.until(lambda: phase(station) == "accepted")
            await station.backend.drop()
            await station.backend.wait_connected(at_least=2)
            await station.until(lambda: station.link.state.online)
            assert told(station.backend) == []

            settle_past(station)

            await station.backend.wait_for("DataTransfer")
            assert await in_database(all_delivered)
            assert told(station.backend) == [0, 1, 2]
            assert len(station.backend.received("BootNotification")) == 1


async def test_4_9_another_backend_is_told_every_status_however_often_the_connection_is_lost(bench):
    async with Backend.start() as other, bench() as station:
        await station.ready()
        # Every one of them was told to the first backend already.
        other.script_next("StatusNotification", Default(), Drop())
        await move(station, other)
        await other.wait_connected(at_least=2)
        await station.ready()

        assert told(other) == [0, 1, 0, 1, 2]
        assert len(other.received("BootNotification")) == 1


async def test_a_database_that_is_busy_once_the_station_is_accepted_does_not_keep_it_silent(bench, monkeypatch):
    monkeypatch.setattr("ocpp_client.link._AFTER_TROUBLE_S", 0.05)
    monkeypatch.setattr(statuses, "_present", busy(statuses._present, True, True))
    async with bench() as station:
        await station.ready()

        assert told(station.backend) == [0, 1, 2]
        assert station.backend.connects == 1


async def test_keys_that_a_busy_database_kept_from_being_told_over_the_next_connection_are_told(bench, monkeypatch):
    monkeypatch.setattr("ocpp_client.link._AFTER_TROUBLE_S", 0.05)
    monkeypatch.setattr(meter_keys, "_signing_meters", busy(meter_keys._signing_meters, False, True))
    nobody_else_looks = Timing(look_s=1e6, recovery_s=0.0)
    async with bench(run=False, timing=nobody_else_looks) as station:
        await in_database(meter_is_read)
        station.backend.script_next("DataTransfer", Drop())
        async with running(station):
            await station.backend.wait_for("DataTransfer", count=2)

            assert station.backend.connects == 2


class Backlog:
    """One that lasts for as long as the test wants, each time somebody waits for its end."""

    def __init__(self):
        self.waits = [asyncio.Event()]

    async def emptied(self):
        mine = self.waits[-1]
        self.waits.append(asyncio.Event())
        await mine.wait()
        return False

    async def is_waited_for(self, station, *, times):
        await station.until(lambda: len(self.waits) == times + 1)

    def outlasts_patience(self):
        self.waits[-2].set()


@pytest.fixture
def backlog(monkeypatch):
    backlog = Backlog()

    monkeypatch.setattr(OutboxSender, "emptied", lambda _sender, _patience_s: backlog.emptied())
    return backlog


async def test_4_2_keys_that_waited_for_a_backlog_are_not_told_to_a_backend_that_has_not_accepted(bench, backlog):
    async with Backend.start() as other, bench(run=False) as station:
        await in_database(meter_is_read)
        async with running(station):
            await backlog.is_waited_for(station, times=1)
            other.script_next("BootNotification", answer("Pending"))
            await move(station, other)
            await station.until(lambda: phase(station) == "pending")

            backlog.outlasts_patience()
            await nothing_follows_any_more(station)
            assert [frame.action for frame in other.received()] == ["BootNotification"]

            await other.call("TriggerMessage", {"requestedMessage": "BootNotification"})
            await backlog.is_waited_for(station, times=2)
            backlog.outlasts_patience()
            await other.wait_for("DataTransfer")
            assert station.backend.received("DataTransfer") == []


async def test_4_2_keys_that_waited_for_a_backlog_are_not_told_once_the_acceptance_is_taken_back(bench, backlog):
    async with bench(run=False) as station:
        await in_database(meter_is_read)
        async with running(station):
            await backlog.is_waited_for(station, times=1)
            await station.backend.drop()
            await station.backend.wait_connected(at_least=2)
            backlog.outlasts_patience()
            await backlog.is_waited_for(station, times=2)
            station.backend.script_next("BootNotification", answer("Pending"))
            await station.backend.call("TriggerMessage", {"requestedMessage": "BootNotification"})
            await station.until(lambda: phase(station) == "pending")

            backlog.outlasts_patience()
            await nothing_follows_any_more(station)
            assert station.backend.received("DataTransfer") == []


async def test_keys_wait_for_the_backlog_of_each_connection_anew(bench, backlog):
    async with bench(run=False) as station:
        await in_database(meter_is_read)
        async with running(station):
            await backlog.is_waited_for(station, times=1)
            await station.backend.drop()
            await station.backend.wait_connected(at_least=2)
            await station.ready()

            backlog.outlasts_patience()
            await backlog.is_waited_for(station, times=2)
            assert station.backend.received("DataTransfer") == []

            backlog.outlasts_patience()
            await station.backend.wait_for("DataTransfer")
