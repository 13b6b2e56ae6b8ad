"""The loops that send what is owed, when there is nobody to send it to."""

import asyncio
from collections import Counter
from types import SimpleNamespace

from ocpp_client.database import in_database
from ocpp_client.link import Timing
from ocpp_client.rpc.calls import Calls
from station.domain.dimming import Cause
from station.domain.stamps import Stamp
from station.domain.units import Watt
from station.models import SecurityEvent
from station.services import dimming
from tests.backend import Drop
from tests.db.ocpp_client.conftest import MOMENT
from tests.db.ocpp_client.outgoing.test_outbox import whole_session
from tests.db.ocpp_client.outgoing.test_status_and_cards import changed


async def test_without_a_connection_nobody_tries_again_at_once_whatever_lets_it_flow(bench, monkeypatch):
    tried, call = Counter(), Calls.call

    async def counted(self, message, **options):
        tried[type(message).__name__] += 1
        return await call(self, message, **options)

    def owe():
        whole_session()
        SecurityEvent.objects.create(type="StartupOfTheDevice", at=MOMENT, critical=True)
        dimming.begin(power=Watt(4_200), by=Cause.CONTACT, at=Stamp(at=MOMENT))

    monkeypatch.setattr(Calls, "call", counted)
    async with bench(run=False) as station:
        await in_database(owe)
        upload = SimpleNamespace(job_id=1, status="Uploading", payload={"status": "Uploading"})
        upload.action = "DiagnosticsStatusNotification"
        station.jobs.owed.append(upload)
        link = station.link
        link.state.flow.set()
        link.status.take(changed(1, "Preparing", 2))
        link.status.take(changed(1, "Charging", 3))
        senders = [link.outbox, link.status, link.security, link.dimming, link.files]
        tasks = [asyncio.create_task(sender.run()) for sender in senders]
        try:
            await station.until(lambda: len(tried) == len(senders))
            # Whoever goes on would do so now: each try takes less than a few turns in the database's thread.
            for _ in range(50):
                await in_database(lambda: None)

            assert set(tried.values()) == {1}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_was_under_way_when_the_connection_was_lost_goes_over_the_next_at_once(bench, monkeypatch):
    # The looks of the others are further apart than anybody waits here.
    monkeypatch.setattr("ocpp_client.outgoing.outbox_sender._AFTER_TROUBLE_S", 60.0)
    nobody_else_looks = Timing(look_s=1e6, recovery_s=0.0)
    actions = ("StartTransaction", "SecurityEventNotification", "DataTransfer")
    async with bench(run=False, timing=nobody_else_looks) as station:
        for action in actions:
            station.backend.script_next(action, Drop())
        await in_database(whole_session)
        await in_database(
            lambda: SecurityEvent.objects.create(type="StartupOfTheDevice", at=MOMENT, tech_info="x", critical=True)
        )
        await in_database(lambda: dimming.begin(power=Watt(4_200), by=Cause.CONTACT, at=Stamp(at=MOMENT)))
        running = asyncio.create_task(station.link.run())
        try:
            for action in actions:
                await station.backend.wait_for(action, count=2, timeout=8)
        finally:
            await station.link.stop()
            await running
