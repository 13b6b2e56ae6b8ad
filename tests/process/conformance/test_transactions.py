"""Transactions: who begins, who ends, in which order, and what is said about it."""

import time

import pytest

from tests.backend import CallError, Delay, Garbage, Silence
from tests.process.conformance.bench import CARD, OTHER_CARD, ConformanceBench, at, moment, never, section


@section("S 4.8", "S 6.45")
def test_start_transaction_tells_connector_card_register_and_moment(bench: ConformanceBench) -> None:
    bench.plug(2)
    register = bench.station.connector(2)["energy_wh"]
    before = at(moment())

    bench.charge(2)

    start = bench.wait_for("StartTransaction")
    assert start["connectorId"] == 2
    assert start["idTag"] == CARD
    assert abs(start["meterStart"] - register) <= 1
    assert abs((at(start["timestamp"]) - before).total_seconds()) < 2
    assert "reservationId" not in start


@section("S 4.8", "S 4.10")
def test_the_energy_of_a_transaction_is_that_of_the_meter(bench: ConformanceBench) -> None:
    bench.sim("/speed", factor=60)
    bench.charge()
    time.sleep(1)
    bench.unplug()

    stop = bench.wait_for("StopTransaction")

    start = bench.wait_for("StartTransaction")
    assert stop["meterStop"] > start["meterStart"]
    assert abs(stop["meterStop"] - bench.station.connector()["energy_wh"]) <= 1


@section("S 4.8")
def test_car_first_then_card(bench: ConformanceBench) -> None:
    bench.plug()
    bench.wait_status("Preparing")

    bench.swipe()

    bench.wait_for("StartTransaction", idTag=CARD, connectorId=1)
    bench.wait_status("Charging")


@section("S 4.8")
def test_card_first_then_car(bench: ConformanceBench) -> None:
    bench.swipe()
    bench.wait_status("Preparing")
    assert not bench.received("StartTransaction")

    bench.sim("/connectors/1/plug")

    bench.wait_for("StartTransaction", idTag=CARD, connectorId=1)
    bench.wait_status("Charging")


@section("S 4.8", "S 9.1 ConnectionTimeOut")
def test_a_card_without_a_car_lapses_after_connection_time_out(bench: ConformanceBench) -> None:
    bench.configure(ConnectionTimeOut=1)

    bench.swipe()
    bench.wait_status("Preparing")
    bench.wait_status("Available")

    bench.sim("/connectors/1/plug")
    never(lambda: bench.received("StartTransaction"), for_s=0.7)


@section("S 4.9 B6", "S 9.1 ConnectionTimeOut")
def test_a_car_without_a_card_lapses_after_connection_time_out_and_has_to_be_plugged_in_anew(
    bench: ConformanceBench,
) -> None:
    bench.configure(ConnectionTimeOut=1)
    bench.plug()

    bench.wait_status("Finishing")
    bench.swipe()
    never(lambda: bench.station.connector()["contactor"], for_s=0.7)
    bench.unplug()

    bench.wait_status("Available")


@section("S 7.36")
def test_reason_ev_disconnected(bench: ConformanceBench) -> None:
    transaction = bench.charge()

    bench.unplug()

    stop = bench.wait_for("StopTransaction", transactionId=transaction)
    assert stop["reason"] == "EVDisconnected"
    assert "idTag" not in stop


@section("S 7.36", "S 5.12")
def test_reason_remote(bench: ConformanceBench) -> None:
    transaction = bench.charge()

    assert bench.status_of("RemoteStopTransaction", transactionId=transaction) == "Accepted"

    stop = bench.wait_for("StopTransaction", transactionId=transaction)
    assert stop["reason"] == "Remote"
    assert "idTag" not in stop


@section("S 7.36")
def test_reason_local_by_the_stop_button(bench: ConformanceBench) -> None:
    transaction = bench.charge()

    bench.sim("/connectors/1/button")

    stop = bench.wait_for("StopTransaction", transactionId=transaction)
    assert stop.get("reason", "Local") == "Local"


@section("S 7.36", "S 5.18")
def test_reason_unlock_command(bench: ConformanceBench) -> None:
    transaction = bench.charge()

    assert bench.status_of("UnlockConnector", connectorId=1) == "Unlocked"

    assert bench.wait_for("StopTransaction", transactionId=transaction)["reason"] == "UnlockCommand"
    assert not bench.station.connector()["locked"]


@section("S 4.8")
def test_two_connectors_have_two_transactions_at_a_time(bench: ConformanceBench) -> None:
    first = bench.charge(1, CARD)
    second = bench.charge(2, OTHER_CARD)

    bench.unplug(1)
    bench.wait_for("StopTransaction", transactionId=first)

    assert bench.station.connector(2)["contactor"]
    bench.unplug(2)
    bench.wait_for("StopTransaction", transactionId=second)


@section("S 4.8")
def test_a_second_transaction_can_follow_without_unplugging(bench: ConformanceBench) -> None:
    first = bench.charge()
    bench.call("RemoteStopTransaction", transactionId=first)
    bench.wait_for("StopTransaction", transactionId=first)
    bench.wait_status("Finishing")

    second = bench.charge()

    assert second != first


@section("E 3.54")
@pytest.mark.parametrize("number", [0, -1, -2_147_483_648, 2_147_483_647])
def test_every_whole_number_is_a_transaction_id(bench: ConformanceBench, number: int) -> None:
    bench.backend.script_next("StartTransaction", {"transactionId": number, "idTagInfo": {"status": "Accepted"}})
    bench.charge()

    assert bench.status_of("RemoteStopTransaction", transactionId=number) == "Accepted"

    bench.wait_for("StopTransaction", transactionId=number, reason="Remote")


@section("S 3.7", "E 3.18")
def test_a_transaction_whose_start_is_not_answered_yet_stops_with_the_number_that_comes_later(
    bench: ConformanceBench,
) -> None:
    answer = {"transactionId": 78_001, "idTagInfo": {"status": "Accepted"}}
    bench.backend.script_next("StartTransaction", Delay(seconds=1.5, answer=answer))
    bench.plug()
    bench.swipe()
    bench.wait_for("StartTransaction")
    bench.physical(lambda point: point["contactor"])
    bench.unplug()
    bench.physical(lambda point: not point["plugged"])

    stop = bench.wait_for("StopTransaction")

    assert stop["transactionId"] == 78_001


@section("S 3.7")
def test_charging_begins_without_waiting_for_start_transaction_conf(bench: ConformanceBench) -> None:
    bench.backend.script_next("StartTransaction", Delay(seconds=6))
    bench.plug()
    bench.swipe()

    bench.physical(lambda point: point["contactor"], timeout_s=5)

    bench.wait_status("Charging")


@section("S 3.7", "JE 3.3")
def test_stop_transaction_is_repeated_until_it_is_taken(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    bench.backend.script_next("StopTransaction", CallError(code="InternalError"), CallError(code="GenericError"))

    bench.unplug()

    bench.backend.wait_for("StopTransaction", after=bench.begun, count=3)
    assert {one["transactionId"] for one in bench.received("StopTransaction")} == {transaction}


@section("S 3.7", "S 9.1 TransactionMessageAttempts", "S 9.1 TransactionMessageRetryInterval")
def test_the_waiting_time_grows_with_the_attempts(bench: ConformanceBench) -> None:
    bench.charge()
    bench.backend.script_next("StopTransaction", CallError(), CallError())

    bench.unplug()
    bench.backend.wait_for("StopTransaction", after=bench.begun, count=3)

    first, second, third = (one.at_s for one in bench.backend.received("StopTransaction", after=bench.begun))
    assert 0.9 <= second - first <= 2
    assert 1.9 <= third - second <= 3.5


@section("S 3.7")
def test_a_refused_message_keeps_its_successors_waiting(bench: ConformanceBench) -> None:
    first = bench.charge(1)
    bench.backend.script_next("StopTransaction", CallError())
    bench.unplug(1)
    bench.wait_for("StopTransaction", transactionId=first)

    bench.charge(2, OTHER_CARD)

    actions = [one.action for one in bench.backend.received(after=bench.begun)]
    told = [one for one in actions if one in {"StartTransaction", "StopTransaction"}]
    assert told == ["StartTransaction", "StopTransaction", "StopTransaction", "StartTransaction"]


@section("S 5.20")
def test_what_stop_transaction_conf_says_about_the_card_does_not_matter_to_the_stop(bench: ConformanceBench) -> None:
    bench.plug()
    bench.swipe()
    bench.wait_status("Charging")
    bench.backend.script_next("StopTransaction", {"idTagInfo": {"status": "Blocked"}})
    bench.swipe()

    bench.wait_for("StopTransaction")

    bench.wait_status("Finishing")
    assert len(bench.received("StopTransaction")) == 1


@section("S 3.7")
def test_a_stop_transaction_conf_without_content_is_enough(bench: ConformanceBench) -> None:
    bench.charge()
    bench.backend.script_next("StopTransaction", {})
    bench.unplug()
    bench.wait_for("StopTransaction")

    never(lambda: len(bench.received("StopTransaction")) > 1, for_s=1.5)


@section("S 3.7", "S 4.8", "E 3.18")
def test_a_start_transaction_conf_that_accepts_nothing_and_has_no_number_ends_the_session(
    bench: ConformanceBench,
) -> None:
    bench.backend.script_next("StartTransaction", Garbage(text='[3,"{id}",{"idTagInfo":{}}]'))
    bench.plug()
    bench.swipe()

    stop = bench.wait_for("StopTransaction")

    assert (stop["transactionId"], stop["reason"]) == (-1, "DeAuthorized")
    assert len(bench.received("StartTransaction")) == 1
    bench.wait_status("Finishing")
    # The backend's books know no transaction -1.
    assert "-1" in bench.backend.books.irregularities.pop().detail

    bench.station.kill("ocpp")
    bench.backend.wait_for("StopTransaction", after=bench.begun, count=2, timeout=15)
    assert bench.received("StopTransaction")[-1]["transactionId"] != -1


@section("S 3.7.1")
def test_a_status_may_overtake_a_waiting_transaction_message(bench: ConformanceBench) -> None:
    bench.charge()
    bench.backend.answers["StopTransaction"] = CallError()
    bench.unplug()

    bench.wait_status("Available")

    assert bench.received("StopTransaction")


@section("S 4.8", "E 3.16")
def test_transaction_data_has_begin_and_end_of_every_measurand(bench: ConformanceBench) -> None:
    bench.configure(StopTxnSampledData="Energy.Active.Import.Register,Current.Import")
    bench.charge()
    bench.unplug()

    values = bench.wait_for("StopTransaction")["transactionData"]

    contexts = [{one["context"] for one in value["sampledValue"]} for value in values]
    assert contexts[0] == {"Transaction.Begin"}
    assert contexts[-1] == {"Transaction.End"}
    for value in (values[0], values[-1]):
        measurands = {one.get("measurand", "Energy.Active.Import.Register") for one in value["sampledValue"]}
        assert measurands == {"Energy.Active.Import.Register", "Current.Import"}


@section("S 9.1 StopTxnSampledData")
def test_without_measurands_there_is_no_transaction_data(bench: ConformanceBench) -> None:
    bench.configure(StopTxnSampledData="", StopTxnAlignedData="")
    bench.charge()
    bench.unplug()

    assert not bench.wait_for("StopTransaction").get("transactionData")


@section("S 3.7")
def test_a_lost_answer_to_stop_transaction_leads_to_the_same_message_again(bench: ConformanceBench) -> None:
    transaction = bench.charge()
    bench.backend.script_next("StopTransaction", Silence(booked=True))
    bench.unplug()
    first = bench.frame("StopTransaction", transactionId=transaction)
    mark = bench.mark()

    bench.backend.drop()
    again = bench.frame("StopTransaction", after=mark)

    assert (again.message_id, again.payload) == (first.message_id, first.payload)
