"""Meter values: OCPP 1.6 sections 3.16, 4.7, 7.31, 9.1 and the errata."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.meter_values import (
    SUPPORTED,
    Measurand,
    MeasurandSelection,
    MeasurandUnsupported,
    ReadingContext,
    Sample,
    TooManyMeasurands,
    meter_value,
    next_aligned,
    next_sampled,
    normal_form,
    parse_measurands,
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


def values(csl: str, sample: Sample = SAMPLE) -> list[tuple[str, int | None, int]]:
    value = meter_value(sample, parse_measurands(csl, 16))
    return [] if value is None else [(each.measurand.value, each.phase, each.value) for each in value.quantities]


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
    with pytest.raises(MeasurandUnsupported) as refused:
        parse_measurands(csl, 16)

    assert refused.value.item == item


def test_section_3_16_4_a_measurand_the_meters_lack_is_unsupported() -> None:
    with pytest.raises(MeasurandUnsupported):
        parse_measurands("Voltage,Frequency", 16, SUPPORTED - {Measurand.FREQUENCY})


def test_section_3_16_4_a_list_longer_than_its_max_length_is_refused() -> None:
    assert len(parse_measurands("Voltage,Frequency", 2)) == 2
    with pytest.raises(TooManyMeasurands):
        parse_measurands("Voltage,Frequency,Power.Offered", 2)


def test_section_7_31_every_supported_measurand_is_measured() -> None:
    for measurand in SUPPORTED:
        assert meter_value(SAMPLE, [MeasurandSelection(measurand=measurand)]), measurand


def test_section_7_31_values_are_integers_in_the_order_of_the_list() -> None:
    csl = "Frequency,Energy.Active.Import.Register,Current.Import.L2,Power.Offered,Voltage"

    assert values(csl) == [
        ("Frequency", None, 49_980),
        ("Energy.Active.Import.Register", None, 18_240),
        ("Current.Import", 2, 15_984),
        ("Power.Offered", None, 11_040),
        ("Voltage", 1, 230_100),
        ("Voltage", 2, 229_000),
        ("Voltage", 3, 231_050),
    ]


def test_section_3_16_3_power_without_a_phase_tells_the_sum_and_every_phase_that_was_measured() -> None:
    two = replace(SAMPLE, reading=replace(READING, phase_powers=(Watt(3_680), None, Watt(0))))

    assert values("Power.Active.Import", two) == [
        ("Power.Active.Import", None, 11_040),
        ("Power.Active.Import", 1, 3_680),
        ("Power.Active.Import", 3, 0),
    ]
    assert values("Power.Active.Import", replace(two, reading=replace(two.reading, power=None)))[0][1] == 1


def test_section_7_36_a_phase_named_twice_is_sent_once() -> None:
    assert len(values("Voltage.L2,Voltage")) == 3


def test_section_6_31_what_the_meter_does_not_deliver_is_left_out_and_an_empty_list_is_never_sent() -> None:
    poor = replace(SAMPLE, reading=MeterReading(read_at_s=1.0, import_energy=WattHour(7)), interval_energy=None)
    everything = normal_form([MeasurandSelection(measurand=measurand) for measurand in Measurand])

    assert [value[0] for value in values(everything, poor)] == [
        "Energy.Active.Import.Register",
        "Power.Offered",
        "Current.Offered",
    ]
    assert meter_value(poor, parse_measurands("Voltage", 16)) is None


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
    interval = timedelta(seconds=interval_s)
    # A start that is far ahead was stamped before the clock was set back: samples do not wait until it comes again.
    assert following - now <= (2 * interval if now < start <= now + interval else interval)
