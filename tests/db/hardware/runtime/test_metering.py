"""Meter values: the grids, what goes into StopTransaction, and clocks that do not run together."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from station.domain.moments import from_wire
from station.models import ChargingSession, OutboxMessage
from station.services.messages import ConfigurationChanged
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, configure, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


def stamps(bench: ControlLoopBench, connector: int = 1) -> list[Any]:
    return [
        from_wire(value["timestamp"])
        for _, payload in bench.messages("MeterValues")
        if payload["connectorId"] == connector
        for value in payload["meterValue"]
    ]


async def measure(bench: ControlLoopBench, **keys: str) -> None:
    configure(keys)
    await bench.control_loop.informed(ConfigurationChanged())


@in_virtual_time
async def test_samples_stand_on_the_grid_of_the_sessions_start(bench: ControlLoopBench) -> None:
    await measure(bench, MeterValueSampleInterval="10")
    await bench.charge()
    await asyncio.sleep(65)

    start = ChargingSession.objects.get().started_at
    assert stamps(bench) == [
        pytest.approx(start + timedelta(seconds=10 * number), abs=timedelta(milliseconds=1)) for number in range(1, 7)
    ]


@in_virtual_time
async def test_the_grid_survives_a_restart(bench: ControlLoopBench) -> None:
    await measure(bench, MeterValueSampleInterval="10")
    await bench.charge()
    await asyncio.sleep(22)
    await bench.kill()
    await asyncio.sleep(1)
    await bench.start()
    await asyncio.sleep(22)

    start = ChargingSession.objects.get().started_at
    offsets = [round((stamp - start).total_seconds(), 2) for stamp in stamps(bench)]
    assert offsets == [10.0, 20.0, 30.0, 40.0]


@pytest.mark.parametrize("apart_ms", [0, 1, 20, 60, 120, 500, 970])
@in_virtual_time
async def test_two_points_with_samples_every_second_lose_none(bench: ControlLoopBench, apart_ms: int) -> None:
    await measure(bench, MeterValueSampleInterval="1")
    bench.database.latency_s = 0.03
    for meter in bench.hall.meters.values():
        meter.latency_s = 0.08
    await bench.charge(1, card=CARD)
    await bench.charge(2, card=FRIEND)
    first, second = (bench.control_loop.points[number].session for number in (1, 2))
    second.started_at = first.started_at + timedelta(seconds=2, milliseconds=apart_ms)
    bench.control_loop.sampler.wake()
    await asyncio.sleep(2)
    OutboxMessage.objects.filter(kind="meter_sampled").delete()
    await asyncio.sleep(60)

    for number in (1, 2):
        taken = stamps(bench, number)
        gaps = [round((after - before).total_seconds(), 2) for before, after in pairwise(taken)]
        assert len(gaps) > 50
        assert gaps == [1.0] * len(gaps), number


@pytest.mark.parametrize("rate", [0.9995, 1.0005])
@pytest.mark.parametrize("interval", [1, 60])
@in_virtual_time
async def test_a_wall_clock_that_is_slowed_or_hurried_loses_and_doubles_nothing(
    bench: ControlLoopBench, rate: float, interval: int
) -> None:
    # A time service slews by up to 500 ppm (adjtimex(2)).
    await measure(bench, MeterValueSampleInterval=str(interval))
    bench.clock.rate = rate
    bench.database.latency_s = 0.001
    await bench.charge()
    await asyncio.sleep(20 * interval + 10)

    taken = stamps(bench)
    assert len(taken) >= 19
    gaps = [round((after - before).total_seconds(), 2) for before, after in pairwise(taken)]
    assert gaps == [float(interval)] * len(gaps)


@in_virtual_time
async def test_a_clock_that_jumps_brings_no_burst(bench: ControlLoopBench) -> None:
    await measure(bench, MeterValueSampleInterval="10")
    await bench.charge()
    await asyncio.sleep(15)
    bench.clock.jumped = timedelta(hours=2)
    await asyncio.sleep(60)

    assert 5 <= len(stamps(bench)) <= 8


@in_virtual_time
async def test_samples_carry_the_transaction_and_never_follow_its_end(bench: ControlLoopBench) -> None:
    await measure(bench, MeterValueSampleInterval="1", MeterValuesSampledData="Energy.Active.Import.Register")
    await bench.charge()
    await asyncio.sleep(7.3)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))
    await asyncio.sleep(5)

    actions = [action for action, _ in bench.messages()]
    assert actions[0] == "StartTransaction"
    assert actions[-1] == "StopTransaction"
    registers = [
        int(payload["meterValue"][0]["sampledValue"][0]["value"]) for _, payload in bench.messages("MeterValues")
    ]
    assert registers == sorted(registers)
    assert registers[-1] <= bench.messages("StopTransaction")[0][1]["meterStop"]


@in_virtual_time
async def test_an_interval_of_zero_takes_no_samples(bench: ControlLoopBench) -> None:
    await measure(bench, MeterValueSampleInterval="0", ClockAlignedDataInterval="0")
    await bench.charge()
    await asyncio.sleep(200)

    assert bench.messages("MeterValues") == []


@in_virtual_time
async def test_a_changed_interval_takes_effect_at_once(bench: ControlLoopBench) -> None:
    await measure(bench, MeterValueSampleInterval="600")
    await bench.charge()
    await asyncio.sleep(5)
    await measure(bench, MeterValueSampleInterval="2")
    await asyncio.sleep(10)

    assert 4 <= len(stamps(bench)) <= 6


@in_virtual_time
async def test_clock_aligned_samples_stand_on_the_clock_even_without_a_session(bench: ControlLoopBench) -> None:
    await measure(bench, ClockAlignedDataInterval="15", MeterValuesAlignedData="Energy.Active.Import.Register,Voltage")
    await asyncio.sleep(46)

    assert [stamp.second for stamp in stamps(bench, 1)] == [15, 30, 45]
    assert [stamp.second for stamp in stamps(bench, 2)] == [15, 30, 45]
    value = bench.messages("MeterValues")[0][1]["meterValue"][0]["sampledValue"]
    assert {each["context"] for each in value} == {"Sample.Clock"}
    assert {each.get("phase") for each in value} == {None, "L1-N", "L2-N", "L3-N"}


@in_virtual_time
async def test_without_a_known_time_nothing_is_aligned_to_it(bench: ControlLoopBench) -> None:
    bench.hall.computer.trustworthy = False
    await measure(bench, ClockAlignedDataInterval="15", MeterValuesAlignedData="Voltage")
    await asyncio.sleep(46)

    assert bench.messages("MeterValues") == []


@in_virtual_time
async def test_the_stop_carries_begin_samples_and_end(bench: ControlLoopBench) -> None:
    await measure(
        bench,
        MeterValueSampleInterval="10",
        MeterValuesSampledData="",
        StopTxnSampledData="Energy.Active.Import.Register",
    )
    await bench.charge()
    await asyncio.sleep(25)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))

    assert bench.messages("MeterValues") == []
    data = bench.messages("StopTransaction")[0][1]["transactionData"]
    contexts = [each["sampledValue"][0]["context"] for each in data]
    assert contexts == ["Transaction.Begin", "Sample.Periodic", "Sample.Periodic", "Transaction.End"]
    values = [int(each["sampledValue"][0]["value"]) for each in data]
    assert values == sorted(values)
    session = ChargingSession.objects.get()
    assert (values[0], values[-1]) == (session.meter_start_wh, session.meter_stop_wh)
    moments = [each["timestamp"] for each in data]
    assert moments == sorted(moments)
    # They wait there for the backend.
    assert session.samples.count() == 4


@in_virtual_time
async def test_errata_3_91_a_long_session_ends_with_a_message_of_bounded_length(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.services.sessions.MOST_STOP_VALUES", 5)
    await measure(bench, MeterValueSampleInterval="1", StopTxnSampledData="Energy.Active.Import.Register")
    await bench.charge()
    await asyncio.sleep(25)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))

    data = bench.messages("StopTransaction")[0][1]["transactionData"]
    contexts = [each["sampledValue"][0]["context"] for each in data]
    assert 1 < len(contexts) <= 7
    assert (contexts[0], contexts[-1]) == ("Transaction.Begin", "Transaction.End")


@in_virtual_time
async def test_a_stop_without_stop_measurands_carries_no_data(bench: ControlLoopBench) -> None:
    await measure(bench, StopTxnSampledData="", StopTxnAlignedData="")
    await bench.charge()
    await asyncio.sleep(5)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))

    assert "transactionData" not in bench.messages("StopTransaction")[0][1]


@in_virtual_time
async def test_a_session_closed_after_a_power_cut_carries_its_begin_and_its_end(bench: ControlLoopBench) -> None:
    await measure(bench, StopTxnSampledData="Energy.Active.Import.Register")
    await bench.charge()
    await asyncio.sleep(12)
    await bench.kill()
    bench.hall.outlets[1].unplug()
    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"))

    data = bench.messages("StopTransaction")[0][1]["transactionData"]
    contexts = [each["sampledValue"][0]["context"] for each in data]
    assert (contexts[0], contexts[-1]) == ("Transaction.Begin", "Transaction.End")


@in_virtual_time
async def test_the_energy_of_an_interval_is_what_flowed_in_it(bench: ControlLoopBench) -> None:
    await measure(
        bench, MeterValueSampleInterval="10", MeterValuesSampledData="Energy.Active.Import.Interval,Current.Offered"
    )
    await bench.charge()
    await asyncio.sleep(45)

    payloads = [payload["meterValue"][0]["sampledValue"] for _, payload in bench.messages("MeterValues")]
    # 22,080 W for 10 s are 61.3 Wh.
    first, *others = (int(values[0]["value"]) for values in payloads)
    # Before the first one the bolt had to move and the car to answer.
    assert 48 <= first <= 62
    assert all(abs(energy - 61) <= 6 for energy in others)
    assert {values[1]["value"] for values in payloads} == {"32.0"}


@in_virtual_time
async def test_the_register_is_noted_so_that_a_power_cut_loses_little(bench: ControlLoopBench) -> None:
    await measure(bench, MeterValueSampleInterval="0")
    await bench.charge()
    await asyncio.sleep(35)

    noted = ChargingSession.objects.get()
    assert bench.hall.outlets[1].register_wh - noted.meter_last_wh <= 75


def intervals(bench: ControlLoopBench, context: str) -> list[int]:
    return [
        int(value["value"])
        for _, payload in bench.messages("MeterValues")
        if payload["connectorId"] == 1
        for each in payload["meterValue"]
        for value in each["sampledValue"]
        if value["measurand"] == "Energy.Active.Import.Interval" and value["context"] == context
    ]


@in_virtual_time
async def test_errata_3_78_the_first_interval_after_a_restart_does_not_repeat_the_session(
    bench: ControlLoopBench,
) -> None:
    await measure(
        bench,
        MeterValueSampleInterval="60",
        MeterValuesSampledData="Energy.Active.Import.Interval",
        ClockAlignedDataInterval="60",
        MeterValuesAlignedData="Energy.Active.Import.Interval",
    )
    await bench.charge()
    await asyncio.sleep(250)
    await bench.kill()
    await asyncio.sleep(2)
    await bench.start()
    await asyncio.sleep(180)

    # 22,080 W for 60 s are 368 Wh.
    for context in ("Sample.Periodic", "Sample.Clock"):
        told = intervals(bench, context)
        assert len(told) >= 6
        assert all(abs(each - 368) <= 12 for each in told[1:]), (context, told)


@in_virtual_time
async def test_errata_3_78_each_context_tells_what_flowed_since_its_own_last_sample(bench: ControlLoopBench) -> None:
    await measure(
        bench,
        MeterValueSampleInterval="30",
        MeterValuesSampledData="Energy.Active.Import.Interval",
        ClockAlignedDataInterval="900",
        MeterValuesAlignedData="Energy.Active.Import.Interval",
    )
    await bench.charge()
    await asyncio.sleep(1900)

    assert all(abs(each - 184) <= 8 for each in intervals(bench, "Sample.Periodic")[1:])
    assert abs(intervals(bench, "Sample.Clock")[1] - 5_520) <= 20


@in_virtual_time
async def test_errata_3_91_a_long_end_is_bounded_in_bytes_too(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.services.sessions.MOST_STOP_QUANTITIES", 40)
    await measure(
        bench, MeterValueSampleInterval="1", StopTxnSampledData="Energy.Active.Import.Register,Voltage,Current.Import"
    )
    await bench.charge()
    await asyncio.sleep(25)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))

    data = bench.messages("StopTransaction")[0][1]["transactionData"]
    assert sum(len(each["sampledValue"]) for each in data[1:-1]) <= 40
    assert [each["sampledValue"][0]["context"] for each in data][:2] == ["Transaction.Begin", "Sample.Periodic"]
