"""Calibrated meters on a computer whose clock is wrong: what they sign stays a whole, and no wrong moment is told."""

import asyncio
from datetime import datetime, timedelta

import pytest

from hardware.runtime import archive
from ocpp_client.outgoing import outbox_store
from station import clock
from station.domain import ocmf
from station.domain.moments import EARLIEST_STAMP, from_wire
from station.domain.ocmf import Finding
from station.domain.ports import Synchronisation
from station.domain.stamps import Stamp
from station.models import ChargingSession
from tests.db.hardware.runtime.bench import ControlLoopBench, in_virtual_time
from tests.db.hardware.runtime.test_session_rebuilding import _crash_without_database, _deliver
from tests.db.hardware.runtime.test_signed_metering import _meter, _signing, _stop  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db
NO_TIME = timedelta(days=-20_000)


@pytest.fixture(autouse=True)
def _signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PROBE_S", 5.0)


def _told(bench: ControlLoopBench) -> list[datetime]:
    return [from_wire(sent["timestamp"]) for _, sent in bench.messages("StartTransaction", "StopTransaction")]


def _flags(bench: ControlLoopBench) -> list[Synchronisation | None]:
    return [ocmf.parse(raw).readings[0].synchronisation for raw in _meter(bench).records]


@in_virtual_time
async def test_a_meter_that_had_no_time_at_the_begin_gets_it_before_the_end(bench: ControlLoopBench) -> None:
    bench.clock.jumped, bench.hall.computer.trustworthy = NO_TIME, False
    await bench.charge()
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(), True
    await asyncio.sleep(3)
    await _stop(bench)
    assert _flags(bench) == [Synchronisation.UNKNOWN, Synchronisation.SYNCHRONISED]
    began, ended = _told(bench)
    assert EARLIEST_STAMP < began < ended <= bench.clock.now()


@in_virtual_time
async def test_a_clock_that_is_set_back_an_hour_does_not_let_the_meter_end_before_it_began(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    given = _meter(bench).clock
    bench.clock.jumped = timedelta(hours=-1)
    await asyncio.sleep(3)
    await _stop(bench)
    assert _meter(bench).clock == given
    assert ocmf.check_session(_meter(bench).records, _meter(bench).signer.public_key) == ()
    began, ended = _told(bench)
    assert timedelta() < ended - began < timedelta(minutes=2)


@in_virtual_time
async def test_two_sessions_without_any_clock_are_told_when_it_comes_although_the_database_is_lost_in_between(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.clock.now()
    bench.clock.jumped, bench.hall.computer.trustworthy = NO_TIME, False
    for boot in ("b", "c"):
        await bench.charge()
        await asyncio.sleep(40)
        await _stop(bench)
        bench.hall.outlets[1].unplug()
        await bench.phase("available")
        await bench.kill()
        began_s = bench.clock.monotonic_s()
        monkeypatch.setattr(clock, "boot_id", lambda boot=boot: boot)
        monkeypatch.setattr(clock, "stamp", lambda boot=boot, began_s=began_s: _stamp(boot, began_s))
        await asyncio.sleep(20)
        bench.clock.jumped = NO_TIME - (bench.clock.now() - bench.clock.jumped - first)
        await bench.start()
    assert isinstance(outbox_store.claim(clock.now(), None), outbox_store.Wait)
    await _crash_without_database(bench)
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(), True
    await asyncio.sleep(3)

    told = _told(bench)
    assert len(told) == 4
    assert told == sorted(told)
    assert first.year == told[0].year == told[-1].year
    assert all(
        timedelta(seconds=38) < ended - began < timedelta(seconds=60)
        for began, ended in zip(told[::2], told[1::2], strict=True)
    )
    assert _deliver() == ["SessionBegan", "SessionEnded"] * 2


def _stamp(boot: str, began_s: float) -> Stamp:
    return Stamp(at=clock.now(), boot_id=boot, steady_ms=round((clock.monotonic_s() - began_s) * 1000))


@in_virtual_time
async def test_what_was_told_with_a_corrected_moment_is_rebuilt_with_that(bench: ControlLoopBench) -> None:
    bench.clock.jumped, bench.hall.computer.trustworthy = NO_TIME, False
    await bench.charge()
    await _stop(bench)
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(), True
    await asyncio.sleep(3)
    assert _deliver() == ["SessionBegan", "SessionEnded"]
    before = ChargingSession.objects.get()
    await _crash_without_database(bench)
    after = ChargingSession.objects.get()
    assert (after.started_at, after.stopped_at) == (before.started_at, before.stopped_at)


@in_virtual_time
async def test_a_record_without_time_is_a_finding_and_no_reason_to_refuse_a_session(bench: ControlLoopBench) -> None:
    bench.clock.jumped, bench.hall.computer.trustworthy = NO_TIME, False
    await bench.charge()
    await _stop(bench)
    findings = ocmf.check_session(_meter(bench).records, _meter(bench).signer.public_key)
    assert findings == (Finding.TIME_UNKNOWN,)
