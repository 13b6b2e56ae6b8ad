"""Without a backend: sessions go on, nothing is lost, and everything comes in order once it is back."""

import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.backend import CallError, Silence
from tests.process.conformance.bench import CARD, OTHER_CARD, ConformanceBench, at, never, section
from tests.process.judgement import owed, owed_but_samples
from tests.station import wait_until

# Moments go over the wire in whole milliseconds.
DIGIT = timedelta(milliseconds=1)
LONGEST_S = 30.0


def transaction_actions(bench: ConformanceBench, after: int) -> list[str]:
    wanted = {"StartTransaction", "StopTransaction"}
    return [str(frame.action) for frame in bench.backend.received(after=after) if frame.action in wanted]


@section("S 3.7", "S 4.8", "E 3.18")
def test_a_session_begun_and_ended_offline_arrives_later_in_order_with_the_real_number(bench: ConformanceBench) -> None:
    bench.configure(AllowOfflineTxForUnknownId=True)
    mark = bench.mark()
    with bench.backend.outage():
        bench.sim("/connectors/1/plug")
        bench.physical(lambda point: point["plugged"])
        time.sleep(0.4)
        bench.swipe()
        bench.physical(lambda point: point["contactor"])
        bench.unplug()
        bench.physical(lambda point: not point["plugged"])
    bench.backend.wait_connected(timeout=15)

    stop = bench.wait_for("StopTransaction", after=mark, timeout=15)

    assert transaction_actions(bench, mark) == ["StartTransaction", "StopTransaction"]
    assert stop["transactionId"] == bench.backend.books.transactions[-1].transaction_id


@section("S 3.7")
def test_a_session_begun_online_and_ended_offline_is_stopped_later(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    with bench.backend.outage():
        before = datetime.now(UTC)
        bench.unplug()
        wait_until(lambda: owed_but_samples(bench.station), timeout_s=LONGEST_S, what="the end in the outbox")
        after = datetime.now(UTC)

    stop = bench.wait_for("StopTransaction", transactionId=transaction, timeout=15)

    assert before - DIGIT <= at(stop["timestamp"]) <= after
    assert stop["reason"] == "EVDisconnected"


@section("S 3.7", "S 4.7")
def test_samples_taken_offline_all_arrive_once_and_in_order(bench: ConformanceBench) -> None:
    bench.configure(MeterValueSampleInterval=1)
    transaction = bench.charge()
    mark = bench.mark()
    with bench.backend.outage():
        wait_until(lambda: owed(bench.station) > 3, timeout_s=LONGEST_S, what="samples that wait")
        waiting = owed(bench.station)
    bench.backend.wait_connected(timeout=15)
    bench.backend.wait_for("MeterValues", after=mark, count=waiting + 1, timeout=LONGEST_S)
    bench.unplug()
    bench.wait_for("StopTransaction", transactionId=transaction)

    stamps = [at(one["meterValue"][0]["timestamp"]) for one in bench.received("MeterValues")]
    assert all(before < after for before, after in itertools.pairwise(stamps))


@section("S 3.7")
def test_several_sessions_on_both_connectors_arrive_in_the_order_they_happened(bench: ConformanceBench) -> None:
    bench.configure(AllowOfflineTxForUnknownId=True)
    mark = bench.mark()
    with bench.backend.outage():
        for connector, card in ((1, CARD), (2, OTHER_CARD)):
            bench.sim(f"/connectors/{connector}/plug")
            bench.physical(lambda point: point["plugged"], connector=connector)
            time.sleep(0.4)
            bench.swipe(card)
            bench.physical(lambda point: point["contactor"], connector=connector)
        for connector in (1, 2):
            bench.unplug(connector)
            bench.physical(lambda point: not point["plugged"], connector=connector)
            time.sleep(0.3)
    bench.backend.wait_for("StopTransaction", after=mark, count=2, timeout=20)

    assert transaction_actions(bench, mark) == ["StartTransaction"] * 2 + ["StopTransaction"] * 2


@section("S 3.7")
def test_a_queue_that_begins_with_an_unanswered_start_survives_a_restart_of_the_ocpp_process(
    bench: ConformanceBench,
) -> None:
    bench.backend.script_next("StartTransaction", Silence())
    bench.plug()
    bench.swipe()
    first = bench.frame("StartTransaction")
    mark = bench.mark()
    bench.station.kill("ocpp")

    again = bench.frame("StartTransaction", after=mark, timeout=15)

    assert (again.message_id, again.payload) == (first.message_id, first.payload)
    bench.unplug()
    bench.wait_for("StopTransaction")


@section("S 3.7")
def test_a_backend_that_refuses_for_ever_does_not_stop_charging(bench: ConformanceBench) -> None:
    bench.backend.answers["StartTransaction"] = CallError()
    bench.plug()
    bench.swipe()
    bench.wait_status("Charging")
    bench.backend.wait_for("StartTransaction", after=bench.begun, count=2)

    assert bench.station.connector()["contactor"]

    bench.unplug()
    bench.wait_status("Available")
    bench.backend.answers.clear()
    bench.wait_for("StopTransaction", timeout=20)


@section("S 3.7")
def test_waiting_times_between_retries_grow_so_that_the_backend_is_not_flooded(bench: ConformanceBench) -> None:
    bench.configure(TransactionMessageAttempts="10")
    bench.backend.answers["StartTransaction"] = CallError()
    bench.plug()
    bench.swipe()
    bench.wait_for("StartTransaction")
    time.sleep(3.5)

    assert len(bench.received("StartTransaction")) <= 4

    bench.backend.answers.clear()
    bench.backend.wait_until(lambda backend: backend.books.open_transactions(), timeout=15)


@section("S 5.3", "J 5.3")
def test_after_a_cut_of_the_network_the_station_comes_back_by_itself(bench: ConformanceBench) -> None:
    connects = bench.backend.connects
    bench.sim("/network", backend=False)
    bench.backend.wait_until(lambda backend: not backend.connections[-1].is_open)

    bench.sim("/network", backend=True)

    bench.backend.wait_connected(at_least=connects + 1, timeout=10)
    bench.settle()


@section("S 4.6")
def test_offline_heartbeats_are_not_queued(bench: ConformanceBench) -> None:
    bench.configure(HeartbeatInterval=1)
    mark = bench.mark()
    with bench.backend.outage():
        time.sleep(3)
    bench.backend.wait_connected(timeout=15)
    bench.wait_for("Heartbeat", after=mark, timeout=5)

    never(lambda: len(bench.received("Heartbeat", after=mark)) > 2, for_s=0.5)


@section("S 3.7", "S 6.51")
@pytest.mark.parametrize("change", ["fault", "availability"])
def test_a_state_that_changed_offline_and_lasts_is_told_afterwards(bench: ConformanceBench, change: str) -> None:
    if change == "availability":
        bench.charge()
        assert bench.status_of("ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
    with bench.backend.outage():
        if change == "fault":
            bench.sim("/connectors/1/fault", code="GroundFailure", active=True)
        else:
            bench.unplug()
        time.sleep(1)
    mark = bench.mark()

    bench.wait_for(
        "StatusNotification",
        after=mark - 1,
        connectorId=1,
        status="Faulted" if change == "fault" else "Unavailable",
        timeout=15,
    )
