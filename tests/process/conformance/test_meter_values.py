"""Meter values: sampled, clock-aligned, in StopTransaction; measurands, phases, units, contexts."""

import itertools
import time
from datetime import timedelta
from typing import Any

import pytest

from tests.process.conformance.bench import ConformanceBench, Payload, at, never, section

DEFAULT = "Energy.Active.Import.Register"
ALL = (
    "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage,Current.Offered,Power.Offered,"
    "Energy.Active.Import.Interval"
)


def samples(sent: Payload) -> list[dict[str, Any]]:
    return [sample for value in sent["meterValue"] for sample in value["sampledValue"]]


def measurands(sent: Payload) -> set[str]:
    return {sample.get("measurand", DEFAULT) for sample in samples(sent)}


def energy(sent: Payload) -> float:
    return next(float(one["value"]) for one in samples(sent) if one.get("measurand", DEFAULT) == DEFAULT)


@section("S 3.16", "S 4.7", "S 9.1 MeterValueSampleInterval")
def test_samples_come_in_their_interval_with_transaction_and_context(bench: ConformanceBench) -> None:
    bench.configure(MeterValueSampleInterval=1)
    transaction = bench.charge()

    bench.backend.wait_for("MeterValues", after=bench.begun, count=3)

    sent = bench.received("MeterValues")
    assert {(one["connectorId"], one["transactionId"]) for one in sent} == {(1, transaction)}
    assert {one.get("context", "Sample.Periodic") for each in sent for one in samples(each)} == {"Sample.Periodic"}
    # Exactly one second apart is proven in virtual time (tests/db/hardware/runtime/test_metering.py).
    stamps = [at(one["meterValue"][0]["timestamp"]) for one in sent]
    assert all(before < after for before, after in itertools.pairwise(stamps))
    assert stamps[2] - stamps[0] > timedelta(seconds=1)


@section("S 9.1 MeterValueSampleInterval")
def test_interval_zero_means_no_samples(bench: ConformanceBench) -> None:
    bench.charge()

    never(lambda: bench.received("MeterValues"), for_s=1.5)


@section("S 3.16")
def test_without_a_transaction_nothing_is_sampled_periodically(bench: ConformanceBench) -> None:
    bench.configure(MeterValueSampleInterval=1)
    bench.plug()

    never(lambda: bench.received("MeterValues"), for_s=1.5)


@section("S 7.31", "S 7.40")
def test_every_measurand_asked_for_is_in_a_sample_with_unit_and_phase(bench: ConformanceBench) -> None:
    bench.configure(MeterValuesSampledData=ALL, MeterValueSampleInterval=1)
    bench.charge()
    sent = bench.backend.wait_for("MeterValues", after=bench.begun, count=2).payload

    assert measurands(sent) >= set(ALL.split(",")) - {"Energy.Active.Import.Interval"}
    units = {one.get("measurand", DEFAULT): one.get("unit", "Wh") for one in samples(sent)}
    assert units[DEFAULT] == "Wh"
    assert units["Power.Active.Import"] == "W"
    assert units["Current.Import"] == "A"
    assert units["Voltage"] == "V"
    assert units["Current.Offered"] == "A"
    assert units["Power.Offered"] == "W"
    phases = {one.get("phase") for one in samples(sent) if one.get("measurand") == "Current.Import"}
    assert {"L1", "L2", "L3"} <= phases
    phases = {one.get("phase") for one in samples(sent) if one.get("measurand") == "Voltage"}
    assert {"L1-N", "L2-N", "L3-N"} <= phases or {"L1", "L2", "L3"} <= phases


@section("S 7.31", "S 9.1 MeterValuesSampledData")
def test_a_measurand_with_a_phase_brings_this_phase_only(bench: ConformanceBench) -> None:
    bench.configure(MeterValuesSampledData="Current.Import.L2", MeterValueSampleInterval=1)
    bench.charge()
    sent = bench.wait_for("MeterValues")

    assert [(one["measurand"], one["phase"]) for one in samples(sent)] == [("Current.Import", "L2")]


@section("S 6.31", "S 7.43")
def test_values_are_texts_of_numbers_and_match_what_the_meter_says(bench: ConformanceBench) -> None:
    bench.configure(MeterValueSampleInterval=1)
    bench.charge()
    bench.backend.wait_for("MeterValues", after=bench.begun, count=2)
    sent = bench.received("MeterValues")[-1]

    assert all(isinstance(one["value"], str) and float(one["value"]) >= 0 for one in samples(sent))
    assert abs(energy(sent) - bench.station.connector()["energy_wh"]) <= 15
    volts = [float(one["value"]) for one in samples(sent) if one.get("measurand") == "Voltage"]
    assert all(200 <= volt <= 260 for volt in volts)


@section("S 4.7")
def test_the_register_never_runs_backwards(bench: ConformanceBench) -> None:
    bench.configure(MeterValueSampleInterval=1)
    bench.sim("/speed", factor=30)
    bench.charge()
    bench.backend.wait_for("MeterValues", after=bench.begun, count=3)
    bench.unplug()
    stop = bench.wait_for("StopTransaction")

    start = bench.wait_for("StartTransaction")
    registers = [start["meterStart"], *(energy(one) for one in bench.received("MeterValues")), stop["meterStop"]]
    assert registers == sorted(registers)
    assert registers[-1] > registers[0]


@section("S 9.1 MeterValuesSampledData")
def test_without_measurands_nothing_is_sampled(bench: ConformanceBench) -> None:
    bench.configure(MeterValuesSampledData="", MeterValueSampleInterval=1, StopTxnSampledData="")
    bench.charge()

    never(lambda: bench.received("MeterValues"), for_s=1.5)


@section("S 9.1 ClockAlignedDataInterval", "S 4.7")
def test_clock_aligned_values_stand_on_the_grid_of_the_day_also_without_a_transaction(bench: ConformanceBench) -> None:
    bench.configure(ClockAlignedDataInterval=2)

    bench.backend.wait_for("MeterValues", after=bench.begun, count=4, timeout=10)

    sent = bench.received("MeterValues")
    assert {one["connectorId"] for one in sent} >= {1, 2}
    assert all("transactionId" not in one for one in sent)
    for one in sent:
        stamp = at(one["meterValue"][0]["timestamp"])
        midnight = stamp.replace(hour=0, minute=0, second=0, microsecond=0)
        assert (stamp - midnight) % timedelta(seconds=2) < timedelta(milliseconds=500)
        assert {sample["context"] for sample in samples(one)} == {"Sample.Clock"}


@section("S 9.1 ClockAlignedDataInterval")
def test_clock_aligned_values_name_the_transaction_that_runs(bench: ConformanceBench) -> None:
    bench.configure(ClockAlignedDataInterval=1)
    transaction = bench.charge()

    bench.wait_for("MeterValues", connectorId=1, transactionId=transaction)

    bench.unplug()
    bench.wait_for("StopTransaction")


IDLE = {"Energy.Active.Import.Register", "Power.Active.Import", "Current.Import", "Voltage"}


def shown(payload: Payload) -> dict[str, set[tuple[str | None, str | None]]]:
    """Give phases and units by measurand."""
    values: dict[str, set[tuple[str | None, str | None]]] = {}
    for value in payload["meterValue"][0]["sampledValue"]:
        values.setdefault(value["measurand"], set()).add((value.get("phase"), value.get("unit")))
    return values


@section("S 9.1 MeterValuesAlignedData", "S 9.1 ClockAlignedDataInterval", "S 3.16.3", "S 4.7")
def test_an_idle_station_shows_current_power_and_voltage_of_every_phase_without_further_settings(
    bench: ConformanceBench,
) -> None:
    bench.configure(ClockAlignedDataInterval=1)

    for connector in (1, 2):
        told = bench.wait_for("MeterValues", connectorId=connector)
        values = shown(told)
        assert "transactionId" not in told
        assert set(values) >= IDLE
        assert {phase for phase, _ in values["Current.Import"]} == {"L1", "L2", "L3"}
        assert {phase for phase, _ in values["Voltage"]} == {"L1-N", "L2-N", "L3-N"}
        units = {name: {unit for _, unit in each} for name, each in values.items()}
        assert units["Current.Import"] == {"A"}
        assert units["Voltage"] == {"V"}
        assert units["Power.Active.Import"] == {"W"}
        assert units["Energy.Active.Import.Register"] <= {"Wh", None}


@section("S 5.17", "S 3.16.3")
def test_an_idle_station_asked_for_meter_values_tells_all_of_them(bench: ConformanceBench) -> None:
    mark = bench.mark()

    assert bench.status_of("TriggerMessage", requestedMessage="MeterValues") == "Accepted"

    for connector in (1, 2):
        told = bench.wait_for("MeterValues", after=mark, connectorId=connector)
        assert "transactionId" not in told
        assert set(shown(told)) >= IDLE


@section("S 9.1 MeterValuesAlignedData")
def test_aligned_and_sampled_values_have_measurands_of_their_own(bench: ConformanceBench) -> None:
    bench.configure(
        MeterValuesAlignedData="Voltage",
        MeterValuesSampledData="Current.Import",
        ClockAlignedDataInterval=1,
        MeterValueSampleInterval=1,
    )
    bench.charge()
    bench.backend.wait_for("MeterValues", after=bench.begun, count=6, timeout=10)

    for one in bench.received("MeterValues"):
        contexts = {sample.get("context", "Sample.Periodic") for sample in samples(one)}
        assert measurands(one) == ({"Voltage"} if contexts == {"Sample.Clock"} else {"Current.Import"})


@section("S 9.1 StopTxnSampledData", "E 3.14")
def test_the_end_of_a_transaction_carries_its_samples(bench: ConformanceBench) -> None:
    bench.configure(MeterValueSampleInterval=1, StopTxnSampledData="Energy.Active.Import.Register,Voltage")
    bench.charge()
    bench.backend.wait_for("MeterValues", after=bench.begun, count=2)
    bench.unplug()
    data = bench.wait_for("StopTransaction")["transactionData"]

    contexts = [value["sampledValue"][0].get("context", "Sample.Periodic") for value in data]
    assert contexts[0] == "Transaction.Begin"
    assert contexts[-1] == "Transaction.End"
    assert set(contexts[1:-1]) == {"Sample.Periodic"}
    stamps = [at(value["timestamp"]) for value in data]
    assert stamps == sorted(stamps)


@section("S 9.1 StopTxnAlignedData")
def test_the_end_of_a_transaction_carries_its_clock_aligned_values(bench: ConformanceBench) -> None:
    bench.configure(ClockAlignedDataInterval=1, StopTxnAlignedData="Voltage", StopTxnSampledData="")
    bench.charge()
    time.sleep(2.2)
    bench.unplug()
    data = bench.wait_for("StopTransaction")["transactionData"]

    contexts = {one["context"] for value in data for one in value["sampledValue"]}
    assert contexts == {"Transaction.Begin", "Sample.Clock", "Transaction.End"}


@section("S 3.16", "S 9.1 MeterValueSampleInterval")
def test_a_changed_interval_counts_at_once(bench: ConformanceBench) -> None:
    bench.configure(MeterValueSampleInterval=3600)
    bench.charge()

    bench.configure(MeterValueSampleInterval=1)

    bench.backend.wait_for("MeterValues", after=bench.begun, count=2, timeout=5)


@section("S 7.31")
@pytest.mark.parametrize("measurand", ["Current.Offered", "Power.Offered"])
def test_what_is_offered_follows_the_limit(bench: ConformanceBench, measurand: str) -> None:
    bench.configure(MeterValuesSampledData=measurand, MeterValueSampleInterval=1)
    bench.charge()
    bench.backend.wait_for("MeterValues", after=bench.begun, count=2)

    sent = bench.received("MeterValues")[-1]
    expected = {"Current.Offered": 32.0, "Power.Offered": 22_080.0}[measurand]
    assert [float(one["value"]) for one in samples(sent)] == [expected]


@section("S 3.16", "S 4.7")
def test_after_the_stop_nothing_more_is_sampled(bench: ConformanceBench) -> None:
    bench.configure(MeterValueSampleInterval=1)
    bench.charge()
    bench.backend.wait_for("MeterValues", after=bench.begun)
    bench.unplug()
    bench.wait_for("StopTransaction")
    mark = bench.mark()

    never(lambda: bench.received("MeterValues", after=mark), for_s=1.5)
