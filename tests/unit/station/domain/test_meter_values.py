"""Meter values: OCPP 1.6 sections 3.16, 4.7, 7.31, 9.1 and the errata."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.meter_values import (
    SUPPORTED,
    Measurand,
    MeasurandSelection,
    ReadingContext,
    Sample,
    TooManyMeasurandsError,
    UnsupportedMeasurandError,
    meter_value,
    next_aligned,
    next_sampled,
    normal_form,
    parse_measurands,
    sampled_values,
    transaction_data,
)
from station.domain.ports import MeterReading
from station.domain.units import MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
READING = MeterReading(
    read_at_s=5.0,
    import_energy=WattHour(18_240),
    power=Watt(11_040),
    voltages=(MilliVolt(230_100), MilliVolt(229_000), MilliVolt(231_050)),
    currents=(MilliAmpere(16_000), MilliAmpere(15_984), MilliAmpere(0)),
    phase_powers=(Watt(3_680), Watt(3_670), Watt(0)),
    frequency=MilliHertz(49_980),
)
SAMPLE = Sample(
    at=NOW,
    reading=READING,
    context=ReadingContext.SAMPLE_PERIODIC,
    offered=MilliAmpere(16_000),
    interval_energy=WattHour(184),
)


def values(csl: str, sample: Sample = SAMPLE) -> list[tuple[str, str | None, str, str | None]]:
    return [
        (each["measurand"], each.get("phase"), each["value"], each.get("unit"))
        for each in sampled_values(sample, parse_measurands(csl, 16))
    ]


def test_manual_the_default_list_is_read_and_written_unchanged() -> None:
    csl = "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage"

    assert normal_form(parse_measurands(csl, 16)) == csl


def test_section_3_16_4_lists_get_one_normal_form() -> None:
    csl = " voltage , Current.Import.L2,CURRENT.IMPORT.l2 ,Voltage.L1-N,Voltage.L1"

    assert normal_form(parse_measurands(csl, 16)) == "Voltage,Current.Import.L2,Voltage.L1"


@pytest.mark.parametrize("csl", ["", "  "])
def test_section_3_16_4_an_empty_list_is_valid(csl: str) -> None:
    assert parse_measurands(csl, 16) == ()
    assert normal_form(()) == ""


@pytest.mark.parametrize(
    ("csl", "item"),
    [
        ("Voltage,SoC", "SoC"),
        ("Energy.Active.Export.Register", "Energy.Active.Export.Register"),
        ("Temperature,Voltage", "Temperature"),
        ("Voltage,", ""),
        ("Voltage.L4", "Voltage.L4"),
        ("Energy.Active.Import.Register.L1", "Energy.Active.Import.Register.L1"),
        ("Current.Import.L1-N", "Current.Import.L1-N"),
        ("Power.Offered.L1", "Power.Offered.L1"),
        ("Voltage;Frequency", "Voltage;Frequency"),
    ],
)
def test_section_3_16_4_one_unsupported_item_refuses_the_whole_list(csl: str, item: str) -> None:
    with pytest.raises(UnsupportedMeasurandError) as refused:
        parse_measurands(csl, 16)

    assert refused.value.item == item


def test_section_3_16_4_a_measurand_the_meters_lack_is_unsupported() -> None:
    with pytest.raises(UnsupportedMeasurandError):
        parse_measurands("Voltage,Frequency", 16, SUPPORTED - {Measurand.FREQUENCY})


def test_section_3_16_4_a_list_longer_than_its_max_length_is_refused() -> None:
    assert len(parse_measurands("Voltage,Frequency", 2)) == 2
    with pytest.raises(TooManyMeasurandsError):
        parse_measurands("Voltage,Frequency,Power.Offered", 2)


def test_section_7_31_every_supported_measurand_is_measured() -> None:
    for measurand in SUPPORTED:
        assert sampled_values(SAMPLE, [MeasurandSelection(measurand=measurand)]), measurand


def test_section_7_31_values_are_texts_in_the_units_of_the_standard() -> None:
    csl = (
        "Energy.Active.Import.Register,Energy.Active.Import.Interval,Power.Active.Import,Power.Offered,"
        "Current.Offered,Frequency"
    )

    assert values(csl) == [
        ("Energy.Active.Import.Register", None, "18240", "Wh"),
        ("Energy.Active.Import.Interval", None, "184", "Wh"),
        ("Power.Active.Import", None, "11040", "W"),
        ("Power.Offered", None, "11040", "W"),
        ("Current.Offered", None, "16.0", "A"),
        ("Frequency", None, "49.98", None),
    ]


def test_section_7_36_phases_stand_in_their_own_field() -> None:
    assert values("Current.Import,Voltage") == [
        ("Current.Import", "L1", "16.0", "A"),
        ("Current.Import", "L2", "15.984", "A"),
        ("Current.Import", "L3", "0.0", "A"),
        ("Voltage", "L1-N", "230.1", "V"),
        ("Voltage", "L2-N", "229.0", "V"),
        ("Voltage", "L3-N", "231.05", "V"),
    ]
    assert values("Power.Active.Import.L2,Current.Import.L1") == [
        ("Power.Active.Import", "L2", "3670", "W"),
        ("Current.Import", "L1", "16.0", "A"),
    ]


def test_section_7_36_a_phase_named_twice_is_sent_once() -> None:
    assert len(values("Voltage.L2,Voltage")) == 3


def test_section_7_32_every_value_says_context_format_and_location() -> None:
    (value,) = sampled_values(SAMPLE, parse_measurands("Power.Active.Import", 1))

    assert value == {
        "value": "11040",
        "context": "Sample.Periodic",
        "format": "Raw",
        "measurand": "Power.Active.Import",
        "location": "Outlet",
        "unit": "W",
    }


def test_section_6_31_what_the_meter_does_not_deliver_is_left_out_and_an_empty_list_is_never_sent() -> None:
    poor = replace(SAMPLE, reading=MeterReading(read_at_s=1.0, import_energy=WattHour(7)), interval_energy=None)
    everything = normal_form([MeasurandSelection(measurand=measurand) for measurand in Measurand])

    assert [value[0] for value in values(everything, poor)] == [
        "Energy.Active.Import.Register",
        "Power.Offered",
        "Current.Offered",
    ]
    assert meter_value(poor, parse_measurands("Voltage", 16)) is None


def test_section_3_15_timestamps_are_utc() -> None:
    berlin = replace(SAMPLE, at=NOW.astimezone(timezone(timedelta(hours=1))))
    value = meter_value(berlin, parse_measurands("Voltage", 16))

    assert value is not None
    assert value["timestamp"] == "2026-03-01T12:00:00.000Z"


def test_section_9_1_5_the_aligned_grid_begins_at_midnight() -> None:
    assert next_aligned(NOW, 900) == NOW + timedelta(minutes=15)
    assert next_aligned(NOW + timedelta(seconds=1), 900) == NOW + timedelta(minutes=15)
    assert next_aligned(NOW, 0) is None
    # 7 hours do not divide a day: after 21:00 comes midnight.
    assert next_aligned(NOW.replace(hour=22), 7 * 3600) == datetime(2026, 3, 2, tzinfo=UTC)
    assert next_aligned(NOW, 100_000) == datetime(2026, 3, 2, tzinfo=UTC)


def test_section_9_1_19_samples_lie_on_the_grid_of_the_transaction_start() -> None:
    start = NOW + timedelta(seconds=7)

    assert next_sampled(start, start, 60) == start + timedelta(seconds=60)
    assert next_sampled(start, start + timedelta(seconds=60), 60) == start + timedelta(seconds=120)
    assert next_sampled(start, NOW, 60) == start + timedelta(seconds=60)
    assert next_sampled(start, start, 0) is None


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS, st.integers(1, 200_000))
def test_section_9_1_5_no_burst_follows_a_sleep(now: datetime, interval_s: int) -> None:
    following = next_aligned(now, interval_s)

    assert following is not None
    assert now < following <= now + timedelta(seconds=interval_s)


@given(MOMENTS, MOMENTS, st.integers(1, 200_000))
def test_section_9_1_19_no_burst_follows_a_sleep(start: datetime, now: datetime, interval_s: int) -> None:
    following = next_sampled(start, now, interval_s)

    assert following is not None
    assert following > now
    assert (following - start) % timedelta(seconds=interval_s) == timedelta(0)
    assert following - max(now, start) <= timedelta(seconds=interval_s)


ENERGY = parse_measurands("Energy.Active.Import.Register", 16)
POWER = parse_measurands("Power.Active.Import", 16)


def at(second: int, context: ReadingContext) -> Sample:
    return replace(SAMPLE, at=NOW + timedelta(seconds=second), context=context)


PERIODIC = [at(second, ReadingContext.SAMPLE_PERIODIC) for second in range(1, 9)]


def test_errata_3_14_begin_and_end_bring_every_measurand_of_both_lists() -> None:
    clock = at(5, ReadingContext.SAMPLE_CLOCK)
    data = transaction_data(SAMPLE, [PERIODIC[0], clock], SAMPLE, sampled=ENERGY, aligned=POWER)

    assert [[(v["context"], v["measurand"]) for v in value["sampledValue"]] for value in data] == [
        [
            ("Transaction.Begin", "Energy.Active.Import.Register"),
            ("Transaction.Begin", "Power.Active.Import"),
        ],
        [("Sample.Periodic", "Energy.Active.Import.Register")],
        [("Sample.Clock", "Power.Active.Import")],
        [
            ("Transaction.End", "Energy.Active.Import.Register"),
            ("Transaction.End", "Power.Active.Import"),
        ],
    ]


def test_section_9_1_27_empty_lists_mean_no_transaction_data() -> None:
    assert transaction_data(SAMPLE, PERIODIC, SAMPLE, sampled=(), aligned=()) == []


def test_section_4_8_a_lost_reading_leaves_its_place_empty() -> None:
    data = transaction_data(None, PERIODIC[:1], None, sampled=ENERGY, aligned=())

    assert len(data) == 1


@given(st.integers(0, 50), st.integers(0, 60))
def test_errata_3_91_begin_and_end_are_never_dropped(count: int, max_values: int) -> None:
    samples = [at(second, ReadingContext.SAMPLE_PERIODIC) for second in range(1, count + 1)]
    end = at(1000, ReadingContext.OTHER)
    data = transaction_data(SAMPLE, samples, end, sampled=ENERGY, aligned=(), max_values=max_values)
    stamps = [value["timestamp"] for value in data]

    assert len(data) <= max(max_values, 2)
    assert data[0]["sampledValue"][0]["context"] == "Transaction.Begin"
    assert data[-1]["sampledValue"][0]["context"] == "Transaction.End"
    assert stamps == sorted(stamps)
    if count + 2 <= max_values:
        assert len(data) == count + 2
