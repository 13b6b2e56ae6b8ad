"""Every fault from what the hardware reports: backend, lamp, display, page and memory, the other point, and its end."""

import asyncio
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.utils import translation

from station import clock
from station.domain.faults import CATALOGUE, FaultCode, Scope
from station.domain.ports import LampColour, LampPattern
from station.models import Connector, FaultMemory, LogEntry
from station.services import fault_memory, identity
from station.ui import words
from station.web import driver_display, fault_memory_view
from station.web.present import Present
from tests.db.hardware.runtime.bench import ControlLoopBench, in_virtual_time
from tests.fakes import Hall

GREEN, BLUE, RED = (LampPattern(colour=colour) for colour in (LampColour.GREEN, LampColour.BLUE, LampColour.RED))


def _board(code: FaultCode) -> Callable[[Hall, bool], None]:
    def provoke(hall: Hall, active: bool) -> None:  # noqa: FBT001 - read in a table
        hall.outlets[1].faults = {code} if active else set()

    return provoke


def _contact(code: FaultCode, number: int) -> Callable[[Hall, bool], None]:
    def provoke(hall: Hall, active: bool) -> None:  # noqa: FBT001 - read in a table
        hall.io.faults = {number: frozenset({code})} if active else {}

    return provoke


def _silent(name: str) -> Callable[[Hall, bool], None]:
    def provoke(hall: Hall, active: bool) -> None:  # noqa: FBT001 - read in a table
        device = getattr(hall, name)
        (device[1] if isinstance(device, dict) else device).silent = active

    return provoke


def _signal(hall: Hall, active: bool) -> None:  # noqa: FBT001 - read in a table
    hall.computer.signal = 10 if active else 80


def _damaged_database(_hall: Hall, active: bool) -> None:  # noqa: FBT001 - read in a table
    kept = settings.DATA.database.with_name(settings.DATA.database.name + ".broken-1")
    kept.write_bytes(b"") if active else kept.unlink()


PROVOKED: dict[FaultCode, Callable[[Hall, bool], None]] = {
    FaultCode.WEAK_SIGNAL: _signal,
    FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE: _board(FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE),
    FaultCode.REGULATORY_COMPLIANCE_FAILURE: _contact(FaultCode.REGULATORY_COMPLIANCE_FAILURE, 0),
    FaultCode.READER_FAILURE: _silent("reader"),
    FaultCode.UNDER_VOLTAGE: _contact(FaultCode.UNDER_VOLTAGE, 0),
    FaultCode.EVSE_COMMUNICATION_ERROR: _silent("controllers"),
    FaultCode.EV_COMMUNICATION_ERROR: _board(FaultCode.EV_COMMUNICATION_ERROR),
    FaultCode.POWER_SWITCH_FAILURE: _board(FaultCode.POWER_SWITCH_FAILURE),
    FaultCode.OVER_CURRENT_FAILURE: _contact(FaultCode.OVER_CURRENT_FAILURE, 1),
    FaultCode.GROUND_FAILURE: _board(FaultCode.GROUND_FAILURE),
    FaultCode.CONNECTOR_LOCK_FAILURE: _board(FaultCode.CONNECTOR_LOCK_FAILURE),
    FaultCode.POWER_METER_FAILURE: _silent("meters"),
    FaultCode.HIGH_TEMPERATURE: _contact(FaultCode.HIGH_TEMPERATURE, 1),
    FaultCode.OVER_VOLTAGE: _contact(FaultCode.OVER_VOLTAGE, 1),
    FaultCode.OTHER_ERROR: _contact(FaultCode.OTHER_ERROR, 1),
    FaultCode.INPUT_MODULE_FAILURE: _silent("io"),
    FaultCode.DATABASE_REPLACED: _damaged_database,
}


@pytest.fixture
def points() -> int:
    return 2


def display(bench: ControlLoopBench) -> driver_display.DisplayView:
    """Return the screen as it is now, in English."""
    present = Present(
        at=clock.now(),
        zone=ZoneInfo("Europe/Berlin"),
        identity=identity.load(),
        hardware=bench.control_loop.snapshots.take(),
        backend=None,
    )
    keys = [driver_display.BRANDING, driver_display.HOTLINE, driver_display.PHONE_ADDRESS]
    for number in (1, 2):
        keys += [
            make(number) for make in (driver_display.label_key, driver_display.evse_id_key, driver_display.price_key)
        ]
    return driver_display.look(present, dict.fromkeys(keys, "") | {driver_display.LANGUAGE: "en"})


@pytest.mark.parametrize("code", PROVOKED)
@in_virtual_time
async def test_a_fault_is_seen_everywhere_and_stops_nothing_it_does_not_concern(
    bench: ControlLoopBench, code: FaultCode
) -> None:
    kind = CATALOGUE[code]
    is_of_station = kind.scope is Scope.STATION
    number = 0 if is_of_station else 1
    lamps = bench.hall.io.lamps
    await bench.charge(2)
    await bench.until(lambda: (lamps.get(1), lamps.get(2)) == (GREEN, BLUE))

    PROVOKED[code](bench.hall, True)
    await bench.until(lambda: code.value in Connector.objects.get(number=number).fault_codes, seconds=90)
    await asyncio.sleep(1.5)

    row = Connector.objects.get(number=number)
    assert row.status == ("Faulted" if kind.faulted else "Available")
    assert (row.error_code, row.vendor_error_code) == (kind.ocpp_error_code, kind.vendor_error_code or "")
    with translation.override("en"):
        assert row.info == str(words.FAULTS[code])[:50]
    red = LampPattern(colour=LampColour.RED, blinks=kind.lamp_blinks) if kind.lamp_blinks else RED
    is_red = kind.lamp_blinks is not None or kind.faulted
    assert lamps[1] == (red if is_red else GREEN)
    assert lamps[2] == (red if is_red and is_of_station else BLUE)
    (entry,) = fault_memory_view.rows(fault_memory.kept(), zone=ZoneInfo("UTC"))
    assert (entry.count, entry.lasts, entry.blinks) == (1, True, kind.lamp_blinks or 0)
    shown = display(bench)
    assert (shown.points[0].title == "Fault") == is_red
    assert (shown.points[1].title == "Fault") == (is_red and is_of_station)
    assert (shown.note == "Card reader out of order") == (code is FaultCode.READER_FAILURE)
    assert (bench.hall.outlets[2].current > 0) == (not (is_of_station and kind.faulted))

    PROVOKED[code](bench.hall, False)
    await bench.until(lambda: not Connector.objects.get(number=number).fault_codes, seconds=90)
    await bench.until(lambda: (lamps[1], lamps[2]) == (GREEN, BLUE), seconds=60)

    assert Connector.objects.get(number=number).error_code == "NoError"
    memory = FaultMemory.objects.get()
    assert (memory.number, memory.code, memory.count) == (number, code.value, 1)
    assert memory.until is not None
    assert memory.until > memory.since
    assert LogEntry.objects.get(code=f"fault.{code.value}").cleared_at is not None
    await bench.until(lambda: bench.hall.outlets[2].current > 0, seconds=60)


@in_virtual_time
async def test_a_contact_that_bounces_is_told_once_and_counted_once(bench: ControlLoopBench) -> None:
    closed = {1: frozenset({FaultCode.GROUND_FAILURE})}
    bench.hall.io.faults = closed
    await bench.until(lambda: bench.statuses()[-1:] == ["Faulted"])
    for _ in range(20):
        bench.hall.io.faults = {} if bench.hall.io.faults else closed
        await asyncio.sleep(0.7)
    bench.hall.io.faults = {}
    await bench.until(lambda: bench.statuses()[-1] == "Available")

    assert bench.statuses().count("Faulted") == 1
    assert FaultMemory.objects.get().count == 1


@in_virtual_time
async def test_a_contact_that_closes_for_a_single_reading_is_no_fault(bench: ControlLoopBench) -> None:
    for _ in range(5):
        bench.hall.io.faults = {1: frozenset({FaultCode.GROUND_FAILURE})}
        await asyncio.sleep(0.9)
        bench.hall.io.faults = {}
        await asyncio.sleep(2.1)

    assert not FaultMemory.objects.exists()


@in_virtual_time
async def test_while_the_input_module_is_silent_its_contacts_stay_as_they_were_read_last(
    bench: ControlLoopBench,
) -> None:
    bench.hall.io.faults = {1: frozenset({FaultCode.GROUND_FAILURE})}
    await bench.until(lambda: FaultCode.GROUND_FAILURE in bench.control_loop.points[1].active_faults)
    bench.hall.io.silent = True
    bench.hall.io.faults = {}
    await bench.until(lambda: FaultCode.INPUT_MODULE_FAILURE in bench.control_loop.state.active_faults)
    await asyncio.sleep(10)
    assert FaultCode.GROUND_FAILURE in bench.control_loop.points[1].active_faults

    bench.hall.io.silent = False
    await bench.until(lambda: not bench.control_loop.points[1].active_faults)
    assert not bench.control_loop.state.active_faults


@in_virtual_time
async def test_the_memory_counts_every_time_and_outlives_a_restart(bench: ControlLoopBench) -> None:
    for _ in range(3):
        bench.hall.outlets[1].faults = {FaultCode.GROUND_FAILURE}
        await bench.until(lambda: bench.statuses()[-1:] == ["Faulted"])
        bench.hall.outlets[1].faults = set()
        await bench.until(lambda: bench.statuses()[-1:] == ["Available"])
    await bench.stop(comes_back=True)
    await bench.start()

    assert FaultMemory.objects.get().count == 3


@in_virtual_time
async def test_lamps_that_cannot_be_switched_are_an_event_once_and_until_they_can(bench: ControlLoopBench) -> None:
    bench.hall.io.lamp_problem = "there is no GPIO chip"
    await bench.until(lambda: LogEntry.objects.filter(code="lamps.failed").exists())
    await asyncio.sleep(10)
    entry = LogEntry.objects.get(code="lamps.failed")
    assert (entry.data["reason"], entry.cleared_at) == ("there is no GPIO chip", None)

    bench.hall.io.lamp_problem = ""
    await bench.until(lambda: LogEntry.objects.get(code="lamps.failed").cleared_at is not None)
