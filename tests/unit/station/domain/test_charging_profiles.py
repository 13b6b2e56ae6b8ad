"""Smart charging: OCPP 1.6 sections 3.13, 5.7, 5.16, 7.8 to 7.14 and the errata."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.charging_profiles import (
    ChargingProfile,
    ClearFilter,
    CompositePeriod,
    Context,
    Installed,
    Kind,
    Period,
    ProfileMalformed,
    Purpose,
    RateUnit,
    Recurrency,
    Rejection,
    RejectionKind,
    RejectionReason,
    Schedule,
    Violation,
    allowed_units,
    check_acceptance,
    check_remote_start,
    clear,
    composite_schedule,
    end_transaction,
    install,
    limit_at,
    next_change_after,
    no_energy,
    parse_profile,
    render_composite,
    render_profile,
    station_limit_at,
)
from station.domain.units import MilliAmpere

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOCAL = {1: MilliAmpere(32_000), 2: MilliAmpere(32_000)}
CONTEXT = Context(connectors=2, running={1: 77})


def schedule(*periods: tuple[int, int], **fields: Any) -> Schedule:
    return Schedule(
        **{
            "unit": RateUnit.A,
            "periods": tuple(Period(start_s=start, limit_tenths=limit) for start, limit in periods or [(0, 160)]),
            **fields,
        }
    )


def profile(purpose: Purpose = Purpose.TX_DEFAULT, **fields: Any) -> ChargingProfile:
    return ChargingProfile(
        **{
            "profile_id": 1,
            "stack_level": 0,
            "purpose": purpose,
            "kind": Kind.ABSOLUTE,
            "schedule": schedule(start=NOW),
            **fields,
        }
    )


def installed(connector_id: int, *profiles: ChargingProfile) -> tuple[Installed, ...]:
    return tuple(Installed(connector_id=connector_id, profile=each, installed_at=NOW) for each in profiles)


def amperes(t: datetime, profiles: tuple[Installed, ...], start: datetime | None = NOW) -> float | None:
    limit = limit_at(t, 1, profiles, start)
    return None if limit is None else limit.current / 1000


WIRE: dict[str, Any] = {
    "chargingProfileId": 2**41,
    "stackLevel": 3,
    "chargingProfilePurpose": "TxProfile",
    "chargingProfileKind": "Recurring",
    "recurrencyKind": "Daily",
    "transactionId": 2**40,
    "validFrom": "2026-03-01T00:00:00Z",
    "validTo": "2026-04-01T00:00:00Z",
    "chargingSchedule": {
        "duration": 3600,
        "startSchedule": "2026-03-01T06:30:00Z",
        "chargingRateUnit": "A",
        "minChargingRate": 6.0,
        "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 16.1, "numberPhases": 1},
            {"startPeriod": 60, "limit": 8.0},
        ],
    },
}


def test_section_7_8_a_profile_is_the_same_after_reading_and_writing() -> None:
    assert render_profile(parse_profile(WIRE)) == WIRE


def test_section_7_14_limits_keep_their_one_decimal_exactly() -> None:
    for tenths in range(1000):
        wire = {**WIRE, "chargingSchedule": {**WIRE["chargingSchedule"]}}
        wire["chargingSchedule"]["chargingSchedulePeriod"] = [{"startPeriod": 0, "limit": tenths / 10}]

        assert parse_profile(wire).schedule.periods[0].limit_tenths == tenths


def broken(path: str, value: object) -> dict[str, Any]:
    wire = {**WIRE, "chargingSchedule": {**WIRE["chargingSchedule"]}}
    target = wire["chargingSchedule"] if path in wire["chargingSchedule"] else wire
    if value is ...:
        del target[path]
    else:
        target[path] = value
    return wire


@pytest.mark.parametrize(
    ("path", "value", "violation"),
    [
        ("chargingRateUnit", "kW", Violation.PROPERTY),
        ("chargingProfilePurpose", "Other", Violation.PROPERTY),
        ("chargingProfileKind", "absolute", Violation.PROPERTY),
        ("recurrencyKind", "Monthly", Violation.PROPERTY),
        ("validFrom", "yesterday", Violation.PROPERTY),
        ("validFrom", "9999-12-31T23:59:59Z", Violation.PROPERTY),
        ("validTo", "", Violation.PROPERTY),
        ("validTo", "1969-12-31T23:59:59Z", Violation.PROPERTY),
        ("duration", 2**40, Violation.PROPERTY),
        ("chargingProfileId", 2**63, Violation.PROPERTY),
        ("chargingSchedulePeriod", [{"startPeriod": 0, "limit": 6.25}], Violation.PROPERTY),
        ("chargingSchedulePeriod", [{"startPeriod": 0, "limit": float("inf")}], Violation.PROPERTY),
        ("chargingSchedulePeriod", [{"startPeriod": 0, "limit": float("nan")}], Violation.PROPERTY),
        ("chargingSchedulePeriod", [{"startPeriod": 0, "limit": "16"}], Violation.TYPE),
        ("chargingSchedulePeriod", [{"startPeriod": 0.5, "limit": 16}], Violation.TYPE),
        ("chargingSchedulePeriod", [{"startPeriod": 0}], Violation.OCCURRENCE),
        ("chargingSchedulePeriod", [{"limit": 16}], Violation.OCCURRENCE),
        ("chargingSchedulePeriod", [7], Violation.TYPE),
        ("chargingSchedulePeriod", [], Violation.OCCURRENCE),
        ("chargingSchedulePeriod", ..., Violation.OCCURRENCE),
        ("stackLevel", True, Violation.TYPE),
        ("stackLevel", ..., Violation.OCCURRENCE),
        ("chargingProfileId", "12", Violation.TYPE),
        ("chargingProfilePurpose", 1, Violation.TYPE),
        ("chargingProfilePurpose", ..., Violation.OCCURRENCE),
        ("chargingSchedule", ..., Violation.OCCURRENCE),
        ("chargingSchedule", [], Violation.TYPE),
    ],
)
def test_errata_3_38_a_malformed_profile_names_its_call_error(path: str, value: object, violation: Violation) -> None:
    with pytest.raises(ProfileMalformed) as refused:
        parse_profile(broken(path, value))

    assert refused.value.violation is violation


@pytest.mark.parametrize("empty", ["0001-01-01T00:00:00", "0001-01-01T00:00:00+01:00"])
@pytest.mark.parametrize("late", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-05:00"])
def test_the_ends_of_the_calendar_are_no_bounds_of_the_validity(empty: str, late: str) -> None:
    for always in ({"validFrom": empty, "validTo": late}, {"validFrom": empty, "validTo": empty}):
        read = parse_profile(WIRE | always)

        assert (read.valid_from, read.valid_to) == (None, None)


TX = profile(Purpose.TX)
MAX = profile(Purpose.CHARGE_POINT_MAX)
DEFAULT = profile()


@pytest.mark.parametrize(
    ("given_profile", "connector_id"),
    [
        (MAX, 0),
        (DEFAULT, 0),
        (DEFAULT, 2),
        (TX, 1),
        (replace(TX, transaction_id=77), 1),
        (replace(DEFAULT, kind=Kind.RELATIVE, schedule=schedule()), 1),
        (replace(DEFAULT, kind=Kind.RECURRING, recurrency=Recurrency.WEEKLY), 1),
        (replace(DEFAULT, schedule=schedule((0, 0), (1, 320), duration_s=0)), 1),
        (replace(DEFAULT, stack_level=8), 1),
    ],
)
def test_section_5_16_proper_profiles_are_accepted(given_profile: ChargingProfile, connector_id: int) -> None:
    assert check_acceptance(given_profile, connector_id, CONTEXT) is None


@pytest.mark.parametrize(
    ("given_profile", "connector_id", "reason"),
    [
        (MAX, 1, RejectionReason.PURPOSE_NEEDS_STATION),
        (TX, 0, RejectionReason.PURPOSE_NEEDS_CONNECTOR),
        (TX, 2, RejectionReason.NO_TRANSACTION),
        (replace(TX, transaction_id=78), 1, RejectionReason.OTHER_TRANSACTION),
        (replace(DEFAULT, transaction_id=77), 1, RejectionReason.TRANSACTION_ID_NOT_ALLOWED),
        (replace(DEFAULT, stack_level=9), 1, RejectionReason.STACK_LEVEL),
        (replace(DEFAULT, stack_level=-1), 1, RejectionReason.STACK_LEVEL),
        (replace(DEFAULT, kind=Kind.RECURRING), 1, RejectionReason.RECURRENCY_MISSING),
        (replace(DEFAULT, recurrency=Recurrency.DAILY), 1, RejectionReason.RECURRENCY_NOT_ALLOWED),
        (
            replace(DEFAULT, kind=Kind.RECURRING, recurrency=Recurrency.DAILY, schedule=schedule()),
            1,
            RejectionReason.START_MISSING,
        ),
        (replace(DEFAULT, kind=Kind.RELATIVE), 1, RejectionReason.START_NOT_ALLOWED),
        (replace(DEFAULT, valid_from=NOW, valid_to=NOW), 1, RejectionReason.VALIDITY),
        (replace(DEFAULT, schedule=schedule((1, 160))), 1, RejectionReason.FIRST_PERIOD_NOT_ZERO),
        (replace(DEFAULT, schedule=schedule((0, 160), (60, 1), (60, 2))), 1, RejectionReason.PERIODS_NOT_ASCENDING),
        (replace(DEFAULT, schedule=schedule((0, -1))), 1, RejectionReason.NEGATIVE_LIMIT),
        (replace(DEFAULT, schedule=schedule(duration_s=-1)), 1, RejectionReason.DURATION),
        (
            replace(DEFAULT, schedule=schedule(periods=(Period(start_s=0, limit_tenths=1, phases=4),))),
            1,
            RejectionReason.PHASES,
        ),
        (
            replace(DEFAULT, schedule=schedule(*((second, 160) for second in range(97)))),
            1,
            RejectionReason.TOO_MANY_PERIODS,
        ),
    ],
)
def test_section_5_16_improper_profiles_are_rejected(
    given_profile: ChargingProfile, connector_id: int, reason: RejectionReason
) -> None:
    refusal = check_acceptance(given_profile, connector_id, CONTEXT)

    assert refusal == Rejection(kind=RejectionKind.REJECTED, reason=reason)


def test_errata_3_18_a_transaction_whose_number_is_unknown_matches_no_number() -> None:
    context = replace(CONTEXT, running={1: None})

    assert check_acceptance(TX, 1, context) is None
    assert check_acceptance(replace(TX, transaction_id=77), 1, context) is not None


@pytest.mark.parametrize("connector_id", [-1, 3])
def test_errata_3_39_an_unknown_connector_is_a_property_constraint_violation(connector_id: int) -> None:
    refusal = check_acceptance(DEFAULT, connector_id, CONTEXT)

    assert refusal == Rejection(kind=RejectionKind.PROPERTY_CONSTRAINT, reason=RejectionReason.UNKNOWN_CONNECTOR)


def test_errata_3_39_without_smart_charging_the_answer_is_not_supported() -> None:
    context = replace(CONTEXT, smart_charging=False)

    for refusal in (check_acceptance(DEFAULT, 1, context), check_remote_start(TX, 1, context)):
        assert refusal is not None
        assert refusal.kind is RejectionKind.NOT_SUPPORTED


def test_errata_3_88_current_means_amperes_only() -> None:
    assert allowed_units("Current, Power") == {RateUnit.A, RateUnit.W}
    watts = replace(DEFAULT, schedule=schedule(unit=RateUnit.W))
    refusal = check_acceptance(watts, 1, replace(CONTEXT, units=allowed_units("Current")))

    assert refusal is not None
    assert refusal.reason is RejectionReason.UNIT_NOT_ALLOWED


def test_section_9_4_a_full_store_still_accepts_a_replacement() -> None:
    full = installed(2, *(replace(DEFAULT, profile_id=n, stack_level=n) for n in range(2)))
    context = replace(CONTEXT, installed=full, max_installed=2)

    assert check_acceptance(replace(DEFAULT, profile_id=1), 1, context) is None
    assert check_acceptance(replace(DEFAULT, profile_id=9, stack_level=1), 2, context) is None
    refusal = check_acceptance(replace(DEFAULT, profile_id=9), 1, context)
    assert refusal is not None
    assert refusal.reason is RejectionReason.TOO_MANY_PROFILES


def test_errata_3_41_a_remote_start_brings_a_tx_profile_without_transaction() -> None:
    assert check_remote_start(TX, 2, CONTEXT) is None
    assert check_remote_start(DEFAULT, 2, CONTEXT) is not None
    assert check_remote_start(replace(TX, transaction_id=1), 2, CONTEXT) is not None
    assert check_remote_start(replace(TX, schedule=schedule((5, 5))), 2, CONTEXT) is not None


def ids(profiles: tuple[Installed, ...]) -> list[tuple[int, int]]:
    return [(each.connector_id, each.profile.profile_id) for each in profiles]


def test_section_3_13_2_same_id_or_same_purpose_and_level_at_the_connector_is_replaced() -> None:
    existing = (
        *installed(0, replace(DEFAULT, profile_id=1)),
        *installed(1, replace(DEFAULT, profile_id=2), replace(TX, profile_id=3)),
    )

    assert ids(install(existing, replace(DEFAULT, profile_id=9), 1, at=NOW)) == [(0, 1), (1, 3), (1, 9)]
    assert ids(install(existing, replace(DEFAULT, profile_id=2, stack_level=5), 2, at=NOW)) == [(0, 1), (1, 3), (2, 2)]
    assert ids(install(existing, replace(DEFAULT, profile_id=9, stack_level=5), 1, at=NOW)) == [
        (0, 1),
        (1, 2),
        (1, 3),
        (1, 9),
    ]


def test_manual_stack_per_connector_off_keeps_one_stack_of_tx_profiles() -> None:
    existing = installed(1, TX)
    other = replace(TX, profile_id=2)

    assert len(install(existing, other, 2, at=NOW)) == 2
    assert len(install(existing, other, 2, at=NOW, stack_per_connector=False)) == 1


def test_section_5_2_clearing_joins_its_filters_with_and_except_for_the_id() -> None:
    existing = (*installed(0, MAX, replace(DEFAULT, profile_id=2)), *installed(1, replace(DEFAULT, profile_id=3)))

    assert ids(clear(existing, ClearFilter(profile_id=3, connector_id=0))[1]) == [(1, 3)]
    assert ids(clear(existing, ClearFilter(connector_id=0, purpose=Purpose.TX_DEFAULT))[1]) == [(0, 2)]
    assert ids(clear(existing, ClearFilter(stack_level=0, purpose=Purpose.TX_DEFAULT))[1]) == [(0, 2), (1, 3)]
    assert clear(existing, ClearFilter()) == ((), existing)
    assert clear(existing, ClearFilter(stack_level=4)) == (existing, ())


def test_section_7_10_tx_profiles_end_with_their_transaction() -> None:
    existing = (*installed(1, TX, replace(DEFAULT, profile_id=2)), *installed(2, replace(TX, profile_id=3)))

    kept, removed = end_transaction(existing, 1)

    assert ids(removed) == [(1, 1)]
    assert ids(kept) == [(1, 2), (2, 3)]


def test_section_3_13_without_a_profile_there_is_no_limit() -> None:
    assert limit_at(NOW, 1, (), NOW) is None
    assert station_limit_at(NOW, ()) is None
    assert next_change_after(NOW, ()) is None


def test_section_3_13_3_a_tx_profile_overrules_the_default_even_upwards() -> None:
    profiles = installed(1, profile(schedule=schedule((0, 100), start=NOW)), replace(TX, profile_id=2))

    assert amperes(NOW, profiles) == 16.0
    assert amperes(NOW, profiles, start=None) == 10.0
    assert limit_at(NOW, 2, profiles, NOW) is None


def test_section_3_13_2_the_highest_applicable_stack_level_leads() -> None:
    low = profile(schedule=schedule((0, 100), start=NOW))
    high = profile(
        profile_id=2, stack_level=5, valid_from=NOW + HOUR, valid_to=NOW + 3 * HOUR, schedule=schedule(start=NOW)
    )
    profiles = installed(0, low, high)

    assert [amperes(NOW + n * HOUR, profiles) for n in range(4)] == [10.0, 16.0, 16.0, 10.0]


def test_section_3_13_1_a_connectors_default_stands_in_for_the_stations_even_in_its_gaps() -> None:
    station = installed(0, profile(schedule=schedule((0, 100), start=NOW)))
    own = installed(1, profile(profile_id=2, valid_from=NOW + HOUR))
    profiles = (*station, *own)

    assert amperes(NOW, profiles) is None
    assert amperes(NOW + HOUR, profiles) == 16.0
    other = limit_at(NOW, 2, profiles, NOW)
    assert other is not None
    assert other.current == 10_000


def test_errata_3_43_after_its_duration_a_schedule_gives_way_to_the_lower_level() -> None:
    profiles = installed(
        1,
        profile(schedule=schedule((0, 80), start=NOW)),
        profile(profile_id=2, stack_level=1, schedule=schedule((0, 160), (1800, 200), start=NOW, duration_s=3600)),
    )

    assert amperes(NOW + timedelta(seconds=1799), profiles) == 16.0
    assert amperes(NOW + timedelta(seconds=1800), profiles) == 20.0
    assert amperes(NOW + timedelta(seconds=3599), profiles) == 20.0
    assert amperes(NOW + timedelta(seconds=3600), profiles) == 8.0


@pytest.mark.parametrize(("recurrency", "days"), [(Recurrency.DAILY, 1), (Recurrency.WEEKLY, 7)])
def test_errata_3_79_a_recurring_schedule_restarts_on_its_grid(recurrency: Recurrency, days: int) -> None:
    recurring = profile(
        kind=Kind.RECURRING,
        recurrency=recurrency,
        schedule=schedule((0, 160), (3600, 60), start=NOW, duration_s=7200),
    )
    profiles = installed(1, recurring)
    later = NOW + timedelta(days=5 * days)

    assert amperes(NOW - timedelta(seconds=1), profiles) is None
    assert [amperes(later + n * HOUR, profiles) for n in range(3)] == [16.0, 6.0, None]
    assert next_change_after(later + 2 * HOUR, profiles) == later + timedelta(days=days)


def test_errata_3_44_a_recurring_schedule_is_cut_at_its_period() -> None:
    day_s = 86_400
    recurring = profile(
        kind=Kind.RECURRING,
        recurrency=Recurrency.DAILY,
        schedule=schedule((0, 160), (day_s + 10, 60), start=NOW, duration_s=3 * day_s),
    )

    assert amperes(NOW + timedelta(seconds=day_s + 20), installed(1, recurring)) == 16.0


def test_section_7_13_relative_schedules_run_from_the_start_of_the_transaction() -> None:
    relative = installed(1, profile(kind=Kind.RELATIVE, schedule=schedule((0, 160), (60, 100))))
    absolute_without_start = installed(1, profile(schedule=schedule((0, 160), (60, 100))))

    for profiles in (relative, absolute_without_start):
        assert amperes(NOW + timedelta(seconds=59), profiles) == 16.0
        assert amperes(NOW + timedelta(seconds=60), profiles) == 10.0
        assert amperes(NOW, profiles, start=None) is None
        assert next_change_after(NOW, profiles, connector_id=1, transaction_start=NOW) == NOW + timedelta(seconds=60)


def test_section_7_10_a_station_limit_without_start_runs_since_it_was_set() -> None:
    profiles = installed(0, profile(Purpose.CHARGE_POINT_MAX, schedule=schedule((0, 400), (60, 200))))
    limits = [station_limit_at(NOW + timedelta(seconds=s), profiles) for s in (0, 60)]

    assert [limit.current for limit in limits if limit] == [40_000, 20_000]


def test_errata_3_69_watts_become_amperes_per_phase_at_the_nominal_voltage() -> None:
    three = installed(1, profile(schedule=schedule((0, 110_400), unit=RateUnit.W, start=NOW)))

    assert amperes(NOW, three) == 16.0
    assert amperes(NOW, installed(1, profile(schedule=schedule((0, 110_399), unit=RateUnit.W, start=NOW)))) == 15.999


@pytest.mark.parametrize("phases", [None, 1, 2, 3])
def test_a_limit_in_watts_holds_in_total_on_every_phase_the_car_may_use(phases: int | None) -> None:
    periods = (Period(start_s=0, limit_tenths=73_600, phases=phases),)
    limit = limit_at(NOW, 1, installed(1, profile(schedule=Schedule(unit=RateUnit.W, start=NOW, periods=periods))), NOW)

    assert limit is not None
    assert limit.current == 10_666
    assert limit.current * 3 * 230 <= 7_360_000


def test_errata_3_34_a_limit_in_amperes_holds_per_phase_whatever_number_of_phases_is_named() -> None:
    for phases in (1, 3):
        periods = (Period(start_s=0, limit_tenths=160, phases=phases),)
        only = installed(1, profile(schedule=Schedule(unit=RateUnit.A, start=NOW, periods=periods)))

        assert amperes(NOW, only) == 16.0


def composite(connector_id: int, profiles: tuple[Installed, ...], duration_s: int, **fields: Any) -> list[Any]:
    found = composite_schedule(
        connector_id,
        **{
            "start": NOW,
            "duration_s": duration_s,
            "unit": RateUnit.A,
            "profiles": profiles,
            "transaction_starts": {},
            "local_limits": LOCAL,
            "station_limit": MilliAmpere(63_000),
            **fields,
        },
    )
    return [(period.start_s, period.limit_tenths / 10) for period in found.periods]


def test_section_5_7_without_profiles_the_local_limit_is_told() -> None:
    assert composite(1, (), 600) == [(0, 32.0)]
    assert composite(0, (), 600) == [(0, 63.0)]
    assert composite(1, (), 600, unit=RateUnit.W) == [(0, 22_080.0)]


def test_section_5_7_a_window_of_no_length_tells_the_present_limit() -> None:
    assert composite(1, installed(1, DEFAULT), 0) == [(0, 16.0)]


def test_section_5_7_a_period_that_begins_inside_the_window_appears() -> None:
    later = installed(1, profile(schedule=schedule(start=NOW + timedelta(seconds=90), duration_s=60)))

    assert composite(1, later, 300) == [(0, 32.0), (90, 16.0), (150, 32.0)]
    assert composite(1, later, 90) == [(0, 32.0)]


def test_section_5_7_the_station_is_the_sum_of_its_connectors_under_the_station_profile() -> None:
    defaults = installed(0, profile(schedule=schedule((0, 100), start=NOW)))
    roomy = installed(0, profile(Purpose.CHARGE_POINT_MAX, profile_id=2, schedule=schedule((0, 320), start=NOW)))
    tight = installed(0, profile(Purpose.CHARGE_POINT_MAX, profile_id=2, schedule=schedule((0, 150), start=NOW)))

    assert composite(0, (*defaults, *roomy), 60) == [(0, 20.0)]
    assert composite(0, (*defaults, *tight), 60) == [(0, 15.0)]
    assert composite(1, (*defaults, *tight), 60) == [(0, 10.0)]


def test_section_5_7_mixed_units_are_joined_in_the_wanted_unit() -> None:
    profiles = (
        *installed(1, profile(schedule=schedule((0, 160), start=NOW))),
        *installed(
            0,
            profile(Purpose.CHARGE_POINT_MAX, profile_id=2, schedule=schedule((0, 70_005), unit=RateUnit.W, start=NOW)),
        ),
    )

    assert composite(1, profiles, 60, unit=RateUnit.W) == [(0, 7_000.5)]
    assert composite(1, profiles, 60) == [(0, 10.1)]


def test_section_5_7_a_window_begins_at_the_very_moment_of_the_request() -> None:
    start = NOW + timedelta(milliseconds=700)
    running = {1: NOW + timedelta(milliseconds=300)}
    profiles = installed(1, profile(kind=Kind.RELATIVE, schedule=schedule((0, 160), (60, 100))))

    assert composite(1, profiles, 120, start=start, transaction_starts=running) == [(0, 16.0), (60, 10.0)]
    assert composite(1, profiles, 61, start=start, transaction_starts=running) == [(0, 16.0), (60, 10.0)]


def test_section_5_7_a_period_names_the_fewest_phases_of_the_profiles_that_apply() -> None:
    def of(phases: int | None, limit_tenths: int) -> Schedule:
        return Schedule(
            unit=RateUnit.A, start=NOW, periods=(Period(start_s=0, limit_tenths=limit_tenths, phases=phases),)
        )

    for own, station, fewest in ((3, 1, 1), (1, 3, 1), (None, 2, 2), (3, None, 3), (None, None, None)):
        for low, high in ((100, 200), (200, 100)):
            found = composite_schedule(
                1,
                start=NOW,
                duration_s=60,
                unit=RateUnit.A,
                profiles=(
                    *installed(1, profile(schedule=of(own, low))),
                    *installed(0, profile(Purpose.CHARGE_POINT_MAX, profile_id=2, schedule=of(station, high))),
                ),
                transaction_starts={},
                local_limits=LOCAL,
                station_limit=MilliAmpere(63_000),
            )

            assert found.periods == (CompositePeriod(start_s=0, limit_tenths=100, phases=fewest),)


def test_section_5_7_mixed_units_are_compared_as_they_are_enforced() -> None:
    watts = Schedule(unit=RateUnit.W, start=NOW, periods=(Period(start_s=0, limit_tenths=73_600, phases=1),))
    profiles = (
        *installed(1, profile(schedule=watts)),
        *installed(0, profile(Purpose.CHARGE_POINT_MAX, profile_id=2, schedule=schedule((0, 120), start=NOW))),
    )

    assert composite(1, profiles, 60) == [(0, 10.6)]
    assert composite(1, profiles, 60, unit=RateUnit.W) == [(0, 7_360.0)]


def watts(limit: int, purpose: Purpose = Purpose.TX_DEFAULT, phases: int | None = None) -> tuple[Installed, ...]:
    periods = (Period(start_s=0, limit_tenths=limit * 10, phases=phases),)
    return installed(0, profile(purpose, profile_id=3, schedule=Schedule(unit=RateUnit.W, start=NOW, periods=periods)))


@pytest.mark.parametrize("named", [None, 1, 3])
@pytest.mark.parametrize(("connected", "current"), [(1, 16_000), (3, 5_333)])
def test_errata_3_69_watts_are_spread_over_the_phases_a_point_is_wired_to(
    connected: int, current: int, named: int | None
) -> None:
    limit = limit_at(NOW, 1, watts(3_680, phases=named), NOW, connected=connected)

    assert limit is not None
    assert limit.current == current
    assert limit.in_unit_hundredths(RateUnit.A) == current // 10
    assert limit.in_unit_hundredths(RateUnit.W) == 368_000


def test_section_5_7_a_connector_on_one_phase_may_have_all_watts_of_the_station_there() -> None:
    of_station = watts(4_600, Purpose.CHARGE_POINT_MAX)

    assert composite(1, of_station, 60, phases={1: 1}) == [(0, 20.0)]
    assert composite(1, of_station, 60, phases={1: 1}, unit=RateUnit.W) == [(0, 4_600.0)]
    assert composite(2, of_station, 60, phases={1: 1}) == [(0, 6.6)]
    assert composite(1, (), 60, phases={1: 1}, unit=RateUnit.W) == [(0, 7_360.0)]
    # The mains carries 43 kW; two connectors of one phase never draw that.
    assert composite(0, (), 60, phases={1: 1, 2: 1}, unit=RateUnit.W) == [(0, 14_720.0)]


def test_section_5_7_no_connector_is_told_more_than_the_station_has() -> None:
    assert composite(1, (), 60, station_limit=MilliAmpere(20_000)) == [(0, 20.0)]
    assert composite(0, (), 60, station_limit=MilliAmpere(20_000)) == [(0, 20.0)]


def test_section_5_7_while_the_time_is_not_known_the_least_of_each_profile_is_told() -> None:
    later = NOW + timedelta(hours=1)
    of_station = installed(0, profile(Purpose.CHARGE_POINT_MAX, schedule=schedule((0, 250), (60, 150), start=later)))

    assert composite(1, of_station, 7_200) == [(0, 32.0), (3_600, 25.0), (3_660, 15.0)]
    assert composite(1, of_station, 7_200, time_is_known=False) == [(0, 15.0)]
    assert composite(0, of_station, 7_200, time_is_known=False) == [(0, 15.0)]


def test_section_5_7_a_very_long_answer_is_cut_and_says_so() -> None:
    recurring = profile(
        kind=Kind.RECURRING, recurrency=Recurrency.DAILY, schedule=schedule((0, 160), (3600, 60), start=NOW)
    )
    found = composite_schedule(
        1,
        start=NOW,
        duration_s=10 * 86_400,
        unit=RateUnit.A,
        profiles=installed(1, recurring),
        transaction_starts={},
        local_limits=LOCAL,
        station_limit=MilliAmpere(63_000),
        max_periods=3,
    )

    assert [period.start_s for period in found.periods] == [0, 3600, 86_400]
    assert found.duration_s == 90_000


def test_errata_3_57_the_answer_has_a_schedule_start_but_no_start_schedule() -> None:
    found = composite_schedule(
        1,
        start=NOW,
        duration_s=60,
        unit=RateUnit.A,
        profiles=(),
        transaction_starts={},
        local_limits=LOCAL,
        station_limit=MilliAmpere(63_000),
    )

    assert found.periods == (CompositePeriod(start_s=0, limit_tenths=320),)
    assert render_composite(found) == {
        "status": "Accepted",
        "connectorId": 1,
        "scheduleStart": "2026-03-01T12:00:00.000Z",
        "chargingSchedule": {
            "duration": 60,
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.0}],
        },
    }


SECONDS = st.integers(-400, 400).map(lambda s: NOW + timedelta(seconds=s))


@st.composite
def installed_profiles(draw: st.DrawFn) -> Installed:
    starts = sorted(draw(st.sets(st.integers(1, 300), max_size=3)))
    kind = draw(st.sampled_from(Kind))
    start = None if kind is Kind.RELATIVE else draw(SECONDS)
    if kind is Kind.RECURRING and start is not None:
        start -= timedelta(days=draw(st.integers(0, 15)))
    elif kind is Kind.ABSOLUTE:
        start = draw(st.sampled_from([None, start]))
    purpose = draw(st.sampled_from(Purpose))
    found = ChargingProfile(
        profile_id=draw(st.integers(1, 1000)),
        stack_level=draw(st.integers(0, 3)),
        purpose=purpose,
        kind=kind,
        recurrency=draw(st.sampled_from(Recurrency)) if kind is Kind.RECURRING else None,
        valid_from=draw(st.one_of(st.none(), SECONDS)),
        valid_to=draw(st.one_of(st.none(), SECONDS)),
        schedule=Schedule(
            unit=draw(st.sampled_from(RateUnit)),
            periods=tuple(Period(start_s=s, limit_tenths=draw(st.integers(0, 400))) for s in [0, *starts]),
            duration_s=draw(st.one_of(st.none(), st.integers(0, 400))),
            start=start,
        ),
    )
    connector_id = {
        Purpose.CHARGE_POINT_MAX: st.just(0),
        Purpose.TX_DEFAULT: st.integers(0, 1),
        Purpose.TX: st.just(1),
    }[purpose]
    return Installed(connector_id=draw(connector_id), profile=found, installed_at=draw(SECONDS))


PROFILES = st.lists(installed_profiles(), max_size=6).map(tuple)


@given(PROFILES, SECONDS, st.one_of(st.none(), SECONDS))
def test_section_3_13_no_limit_changes_before_the_next_change(
    profiles: tuple[Installed, ...], t: datetime, start: datetime | None
) -> None:
    change = next_change_after(t, profiles, connector_id=1, transaction_start=start)
    end = change or t + timedelta(days=8)
    before = limit_at(t, 1, profiles, start), station_limit_at(t, profiles)

    assert change is None or change > t
    for part in (0.001, 0.25, 0.5, 0.999):
        moment = t + (end - t) * part
        assert (limit_at(moment, 1, profiles, start), station_limit_at(moment, profiles)) == before


@given(PROFILES, SECONDS, st.one_of(st.none(), SECONDS), st.sets(st.integers(0, 5)))
def test_a_profile_that_cannot_be_read_never_raises_a_limit(
    profiles: tuple[Installed, ...], t: datetime, start: datetime | None, damaged: set[int]
) -> None:
    closed = tuple(
        replace(
            each,
            problem="damaged",
            profile=no_energy(
                profile_id=each.profile.profile_id,
                stack_level=each.profile.stack_level,
                purpose=each.profile.purpose,
            ),
        )
        if number in damaged
        else each
        for number, each in enumerate(profiles)
    )

    for before, after in (
        (limit_at(t, 1, profiles, start), limit_at(t, 1, closed, start)),
        (station_limit_at(t, profiles), station_limit_at(t, closed)),
    ):
        assert before is None or (after is not None and after.current <= before.current)
        assert after is None or after.is_readable or after.current == 0


@given(PROFILES, SECONDS, st.one_of(st.none(), st.integers(0, 900)), SECONDS)
def test_a_station_that_does_not_know_the_time_allows_no_more_than_at_any_time(
    profiles: tuple[Installed, ...], t: datetime, lasted_s: int | None, wrong: datetime
) -> None:
    lasted = None if lasted_s is None else timedelta(seconds=lasted_s)
    for right, untimed in (
        (
            limit_at(t, 1, profiles, None if lasted is None else t - lasted),
            limit_at(wrong, 1, profiles, None if lasted is None else wrong - lasted, time_is_known=False),
        ),
        (station_limit_at(t, profiles), station_limit_at(wrong, profiles, time_is_known=False)),
    ):
        assert right is None or (untimed is not None and untimed.current <= right.current)


@given(PROFILES, SECONDS, SECONDS, st.integers(0, 900))
def test_without_the_time_the_clock_changes_nothing(
    profiles: tuple[Installed, ...], one: datetime, other: datetime, lasted_s: int
) -> None:
    limits = [limit_at(t, 1, profiles, t - timedelta(seconds=lasted_s), time_is_known=False) for t in (one, other)]

    assert limits[0] == limits[1]


def test_a_schedule_relative_to_the_session_needs_no_clock() -> None:
    relative = installed(1, profile(Purpose.TX, kind=Kind.RELATIVE, schedule=schedule((0, 160), (600, 80))))

    early = limit_at(NOW, 1, relative, NOW - timedelta(seconds=599), time_is_known=False)
    late = limit_at(NOW, 1, relative, NOW - timedelta(seconds=600), time_is_known=False)

    assert early is not None
    assert late is not None
    assert (early.current, early.is_timed, late.current) == (16_000, True, 8_000)


@given(PROFILES, SECONDS, st.one_of(st.none(), SECONDS))
def test_errata_3_69_whatever_phases_a_car_uses_it_never_takes_more_than_the_watts_in_total(
    profiles: tuple[Installed, ...], t: datetime, start: datetime | None
) -> None:
    for limit in (limit_at(t, 1, profiles, start), station_limit_at(t, profiles)):
        if limit is not None and limit.unit is RateUnit.W:
            assert limit.current * 230 * 3 <= limit.limit_tenths * 100


@given(PROFILES, SECONDS, st.integers(0, 900), st.sampled_from(RateUnit), st.integers(0, 1))
def test_section_5_7_the_composite_schedule_tells_the_limits_of_every_second(
    profiles: tuple[Installed, ...], start: datetime, duration_s: int, unit: RateUnit, connector_id: int
) -> None:
    found = composite_schedule(
        connector_id,
        start=start,
        duration_s=duration_s,
        unit=unit,
        profiles=profiles,
        transaction_starts={1: NOW},
        local_limits={1: MilliAmpere(20_000)},
        station_limit=MilliAmpere(25_000),
    )

    assert found.periods[0].start_s == 0
    assert all(0 <= period.start_s < max(duration_s, 1) for period in found.periods)
    for earlier, later in zip(found.periods, found.periods[1:], strict=False):
        assert earlier.start_s < later.start_s
        assert (earlier.limit_tenths, earlier.phases) != (later.limit_tenths, later.phases)
    for second in range(0, max(duration_s, 1), 7 if duration_s > 100 else 1):
        present = next(period.limit_tenths for period in reversed(found.periods) if period.start_s <= second)
        t = start + timedelta(seconds=second)
        limits = [200 if unit is RateUnit.A else 138_000]
        limits += [
            limit.in_unit_hundredths(unit) // 10
            for limit in (limit_at(t, 1, profiles, NOW), station_limit_at(t, profiles))
            if limit is not None
        ]
        assert present == min(limits)
