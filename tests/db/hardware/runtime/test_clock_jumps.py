"""The wall clock leaps two hours ahead and two hours back while a car charges: only what is told of moments changes."""

import asyncio
import json
import uuid
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from ocpp_client.outgoing import outbox_store
from station.domain.commands import Origin, Outcome, Refusal, StartSession
from station.domain.connector import Phase
from station.domain.moments import from_wire
from station.models import ChargingSession, OutboxMessage
from station.models.backend import OutboxStatus
from station.services.commands import Envelope
from station.services.messages import ConfigurationChanged
from tests.db.hardware.runtime.bench import CARD, ControlLoopBench, configure, in_virtual_time

INTERVAL_S = 60
BETWEEN_S = 600
AHEAD, TRUE, BACK = timedelta(hours=2), timedelta(), timedelta(hours=-2)


def samples(bench: ControlLoopBench) -> list[tuple[datetime, int]]:
    """Return moment and register of every sample, in the order they are told."""
    values = [value for _, payload in bench.messages("MeterValues") for value in payload["meterValue"]]
    return [(from_wire(each["timestamp"]), int(each["sampledValue"][0]["value"])) for each in values]


async def change(bench: ControlLoopBench, **keys: str) -> None:
    configure(keys)
    await bench.control_loop.informed(ConfigurationChanged())


async def leap(bench: ControlLoopBench, jumped: timedelta, *, trusted: bool) -> None:
    bench.clock.jumped, bench.hall.computer.trustworthy = jumped, trusted
    await asyncio.sleep(BETWEEN_S)


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("leaps", [(AHEAD, TRUE, BACK, TRUE), (AHEAD, BACK)])
@in_virtual_time
async def test_a_session_is_measured_and_supplied_as_before(
    bench: ControlLoopBench, *, leaps: tuple[timedelta, ...], trusted: bool, is_told: bool
) -> None:
    await change(
        bench, MeterValueSampleInterval=str(INTERVAL_S), MeterValuesSampledData="Energy.Active.Import.Register"
    )
    await bench.charge()
    began_s = bench.loop.time()
    counts = []
    for jumped in leaps:
        if is_told:
            OutboxMessage.objects.update(status=OutboxStatus.DELIVERED, id_was_sent=True)
        before = len(samples(bench))
        await leap(bench, jumped, trusted=trusted)
        counts.append(len(samples(bench)) - before)
        assert bench.control_loop.points[1].state.phase is Phase.CHARGING
    session = bench.control_loop.points[1].session
    assert session is not None

    # A leap may cost the sample it falls upon, and makes up for none.
    assert all(abs(count - BETWEEN_S // INTERVAL_S) <= 1 for count in counts), counts
    registers = [register for _, register in samples(bench)]
    assert registers == sorted(registers)
    # Energy was not interrupted by any of it.
    assert {current for at_s, current, _ in bench.hall.outlets[1].history if at_s > began_s + 1} <= {32_000}
    assert abs(bench.loop.time() - session.began_s - len(leaps) * BETWEEN_S) < 10

    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))
    [(_, start)], [(_, stop)] = bench.messages("StartTransaction"), bench.messages("StopTransaction")
    assert from_wire(start["timestamp"]) <= from_wire(stop["timestamp"])
    assert start["meterStart"] <= registers[0] <= registers[-1] <= stop["meterStop"]
    row = ChargingSession.objects.get()
    assert row.meter_stop_wh == bench.hall.outlets[1].register_wh
    assert row.stopped_at is not None
    assert row.stopped_at >= row.started_at


@pytest.mark.parametrize("jumped", [timedelta(hours=2), timedelta(hours=-2)])
@in_virtual_time
async def test_what_waits_for_a_duration_waits_as_long_as_ever(bench: ControlLoopBench, jumped: timedelta) -> None:
    await change(bench, ConnectionTimeOut="60")
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    await asyncio.sleep(30)
    bench.clock.jumped = jumped
    await asyncio.sleep(25)
    assert bench.control_loop.points[1].state.phase is Phase.PLUGGED

    await bench.phase("lapsed", seconds=10)


@pytest.mark.parametrize("jumped", [timedelta(hours=2), timedelta(hours=-2)])
@in_virtual_time
async def test_the_contactor_opens_as_soon_after_a_leap_in_the_middle_of_the_end(
    bench: ControlLoopBench, jumped: timedelta
) -> None:
    await bench.charge(ends_s=2.9)
    await asyncio.sleep(30)
    bench.hall.reader.tap(CARD)
    await bench.phase("ending")
    asked_s = bench.loop.time()
    bench.clock.jumped = jumped
    await bench.until(lambda: bench.messages("StopTransaction"))

    assert bench.loop.time() - asked_s < 6
    assert bench.messages("StopTransaction")[0][1]["meterStop"] == bench.hall.outlets[1].register_wh


@pytest.mark.parametrize("jumped", [timedelta(hours=2), timedelta(hours=-2)])
@in_virtual_time
async def test_the_outbox_is_emptied_after_a_leap_during_a_pause(bench: ControlLoopBench, jumped: timedelta) -> None:
    configure({"TransactionMessageRetryInterval": "60"})
    await bench.charge()
    claimed = outbox_store.claim(bench.clock.now(), None)
    assert isinstance(claimed, outbox_store.Claimed)
    outbox_store.postpone(claimed, "no answer", bench.clock.now())
    bench.clock.jumped = jumped
    looked: list[Any] = []
    for _ in range(3):
        looked.append(outbox_store.claim(bench.clock.now(), None))
        if isinstance(looked[-1], outbox_store.Claimed):
            break
        bench.clock.jumped += timedelta(seconds=looked[-1].seconds)

    assert isinstance(looked[-1], outbox_store.Claimed)
    # Never longer than the pause, and the same message first.
    assert all(each.seconds <= 60 for each in looked[:-1])
    assert looked[-1].id == claimed.id


@in_virtual_time
async def test_two_samples_never_have_one_moment_whatever_the_clock_does_while_it_keeps_its_direction(
    bench: ControlLoopBench,
) -> None:
    await change(bench, MeterValueSampleInterval="10", MeterValuesSampledData="Energy.Active.Import.Register")
    await bench.charge()
    for hours in (0, 2, 3, 5):
        await leap(bench, timedelta(hours=hours), trusted=False)

    moments = [moment for moment, _ in samples(bench)]
    assert all(earlier < later for earlier, later in pairwise(moments))


@in_virtual_time
async def test_a_command_that_was_left_over_from_before_the_clock_was_set_back_is_too_late(
    bench: ControlLoopBench,
) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    sent_at = bench.clock.now()
    left_over = Envelope(
        request_id=str(uuid.uuid4()),
        command=StartSession(id_tag=CARD, connector_id=1),
        origin=Origin.BACKEND,
        actor="test",
        sent_at=sent_at,
        expires_at=sent_at + timedelta(seconds=5),
    )
    await asyncio.sleep(60)
    bench.clock.jumped = BACK
    await bench.control_loop.command(left_over)

    assert Outcome.decode(json.loads(bench.redis.lists[left_over.reply_key][0])).reason is Refusal.TOO_LATE
    assert bench.messages() == []
