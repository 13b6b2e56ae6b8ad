"""GetCompositeSchedule: what the station would allow over a span of time (section 5.7)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from station.domain.charging_profiles.profile import Period, RateUnit, render_period
from station.domain.charging_profiles.schedule import (
    MOST_PHASES,
    ProfileLimit,
    limit_at,
    next_change_after,
    station_limit_at,
)
from station.domain.charging_profiles.store import Installed
from station.domain.moments import to_wire
from station.domain.units import NOMINAL_VOLTAGE_V, MilliAmpere

# A year of quarter-hours would be an answer of a megabyte; what does not fit is left out and the duration says so.
DEFAULT_MAX_PERIODS = 500
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class CompositePeriod:
    """From `start_s` after the schedule's start this limit holds; `phases` None: no profile names a number."""

    start_s: int
    limit_tenths: int
    phases: int | None = None


@dataclass(frozen=True, kw_only=True)
class CompositeSchedule:
    """The answer to GetCompositeSchedule; at least one period, the first at 0, no two equal neighbours."""

    connector_id: int
    start: datetime
    duration_s: int
    unit: RateUnit
    periods: tuple[CompositePeriod, ...]


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """What a source allows: `current` per phase as it is enforced, which is compared, and as it is told."""

    current: MilliAmpere
    hundredths: int


def composite_schedule(
    connector_id: int,
    *,
    start: datetime,
    duration_s: int,
    unit: RateUnit,
    profiles: Iterable[Installed],
    transaction_starts: Mapping[int, datetime],
    local_limits: Mapping[int, MilliAmpere],
    station_limit: MilliAmpere,
    phases: Mapping[int, int] = MappingProxyType({}),
    time_is_known: bool = True,
    max_periods: int = DEFAULT_MAX_PERIODS,
) -> CompositeSchedule:
    """Join profiles and local limits for a connector, or for the station (connector 0).

    `local_limits` has every connector of the station with the limit that holds without profiles, `station_limit` is the
    mains limit of their sum, under which each of them stands, too. `phases`: by how many a connector is connected to
    the mains; one that is not named by three. While the time is not known, every profile that depends on it counts with
    the least it gives, as it is enforced then. A connector without a transaction is calculated as if one began at
    `start`. A period names the fewest phases of all profiles that apply in it, whichever of them sets the limit.
    """
    profiles = tuple(profiles)
    connectors = sorted(local_limits) if connector_id == 0 else [connector_id]
    wired = {each: phases.get(each, MOST_PHASES) for each in connectors}
    begins = {each: transaction_starts.get(each, start) for each in connectors}

    def limit(t: datetime) -> tuple[_Limit, int | None]:
        own = [
            limit_at(t, each, profiles, begins[each], time_is_known=time_is_known, connected=wired[each])
            for each in connectors
        ]
        # One connector may have all that the station has, on the phases it is connected by.
        of_all = MOST_PHASES if connector_id == 0 else wired[connector_id]
        station = station_limit_at(t, profiles, time_is_known=time_is_known, connected=of_all)
        shares = [
            _least(_of_profile(profile, unit), _of_current(local_limits[each], unit, wired[each]))
            for each, profile in zip(connectors, own, strict=True)
        ]
        cap = _least(_of_profile(station, unit), _of_current(station_limit, unit, of_all))
        if connector_id == 0:
            # Connectors on different numbers of phases: what is told is compared, their currents cannot be.
            total = min(cap, _sum(shares), key=lambda each: each.hundredths)
        else:
            total = _least(cap, shares[0])
        return total, min((each.phases for each in (*own, station) if each and each.phases), default=None)

    def next_change(t: datetime) -> datetime | None:
        changes = (
            next_change_after(
                t, profiles, connector_id=each, transaction_start=begins[each], time_is_known=time_is_known
            )
            for each in connectors
        )
        return min((change for change in changes if change is not None), default=None)

    periods: list[CompositePeriod] = []
    offset_s = 0
    covered_s = duration_s
    while True:
        looked_at = start + timedelta(seconds=offset_s)
        now, fewest = limit(looked_at)
        period = CompositePeriod(start_s=offset_s, limit_tenths=now.hundredths // 10, phases=fewest)
        if not periods or (periods[-1].limit_tenths, periods[-1].phases) != (period.limit_tenths, period.phases):
            if len(periods) == max_periods:
                covered_s = offset_s
                break
            periods.append(period)
        change = next_change(looked_at)
        if change is None:
            break
        # Between full seconds the change is told from the next one on: never a raised limit too early by rounding.
        offset_s = max(offset_s + 1, -((start - change) // _SECOND))
        if offset_s >= duration_s:
            break
    return CompositeSchedule(
        connector_id=connector_id, start=start, duration_s=covered_s, unit=unit, periods=tuple(periods)
    )


def render_composite(schedule: CompositeSchedule) -> dict[str, Any]:
    """Write GetCompositeSchedule.conf; startSchedule is left out as errata 3.57 demands."""
    return {
        "status": "Accepted",
        "connectorId": schedule.connector_id,
        "scheduleStart": to_wire(schedule.start),
        "chargingSchedule": {
            "duration": schedule.duration_s,
            "chargingRateUnit": schedule.unit.value,
            "chargingSchedulePeriod": [
                render_period(Period(start_s=each.start_s, limit_tenths=each.limit_tenths, phases=each.phases))
                for each in schedule.periods
            ],
        },
    }


def _of_profile(limit: ProfileLimit | None, unit: RateUnit) -> _Limit | None:
    return None if limit is None else _Limit(current=limit.current, hundredths=limit.in_unit_hundredths(unit))


def _of_current(limit: MilliAmpere, unit: RateUnit, phases: int) -> _Limit:
    told = limit // 10 if unit is RateUnit.A else limit * NOMINAL_VOLTAGE_V * phases // 10
    return _Limit(current=limit, hundredths=told)


def _sum(limits: Sequence[_Limit]) -> _Limit:
    return _Limit(
        current=MilliAmpere(sum(each.current for each in limits)), hundredths=sum(each.hundredths for each in limits)
    )


def _least(first: _Limit | None, second: _Limit) -> _Limit:
    return second if first is None or second.current < first.current else first
