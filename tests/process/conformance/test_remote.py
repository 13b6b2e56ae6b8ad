"""What the backend does at a distance: start, stop, unlock, availability, triggers, vendor data."""

import pytest

from tests.backend import CallError, Delay
from tests.process.conformance.bench import CARD, OTHER_CARD, ConformanceBench, Payload, at, moment, never, section

# --- RemoteStartTransaction


def profile(**more: object) -> Payload:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}]}
    content: Payload = {
        "chargingProfileId": 901,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    return content | more


@section("S 5.11")
def test_a_remote_start_before_the_car_waits_for_it(bench: ConformanceBench) -> None:
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"
    bench.wait_status("Preparing")
    assert not bench.received("StartTransaction")

    bench.sim("/connectors/1/plug")

    bench.wait_for("StartTransaction", idTag=CARD, connectorId=1)


@section("S 5.11", "S 9.1 ConnectionTimeOut")
def test_a_remote_start_lapses_when_no_car_comes(bench: ConformanceBench) -> None:
    bench.configure(ConnectionTimeOut=1)
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"
    bench.wait_status("Preparing")

    bench.wait_status("Available")

    assert not bench.received("StartTransaction")


@section("S 5.11", "S 9.1 AuthorizeRemoteTxRequests")
def test_a_remote_start_is_authorized_like_a_card_where_that_is_asked_for(bench: ConformanceBench) -> None:
    bench.plug()
    assert bench.value("AuthorizeRemoteTxRequests") == "true"

    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"
    bench.wait_for("StartTransaction")

    assert [one["idTag"] for one in bench.received("Authorize")] == [CARD]


@section("S 5.11", "S 9.1 AuthorizeRemoteTxRequests")
def test_a_remote_start_without_authorization_begins_at_once(bench: ConformanceBench) -> None:
    bench.configure(AuthorizeRemoteTxRequests=False)
    bench.plug()

    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"
    bench.wait_for("StartTransaction")

    assert not bench.received("Authorize")


@section("S 5.11")
def test_a_remote_start_with_a_refused_card_starts_nothing(bench: ConformanceBench) -> None:
    bench.plug()

    assert bench.status_of("RemoteStartTransaction", idTag="BLOCKED-1", connectorId=1) == "Accepted"

    bench.wait_for("Authorize", idTag="BLOCKED-1")
    never(lambda: bench.received("StartTransaction"), for_s=0.7)


@section("S 5.11")
def test_the_answer_to_a_remote_start_comes_before_what_follows_from_it(bench: ConformanceBench) -> None:
    bench.configure(AuthorizeRemoteTxRequests=False)
    bench.plug()
    mark = bench.mark()

    bench.call("RemoteStartTransaction", idTag=CARD, connectorId=1)
    bench.wait_for("StartTransaction", after=mark)

    sent = [frame for frame in bench.backend.frames[mark:] if frame.from_station]
    assert sent[0].kind == "result"


@section("S 5.11")
def test_a_remote_start_without_a_connector_takes_the_car_that_waits(bench: ConformanceBench) -> None:
    bench.plug(2)

    assert bench.status_of("RemoteStartTransaction", idTag=CARD) == "Accepted"

    bench.wait_for("StartTransaction", connectorId=2)


@section("S 5.11")
@pytest.mark.parametrize("connector", [0, -1, 3, 99])
def test_a_remote_start_at_a_connector_that_is_none_is_rejected(bench: ConformanceBench, connector: int) -> None:
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=connector) == "Rejected"


@section("S 5.11")
def test_a_remote_start_at_a_busy_connector_is_rejected(bench: ConformanceBench) -> None:
    bench.charge()

    assert bench.status_of("RemoteStartTransaction", idTag=OTHER_CARD, connectorId=1) == "Rejected"


@section("S 5.11")
def test_a_remote_start_while_another_is_waiting_for_its_car_is_rejected(bench: ConformanceBench) -> None:
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"

    assert bench.status_of("RemoteStartTransaction", idTag=OTHER_CARD, connectorId=1) == "Rejected"

    bench.wait_status("Preparing")


@section("S 5.11")
def test_a_remote_start_at_an_unavailable_connector_is_rejected(bench: ConformanceBench) -> None:
    assert bench.status_of("ChangeAvailability", connectorId=1, type="Inoperative") == "Accepted"

    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Rejected"


@section("S 5.11")
def test_a_remote_start_at_a_faulted_connector_is_rejected(bench: ConformanceBench) -> None:
    bench.sim("/connectors/1/fault", code="GroundFailure", active=True)
    bench.wait_status("Faulted")

    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Rejected"


@section("S 5.11", "E 3.41")
@pytest.mark.parametrize(
    "bad",
    [
        {"chargingProfilePurpose": "TxDefaultProfile"},
        {"chargingProfilePurpose": "ChargePointMaxProfile"},
        {"transactionId": 5},
        {"stackLevel": 99},
        {"chargingProfileKind": "Recurring"},
    ],
)
def test_a_remote_start_with_an_unfit_profile_is_rejected(bench: ConformanceBench, bad: Payload) -> None:
    bench.plug()

    answer = bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1, chargingProfile=profile(**bad))

    assert answer == "Rejected"
    never(lambda: bench.received("StartTransaction"), for_s=0.4)


@section("S 5.11", "S 3.13.4")
def test_the_profile_of_a_remote_start_limits_its_transaction_and_ends_with_it(bench: ConformanceBench) -> None:
    bench.plug()
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1, chargingProfile=profile()) == "Accepted"
    bench.wait_status("Charging")

    bench.physical(lambda point: point["offered_a"] == 10)

    bench.unplug()
    bench.wait_for("StopTransaction")
    bench.wait_status("Available")
    bench.charge()
    bench.physical(lambda point: point["offered_a"] == 32)


# --- RemoteStopTransaction


@section("S 5.12")
@pytest.mark.parametrize("transaction", [0, -5, 999_999])
def test_a_remote_stop_of_an_unknown_transaction_is_rejected(bench: ConformanceBench, transaction: int) -> None:
    assert bench.status_of("RemoteStopTransaction", transactionId=transaction) == "Rejected"


@section("S 5.12")
def test_a_remote_stop_of_a_finished_transaction_is_rejected(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    bench.unplug()
    bench.wait_for("StopTransaction")

    assert bench.status_of("RemoteStopTransaction", transactionId=transaction) == "Rejected"


@section("S 5.12", "S 3.7")
def test_a_remote_stop_before_the_number_is_known_is_rejected(bench: ConformanceBench) -> None:
    answer = {"transactionId": 79_001, "idTagInfo": {"status": "Accepted"}}
    bench.backend.script_next("StartTransaction", Delay(seconds=1, answer=answer))
    bench.plug()
    bench.swipe()
    bench.wait_for("StartTransaction")

    assert bench.status_of("RemoteStopTransaction", transactionId=79_001) == "Rejected"

    bench.transaction()
    assert bench.status_of("RemoteStopTransaction", transactionId=79_001) == "Accepted"
    bench.wait_for("StopTransaction", transactionId=79_001)


@section("S 5.12")
def test_after_a_remote_stop_the_plug_is_unlocked_and_the_connector_finishing(bench: ConformanceBench) -> None:
    transaction = bench.charge()

    bench.call("RemoteStopTransaction", transactionId=transaction)

    bench.wait_status("Finishing")
    bench.physical(lambda point: not point["locked"] and not point["contactor"])


@section("S 5.12")
def test_a_remote_stop_at_one_connector_leaves_the_other_alone(bench: ConformanceBench) -> None:
    first, _second = bench.charge(1), bench.charge(2, OTHER_CARD)

    bench.call("RemoteStopTransaction", transactionId=first)
    bench.wait_for("StopTransaction", transactionId=first)

    assert bench.station.connector(2)["contactor"]


# --- UnlockConnector


@section("S 5.18", "E 3.87")
@pytest.mark.parametrize("connector", [-1, 0, 3])
def test_unlocking_a_connector_that_is_none_is_not_supported(bench: ConformanceBench, connector: int) -> None:
    assert bench.status_of("UnlockConnector", connectorId=connector) == "NotSupported"


@section("S 5.18")
def test_unlocking_a_free_connector_works_and_changes_no_status(bench: ConformanceBench) -> None:
    assert bench.status_of("UnlockConnector", connectorId=1) == "Unlocked"

    bench.settle()
    assert bench.statuses() == []


@section("S 5.18")
def test_unlocking_during_a_transaction_ends_it_first(bench: ConformanceBench) -> None:
    transaction = bench.charge()

    assert bench.status_of("UnlockConnector", connectorId=1) == "Unlocked"

    stop = bench.wait_for("StopTransaction", transactionId=transaction)
    assert stop["reason"] == "UnlockCommand"
    assert not bench.station.connector()["contactor"]
    assert not bench.station.connector()["locked"]


@section("S 5.18", "S 7.47")
def test_a_stuck_bolt_is_told_as_unlock_failed(bench: ConformanceBench) -> None:
    bench.charge()
    bench.sim("/connectors/1/lock", fail=True)

    assert bench.status_of("UnlockConnector", connectorId=1) == "UnlockFailed"

    assert bench.wait_for("StopTransaction")["reason"] == "UnlockCommand"
    bench.wait_for("StatusNotification", connectorId=1, errorCode="ConnectorLockFailure")
    bench.sim("/connectors/1/lock", fail=False)


# --- ChangeAvailability


@section("S 5.2")
def test_a_connector_goes_out_of_service_and_back(bench: ConformanceBench) -> None:
    assert bench.status_of("ChangeAvailability", connectorId=1, type="Inoperative") == "Accepted"
    bench.wait_status("Unavailable")
    assert bench.status_of("ChangeAvailability", connectorId=1, type="Operative") == "Accepted"
    bench.wait_status("Available")

    bench.settle()
    assert bench.statuses(2) == []
    assert bench.statuses(1) == ["Unavailable", "Available"]


@section("S 5.2")
def test_connector_zero_means_the_whole_station(bench: ConformanceBench) -> None:
    assert bench.status_of("ChangeAvailability", connectorId=0, type="Inoperative") == "Accepted"
    for connector in (0, 1, 2):
        bench.wait_status("Unavailable", connector=connector)

    mark = bench.mark()
    assert bench.status_of("ChangeAvailability", connectorId=0, type="Operative") == "Accepted"

    for connector in (0, 1, 2):
        bench.wait_status("Available", connector=connector, after=mark)


@section("S 5.2")
def test_the_state_that_is_there_already_is_accepted_and_told_no_second_time(bench: ConformanceBench) -> None:
    assert bench.status_of("ChangeAvailability", connectorId=1, type="Operative") == "Accepted"

    bench.settle()
    assert bench.statuses() == []


@section("S 5.2")
@pytest.mark.parametrize("connector", [-1, 3])
def test_the_availability_of_a_connector_that_is_none_is_rejected(bench: ConformanceBench, connector: int) -> None:
    assert bench.status_of("ChangeAvailability", connectorId=connector, type="Inoperative") == "Rejected"


@section("S 5.2")
def test_during_a_transaction_unavailable_is_scheduled_and_comes_directly_after_it(bench: ConformanceBench) -> None:
    bench.charge()
    assert bench.status_of("ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
    mark = bench.mark()
    assert "Unavailable" not in bench.statuses()

    bench.unplug()

    bench.wait_status("Unavailable", after=mark)
    bench.physical(lambda point: not point["plugged"])
    bench.settle()
    assert "Available" not in bench.statuses(after=mark)


@section("S 5.2")
def test_a_scheduled_unavailability_can_be_taken_back(bench: ConformanceBench) -> None:
    bench.charge()
    assert bench.status_of("ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
    assert bench.status_of("ChangeAvailability", connectorId=1, type="Operative") == "Accepted"
    mark = bench.mark()

    bench.unplug()

    bench.wait_status("Available", after=mark)
    assert "Unavailable" not in bench.statuses(after=mark)


@section("S 5.2")
def test_connector_zero_is_scheduled_while_one_connector_charges_and_the_others_go_at_once(
    bench: ConformanceBench,
) -> None:
    bench.charge(1)

    assert bench.status_of("ChangeAvailability", connectorId=0, type="Inoperative") == "Scheduled"

    bench.wait_status("Unavailable", connector=2)
    assert bench.station.connector(1)["contactor"]
    bench.unplug(1)
    bench.wait_status("Unavailable", connector=1)


@section("S 5.2")
def test_an_unavailable_connector_refuses_cards(bench: ConformanceBench) -> None:
    for connector in (1, 2):
        bench.call("ChangeAvailability", connectorId=connector, type="Inoperative")
    bench.wait_status("Unavailable", connector=2)
    bench.sim("/connectors/1/plug")

    bench.swipe()

    never(lambda: bench.received("StartTransaction"), for_s=0.7)


# --- TriggerMessage


@section("S 5.17")
@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("Heartbeat", "Heartbeat"),
        ("HeartBeat", "Heartbeat"),
        ("StatusNotification", "StatusNotification"),
        ("MeterValues", "MeterValues"),
        ("DiagnosticsStatusNotification", "DiagnosticsStatusNotification"),
        ("FirmwareStatusNotification", "FirmwareStatusNotification"),
    ],
)
def test_the_answer_to_a_trigger_goes_before_the_message_asked_for(
    bench: ConformanceBench, wanted: str, message: str
) -> None:
    mark = bench.mark()

    assert bench.status_of("TriggerMessage", requestedMessage=wanted) == "Accepted"

    bench.wait_for(message, after=mark)
    sent = [frame for frame in bench.backend.frames[mark:] if frame.from_station]
    assert [sent[0].kind, sent[1].action] == ["result", message]


@section("S 5.17")
def test_statuses_are_triggered_for_all_connectors_or_one(bench: ConformanceBench) -> None:
    bench.call("TriggerMessage", requestedMessage="StatusNotification")
    bench.wait_status("Available", connector=2)
    assert [one["connectorId"] for one in bench.received("StatusNotification")] == [0, 1, 2]
    mark = bench.mark()

    bench.call("TriggerMessage", requestedMessage="StatusNotification", connectorId=2)

    bench.wait_status("Available", connector=2, after=mark)
    bench.settle()
    assert [one["connectorId"] for one in bench.received("StatusNotification", after=mark)] == [2]


@section("S 5.17")
def test_meter_values_are_triggered_for_all_connectors_or_one(bench: ConformanceBench) -> None:
    bench.call("TriggerMessage", requestedMessage="MeterValues")
    bench.wait_for("MeterValues", connectorId=2)
    assert [one["connectorId"] for one in bench.received("MeterValues")] == [1, 2]
    mark = bench.mark()

    bench.call("TriggerMessage", requestedMessage="MeterValues", connectorId=2)
    bench.wait_for("MeterValues", after=mark)
    bench.settle()

    assert [one["connectorId"] for one in bench.received("MeterValues", after=mark)] == [2]


@section("S 5.17", "S 7.31")
def test_triggered_meter_values_say_so_and_name_the_transaction(bench: ConformanceBench) -> None:
    transaction = bench.charge()

    bench.call("TriggerMessage", requestedMessage="MeterValues", connectorId=1)
    sent = bench.wait_for("MeterValues")

    assert sent["transactionId"] == transaction
    samples = sent["meterValue"][0]["sampledValue"]
    assert {one["context"] for one in samples} == {"Trigger"}
    assert {one.get("measurand", "Energy.Active.Import.Register") for one in samples} == {
        "Energy.Active.Import.Register",
        "Power.Active.Import",
        "Power.Offered",
        "Current.Import",
        "Current.Offered",
        "Voltage",
    }


@section("S 5.17")
@pytest.mark.parametrize("wanted", ["StatusNotification", "MeterValues"])
@pytest.mark.parametrize("connector", [-1, 3])
def test_a_trigger_for_a_connector_that_is_none_is_rejected(
    bench: ConformanceBench, wanted: str, connector: int
) -> None:
    assert bench.status_of("TriggerMessage", requestedMessage=wanted, connectorId=connector) == "Rejected"


@section("S 5.17")
def test_a_connector_that_does_not_matter_to_the_trigger_is_passed_over(bench: ConformanceBench) -> None:
    assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat", connectorId=1) == "Accepted"

    bench.wait_for("Heartbeat")


@section("S 5.17", "S 7.25")
def test_without_a_job_the_triggered_file_statuses_are_idle(bench: ConformanceBench) -> None:
    bench.call("TriggerMessage", requestedMessage="DiagnosticsStatusNotification")
    bench.call("TriggerMessage", requestedMessage="FirmwareStatusNotification")

    assert bench.wait_for("DiagnosticsStatusNotification")["status"] in {"Idle", "Uploaded", "UploadFailed"}
    assert bench.wait_for("FirmwareStatusNotification")["status"]


# --- DataTransfer


@section("S 4.3", "S 7.21")
def test_data_of_an_unknown_vendor_is_answered_with_unknown_vendor_id(bench: ConformanceBench) -> None:
    assert bench.status_of("DataTransfer", vendorId="com.example", messageId="x", data="y") == "UnknownVendorId"
    assert bench.status_of("DataTransfer", vendorId="com.example") == "UnknownVendorId"


@section("S 4.3", "S 7.21")
@pytest.mark.parametrize("vendor", ["generalConfiguration", "Technagon GmbH"])
def test_an_unknown_message_of_a_known_vendor_is_answered_with_unknown_message_id(
    bench: ConformanceBench, vendor: str
) -> None:
    assert bench.status_of("DataTransfer", vendorId=vendor, messageId="nobodyKnows") == "UnknownMessageId"


# --- Heartbeat


@section("S 4.6", "S 9.1 HeartbeatInterval")
def test_heartbeats_come_in_the_interval_configured(bench: ConformanceBench) -> None:
    bench.configure(HeartbeatInterval=1)
    mark = bench.mark()

    # The interval before was 60 s or more: three within half of it came by the new one, however slow the machine is.
    bench.backend.wait_for("Heartbeat", after=mark, count=3, timeout=30)

    first, second, third = (one.at_s for one in bench.backend.received("Heartbeat", after=mark)[:3])
    assert second - first >= 0.7
    assert third - second >= 0.7


@section("S 4.6")
def test_a_heartbeat_answered_by_callerror_is_no_reason_to_stop(bench: ConformanceBench) -> None:
    bench.backend.script_next("Heartbeat", CallError())
    bench.configure(HeartbeatInterval=1)
    mark = bench.mark()

    bench.backend.wait_for("Heartbeat", after=mark, count=2, timeout=6)


@section("S 3.9")
def test_all_moments_are_utc_and_of_now(bench: ConformanceBench) -> None:
    before = moment(-1)
    bench.charge()
    bench.unplug()
    bench.wait_for("StopTransaction")

    stamps = [one["timestamp"] for one in bench.received() if "timestamp" in one]
    assert all(stamp.endswith("Z") and at(before) <= at(stamp) <= at(moment(1)) for stamp in stamps)
