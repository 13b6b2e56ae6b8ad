from datetime import timedelta

import pytest

from station.domain.message_log import Exchange, Kind, Wanted, exchanges

BOOT = '2026-11-20T12:00:00.100Z > [2,"a","BootNotification",{"chargePointVendor":"V"}]'
BOOT_ANSWER = '2026-11-20T12:00:00.350Z < [3,"a",{"status":"Accepted"}]'


def read(*lines: str) -> list[Exchange]:
    return exchanges(lines)


def test_a_request_and_its_answer_are_one_exchange_with_a_latency() -> None:
    (exchange,) = read(BOOT, BOOT_ANSWER)

    assert exchange.action == "BootNotification"
    assert exchange.by_station
    assert exchange.latency == timedelta(milliseconds=250)
    assert not exchange.is_faulty


def test_both_sides_may_use_the_same_id() -> None:
    found = read(BOOT, '2026-11-20T12:00:00.200Z < [2,"a","Reset",{"type":"Soft"}]', BOOT_ANSWER)

    assert [(each.action, each.answer is not None) for each in found] == [("BootNotification", True), ("Reset", False)]


def test_a_stop_belongs_to_the_charging_point_of_its_transaction() -> None:
    found = read(
        '2026-11-20T12:00:01.000Z > [2,"1","StartTransaction",{"connectorId":2,"idTag":"04A2"}]',
        '2026-11-20T12:00:01.100Z < [3,"1",{"transactionId":77,"idTagInfo":{"status":"Accepted"}}]',
        '2026-11-20T12:30:01.000Z > [2,"2","StopTransaction",{"transactionId":77,"meterStop":5}]',
    )

    assert [(each.connector_id, each.transaction_id) for each in found] == [(2, 77), (2, 77)]


def test_a_callerror_and_an_answer_that_breaks_the_schema_are_faulty() -> None:
    refused = read(BOOT, '2026-11-20T12:00:00.350Z < [4,"a","InternalError","no",{}]')
    malformed = read(BOOT, BOOT_ANSWER, '2026-11-20T12:00:00.351Z ! ["a","interval: required"]')

    assert refused[0].is_faulty
    assert malformed[0].fault == "interval: required"


def test_what_the_log_has_cut_still_finds_its_answer() -> None:
    (exchange,) = read(
        f'2026-11-20T12:00:00.000Z < [2,"l","SendLocalList",{{"listVersion":1,"loc{"x" * 4000}',
        '2026-11-20T12:00:00.100Z > [3,"l",{"status":"Accepted"}]',
    )

    assert exchange.action == "SendLocalList"
    assert exchange.request is not None
    assert exchange.request.payload is None
    assert exchange.answer is not None


@pytest.mark.parametrize("text", ["not JSON", "[]", "[2]", '{"a":1}', '[2,"x"]', "[" * 5000])
def test_what_is_no_message_is_shown_as_broken(text: str) -> None:
    (exchange,) = read(f"2026-11-20T12:00:00.000Z < {text}")

    assert exchange.first.kind is Kind.BROKEN
    assert exchange.is_faulty


def test_what_is_no_line_of_the_log_is_left_out() -> None:
    assert read("", "half a li", "2026-99-99 < [2]", '2026-11-20T12:00:00.000Z ! {"no": "mark"}') == []


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(), 2),
        (Wanted(action="Reset"), 1),
        (Wanted(by_station=True), 1),
        (Wanted(connector_id=1), 0),
        (Wanted(only_faults=True), 0),
    ],
)
def test_a_filter_narrows_the_list(wanted: Wanted, count: int) -> None:
    found = read(BOOT, BOOT_ANSWER, '2026-11-20T12:00:00.400Z < [2,"b","Reset",{"type":"Soft"}]')

    assert len([each for each in found if wanted.fits(each)]) == count
