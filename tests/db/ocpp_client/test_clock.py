"""What is told while the wall clock has lost its time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ocpp_client.connection.registration_runner import take_time
from ocpp_client.database import in_database
from ocpp_client.outgoing import outbox_store
from ocpp_client.outgoing.outbox_store import Claimed, Wait
from station import clock
from station.domain.facts import SessionBegan
from station.domain.moments import from_wire
from station.domain.stamps import Stamp
from station.domain.units import WattHour
from station.models import ChargingSession, Connector, OutboxMessage, SecurityEvent
from tests.db.ocpp_client.conftest import MOMENT, FakeClock, put

BEGIN_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def lost_clock(monkeypatch):
    """A clock that began with the boot, a minute ago."""
    now = Stamp(at=BEGIN_OF_TIME + timedelta(minutes=1), boot_id="now", steady_ms=60_000)
    monkeypatch.setattr(clock, "now", lambda: now.at)
    monkeypatch.setattr(clock, "stamp", lambda: now)


def session_begun_after_half_a_minute() -> None:
    at = BEGIN_OF_TIME + timedelta(seconds=30)
    stamped = {"started_at": at, "started_boot_id": "now", "started_steady_ms": 30_000}
    session = ChargingSession.objects.create(
        connector_id=1, id_tag="CARD", meter_start_wh=0, meter_last_wh=0, meter_last_at=at, **stamped
    )
    put(SessionBegan(at=at, connector_id=1, id_tag="CARD", register=WattHour(0)), session)
    OutboxMessage.objects.update(boot_id="now", steady_ms=30_000)


async def test_what_waits_for_a_clock_that_cannot_be_set_is_told_by_the_time_of_the_backend(
    transactional_db, data, lost_clock
):
    await in_database(session_begun_after_half_a_minute)
    assert isinstance(await in_database(outbox_store.claim, clock.now(), None), Wait)

    await take_time(FakeClock(), "9999-12-31T23:59:59-05:00")
    await take_time(FakeClock(), "tomorrow")
    assert isinstance(await in_database(outbox_store.claim, clock.now(), None), Wait)
    await take_time(FakeClock(), MOMENT.isoformat())

    claimed = await in_database(outbox_store.claim, clock.now(), None)
    assert isinstance(claimed, Claimed)
    assert claimed.fact.at == MOMENT - timedelta(seconds=30)
    assert (await in_database(ChargingSession.objects.get)).started_at == claimed.fact.at


async def test_a_status_of_a_clock_without_time_is_told_without_a_moment(bench):
    async with bench(run=False) as station:
        await in_database(lambda: Connector.objects.filter(number=1).update(status_at=BEGIN_OF_TIME))
        running = asyncio.create_task(station.link.run())
        await station.ready()
        told = {
            frame.payload["connectorId"]: frame.payload.get("timestamp")
            for frame in station.backend.received("StatusNotification")
        }

        assert told[1] is None
        assert from_wire(told[2]) == MOMENT
        await station.link.stop()
        await running


async def test_a_security_event_of_a_clock_without_time_is_told_with_the_latest_it_can_have_been(bench):
    async with bench() as station:
        await station.ready()
        event = {"type": "StartupOfTheDevice", "at": BEGIN_OF_TIME, "critical": True}
        before = clock.now()
        await in_database(lambda: SecurityEvent.objects.create(**event))
        station.link.security.wake()
        [frame] = await station.until(lambda: station.backend.received("SecurityEventNotification"))

        assert before - timedelta(seconds=1) <= from_wire(frame.payload["timestamp"]) <= clock.now()
