"""What the backend is told of the grid operator's interventions, with and without a connection."""

import json
from datetime import timedelta

from ocpp_client.database import in_database
from station.domain.dimming import Cause, Drawn
from station.domain.stamps import Stamp
from station.domain.units import Watt
from station.models import DimmingIntervention, OutboxMessage
from station.models.backend import OutboxStatus
from station.services import dimming
from tests.backend import CallError
from tests.db.ocpp_client.conftest import MOMENT
from tests.db.ocpp_client.outgoing.test_outbox import whole_session


def at(seconds):
    return Stamp(at=MOMENT + timedelta(seconds=seconds))


def intervention(begins=0):
    number = dimming.begin(power=Watt(4_200), by=Cause.CONTACT, at=at(begins))
    drawn = Drawn(greatest_w=Watt(22_000), greatest_carried_out_w=Watt(4_100), watt_ms=4_000, measured_ms=1)
    dimming.end(number, drawn, at(begins + 5), by=Cause.CONTACT, at=at(begins + 60))


def is_told():
    return not DimmingIntervention.objects.owed().exists()


async def test_begin_and_end_of_before_the_connection_are_told_in_order_with_their_moments(bench):
    async with bench() as station:
        await in_database(intervention)
        await in_database(intervention, 1_000)
        await station.ready()
        station.link.dimming.wake()
        await station.until_in_database(is_told)

        sent = [frame.payload for frame in station.backend.received("DataTransfer")]
        assert [each["messageId"] for each in sent] == ["NotifyChargingLimit", "ClearedChargingLimit"] * 2
        assert {each["vendorId"] for each in sent} == {"Technagon GmbH"}
        began, ended = (json.loads(each["data"]) for each in sent[:2])
        assert began["chargingLimit"] == {"chargingLimitSource": "SO", "isGridCritical": True}
        (schedule,) = began["chargingSchedule"]
        assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 4_200}]
        assert schedule["startSchedule"] == "2026-11-20T12:00:00.000Z"
        told = ended["customData"]
        assert (told["began"], told["carriedOut"], told["ended"]) == (
            "2026-11-20T12:00:00.000Z",
            "2026-11-20T12:00:05.000Z",
            "2026-11-20T12:01:00.000Z",
        )
        assert (told["limitW"], told["greatestW"], told["meanW"]) == (4_200, 4_100, 4_000)


async def test_a_backend_that_knows_no_data_transfer_is_asked_once_and_its_transactions_go_on(bench):
    async with bench() as station:
        station.backend.script_next("DataTransfer", CallError(code="NotImplemented"), times=2)
        await in_database(intervention)
        await in_database(whole_session)
        await station.ready()
        station.link.dimming.wake()
        station.link.outbox.wake()

        await station.until_in_database(is_told)
        await station.until_in_database(
            lambda: not OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED).exists()
        )
        assert len(station.backend.received("DataTransfer")) == 2


async def test_a_backend_that_refuses_again_and_again_is_not_asked_for_ever(bench):
    async with bench() as station:
        station.backend.script_next("DataTransfer", CallError(code="InternalError"), times=2 * dimming.MOST_REFUSALS)
        await in_database(intervention)
        await station.ready()
        for number in range(1, 2 * dimming.MOST_REFUSALS + 1):
            station.link.dimming.wake()
            await station.backend.wait_for("DataTransfer", count=number)

        await station.until_in_database(is_told)


async def test_a_moment_that_nobody_can_correct_holds_up_nothing(bench):
    async with bench() as station:
        await in_database(intervention, -MOMENT.timestamp())
        await in_database(intervention)
        await station.ready()
        station.link.dimming.wake()

        await station.until_in_database(is_told)
        assert len(station.backend.received("DataTransfer")) == 4
