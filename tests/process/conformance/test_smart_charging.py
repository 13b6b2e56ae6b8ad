"""Smart charging: which profiles are taken, what limit follows from them, and that the car is really told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.process.conformance.bench import CARD, OTHER_CARD, ConformanceBench, Payload, at, moment, section

HOUR_S = 3600


def periods(*pairs: tuple[int, float], **more: Any) -> list[Payload]:
    return [{"startPeriod": start, "limit": limit} | more for start, limit in pairs]


def schedule(*pairs: tuple[int, float], unit: str = "A", **more: Any) -> Payload:
    return {"chargingRateUnit": unit, "chargingSchedulePeriod": periods(*pairs)} | more


def profile(
    *pairs: tuple[int, float], number: int = 1, level: int = 0, purpose: str = "TxDefaultProfile", **more: Any
) -> Payload:
    """Make a relative TxDefaultProfile, unless something else is said."""
    content: Payload = {
        "chargingProfileId": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule(*(pairs or ((0, 16.0),))),
    }
    return content | more


def station_profile(*pairs: tuple[int, float], **more: Any) -> Payload:
    absolute = {"chargingProfileKind": "Absolute"}
    made = profile(*pairs, purpose="ChargePointMaxProfile", **(absolute | more))
    made["chargingSchedule"].setdefault("startSchedule", moment(-60))
    return made


def put(bench: ConformanceBench, content: Payload, connector: int = 1) -> str:
    return bench.status_of("SetChargingProfile", connectorId=connector, csChargingProfiles=content)


def accepted(bench: ConformanceBench, content: Payload, connector: int = 1) -> None:
    assert put(bench, content, connector) == "Accepted"


def offered(bench: ConformanceBench, ampere: float, connector: int = 1) -> None:
    bench.physical(lambda point: point["offered_a"] == ampere, connector=connector)


def composite(bench: ConformanceBench, connector: int = 1, duration: int = HOUR_S, **more: Any) -> Payload:
    return bench.call("GetCompositeSchedule", connectorId=connector, duration=duration, **more)


def limits(answer: Payload) -> list[tuple[int, float]]:
    return [(one["startPeriod"], one["limit"]) for one in answer["chargingSchedule"]["chargingSchedulePeriod"]]


# --- acceptance


@section("S 5.16", "S 3.13.1")
@pytest.mark.parametrize("connector", [0, 1, 2])
def test_a_default_profile_is_taken_for_the_station_or_a_connector(bench: ConformanceBench, connector: int) -> None:
    accepted(bench, profile(), connector)


@section("S 5.16", "S 3.13.1")
def test_the_profile_of_the_whole_station_belongs_to_connector_zero(bench: ConformanceBench) -> None:
    accepted(bench, station_profile((0, 20.0)), 0)

    assert put(bench, station_profile((0, 20.0)), 1) == "Rejected"


@section("S 5.16.3", "S 3.13.1")
@pytest.mark.parametrize("connector", [0, 1])
def test_a_transaction_profile_needs_a_running_transaction(bench: ConformanceBench, connector: int) -> None:
    assert put(bench, profile(purpose="TxProfile"), connector) == "Rejected"


@section("S 5.16.3")
def test_a_transaction_profile_must_name_the_transaction_that_runs_if_it_names_one(bench: ConformanceBench) -> None:
    transaction = bench.charge()

    assert put(bench, profile(purpose="TxProfile", transactionId=transaction + 999)) == "Rejected"
    assert put(bench, profile(purpose="TxProfile"), 0) == "Rejected"
    assert put(bench, profile(purpose="TxProfile"), 2) == "Rejected"
    accepted(bench, profile(purpose="TxProfile", transactionId=transaction))
    accepted(bench, profile(purpose="TxProfile"))


@section("S 5.16", "E 3.65")
@pytest.mark.parametrize("connector", [-1, 3, 99])
def test_a_connector_that_is_none_is_refused(bench: ConformanceBench, connector: int) -> None:
    payload = {"connectorId": connector, "csChargingProfiles": profile()}

    assert bench.refusal("SetChargingProfile", **payload) == "PropertyConstraintViolation"


@section("S 5.16", "S 9.4")
@pytest.mark.parametrize(
    "bad",
    [
        {"stackLevel": 9},
        {"stackLevel": -1},
        {"chargingSchedule": schedule((1, 10.0))},
        {"chargingSchedule": schedule((0, 10.0), (60, 12.0), (30, 14.0))},
        {"chargingSchedule": schedule((0, 10.0), (60, 12.0), (60, 14.0))},
        {"chargingSchedule": schedule(*((n * 10, 10.0) for n in range(97)))},
        {"chargingSchedule": schedule((0, -1.0))},
        {"chargingSchedule": schedule((0, 10.0), startSchedule="2030-01-01T00:00:00Z")},
        {"chargingProfileKind": "Recurring", "recurrencyKind": "Daily"},
        {"chargingProfileKind": "Recurring", "chargingSchedule": schedule((0, 10.0), startSchedule=moment())},
        {"recurrencyKind": "Daily"},
        {"validFrom": moment(60), "validTo": moment(30)},
    ],
    ids=[
        "stack level too high",
        "stack level negative",
        "first period not at zero",
        "periods not ascending",
        "periods twice the same",
        "too many periods",
        "negative limit",
        "relative with a start",
        "recurring without a start",
        "recurring without a kind",
        "recurrency of what does not recur",
        "valid until before valid from",
    ],
)
def test_a_profile_against_the_rules_is_not_taken(bench: ConformanceBench, bad: Payload) -> None:
    assert put(bench, profile(**bad)) == "Rejected"

    assert bench.status_of("ClearChargingProfile") == "Unknown"


@section("J 4.2.3", "S 7.10", "S 7.12")
@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"chargingSchedule": schedule((0, 10.0), unit="kW")}, "PropertyConstraintViolation"),
        ({"chargingProfilePurpose": "Fun"}, "PropertyConstraintViolation"),
        ({"chargingProfileKind": "Sometimes"}, "PropertyConstraintViolation"),
        ({"chargingSchedule": {"chargingRateUnit": "A"}}, "OccurenceConstraintViolation"),
        ({"chargingProfileId": "1"}, "TypeConstraintViolation"),
        ({"chargingSchedule": schedule((0, 10.05))}, "PropertyConstraintViolation"),
    ],
)
def test_a_profile_against_the_schema_is_refused(bench: ConformanceBench, bad: Payload, code: str) -> None:
    payload = {"connectorId": 1, "csChargingProfiles": profile(**bad)}

    assert bench.refusal("SetChargingProfile", **payload) == code


@section("S 9.4 MaxChargingProfilesInstalled")
def test_no_more_profiles_are_taken_than_may_be_installed(bench: ConformanceBench) -> None:
    places = [(connector, level) for connector in (0, 1, 2) for level in range(8)]
    answers = [put(bench, profile(number=n, level=level), connector) for n, (connector, level) in enumerate(places, 10)]

    assert answers == ["Accepted"] * 20 + ["Rejected"] * 4


@section("S 5.16.2")
def test_a_profile_with_a_known_number_replaces_the_old_one(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 16.0)))
    offered(bench, 16)

    accepted(bench, profile((0, 12.0)))

    offered(bench, 12)
    assert bench.status_of("ClearChargingProfile", id=1) == "Accepted"
    offered(bench, 32)


@section("S 5.16.2")
def test_a_profile_of_the_same_purpose_and_level_replaces_the_old_one(bench: ConformanceBench) -> None:
    accepted(bench, profile((0, 16.0), number=1))
    accepted(bench, profile((0, 12.0), number=2))

    assert bench.status_of("ClearChargingProfile", id=1) == "Unknown"
    assert bench.status_of("ClearChargingProfile", id=2) == "Accepted"


# --- the limit in force


@section("S 3.13.2")
def test_a_default_profile_limits_a_running_transaction_at_once(bench: ConformanceBench) -> None:
    bench.charge()
    offered(bench, 32)

    accepted(bench, profile((0, 13.0)))

    offered(bench, 13)


@section("S 3.13.2")
def test_a_default_profile_limits_a_later_transaction(bench: ConformanceBench) -> None:
    accepted(bench, profile((0, 11.0)), 0)

    bench.charge(2)

    offered(bench, 11, 2)


@section("S 3.13.1", "S 5.16")
def test_the_default_of_a_connector_goes_before_that_of_connector_zero(bench: ConformanceBench) -> None:
    accepted(bench, profile((0, 10.0), number=1), 0)
    accepted(bench, profile((0, 14.0), number=2), 1)

    bench.charge(1)
    bench.charge(2, OTHER_CARD)

    offered(bench, 14, 1)
    offered(bench, 10, 2)


@section("S 3.13.2")
def test_the_higher_stack_level_prevails(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 10.0), number=1, level=1))
    accepted(bench, profile((0, 20.0), number=2, level=3))
    offered(bench, 20)

    assert bench.status_of("ClearChargingProfile", id=2) == "Accepted"

    offered(bench, 10)


@section("S 3.13.2")
def test_a_transaction_profile_overrules_the_default_even_upwards(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 10.0), number=1))
    offered(bench, 10)

    accepted(bench, profile((0, 20.0), number=2, purpose="TxProfile"))

    offered(bench, 20)


@section("S 3.13.2")
def test_the_limit_of_the_station_caps_every_other_profile(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 20.0), number=1))

    accepted(bench, station_profile((0, 9.0), number=2), 0)

    offered(bench, 9)


@section("S 3.13.1")
def test_the_limit_of_the_station_is_shared_by_its_connectors(bench: ConformanceBench) -> None:
    bench.charge(1, CARD)
    bench.charge(2, OTHER_CARD)

    accepted(bench, station_profile((0, 20.0)), 0)

    offered(bench, 10, 1)
    offered(bench, 10, 2)


@section("S 3.13.4", "S 5.16")
def test_a_transaction_profile_ends_with_its_transaction(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 8.0), purpose="TxProfile"))
    offered(bench, 8)
    bench.unplug()
    bench.wait_for("StopTransaction")
    bench.wait_status("Available")

    bench.charge()

    offered(bench, 32)
    assert bench.status_of("ClearChargingProfile", id=1) == "Unknown"


@section("S 3.13.2", "S 7.8")
def test_the_periods_of_a_relative_profile_count_from_the_start_of_the_transaction(bench: ConformanceBench) -> None:
    accepted(bench, profile((0, 10.0), (3, 15.0)))

    bench.charge()

    offered(bench, 10)
    offered(bench, 15)


@section("S 7.8")
def test_an_absolute_profile_counts_from_its_start(bench: ConformanceBench) -> None:
    bench.charge()
    content = profile(
        chargingProfileKind="Absolute",
        chargingSchedule=schedule((0, 10.0), (HOUR_S, 18.0), startSchedule=moment(-HOUR_S - 60)),
    )

    accepted(bench, content)

    offered(bench, 18)


@section("S 7.8", "S 7.14")
@pytest.mark.parametrize(("kind", "length"), [("Daily", timedelta(days=1)), ("Weekly", timedelta(days=7))])
def test_a_recurring_profile_comes_again(bench: ConformanceBench, kind: str, length: timedelta) -> None:
    bench.charge()
    first = datetime.now(UTC) - 3 * length - timedelta(minutes=5)
    content = profile(
        chargingProfileKind="Recurring",
        recurrencyKind=kind,
        chargingSchedule=schedule((0, 10.0), (HOUR_S, 20.0), startSchedule=first.isoformat(timespec="seconds")),
    )

    accepted(bench, content)

    offered(bench, 10)


@section("S 3.13.2", "S 7.13")
def test_a_schedule_that_is_over_leaves_the_word_to_the_next_level(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 10.0), number=1, level=0))
    over = schedule((0, 20.0), startSchedule=moment(-HOUR_S), duration=60)

    accepted(bench, profile(number=2, level=5, chargingProfileKind="Absolute", chargingSchedule=over))

    offered(bench, 10)


@section("S 3.13.2", "S 7.8")
@pytest.mark.parametrize("bounds", [{"validFrom": moment(HOUR_S)}, {"validTo": moment(-60)}])
def test_a_profile_outside_its_validity_has_nothing_to_say(bench: ConformanceBench, bounds: Payload) -> None:
    bench.charge()
    accepted(bench, profile((0, 12.0), number=1, level=0))
    offered(bench, 12)

    accepted(bench, profile((0, 20.0), number=2, level=5, **bounds))

    bench.settle()
    offered(bench, 12)


@section("S 7.12", "E 3.38")
@pytest.mark.parametrize(
    ("watt", "phases", "ampere"), [(11_040.0, None, 16), (11_040.0, 3, 16), (6_900.0, 1, 10), (22_080.0, 3, 32)]
)
def test_watts_are_a_total_over_all_phases_the_car_may_use(
    bench: ConformanceBench, watt: float, phases: int | None, ampere: float
) -> None:
    bench.charge()
    period: Payload = {"startPeriod": 0, "limit": watt}
    if phases:
        period["numberPhases"] = phases

    accepted(bench, profile(chargingSchedule={"chargingRateUnit": "W", "chargingSchedulePeriod": [period]}))

    offered(bench, ampere)


@section("S 3.13.2", "E 3.34")
@pytest.mark.parametrize("limit", [0.0, 3.0, 5.9])
def test_below_six_ampere_the_transaction_pauses_and_goes_on(bench: ConformanceBench, limit: float) -> None:
    bench.charge()
    accepted(bench, profile((0, limit)))
    bench.wait_status("SuspendedEVSE")
    bench.physical(lambda point: not point["contactor"])
    mark = bench.mark()

    accepted(bench, profile((0, 6.0)))

    bench.wait_status("Charging", after=mark)
    offered(bench, 6)
    assert not bench.received("StopTransaction")


@section("S 3.13")
def test_the_car_draws_what_it_is_offered(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 10.0)))

    bench.physical(lambda point: 9 <= max(point["currents_a"]) <= 10.1)


@section("S 3.13.6")
def test_a_profile_holds_while_the_backend_is_away(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 10.0), (4, 7.0), purpose="TxProfile"))
    with bench.backend.outage():
        offered(bench, 7)
    bench.backend.wait_connected(timeout=15)


@section("E 3.37")
def test_profiles_and_their_effect_survive_the_death_of_all_processes(bench: ConformanceBench) -> None:
    bench.charge()
    accepted(bench, profile((0, 10.0), number=1), 0)
    accepted(bench, profile((0, 8.0), number=2, purpose="TxProfile"))
    offered(bench, 8)
    mark = bench.mark()

    bench.station.kill_group()
    bench.station.launch()
    bench.backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2, after=mark, timeout=20)

    assert bench.status_of("ClearChargingProfile", id=1) == "Accepted"


# --- clearing


@section("S 5.3", "E 3.25")
@pytest.mark.parametrize(
    ("wanted", "gone"),
    [
        ({}, {1, 2, 3, 4}),
        ({"id": 3}, {3}),
        ({"id": 3, "connectorId": 2, "stackLevel": 7}, {3}),
        ({"connectorId": 1}, {1, 2}),
        ({"connectorId": 0}, {4}),
        ({"stackLevel": 0}, {1, 3, 4}),
        ({"connectorId": 1, "stackLevel": 2}, {2}),
        ({"chargingProfilePurpose": "ChargePointMaxProfile"}, {4}),
        ({"chargingProfilePurpose": "TxDefaultProfile", "connectorId": 2}, {3}),
        ({"chargingProfilePurpose": "TxProfile"}, set()),
        ({"id": 77}, set()),
        ({"connectorId": 2, "stackLevel": 2}, set()),
    ],
)
def test_only_what_all_filters_fit_is_cleared(bench: ConformanceBench, wanted: Payload, gone: set[int]) -> None:
    accepted(bench, profile(number=1, level=0), 1)
    accepted(bench, profile(number=2, level=2), 1)
    accepted(bench, profile(number=3, level=0), 2)
    accepted(bench, station_profile((0, 30.0), number=4), 0)

    assert bench.status_of("ClearChargingProfile", **wanted) == ("Accepted" if gone else "Unknown")

    left = {number for number in (1, 2, 3, 4) if bench.status_of("ClearChargingProfile", id=number) == "Accepted"}
    assert left == {1, 2, 3, 4} - gone


# --- composite schedules


@section("S 5.7")
def test_without_profiles_the_composite_schedule_is_the_local_limit(bench: ConformanceBench) -> None:
    answer = composite(bench)

    assert answer["status"] == "Accepted"
    assert answer["connectorId"] == 1
    assert answer["chargingSchedule"]["chargingRateUnit"] == "A"
    assert limits(answer) == [(0, 32.0)]


@section("S 5.7", "E 3.57")
def test_a_composite_schedule_begins_now(bench: ConformanceBench) -> None:
    answer = composite(bench)

    assert abs((at(answer["scheduleStart"]) - datetime.now(UTC)).total_seconds()) < 2
    assert answer["chargingSchedule"].get("duration", HOUR_S) == HOUR_S


@section("S 5.7")
def test_periods_that_begin_inside_the_window_are_in_it(bench: ConformanceBench) -> None:
    start = moment(-100)
    accepted(
        bench,
        profile(
            chargingProfileKind="Absolute",
            chargingSchedule=schedule((0, 10.0), (400, 20.0), (10_000, 6.0), startSchedule=start),
        ),
    )

    found = limits(composite(bench))

    assert [limit for _, limit in found] == [10.0, 20.0]
    assert found[0][0] == 0
    assert 295 <= found[1][0] <= 301


@section("S 5.7")
def test_the_window_of_duration_zero_answers_the_limit_of_now(bench: ConformanceBench) -> None:
    accepted(bench, profile((0, 12.0)))

    assert limits(composite(bench, duration=0)) == [(0, 12.0)]


@section("S 5.7")
def test_the_composite_schedule_comes_in_the_unit_asked_for(bench: ConformanceBench) -> None:
    accepted(bench, profile((0, 16.0)))

    watts = composite(bench, chargingRateUnit="W")

    assert watts["chargingSchedule"]["chargingRateUnit"] == "W"
    assert limits(watts) == [(0, 11_040.0)]
    assert limits(composite(bench, chargingRateUnit="A")) == [(0, 16.0)]


@section("S 5.7")
def test_connector_zero_is_the_sum_of_the_connectors_within_the_limit_of_the_station(bench: ConformanceBench) -> None:
    accepted(bench, profile((0, 10.0), number=1), 0)
    accepted(bench, station_profile((0, 32.0), number=2), 0)
    assert limits(composite(bench, 0)) == [(0, 20.0)]

    accepted(bench, station_profile((0, 15.0), number=2), 0)

    assert limits(composite(bench, 0)) == [(0, 15.0)]


@section("S 5.7", "S 3.13.2")
def test_the_composite_schedule_stacks_as_the_limit_does(bench: ConformanceBench) -> None:
    now = moment(-1)
    low = schedule((0, 10.0))
    high = schedule((0, 20.0), startSchedule=now, duration=600)
    accepted(bench, profile(number=1, level=0, chargingSchedule=low))
    accepted(bench, profile(number=2, level=4, chargingProfileKind="Absolute", chargingSchedule=high))

    found = limits(composite(bench))

    assert [limit for _, limit in found] == [20.0, 10.0]
    assert 597 <= found[1][0] <= 601


@section("S 5.7")
def test_equal_neighbours_are_one_period(bench: ConformanceBench) -> None:
    accepted(bench, profile((0, 10.0), (300, 10.0), (600, 12.0)))
    bench.charge()

    assert [limit for _, limit in limits(composite(bench))] == [10.0, 12.0]


@section("S 5.7")
@pytest.mark.parametrize("connector", [-1, 3])
def test_the_composite_schedule_of_a_connector_that_is_none_is_rejected(
    bench: ConformanceBench, connector: int
) -> None:
    assert composite(bench, connector) == {"status": "Rejected"}
