"""Dates as real backends write them: empty, at the ends of the calendar, without a zone, or none at all."""

from typing import Any

import pytest

from tests.backend import BackendCallError
from tests.process.conformance.bench import CARD, ConformanceBench, Payload, moment, number, section

ALWAYS = ["0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00", "0000-00-00T00:00:00Z"]
NEVER = ["9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59.9999999Z"]
NO_DATES = ["", "tomorrow", "2026-13-45T00:00:00Z", "1e9"]
NO_ZONE = ["2099-01-01T00:00:00"]
ODD = [*ALWAYS, *NEVER, *NO_DATES, *NO_ZONE, "2099-01-01 00:00:00", 4_102_444_800, None]
READABLE = ["0001-01-01T00:00:00+01:00", *NEVER, *NO_ZONE]


def info(date: Any) -> Payload:
    return {"idTagInfo": {"status": "Accepted", "expiryDate": date}}


def whole_session(bench: ConformanceBench, transaction: int | None = None) -> None:
    """Charge with a card and end it; what is told must be whole and in order (the bench judges the order)."""
    bench.plug()
    bench.swipe()
    bench.wait_status("Charging")
    assert bench.status_of("TriggerMessage", requestedMessage="MeterValues", connectorId=1) == "Accepted"
    told = bench.wait_for("MeterValues", connectorId=1)
    if transaction is not None:
        assert told["transactionId"] == transaction
    bench.swipe()
    stop = bench.wait_for("StopTransaction")

    assert stop["transactionId"] == (
        bench.backend.books.transactions[-1].transaction_id if transaction is None else transaction
    )
    bench.unplug()
    bench.wait_status("Available")
    assert len(bench.received("StartTransaction")) == 1
    assert len(bench.received("StopTransaction")) == 1


@section("S 4.8", "S 5.19", "S 7.8", "S 3.7")
@pytest.mark.parametrize("date", ODD)
def test_a_start_answered_with_an_odd_expiry_gets_its_number_and_its_stop(bench: ConformanceBench, date: Any) -> None:
    transaction = number()
    bench.backend.script_next("StartTransaction", {"transactionId": transaction, **info(date)})

    whole_session(bench, transaction)


@section("S 4.10", "S 7.8", "S 3.7")
@pytest.mark.parametrize("date", ODD)
def test_a_stop_answered_with_an_odd_expiry_is_sent_once_and_the_next_session_goes_on(
    bench: ConformanceBench, date: Any
) -> None:
    bench.backend.script_next("StopTransaction", info(date))
    whole_session(bench)
    bench.begin()

    whole_session(bench)


@section("S 4.1", "S 7.8")
@pytest.mark.parametrize("date", ODD)
def test_a_card_accepted_with_an_odd_expiry_charges_at_once(bench: ConformanceBench, date: Any) -> None:
    bench.backend.answers["Authorize"] = info(date)
    bench.plug()

    bench.swipe()

    bench.wait_for("StartTransaction", idTag=CARD, timeout=15)
    bench.wait_status("Charging")


@section("S 5.15", "S 7.8")
@pytest.mark.parametrize("date", [*READABLE, ""])
def test_a_list_with_odd_but_readable_dates_is_taken_and_its_cards_charge(bench: ConformanceBench, date: str) -> None:
    bench.configure(LocalPreAuthorize=True)
    entries = [{"idTag": CARD, "idTagInfo": {"status": "Accepted", "expiryDate": date}}]

    assert bench.status_of("SendLocalList", listVersion=5, updateType="Full", localAuthorizationList=entries) == (
        "Accepted"
    )

    bench.plug()
    bench.swipe()
    bench.wait_for("StartTransaction", idTag=CARD)
    assert not bench.received("Authorize")


@section("S 5.15", "S 7.8")
@pytest.mark.parametrize("date", ["tomorrow", "2026-13-45T00:00:00Z", "0000-00-00T00:00:00Z"])
def test_a_list_with_what_is_no_date_fails_and_changes_nothing(bench: ConformanceBench, date: str) -> None:
    good = [{"idTag": "A", "idTagInfo": {"status": "Accepted"}}]
    bad = [{"idTag": "B", "idTagInfo": {"status": "Accepted", "expiryDate": date}}]
    bench.call("SendLocalList", listVersion=5, updateType="Full", localAuthorizationList=good)

    assert bench.status_of("SendLocalList", listVersion=6, updateType="Full", localAuthorizationList=bad) == "Failed"

    assert bench.call("GetLocalListVersion") == {"listVersion": 5}


@section("S 5.13")
@pytest.mark.parametrize(
    ("date", "answer"),
    [
        *((date, "Rejected") for date in ALWAYS[:2]),
        *((date, "Accepted") for date in [*NEVER, *NO_ZONE]),
    ],
)
def test_a_reservation_is_judged_by_what_its_odd_date_says(bench: ConformanceBench, date: str, answer: str) -> None:
    reservation = {"reservationId": number(), "connectorId": 1, "idTag": CARD, "expiryDate": date}

    assert bench.status_of("ReserveNow", **reservation) == answer

    if answer == "Accepted":
        bench.wait_status("Reserved")
        assert bench.status_of("CancelReservation", reservationId=reservation["reservationId"]) == "Accepted"
        bench.wait_status("Available")


@section("S 5.13", "J 4.2.3")
@pytest.mark.parametrize("date", NO_DATES)
def test_a_reservation_until_no_date_is_refused_by_name(bench: ConformanceBench, date: str) -> None:
    with pytest.raises(BackendCallError) as refused:
        bench.backend.call("ReserveNow", {"reservationId": 1, "connectorId": 1, "idTag": CARD, "expiryDate": date})

    assert refused.value.code == "PropertyConstraintViolation"


def profile(**fields: Any) -> Payload:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}]}
    schedule |= {name: fields.pop(name) for name in ("startSchedule",) if name in fields}
    return {
        "chargingProfileId": number(),
        "stackLevel": 1,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute" if "startSchedule" in schedule else "Relative",
        "chargingSchedule": schedule,
        **fields,
    }


@section("S 5.16", "S 7.8")
@pytest.mark.parametrize(
    "fields",
    [
        *({"validFrom": date} for date in ALWAYS[:2]),
        *({"validTo": date} for date in [*NEVER, *NO_ZONE]),
        {"validFrom": "0001-01-01T00:00:00", "validTo": "0001-01-01T00:00:00"},
        {"validFrom": "2020-01-01T00:00:00", "startSchedule": "2020-01-01T00:00:00"},
    ],
)
def test_a_profile_with_odd_bounds_limits_from_now_on(bench: ConformanceBench, fields: Payload) -> None:
    bench.charge(max_current_a=32)

    assert bench.status_of("SetChargingProfile", connectorId=1, csChargingProfiles=profile(**fields)) == "Accepted"

    bench.physical(lambda point: point["offered_a"] == 10)


@section("S 5.16", "E 3.38")
@pytest.mark.parametrize(
    "fields",
    [
        *({"validFrom": date} for date in [*NO_DATES, *NEVER]),
        *({"validTo": date} for date in NO_DATES),
        *({"startSchedule": date} for date in [*NO_DATES, *NEVER, *ALWAYS]),
    ],
)
def test_a_profile_with_a_date_nobody_can_follow_is_refused_by_name(bench: ConformanceBench, fields: Payload) -> None:
    assert bench.refusal("SetChargingProfile", connectorId=1, csChargingProfiles=profile(**fields)) == (
        "PropertyConstraintViolation"
    )


@section("S 5.9", "S 6.41")
@pytest.mark.parametrize("name", ["startTime", "stopTime"])
@pytest.mark.parametrize("date", [*READABLE, *NO_DATES])
def test_diagnostics_of_an_odd_period_are_sent_or_refused_by_name(
    bench: ConformanceBench, name: str, date: str
) -> None:
    request = {"location": "ftp://127.0.0.1:22999/", "retries": 0, name: date}
    if date in NO_DATES:
        assert bench.refusal("GetDiagnostics", **request) == "PropertyConstraintViolation"
        return

    if not bench.call("GetDiagnostics", **request):
        # Nothing is as old, or as young: there is no file (section 5.9).
        assert name == "startTime"
        return
    bench.wait_for("DiagnosticsStatusNotification", status="UploadFailed", timeout=20)


@section("S 5.20", "S 6.53")
@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00"])
def test_an_update_from_the_beginning_of_time_begins_now(bench: ConformanceBench, date: str) -> None:
    assert bench.call("UpdateFirmware", location="ftp://127.0.0.1:22999/x", retrieveDate=date, retries=0) == {}

    bench.wait_for("FirmwareStatusNotification", status="DownloadFailed", timeout=20)


@section("S 5.20", "J 4.2.3")
@pytest.mark.parametrize("date", NO_DATES)
def test_an_update_from_no_date_is_refused_by_name(bench: ConformanceBench, date: str) -> None:
    refusal = bench.refusal("UpdateFirmware", location="ftp://127.0.0.1:22999/x", retrieveDate=date)

    assert refusal == "PropertyConstraintViolation"


@section("S 4.6", "S 6.30")
@pytest.mark.parametrize("date", [*ALWAYS, *NEVER, *NO_DATES, *NO_ZONE])
def test_a_heartbeat_answered_with_an_odd_time_sets_no_clock_and_stalls_nothing(
    bench: ConformanceBench, date: str
) -> None:
    bench.configure(TimeSource="HeartBeat")
    bench.backend.script_next("Heartbeat", {"currentTime": date})
    mark = bench.mark()
    assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
    bench.wait_for("Heartbeat", after=mark)

    bench.plug()

    told = bench.wait_status("Preparing", after=mark)
    assert moment(-60) < told["timestamp"] < moment(60)
