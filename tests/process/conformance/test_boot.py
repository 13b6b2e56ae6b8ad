"""Registration: BootNotification and what may be said before it is accepted."""

import time

import pytest

from tests.backend import Backend, CallError, NoAnswer, Script, Silence
from tests.process.conformance.bench import CARD, ConformanceBench, Payload, at, moment, never, section


def registration(status: str, interval: int = 2) -> Payload:
    return {"status": status, "interval": interval, "currentTime": moment()}


def restart(bench: ConformanceBench, *scripts: Script) -> int:
    """Let the OCPP process begin anew, with these answers to its BootNotifications; gives the mark before the first."""
    bench.backend.script_next("BootNotification", *scripts)
    mark = bench.mark()
    bench.station.kill("ocpp")
    bench.wait_for("BootNotification", after=mark, timeout=15)
    return mark


def in_between(bench: ConformanceBench, after: int) -> list[str]:
    return [str(frame.action) for frame in bench.backend.received(after=after)]


@section("S 4.2", "S 6.3")
def test_the_station_introduces_itself_with_vendor_model_serial_number_and_version(bench: ConformanceBench) -> None:
    mark = restart(bench)

    boot = bench.wait_for("BootNotification", after=mark)

    assert boot["chargePointVendor"] == "Technagon GmbH"
    assert boot["chargePointModel"] == "TE-AC22"
    listed = bench.station.manage("config", "get", "--data-dir", str(bench.station.data), "/identity/serial")
    assert boot["chargePointSerialNumber"] in listed.stdout
    assert boot["firmwareVersion"]
    assert "chargeBoxSerialNumber" not in boot


@section("S 4.2", "E 3.22")
def test_after_accepted_the_station_tells_the_status_of_every_connector_from_zero_on(bench: ConformanceBench) -> None:
    mark = restart(bench)

    bench.wait_status("Available", connector=2, after=mark)

    told = [sent["connectorId"] for sent in bench.received("StatusNotification", after=mark)]
    assert told == [0, 1, 2]
    assert in_between(bench, mark)[:4] == ["BootNotification"] + ["StatusNotification"] * 3


@section("S 4.2", "S 4.6")
def test_the_interval_of_accepted_becomes_the_heartbeat_interval(bench: ConformanceBench) -> None:
    mark = restart(bench, registration("Accepted", 1))
    bench.wait_status("Available", connector=2, after=mark)

    assert bench.value("HeartbeatInterval") == "1"
    bench.backend.wait_for("Heartbeat", after=mark, count=2, timeout=30)


@section("S 4.2")
def test_interval_zero_of_accepted_leaves_the_heartbeat_interval_as_it_is(bench: ConformanceBench) -> None:
    mark = restart(bench, registration("Accepted", 0))
    bench.wait_status("Available", connector=2, after=mark)

    assert bench.value("HeartbeatInterval") == "180"


@section("S 4.2.1")
def test_while_pending_nothing_but_boot_notification_is_sent_and_it_is_repeated_after_the_interval(
    bench: ConformanceBench,
) -> None:
    mark = restart(bench, registration("Pending", 2))
    first = bench.frame("BootNotification", after=mark)

    second = bench.backend.wait_for("BootNotification", after=mark, count=2, timeout=30)

    # The station waits from the answer on; how late it may be is no question on a busy machine.
    assert second.at_s - first.at_s >= 1.8
    assert in_between(bench, mark)[:2] == ["BootNotification", "BootNotification"]


@section("S 4.2.1")
def test_while_pending_configuration_can_be_read_and_changed(bench: ConformanceBench) -> None:
    restart(bench, registration("Pending", 60))

    assert bench.value("ConnectionTimeOut") == "120"
    bench.configure(ConnectionTimeOut=60)
    assert bench.value("ConnectionTimeOut") == "60"

    assert bench.status_of("TriggerMessage", requestedMessage="BootNotification") == "Accepted"


@section("S 4.2.1")
def test_while_pending_remote_start_and_stop_are_rejected(bench: ConformanceBench) -> None:
    restart(bench, registration("Pending", 60))

    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Rejected"
    assert bench.status_of("RemoteStopTransaction", transactionId=1) == "Rejected"

    assert bench.status_of("TriggerMessage", requestedMessage="BootNotification") == "Accepted"


@section("S 4.2.1", "E 3.40")
def test_while_pending_a_trigger_brings_exactly_the_message_asked_for(bench: ConformanceBench) -> None:
    mark = restart(bench, registration("Pending", 60))

    assert bench.status_of("TriggerMessage", requestedMessage="StatusNotification", connectorId=1) == "Accepted"
    bench.wait_for("StatusNotification", after=mark, connectorId=1)
    assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
    bench.wait_for("Heartbeat", after=mark)

    assert in_between(bench, mark) == ["BootNotification", "StatusNotification", "Heartbeat"]
    assert bench.status_of("TriggerMessage", requestedMessage="BootNotification") == "Accepted"


@section("S 4.2.1", "E 3.40")
def test_while_pending_a_triggered_boot_notification_can_lead_to_accepted(bench: ConformanceBench) -> None:
    mark = restart(bench, registration("Pending", 60))

    assert bench.status_of("TriggerMessage", requestedMessage="BootNotification") == "Accepted"

    bench.backend.wait_for("BootNotification", after=mark, count=2)
    bench.wait_status("Available", connector=2, after=mark)


@section("S 4.2.1", "S 4.2")
def test_while_rejected_nothing_is_sent_and_nothing_answered_until_the_interval_is_over(
    bench: ConformanceBench,
) -> None:
    mark = restart(bench, registration("Rejected", 3))
    first = bench.frame("BootNotification", after=mark)
    # The answer has to reach the station before it can be silent.
    time.sleep(0.3)

    with pytest.raises(NoAnswer):
        bench.backend.call("GetConfiguration", {"key": ["HeartbeatInterval"]}, timeout=1.5)

    second = bench.backend.wait_for("BootNotification", after=mark, count=2, timeout=30)
    assert second.at_s - first.at_s >= 2.8
    assert in_between(bench, mark)[:2] == ["BootNotification", "BootNotification"]


@section("S 4.2")
def test_interval_zero_of_rejected_is_no_licence_to_flood_the_backend(bench: ConformanceBench) -> None:
    mark = restart(bench, registration("Rejected", 0))

    never(lambda: len(bench.received("BootNotification", after=mark)) > 1, for_s=2)

    bench.station.kill("ocpp")
    bench.wait_status("Available", connector=2, after=mark)


@section("S 4.2")
def test_an_unanswered_boot_notification_keeps_everything_else_back(bench: ConformanceBench) -> None:
    mark = restart(bench, Silence())

    never(lambda: len(in_between(bench, mark)) > 1, for_s=1.5)

    bench.backend.drop()
    bench.wait_status("Available", connector=2, after=mark)
    assert in_between(bench, mark)[:3] == ["BootNotification", "BootNotification", "StatusNotification"]


@section("S 4.2", "J 4.2.3")
def test_a_boot_notification_refused_by_callerror_keeps_everything_else_back_and_is_tried_again(
    bench: ConformanceBench,
) -> None:
    mark = restart(bench, CallError(code="InternalError"))

    never(lambda: len(in_between(bench, mark)) > 1, for_s=1)

    bench.backend.drop()
    bench.wait_status("Available", connector=2, after=mark)


@section("E 3.35")
def test_a_triggered_boot_notification_is_rejected_once_accepted_on_this_connection(bench: ConformanceBench) -> None:
    mark = restart(bench)
    bench.wait_status("Available", connector=2, after=mark)

    assert bench.status_of("TriggerMessage", requestedMessage="BootNotification") == "Rejected"


@section("E 3.35", "S 5.17", "E 3.22")
def test_after_a_reconnect_without_boot_notification_a_triggered_one_is_sent_with_all_statuses(
    bench: ConformanceBench,
) -> None:
    connects = bench.backend.connects
    bench.backend.drop()
    bench.backend.wait_connected(at_least=connects + 1)
    bench.settle()
    mark = bench.mark()

    assert bench.status_of("TriggerMessage", requestedMessage="BootNotification") == "Accepted"

    bench.wait_status("Available", connector=2, after=mark)
    assert in_between(bench, mark)[:4] == ["BootNotification", *["StatusNotification"] * 3]
    assert bench.status_of("TriggerMessage", requestedMessage="BootNotification") == "Rejected"


@section("J 5.4")
def test_after_a_lost_connection_an_unchanged_station_does_not_boot_again(bench: ConformanceBench) -> None:
    mark = bench.mark()
    connects = bench.backend.connects

    bench.backend.drop()
    bench.backend.wait_connected(at_least=connects + 1)
    bench.settle()

    assert not bench.received("BootNotification", after=mark)


@section("S 4.9", "S 4.2")
def test_statuses_carry_a_utc_timestamp_not_in_the_future(bench: ConformanceBench) -> None:
    mark = restart(bench)
    bench.wait_status("Available", connector=2, after=mark)

    for sent in bench.received("StatusNotification", after=mark):
        assert sent["timestamp"].endswith("Z")
        assert at(sent["timestamp"]) <= at(moment(1))


@section("S 3.7", "S 4.2")
def test_queued_transaction_messages_wait_for_accepted(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    bench.backend.stop_listening()
    bench.unplug()
    bench.physical(lambda point: not point["plugged"])
    bench.backend.script_next("BootNotification", registration("Pending", 2))
    mark = bench.mark()
    bench.station.kill("ocpp")
    bench.backend.listen()

    bench.wait_for("StopTransaction", after=mark, transactionId=transaction, timeout=15)

    told = in_between(bench, mark)
    assert told[:2] == ["BootNotification", "BootNotification"]
    assert "StopTransaction" not in told[: told.index("StatusNotification")]


@section("S 4.2")
def test_the_books_know_one_boot_for_each_start_of_the_software(bench: ConformanceBench) -> None:
    def boots(backend: Backend) -> int:
        return sum(station.boots for station in backend.books.stations.values())

    before = boots(bench.backend.backend)
    mark = restart(bench)
    bench.wait_status("Available", connector=2, after=mark)

    assert boots(bench.backend.backend) == before + 1
