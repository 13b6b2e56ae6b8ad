"""StatusNotification: the transitions of section 4.9, faults of the catalogue, minimum durations, reconnects."""

import csv
import time
from pathlib import Path

import pytest

from station.domain.faults import CATALOGUE as FAULTS
from station.domain.faults import FaultCode
from tests.process.conformance.bench import CARD, ConformanceBench, never, section
from tests.station import wait_until

# The faults of the manual and what the backend is told: fault, connector, errorCode, vendorErrorCode, status.
CATALOGUE = [
    ("WeakSignal", 0, "WeakSignal", None, "Available"),
    ("OverVoltageProtectionFailure", 0, "OtherError", "OverVoltageProtectionFailure", "Available"),
    ("RegulatoryComplianceFailure", 0, "OtherError", "RegulatoryComplianceFailure", "Faulted"),
    ("ReaderFailure", 0, "ReaderFailure", None, "Available"),
    ("UnderVoltage", 0, "UnderVoltage", None, "Faulted"),
    ("EVSECommunicationError", 1, "OtherError", "EVSECommunicationError", "Faulted"),
    ("PowerSwitchFailure", 1, "PowerSwitchFailure", None, "Faulted"),
    ("OverCurrentFailure", 1, "OverCurrentFailure", None, "Faulted"),
    ("GroundFailure", 1, "GroundFailure", None, "Faulted"),
    ("ConnectorLockFailure", 1, "ConnectorLockFailure", None, "Faulted"),
    ("PowerMeterFailure", 1, "PowerMeterFailure", None, "Faulted"),
    ("HighTemperature", 1, "HighTemperature", None, "Faulted"),
    ("InternalError", 1, "InternalError", None, "Faulted"),
    ("OtherError", 1, "OtherError", None, "Faulted"),
    ("OverVoltage", 1, "OverVoltage", None, "Faulted"),
    ("InputModuleFailure", 0, "OtherError", "InputModuleFailure", "Available"),
]
SPECIFICATION = Path("/work/shared/spec/errors.csv")


@section("S 4.9 A2", "S 4.9 B3", "S 4.9 C6", "S 4.9 F1")
def test_a_plain_session_goes_through_preparing_charging_finishing_available(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    bench.call("RemoteStopTransaction", transactionId=transaction)
    bench.wait_status("Finishing")
    bench.unplug()
    bench.wait_status("Available")

    assert bench.statuses() == ["Preparing", "Charging", "Finishing", "Available"]


@section("S 4.9 A2", "S 4.9 B1")
def test_a_car_that_leaves_again_was_only_preparing(bench: ConformanceBench) -> None:
    bench.plug()
    bench.unplug()
    bench.wait_status("Available")

    assert bench.statuses() == ["Preparing", "Available"]


@section("S 4.9 C4", "S 4.9 D3")
def test_a_pausing_car_is_suspended_ev(bench: ConformanceBench) -> None:
    bench.charge()
    bench.sim("/connectors/1/vehicle", ready=False)
    bench.wait_status("SuspendedEV")
    mark = bench.mark()

    bench.sim("/connectors/1/vehicle", ready=True)

    bench.wait_status("Charging", after=mark)
    assert bench.transaction()


@section("S 4.9 D6", "S 4.9 F1")
def test_a_pausing_car_can_be_unplugged(bench: ConformanceBench) -> None:
    bench.charge()
    bench.sim("/connectors/1/vehicle", ready=False)
    bench.wait_status("SuspendedEV")

    bench.unplug()

    assert bench.wait_for("StopTransaction")["reason"] == "EVDisconnected"
    bench.wait_status("Available")


def limit(bench: ConformanceBench, ampere: float) -> None:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": ampere}]}
    content = {
        "chargingProfileId": 5,
        "stackLevel": 1,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    assert bench.status_of("SetChargingProfile", connectorId=1, csChargingProfiles=content) == "Accepted"


@section("S 4.9 C5", "S 4.9 E3")
def test_a_limit_of_zero_is_suspended_evse_and_ends_nothing(bench: ConformanceBench) -> None:
    bench.charge()
    limit(bench, 0)
    bench.wait_status("SuspendedEVSE")
    bench.physical(lambda point: not point["contactor"])
    mark = bench.mark()

    limit(bench, 16)

    bench.wait_status("Charging", after=mark)
    assert not bench.received("StopTransaction")


@section("S 4.9 E4", "S 4.9 D5", "S 4.9")
def test_suspended_evse_goes_before_suspended_ev(bench: ConformanceBench) -> None:
    bench.charge()
    bench.sim("/connectors/1/vehicle", ready=False)
    bench.wait_status("SuspendedEV")

    limit(bench, 0)
    bench.wait_status("SuspendedEVSE")
    mark = bench.mark()
    limit(bench, 16)

    bench.wait_for("StatusNotification", after=mark, connectorId=1, status="SuspendedEV", timeout=15)


@section("S 4.9 E6")
def test_a_car_suspended_by_the_station_can_be_unplugged(bench: ConformanceBench) -> None:
    bench.charge()
    limit(bench, 0)
    bench.wait_status("SuspendedEVSE")

    bench.unplug()

    assert bench.wait_for("StopTransaction")["reason"] == "EVDisconnected"


@section("S 4.9 B4")
def test_a_car_that_wants_nothing_at_the_start_becomes_suspended_ev(bench: ConformanceBench) -> None:
    bench.plug(ready=False)
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"

    bench.wait_for("StatusNotification", connectorId=1, status="SuspendedEV", timeout=15)


@section("S 4.9 B5")
def test_a_transaction_that_starts_under_a_limit_of_zero_is_suspended_evse(bench: ConformanceBench) -> None:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 0.0}]}
    content = {
        "chargingProfileId": 6,
        "stackLevel": 1,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    assert bench.status_of("SetChargingProfile", connectorId=1, csChargingProfiles=content) == "Accepted"
    bench.plug()
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"

    bench.wait_status("SuspendedEVSE")

    assert bench.received("StartTransaction")
    assert "Charging" not in bench.statuses()


@section("S 4.9 F2")
def test_a_connector_that_is_finishing_prepares_for_the_next_transaction(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    bench.call("RemoteStopTransaction", transactionId=transaction)
    bench.wait_status("Finishing")
    mark = bench.mark()

    bench.swipe()

    bench.wait_status("Charging", after=mark)


@section("S 4.9 A8", "S 4.9 H1", "S 4.9 A9", "S 4.9 I1")
def test_available_can_become_unavailable_and_faulted_and_back(bench: ConformanceBench) -> None:
    bench.call("ChangeAvailability", connectorId=1, type="Inoperative")
    bench.wait_status("Unavailable")
    bench.call("ChangeAvailability", connectorId=1, type="Operative")
    bench.wait_status("Available")
    bench.sim("/connectors/1/fault", code="GroundFailure", active=True)
    bench.wait_status("Faulted")
    bench.sim("/connectors/1/fault", code="GroundFailure", active=False)
    bench.wait_for("StatusNotification", after=bench.mark() - 1, connectorId=1, status="Available", errorCode="NoError")

    assert bench.statuses() == ["Unavailable", "Available", "Faulted", "Available"]


@section("S 4.9 H9", "S 4.9 I8")
def test_a_fault_of_an_unavailable_connector_leads_back_to_unavailable(bench: ConformanceBench) -> None:
    bench.call("ChangeAvailability", connectorId=1, type="Inoperative")
    bench.wait_status("Unavailable")
    bench.sim("/connectors/1/fault", code="GroundFailure", active=True)
    bench.wait_status("Faulted")
    mark = bench.mark()

    bench.sim("/connectors/1/fault", code="GroundFailure", active=False)

    bench.wait_status("Unavailable", after=mark)


@section("S 4.9 H2")
def test_a_car_at_an_unavailable_connector_is_preparing_once_it_is_operative(bench: ConformanceBench) -> None:
    bench.call("ChangeAvailability", connectorId=1, type="Inoperative")
    bench.wait_status("Unavailable")
    bench.sim("/connectors/1/plug")
    bench.physical(lambda point: point["plugged"])
    time.sleep(0.5)

    bench.call("ChangeAvailability", connectorId=1, type="Operative")

    bench.wait_status("Preparing")


@section("S 4.9 C9", "S 4.9 I3")
def test_a_fault_withdraws_the_energy_and_its_end_gives_it_back(bench: ConformanceBench) -> None:
    bench.charge()
    bench.sim("/connectors/1/fault", code="OverCurrentFailure", active=True)
    bench.wait_status("Faulted")
    bench.physical(lambda point: not point["contactor"])
    mark = bench.mark()

    bench.sim("/connectors/1/fault", code="OverCurrentFailure", active=False)

    bench.wait_for("StatusNotification", after=mark, connectorId=1, status="Charging", timeout=12)
    assert not bench.received("StopTransaction")


@section("S 4.9 B9", "S 4.9 I2")
def test_a_fault_while_preparing_leads_back_to_preparing(bench: ConformanceBench) -> None:
    bench.plug()
    bench.sim("/connectors/1/fault", code="OverCurrentFailure", active=True)
    bench.wait_status("Faulted")
    mark = bench.mark()

    bench.sim("/connectors/1/fault", code="OverCurrentFailure", active=False)

    bench.wait_status("Preparing", after=mark)


@section("S 4.9", "S 7.6")
def test_an_error_at_the_vehicle_is_a_warning_and_never_faulted(bench: ConformanceBench) -> None:
    bench.plug()
    mark = bench.mark()

    bench.sim("/connectors/1/fault", code="EVCommunicationError", active=True)

    sent = bench.wait_for("StatusNotification", after=mark, connectorId=1, errorCode="EVCommunicationError")
    assert sent["status"] in {"Preparing", "SuspendedEV", "SuspendedEVSE", "Finishing"}


@section("S 7.6", "S 6.51")
@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row[0])
def test_a_fault_is_told_with_its_codes_and_its_end_as_well(
    bench: ConformanceBench, row: tuple[str, int, str, str | None, str]
) -> None:
    fault, connector, code, vendor_code, status = row
    path = "/fault" if connector == 0 else f"/connectors/{connector}/fault"

    bench.sim(path, code=fault, active=True)
    sent = bench.wait_for("StatusNotification", connectorId=connector, errorCode=code, timeout=12)

    assert sent["status"] == status
    assert sent.get("vendorErrorCode") == vendor_code
    if vendor_code:
        assert sent["vendorId"] == "Technagon GmbH"
    assert 0 < len(sent["info"]) <= 50
    kind = FAULTS[FaultCode(fault)]
    if kind.faulted:
        lamp = max(connector, 1) - 1
        wait_until(lambda: bench.station.sim("/state")["lamp"][lamp]["colour"] == "red", what="a red lamp")
        wait_until(lambda: "Fault</span>" in bench.display(), what="the fault on the display")
    if kind.code is FaultCode.READER_FAILURE:
        wait_until(lambda: "Card reader out of order" in bench.display(), what="the reader on the display")
    kept = remembered(bench.page("/events"), sent["info"])
    assert ("lasts" in kept, "Measure" in kept) == (True, True)
    mark = bench.mark()
    bench.sim(path, code=fault, active=False)
    bench.wait_for(
        "StatusNotification", after=mark, connectorId=connector, status="Available", errorCode="NoError", timeout=12
    )
    wait_until(lambda: "Fault</span>" not in bench.display(), what="a display without a fault")
    assert "lasts" not in remembered(bench.page("/events"), sent["info"])


def remembered(page: str, fault: str) -> str:
    """Return the row of a fault in the fault memory."""
    memory = page[page.index('id="fault-memory"') :]
    (row,) = (each for each in memory.split("<tr>") if f"<summary>{fault}" in each)
    return row


@section("S 7.6")
@pytest.mark.skipif(not SPECIFICATION.exists(), reason="the specification's table is not on this machine")
def test_the_catalogue_above_is_that_of_the_specification() -> None:
    with SPECIFICATION.open() as file:
        rows = {row["error"]: row for row in csv.DictReader(file)}
    known = {fault: (code, vendor, status) for fault, _, code, vendor, status in CATALOGUE}

    # Section 4.9 forbids Faulted for EVCommunicationError; the standard wins over the manual's table.
    for error in rows.keys() - {"EVCommunicationError"}:
        row = rows[error]
        assert known[error] == (row["ocpp_error_code"], row["vendor_error_code"] or None, row["status"])


@section("S 4.9", "S 9.1 MinimumStatusDuration")
def test_states_shorter_than_the_minimum_duration_are_skipped_and_the_last_one_is_told(bench: ConformanceBench) -> None:
    bench.configure(MinimumStatusDuration=2)
    bench.sim("/connectors/1/plug")
    bench.physical(lambda point: point["plugged"])
    time.sleep(0.7)
    bench.sim("/connectors/1/unplug", side="vehicle")
    time.sleep(0.7)
    bench.call("ChangeAvailability", connectorId=1, type="Inoperative")

    bench.wait_for("StatusNotification", connectorId=1, status="Unavailable", timeout=10)

    assert "Preparing" not in bench.statuses()


@section("S 4.9", "S 3.7")
def test_after_an_outage_only_the_present_state_is_told_not_the_history(bench: ConformanceBench) -> None:
    with bench.backend.outage():
        bench.sim("/connectors/1/plug")
        bench.physical(lambda point: point["plugged"])
        time.sleep(0.6)
        bench.unplug()
        bench.physical(lambda point: not point["plugged"])
        time.sleep(0.6)
        bench.sim("/connectors/2/plug")
        bench.physical(lambda point: point["plugged"], connector=2)
        time.sleep(0.6)
    bench.backend.wait_connected(timeout=15)

    bench.wait_status("Preparing", connector=2)
    bench.settle()

    assert bench.statuses(1) == []
    assert bench.statuses(2) == ["Preparing"]


@section("S 4.9")
def test_after_an_outage_without_changes_no_status_is_told(bench: ConformanceBench) -> None:
    connects = bench.backend.connects
    with bench.backend.outage():
        pass
    bench.backend.wait_connected(at_least=connects + 1, timeout=15)

    bench.settle()

    assert not bench.received("StatusNotification")


@section("S 4.9", "E 3.80")
def test_unplugging_at_the_car_is_told_as_finishing_with_its_reason(bench: ConformanceBench) -> None:
    bench.charge()
    bench.unplug()

    told = bench.wait_status("Finishing")

    assert told["errorCode"] == "NoError"
    assert told["info"] == "EV side disconnected"


@section("S 7.7")
def test_connector_zero_is_only_available_unavailable_or_faulted(bench: ConformanceBench) -> None:
    bench.charge()
    bench.unplug()
    bench.wait_for("StopTransaction")

    frames = bench.backend.received("StatusNotification")
    told = {frame.payload["status"] for frame in frames if frame.payload["connectorId"] == 0}
    assert told <= {"Available", "Unavailable", "Faulted"}


@section("S 4.9", "E 3.55")
def test_a_steady_state_is_told_once(bench: ConformanceBench) -> None:
    bench.charge()
    mark = bench.mark()

    never(lambda: bench.received("StatusNotification", after=mark), for_s=2)
