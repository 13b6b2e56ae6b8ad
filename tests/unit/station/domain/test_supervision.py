"""What a meter's values prove about the wiring, and after which time."""

import pytest

from station.domain.faults import FaultCode
from station.domain.ports import MeterReading
from station.domain.supervision import Watch
from station.domain.units import MilliAmpere, MilliVolt, WattHour

NORMAL = (230_000, 230_000, 230_000)


def reading(*, currents: tuple[int | None, ...] = (0, 0, 0), voltages: tuple[int | None, ...] = NORMAL) -> MeterReading:
    return MeterReading(
        read_at_s=0.0,
        import_energy=WattHour(0),
        currents=tuple(None if each is None else MilliAmpere(each) for each in currents),  # type: ignore[arg-type]
        voltages=tuple(None if each is None else MilliVolt(each) for each in voltages),  # type: ignore[arg-type]
    )


def proven_after(
    seconds: float, value: MeterReading, *, energy_allowed: bool = True, limit: int = 16_000
) -> frozenset[FaultCode]:
    """Show the same reading at the beginning and after a time."""
    watch, at_once = Watch().judge(value, energy_allowed=energy_allowed, limit=MilliAmpere(limit), at_s=100.0)
    assert at_once == frozenset()
    _, later = watch.judge(value, energy_allowed=energy_allowed, limit=MilliAmpere(limit), at_s=100.0 + seconds)
    return later


@pytest.mark.parametrize(
    ("currents", "seconds", "fault"),
    [
        ((17_600, 0, 0), 1000.0, False),  # exactly 110 %
        ((17_601, 0, 0), 99.9, False),
        ((17_601, 0, 0), 100.0, True),
        ((0, 0, 19_200), 99.9, False),  # exactly 120 %
        ((0, 0, 19_201), 9.9, False),
        ((0, 0, 19_201), 10.0, True),
    ],
)
def test_over_current(currents: tuple[int, ...], seconds: float, *, fault: bool) -> None:
    found = proven_after(seconds, reading(currents=currents))

    assert found == ({FaultCode.OVER_CURRENT_FAILURE} if fault else frozenset())


@pytest.mark.parametrize(
    ("milliamperes", "seconds", "fault"), [(500, 60.0, False), (501, 6.9, False), (501, 7.0, True)]
)
def test_a_current_without_permission_is_a_welded_contactor(milliamperes: int, seconds: float, *, fault: bool) -> None:
    found = proven_after(seconds, reading(currents=(0, milliamperes, 0)), energy_allowed=False, limit=0)

    assert found == ({FaultCode.POWER_SWITCH_FAILURE} if fault else frozenset())


@pytest.mark.parametrize(
    ("millivolts", "seconds", "fault"),
    [(195_000, 60.0, False), (194_999, 1.9, False), (194_999, 2.0, True), (0, 2.0, True)],
)
def test_a_lost_phase(millivolts: int, seconds: float, *, fault: bool) -> None:
    found = proven_after(seconds, reading(voltages=(230_000, millivolts, 230_000)))

    assert found == ({FaultCode.UNDER_VOLTAGE} if fault else frozenset())


def test_a_current_that_a_meter_wired_backwards_tells_is_one() -> None:
    backwards = reading(currents=(-9_000, 0, 0))

    assert proven_after(7.0, backwards, energy_allowed=False) == {FaultCode.POWER_SWITCH_FAILURE}


def test_a_meter_that_delivers_nothing_proves_nothing() -> None:
    silent = reading(currents=(None, None, None), voltages=(None, None, None))

    assert proven_after(1000.0, silent) == frozenset()
    assert proven_after(1000.0, silent, energy_allowed=False) == frozenset()


def test_a_suspicion_that_was_interrupted_begins_anew() -> None:
    loud, quiet = reading(currents=(20_000, 0, 0)), reading()
    watch = Watch()

    for at_s, value in ((0.0, loud), (9.0, loud), (9.5, quiet), (10.0, loud), (19.9, loud)):
        watch, found = watch.judge(value, energy_allowed=True, limit=MilliAmpere(16_000), at_s=at_s)
        assert found == frozenset()

    _, found = watch.judge(loud, energy_allowed=True, limit=MilliAmpere(16_000), at_s=20.0)
    assert found == {FaultCode.OVER_CURRENT_FAILURE}


def test_a_fault_ends_with_its_cause() -> None:
    welded, quiet = reading(currents=(5_000, 0, 0)), reading()
    watch, _ = Watch().judge(welded, energy_allowed=False, limit=MilliAmpere(0), at_s=0.0)
    watch, found = watch.judge(welded, energy_allowed=False, limit=MilliAmpere(0), at_s=8.0)
    assert found == {FaultCode.POWER_SWITCH_FAILURE}

    watch, found = watch.judge(quiet, energy_allowed=False, limit=MilliAmpere(0), at_s=9.0)

    assert found == frozenset()
    assert watch.since == {}


def test_a_paused_car_is_not_judged_by_a_limit_of_zero() -> None:
    assert proven_after(1000.0, reading(currents=(400, 400, 400)), energy_allowed=True, limit=0) == frozenset()


def test_an_over_current_holds_for_a_while_after_energy_was_withdrawn() -> None:
    loud, quiet, limit = reading(currents=(20_000, 0, 0)), reading(), MilliAmpere(16_000)
    watch, _ = Watch().judge(loud, energy_allowed=True, limit=limit, at_s=0.0)
    watch, found = watch.judge(loud, energy_allowed=True, limit=limit, at_s=10.0)
    assert found == {FaultCode.OVER_CURRENT_FAILURE}

    for at_s, holds in ((12.0, True), (39.9, True), (40.0, False), (60.0, False)):
        watch, found = watch.judge(quiet, energy_allowed=False, limit=limit, at_s=at_s)
        assert (FaultCode.OVER_CURRENT_FAILURE in found) is holds
