"""Reset, and what a restart or a power cut leaves of a transaction."""

import pytest

from tests.process.conformance.bench import CARD, ConformanceBench, at, section


def wait_booted(bench: ConformanceBench, after: int) -> None:
    bench.wait_for("BootNotification", after=after, timeout=25)
    bench.backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2, after=after, timeout=10)
    bench.station.wait_healthy()


@section("S 5.14", "S 4.2")
@pytest.mark.parametrize("kind", ["Soft", "Hard"])
def test_a_reset_is_answered_first_and_leads_to_a_boot(bench: ConformanceBench, kind: str) -> None:
    mark = bench.mark()

    assert bench.status_of("Reset", type=kind) == "Accepted"

    wait_booted(bench, mark)
    assert len(bench.received("BootNotification", after=mark)) == 1


@section("S 5.14", "S 7.36", "E 3.36")
@pytest.mark.parametrize(("kind", "reason"), [("Soft", "SoftReset"), ("Hard", "HardReset")])
def test_a_reset_ends_transactions_with_its_reason(bench: ConformanceBench, kind: str, reason: str) -> None:
    transaction = bench.charge()
    mark = bench.mark()

    assert bench.status_of("Reset", type=kind) == "Accepted"

    stop = bench.wait_for("StopTransaction", after=mark, transactionId=transaction, timeout=25)
    assert stop["reason"] == reason
    wait_booted(bench, mark)
    assert len(bench.received("StopTransaction", after=mark)) == 1


@section("S 5.14")
def test_a_reset_while_the_backend_is_slow_loses_no_stop(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    mark = bench.mark()
    bench.backend.backend.books.interval_s = 180
    assert bench.status_of("Reset", type="Soft") == "Accepted"
    bench.backend.stop_listening()
    bench.backend.listen()

    stop = bench.wait_for("StopTransaction", after=mark, transactionId=transaction, timeout=30)

    assert stop["reason"] == "SoftReset"
    wait_booted(bench, mark)


@section("S 5.14", "S 9.1 StopTxOnReset")
def test_where_a_reset_does_not_stop_transactions_they_go_on(bench: ConformanceBench) -> None:
    bench.configure(StopTxOnReset=False)
    transaction = bench.charge()
    mark = bench.mark()

    assert bench.status_of("Reset", type="Soft") == "Accepted"
    wait_booted(bench, mark)

    assert not bench.received("StopTransaction", after=mark)
    bench.wait_for("StatusNotification", after=mark, connectorId=1, status="Charging", timeout=10)
    assert bench.status_of("RemoteStopTransaction", transactionId=transaction) == "Accepted"
    bench.wait_for("StopTransaction", after=mark, transactionId=transaction, reason="Remote")


@section("S 5.2", "S 5.14")
def test_availability_survives_a_reset(bench: ConformanceBench) -> None:
    bench.call("ChangeAvailability", connectorId=2, type="Inoperative")
    bench.wait_status("Unavailable", connector=2)
    mark = bench.mark()

    assert bench.status_of("Reset", type="Soft") == "Accepted"
    wait_booted(bench, mark)

    assert bench.told(2)["status"] == "Unavailable"
    assert bench.told(1)["status"] == "Available"


@section("S 5.2")
def test_a_scheduled_availability_survives_the_death_of_all_processes(bench: ConformanceBench) -> None:
    bench.charge()
    assert bench.status_of("ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
    mark = bench.mark()
    bench.station.kill_group()
    bench.station.launch()
    wait_booted(bench, mark)

    bench.wait_for("StopTransaction", timeout=10)
    bench.wait_for("StatusNotification", after=mark, connectorId=1, status="Unavailable", timeout=10)
    assert "Available" not in bench.statuses(after=mark)


@section("S 3.7", "S 7.36")
def test_after_the_death_of_all_processes_a_transaction_goes_on_or_ends_once(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    mark = bench.mark()

    bench.station.kill_group()
    bench.station.launch()
    wait_booted(bench, mark)
    bench.unplug()
    bench.wait_status("Available", after=mark)

    stop = bench.wait_for("StopTransaction", transactionId=transaction, timeout=15)
    assert stop["reason"] in {"PowerLoss", "EVDisconnected"}
    bench.settle()
    assert len(bench.received("StopTransaction")) == 1


@section("S 7.36", "S 3.7")
def test_a_car_gone_during_a_power_cut_ends_its_transaction_with_power_loss(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    mark = bench.mark()

    bench.station.kill_group()
    bench.station.launch(ready=False)
    wait_booted(bench, mark)
    bench.sim("/reset")

    stop = bench.wait_for("StopTransaction", transactionId=transaction, timeout=15)

    start = bench.wait_for("StartTransaction")
    assert stop["reason"] in {"PowerLoss", "EVDisconnected"}
    assert stop["meterStop"] >= start["meterStart"]
    assert at(stop["timestamp"]) >= at(start["timestamp"])


@section("S 4.2", "S 3.7")
def test_after_a_boot_the_statuses_go_before_the_messages_of_the_queue(bench: ConformanceBench) -> None:
    bench.charge(card=CARD)
    bench.backend.stop_listening()
    bench.unplug()
    bench.physical(lambda point: not point["plugged"])
    mark = bench.mark()
    bench.station.kill_group()
    bench.backend.listen()
    bench.station.launch()

    bench.wait_for("StopTransaction", after=mark, timeout=20)

    actions = [frame.action for frame in bench.backend.received(after=mark)]
    assert actions[:4] == ["BootNotification", *["StatusNotification"] * 3]
    assert actions.index("StopTransaction") > 3


@section("S 4.2", "S 4.9", "E 3.22")
def test_after_a_power_cut_the_first_statuses_are_those_of_now(bench: ConformanceBench) -> None:
    bench.charge()
    mark = bench.mark()

    bench.station.kill_group()
    bench.station.launch()
    wait_booted(bench, mark)

    # The simulated car is gone with the power.
    assert bench.statuses(after=mark) == ["Available"]
