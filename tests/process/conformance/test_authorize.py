"""Who may charge: Authorize, local list, cache, groups, expiry, and what StartTransaction.conf says."""

import time
from typing import Any

import pytest

from tests.backend import CallError, Silence
from tests.process.conformance.bench import CARD, OTHER_CARD, ConformanceBench, Payload, moment, never, section


def info(status: str = "Accepted", **more: Any) -> Payload:
    return {"idTagInfo": {"status": status, **more}}


def send_list(bench: ConformanceBench, *entries: tuple[str, Payload | None]) -> None:
    rows = [{"idTag": tag} | ({} if content is None else {"idTagInfo": content}) for tag, content in entries]
    answer = bench.call("SendLocalList", listVersion=7, updateType="Full", localAuthorizationList=rows)
    assert answer == {"status": "Accepted"}


def starts(bench: ConformanceBench, card: str = CARD) -> None:
    bench.swipe(card)
    bench.wait_status("Charging")


def refused(bench: ConformanceBench, card: str = CARD, *, for_s: float = 1.0) -> None:
    bench.swipe(card)
    never(lambda: bench.station.connector()["contactor"], for_s=for_s)


def asked(bench: ConformanceBench) -> list[str]:
    return [sent["idTag"] for sent in bench.received("Authorize")]


# --- online


@section("S 4.1")
def test_a_card_is_authorized_before_the_transaction_starts(bench: ConformanceBench) -> None:
    bench.plug()

    starts(bench)

    actions = [frame.action for frame in bench.backend.received(after=bench.begun)]
    assert actions.index("Authorize") < actions.index("StartTransaction")
    assert asked(bench) == [CARD]


@section("S 4.1", "S 7.2")
@pytest.mark.parametrize("status", ["Blocked", "Expired", "Invalid", "ConcurrentTx"])
def test_a_card_the_backend_does_not_accept_starts_nothing(bench: ConformanceBench, status: str) -> None:
    bench.plug()
    bench.backend.answers["Authorize"] = info(status)

    refused(bench)

    assert asked(bench) == [CARD]
    assert not bench.received("StartTransaction")


@section("S 4.8", "S 6.47")
def test_the_card_that_started_stops_without_being_authorized_again(bench: ConformanceBench) -> None:
    bench.plug()
    starts(bench)

    bench.swipe()
    stop = bench.wait_for("StopTransaction")

    assert stop.get("reason", "Local") == "Local"
    assert stop["idTag"] == CARD
    assert asked(bench) == [CARD]


@section("S 3.5", "E 3.17")
def test_upper_and_lower_case_of_a_card_are_the_same(bench: ConformanceBench) -> None:
    bench.plug()
    starts(bench, "abCD-ef")

    bench.swipe("ABcd-EF")

    bench.wait_for("StopTransaction")
    assert len(asked(bench)) == 1


@section("S 4.1")
def test_a_card_of_twenty_arbitrary_characters_is_handed_on_unchanged(bench: ConformanceBench) -> None:
    bench.plug()

    starts(bench, "a Z-9_#/:~.,+=!(x)*%")

    assert asked(bench) == ["a Z-9_#/:~.,+=!(x)*%"]


@section("S 4.8")
def test_a_strange_card_does_not_stop_a_transaction(bench: ConformanceBench) -> None:
    bench.charge()

    bench.swipe(OTHER_CARD)

    never(lambda: bench.received("StopTransaction"), for_s=1)


@section("S 3.5.4", "S 4.8")
def test_a_card_of_the_same_group_stops_a_transaction(bench: ConformanceBench) -> None:
    bench.backend.answers["Authorize"] = info(parentIdTag="FAMILY")
    bench.charge(1, "MINE")
    bench.charge(2, "ANOTHER")
    bench.swipe("MINE-TOO")

    stop = bench.wait_for("StopTransaction")

    assert stop["idTag"] == "MINE-TOO"


@section("S 3.5.4")
def test_a_parent_learned_from_start_transaction_conf_counts_as_well(bench: ConformanceBench) -> None:
    send_list(bench, ("CHILD", {"status": "Accepted", "parentIdTag": "FAMILY"}))
    bench.configure(AuthorizeRemoteTxRequests=False)
    transaction = {"transactionId": 77_001, "idTagInfo": {"status": "Accepted", "parentIdTag": "FAMILY"}}
    bench.backend.script_next("StartTransaction", transaction)
    bench.charge(1, "FATHER")

    bench.swipe("CHILD")

    assert bench.wait_for("StopTransaction")["idTag"] == "CHILD"


@section("S 4.1", "S 3.5")
def test_without_an_answer_to_authorize_the_station_stays_usable(bench: ConformanceBench) -> None:
    bench.backend.script_next("Authorize", Silence())
    bench.plug()
    bench.swipe("SLOW-CARD")
    bench.wait_for("Authorize")

    bench.backend.drop()
    time.sleep(0.3)
    bench.backend.wait_connected()

    refused(bench, "SLOW-CARD", for_s=0.1)


@section("S 4.1", "S 3.5", "S 6.2", "J 4.2.3")
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"idTagInfo": {}},
        {"idTagInfo": "Accepted"},
        {"idTagInfo": {"status": "Perhaps"}},
        {"idTagInfo": {"status": True}},
        CallError(code="InternalError"),
        CallError(code="NotImplemented"),
    ],
)
def test_an_answer_that_cannot_be_used_refuses_the_card_whatever_holds_offline(
    bench: ConformanceBench, answer: Any
) -> None:
    send_list(bench, ("LISTED", {"status": "Accepted"}))
    bench.configure(AllowOfflineTxForUnknownId=True)
    bench.plug()
    bench.backend.answers["Authorize"] = answer

    refused(bench, "STRANGER")
    refused(bench, "LISTED")

    assert asked(bench) == ["STRANGER", "LISTED"]
    assert not bench.received("StartTransaction")


# --- the local list


@section("S 3.5.2", "S 9.1 LocalPreAuthorize")
def test_with_pre_authorize_a_listed_card_starts_without_asking(bench: ConformanceBench) -> None:
    send_list(bench, (CARD, {"status": "Accepted"}))
    bench.configure(LocalPreAuthorize=True)
    bench.plug()

    starts(bench)

    assert asked(bench) == []


@section("S 3.5.2", "S 9.1 LocalPreAuthorize")
def test_without_pre_authorize_a_listed_card_is_asked_about(bench: ConformanceBench) -> None:
    send_list(bench, (CARD, {"status": "Accepted"}))
    bench.plug()

    starts(bench)

    assert asked(bench) == [CARD]


@section("S 3.5.2", "S 3.5.3")
@pytest.mark.parametrize(
    "entry",
    [
        {"status": "Blocked"},
        {"status": "Invalid"},
        {"status": "Expired"},
        {"status": "Accepted", "expiryDate": moment(-60)},
    ],
)
def test_with_pre_authorize_a_bad_entry_is_asked_about_all_the_same(bench: ConformanceBench, entry: Payload) -> None:
    send_list(bench, (CARD, entry))
    bench.configure(LocalPreAuthorize=True)
    bench.plug()

    starts(bench)

    assert asked(bench) == [CARD]


@section("S 3.5.2")
def test_a_listed_card_the_backend_refuses_is_told_as_local_list_conflict(bench: ConformanceBench) -> None:
    send_list(bench, (CARD, {"status": "Accepted"}))
    bench.backend.answers["Authorize"] = info("Invalid")
    bench.plug()

    bench.swipe()

    bench.wait_for("StatusNotification", connectorId=0, errorCode="LocalListConflict")
    never(lambda: bench.station.connector()["contactor"], for_s=0.3)


@section("S 3.5.2")
def test_start_transaction_conf_against_the_list_is_told_as_local_list_conflict(bench: ConformanceBench) -> None:
    send_list(bench, (CARD, {"status": "Accepted"}))
    bench.configure(LocalPreAuthorize=True)
    bench.backend.script_next("StartTransaction", {"transactionId": 77_002, **info("Invalid")})
    bench.plug()

    bench.swipe()

    bench.wait_for("StatusNotification", connectorId=0, errorCode="LocalListConflict")


@section("S 3.5.2", "S 9.2")
def test_a_switched_off_list_is_not_asked(bench: ConformanceBench) -> None:
    send_list(bench, (CARD, {"status": "Accepted"}))
    bench.configure(LocalPreAuthorize=True, LocalAuthListEnabled=False)
    bench.plug()

    starts(bench)

    assert asked(bench) == [CARD]
    bench.configure(LocalAuthListEnabled=True)


# --- the cache


@section("S 3.5.1", "S 9.1 LocalPreAuthorize")
def test_with_pre_authorize_a_card_from_the_cache_starts_without_asking(bench: ConformanceBench) -> None:
    bench.plug()
    starts(bench)
    bench.swipe()
    bench.wait_for("StopTransaction")
    bench.wait_status("Finishing")
    bench.configure(LocalPreAuthorize=True)
    mark = bench.mark()

    bench.swipe()
    bench.wait_for("StartTransaction", after=mark)

    assert asked(bench) == [CARD]


@section("S 5.4", "S 3.5.1")
def test_a_cleared_cache_knows_nothing(bench: ConformanceBench) -> None:
    bench.plug()
    starts(bench)
    bench.swipe()
    bench.wait_for("StopTransaction")
    bench.wait_status("Finishing")
    bench.configure(LocalPreAuthorize=True)
    assert bench.status_of("ClearCache") == "Accepted"
    mark = bench.mark()

    bench.swipe()
    bench.wait_for("StartTransaction", after=mark)

    assert asked(bench) == [CARD, CARD]


@section("S 5.4", "E 3.23")
def test_clear_cache_is_rejected_where_there_is_no_cache(bench: ConformanceBench) -> None:
    bench.configure(AuthorizationCacheEnabled=False)

    assert bench.status_of("ClearCache") == "Rejected"


@section("S 3.5.1")
def test_the_cache_forgets_at_the_expiry_date(bench: ConformanceBench) -> None:
    bench.backend.answers["Authorize"] = info(expiryDate=moment(1.5))
    bench.backend.answers["StartTransaction"] = {"transactionId": 77_010, **info(expiryDate=moment(1.5))}
    bench.plug()
    starts(bench)
    bench.backend.answers["StopTransaction"] = info(expiryDate=moment(1.5))
    bench.swipe()
    bench.wait_for("StopTransaction")
    bench.wait_status("Finishing")
    bench.configure(LocalPreAuthorize=True)
    time.sleep(1.5)
    bench.backend.answers["StartTransaction"] = {"transactionId": 77_011, **info()}
    mark = bench.mark()

    bench.swipe()
    bench.wait_for("StartTransaction", after=mark)

    assert asked(bench) == [CARD, CARD]


# --- offline


def offline_start(bench: ConformanceBench, card: str, *, expected: bool) -> None:
    bench.plug()
    with bench.backend.outage():
        bench.swipe(card)
        if expected:
            bench.physical(lambda point: point["contactor"])
        else:
            never(lambda: bench.station.connector()["contactor"], for_s=1)
    bench.backend.wait_connected(timeout=15)
    if expected:
        assert bench.wait_for("StartTransaction", timeout=15)["idTag"] == card
    else:
        bench.settle()
        assert not bench.received("StartTransaction")


@section("S 4.1", "S 9.1 LocalAuthorizeOffline")
def test_offline_a_listed_card_charges(bench: ConformanceBench) -> None:
    send_list(bench, (CARD, {"status": "Accepted"}))

    offline_start(bench, CARD, expected=True)


@section("S 9.1 LocalAuthorizeOffline")
def test_offline_a_listed_card_is_refused_when_local_authorization_is_off(bench: ConformanceBench) -> None:
    send_list(bench, (CARD, {"status": "Accepted"}))
    bench.configure(LocalAuthorizeOffline=False)

    offline_start(bench, CARD, expected=False)


@section("S 3.5.2")
@pytest.mark.parametrize("entry", [{"status": "Blocked"}, {"status": "Accepted", "expiryDate": moment(-60)}])
def test_offline_a_bad_entry_is_refused_even_if_unknown_cards_may_charge(
    bench: ConformanceBench, entry: Payload
) -> None:
    send_list(bench, (CARD, entry))
    bench.configure(AllowOfflineTxForUnknownId=True)

    offline_start(bench, CARD, expected=False)


@section("S 4.1", "S 9.1 AllowOfflineTxForUnknownId")
@pytest.mark.parametrize("allowed", [True, False])
def test_offline_an_unknown_card_charges_only_where_that_is_allowed(bench: ConformanceBench, *, allowed: bool) -> None:
    bench.configure(AllowOfflineTxForUnknownId=allowed)

    offline_start(bench, "STRANGER", expected=allowed)


@section("S 3.5.1", "S 9.1 LocalAuthorizeOffline")
def test_offline_a_card_from_the_cache_charges(bench: ConformanceBench) -> None:
    bench.plug()
    starts(bench, "REGULAR")
    bench.unplug()
    bench.wait_for("StopTransaction")
    bench.wait_status("Available")
    bench.begin()

    offline_start(bench, "REGULAR", expected=True)


@section("S 3.5.1")
def test_offline_a_card_the_backend_blocked_is_refused_even_if_unknown_cards_may_charge(
    bench: ConformanceBench,
) -> None:
    bench.configure(AllowOfflineTxForUnknownId=True)
    bench.plug()
    bench.backend.answers["Authorize"] = info("Blocked")
    refused(bench, "BADGUY", for_s=0.3)
    bench.sim("/reset")
    bench.wait_status("Available")

    offline_start(bench, "BADGUY", expected=False)


# --- StartTransaction.conf


@section("S 5.19", "S 9.1 StopTransactionOnInvalidId", "E 3.17")
@pytest.mark.parametrize("status", ["Blocked", "Expired", "Invalid", "ConcurrentTx"])
def test_a_transaction_the_backend_does_not_accept_is_stopped_as_deauthorized(
    bench: ConformanceBench, status: str
) -> None:
    bench.backend.script_next("StartTransaction", {"transactionId": 77_020, **info(status)})
    bench.plug()
    bench.swipe()

    stop = bench.wait_for("StopTransaction", transactionId=77_020)

    assert stop["reason"] == "DeAuthorized"
    assert not bench.physical(lambda point: not point["contactor"])["contactor"]


@section("S 5.19")
def test_after_deauthorized_the_cable_stays_locked_until_its_owner_shows_the_card(bench: ConformanceBench) -> None:
    bench.backend.script_next("StartTransaction", {"transactionId": 77_021, **info("Blocked")})
    bench.plug()
    bench.swipe()
    bench.wait_for("StopTransaction", reason="DeAuthorized")
    never(lambda: not bench.station.connector()["locked"], for_s=0.7)

    bench.swipe()

    bench.physical(lambda point: not point["locked"])


@section("S 9.1 StopTransactionOnInvalidId")
def test_where_invalid_ids_do_not_stop_a_transaction_the_energy_is_withheld(bench: ConformanceBench) -> None:
    bench.configure(StopTransactionOnInvalidId=False)
    bench.backend.script_next("StartTransaction", {"transactionId": 77_022, **info("Invalid")})
    bench.plug()
    bench.swipe()

    bench.wait_status("SuspendedEVSE")

    bench.physical(lambda point: not point["contactor"])
    assert not bench.received("StopTransaction")
    bench.unplug()
    bench.wait_for("StopTransaction", transactionId=77_022, reason="EVDisconnected")


@section("S 9.1 MaxEnergyOnInvalidId")
def test_an_invalid_id_may_draw_the_energy_granted_and_no_more(bench: ConformanceBench) -> None:
    bench.configure(MaxEnergyOnInvalidId=20)
    bench.backend.script_next("StartTransaction", {"transactionId": 77_023, **info("Invalid")})
    bench.plug()
    bench.swipe()
    bench.wait_status("Charging")
    bench.sim("/speed", factor=20)

    stop = bench.wait_for("StopTransaction", transactionId=77_023, timeout=15)

    start = bench.wait_for("StartTransaction")
    assert stop["reason"] == "DeAuthorized"
    # At twenty times the speed the car draws 120 Wh a second, and the meter is read once a second.
    assert 20 <= stop["meterStop"] - start["meterStart"] <= 20 + 3 * 120


@section("E 3.17")
def test_a_refusal_that_comes_late_after_an_offline_start_stops_the_transaction(bench: ConformanceBench) -> None:
    bench.configure(AllowOfflineTxForUnknownId=True)
    bench.backend.script_next("StartTransaction", {"transactionId": 77_024, **info("Invalid")})
    bench.plug()
    with bench.backend.outage():
        bench.swipe("STRANGER")
        bench.physical(lambda point: point["contactor"])

    stop = bench.wait_for("StopTransaction", timeout=15)

    assert (stop["transactionId"], stop["reason"]) == (77_024, "DeAuthorized")


@section("S 3.5", "E 3.58")
def test_plug_and_charge_starts_with_the_dummy_tag(bench: ConformanceBench) -> None:
    bench.configure(**{"/hw/auth/device/Dummy/enabled": True, "/hw/auth/device/Dummy/id/value": "FREE-FOR-ALL"})

    bench.plug()
    start = bench.wait_for("StartTransaction")

    assert start["idTag"] == "FREE-FOR-ALL"
