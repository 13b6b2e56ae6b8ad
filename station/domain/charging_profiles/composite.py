"""GetCompositeSchedule: what the station would allow over a span of time (section 5.7)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from station.domain.charging_profiles.profile import Period, RateUnit, render_moment, render_period
from station.domain.charging_profiles.schedule import (
    DEFAULT_PHASES,
    ProfileLimit,
    limit_at,
    next_change_after,
    station_limit_at,
)
from station.domain.charging_profiles.store import Installed
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
    hundredths: int
    phases: int | None = None


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
    max_periods: int = DEFAULT_MAX_PERIODS,
) -> CompositeSchedule:
    """Join profiles and local limits for a connector, or for the station (connector 0).

    `local_limits` has every connector of the station with the limit that holds without profiles, `station_limit` is the
    mains limit of their sum. A connector without a transaction is calculated as if one began at `start`. The window
    begins at a full second, its first period with the limit of the very moment: what has begun since that second is
    what holds.
    """
    profiles = tuple(profiles)
    asked, start = start, start.replace(microsecond=0)
    connectors = sorted(local_limits) if connector_id == 0 else [connector_id]
    begins = {each: transaction_starts.get(each, start) for each in connectors}

    def limit(t: datetime) -> _Limit:
        own = [
            _least(_of_profile(limit_at(t, each, profiles, begins[each]), unit), _of_current(local_limits[each], unit))
            for each in connectors
        ]
        total = own[0] if connector_id != 0 else _Limit(hundredths=sum(each.hundredths for each in own))
        return _least(_of_profile(station_limit_at(t, profiles), unit), _least(total, _of_current(station_limit, unit)))

    def next_change(t: datetime) -> datetime | None:
        changes = (
            next_change_after(t, profiles, connector_id=each, transaction_start=begins[each]) for each in connectors
        )
        return min((change for change in changes if change is not None), default=None)

    periods: list[CompositePeriod] = []
    offset_s = 0
    covered_s = duration_s
    while True:
        looked_at = max(asked, start + timedelta(seconds=offset_s))
        now = limit(looked_at)
        period = CompositePeriod(start_s=offset_s, limit_tenths=now.hundredths // 10, phases=now.phases)
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
        "scheduleStart": render_moment(schedule.start),
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
    return None if limit is None else _Limit(hundredths=limit.in_unit_hundredths(unit), phases=limit.phases)


def _of_current(limit: MilliAmpere, unit: RateUnit) -> _Limit:
    return _Limit(hundredths=limit // 10 if unit is RateUnit.A else limit * NOMINAL_VOLTAGE_V * DEFAULT_PHASES // 10)


def _least(first: _Limit | None, second: _Limit) -> _Limit:
    return second if first is None or second.hundredths < first.hundredths else first
