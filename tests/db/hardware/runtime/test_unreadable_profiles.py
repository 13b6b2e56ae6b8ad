"""A charging profile that cannot be read, or cannot be computed with, gives no energy: nobody knows what it allowed."""

import asyncio
from typing import Any

import pytest
from django.db import connection

from hardware.runtime import limit_book
from station.domain.charging_profiles import Purpose, limit_at
from station.domain.faults import FaultCode
from station.domain.limits import LimitSource
from station.models import ChargingProfileRow, ChargingSession, LogEntry
from station.services import charging_profiles
from station.services.messages import ProfilesChanged
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, in_virtual_time, profile


@pytest.fixture
def points() -> int:
    return 2


def damage(content: str, **where: Any) -> None:
    """Write what no version of the software writes, past every check of the database."""
    row = ChargingProfileRow.objects.get(**where)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute("UPDATE station_chargingprofilerow SET profile = %s WHERE id = %s", [content, row.pk])
        cursor.execute("PRAGMA ignore_check_constraints = OFF")


UNREADABLE = (
    "{'no json",
    "null",
    "[]",
    '{"of": "another version"}',
    (
        '{"chargingProfileId": 100, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",'
        ' "chargingProfileKind": "Whenever", "chargingSchedule": {"chargingRateUnit": "A",'
        ' "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10}]}}'
    ),
    # It begins after half an hour: before that, nobody would be limited.
    (
        '{"chargingProfileId": 100, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",'
        ' "chargingProfileKind": "Relative", "chargingSchedule": {"chargingRateUnit": "A",'
        ' "chargingSchedulePeriod": [{"startPeriod": 1800, "limit": 10}]}}'
    ),
    # The column says another level: nobody knows what it overrules.
    (
        '{"chargingProfileId": 100, "stackLevel": 3, "chargingProfilePurpose": "TxDefaultProfile",'
        ' "chargingProfileKind": "Relative", "chargingSchedule": {"chargingRateUnit": "A",'
        ' "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10}]}}'
    ),
)


@pytest.mark.parametrize("content", UNREADABLE)
@in_virtual_time
async def test_a_point_pauses_whose_profile_cannot_be_read(bench: ControlLoopBench, content: str) -> None:
    profile(10.0, connector_id=1)
    damage(content, connector_id=1)
    await bench.kill()
    await bench.start()
    await bench.charge(2, card=FRIEND)
    bench.hall.outlets[1].plug()
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    bench.hall.reader.tap(CARD)
    await bench.phase("suspended_evse", 1)
    await asyncio.sleep(10)

    assert (bench.hall.outlets[1].current, bench.hall.outlets[2].current) == (0, 32_000)
    assert bench.control_loop.limits.present[1].effective.source is LimitSource.UNREADABLE_PROFILE
    assert ChargingProfileRow.objects.count() == 1
    entry = LogEntry.objects.get(code=charging_profiles.UNREADABLE_CODE)
    assert (entry.connector_id, entry.data["profile_id"], entry.cleared_at) == (1, 100, None)


@in_virtual_time
async def test_a_profile_damaged_under_a_running_session_pauses_it_until_it_is_replaced(
    bench: ControlLoopBench,
) -> None:
    profile(10.0, connector_id=1)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.charge(1)
    damage("{", connector_id=1)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.phase("suspended_evse")
    await bench.until(lambda: bench.hall.outlets[1].current == 0)

    ChargingProfileRow.objects.all().delete()
    profile(16.0, connector_id=1)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.until(lambda: bench.hall.outlets[1].current == 16_000)

    assert ChargingSession.objects.count() == 1
    assert LogEntry.objects.get(code=charging_profiles.UNREADABLE_CODE).cleared_at is not None


@in_virtual_time
async def test_a_damaged_profile_of_the_station_pauses_every_point(bench: ControlLoopBench) -> None:
    profile(40.0, purpose="ChargePointMaxProfile")
    damage("{", purpose="ChargePointMaxProfile")
    await bench.control_loop.informed(ProfilesChanged())
    bench.hall.outlets[1].plug()
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    bench.hall.reader.tap(CARD)
    await bench.phase("suspended_evse", 1)

    present = bench.control_loop.limits.present
    assert [present[number].effective.source for number in (1, 2)] == [LimitSource.UNREADABLE_PROFILE] * 2


@in_virtual_time
async def test_what_a_higher_profile_overrules_need_not_be_readable(bench: ControlLoopBench) -> None:
    profile(10.0)
    profile(13.0, level=1)
    damage("{", stack_level=0)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.charge(1)

    assert bench.hall.outlets[1].current == 13_000


@in_virtual_time
async def test_damaged_columns_close_what_they_may_have_limited(bench: ControlLoopBench) -> None:
    profile(10.0, connector_id=1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE station_chargingprofilerow SET purpose = 'Something', installed_at = 'the other day'")
    await bench.control_loop.informed(ProfilesChanged())
    bench.hall.outlets[1].plug()
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    bench.hall.reader.tap(CARD)
    await bench.phase("suspended_evse", 1)
    # Also when the tables are looked at without being told.
    await asyncio.sleep(20)

    assert bench.hall.outlets[1].current == 0
    assert charging_profiles.installed()[0].profile.purpose is Purpose.TX


@in_virtual_time
async def test_a_limit_that_cannot_be_computed_is_the_fault_of_its_point_alone(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.charge(1)
    await bench.charge(2, card=FRIEND)

    def fails_at_one(t: Any, connector_id: int, *rest: Any, **options: Any) -> Any:
        if connector_id == 1:
            raise ArithmeticError("a profile nobody has thought of")
        return limit_at(t, connector_id, *rest, **options)

    monkeypatch.setattr(limit_book, "limit_at", fails_at_one)
    await bench.until(lambda: bench.hall.outlets[1].current == 0)
    await asyncio.sleep(20)
    assert bench.hall.outlets[2].current == 32_000
    assert bench.control_loop.points[1].active_faults == {FaultCode.INTERNAL_ERROR}
    assert not bench.control_loop.points[2].blocked
    assert [record.exc_info is not None for record in caplog.records if "cannot be computed" in record.message] == [
        True
    ]

    monkeypatch.setattr(limit_book, "limit_at", limit_at)
    await bench.until(lambda: bench.hall.outlets[1].current > 0)
    await bench.told("Faulted", "SuspendedEVSE", "Charging")
    assert ChargingSession.objects.running().count() == 2


@pytest.mark.parametrize("function", ["station_limit_at", "step"])
@in_virtual_time
async def test_without_what_binds_all_points_none_is_given_energy_and_nothing_crashes(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    await bench.charge(1)
    compute = getattr(limit_book, function)

    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(limit_book, function, fails)
    await bench.until(lambda: bench.hall.outlets[1].current == 0)
    assert [point.blocked for point in bench.control_loop.points.values()] == [True, True]

    monkeypatch.setattr(limit_book, function, compute)
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)


@in_virtual_time
async def test_a_next_change_that_cannot_be_computed_delays_nothing_for_long(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise OverflowError

    monkeypatch.setattr(limit_book, "next_change_after", fails)
    await bench.charge(1)
    profile(8.0)
    await bench.control_loop.informed(ProfilesChanged())
    await asyncio.sleep(2)

    assert bench.hall.outlets[1].current == 8_000


@in_virtual_time
async def test_a_damaged_profile_of_a_session_goes_with_its_session(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    profile(10.0, connector_id=1, purpose="TxProfile")
    ChargingProfileRow.objects.update(session=ChargingSession.objects.get())
    damage("{", purpose="TxProfile")
    await bench.control_loop.informed(ProfilesChanged())
    await bench.phase("suspended_evse")
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))
    assert not ChargingProfileRow.objects.exists()

    await bench.phase("finishing")
    await asyncio.sleep(1)
    bench.hall.reader.tap(FRIEND)
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)
