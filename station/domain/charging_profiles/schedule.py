"""The limit the installed profiles set at a moment, and the moment it can next change."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from station.domain.charging_profiles.profile import Kind, Period, Purpose, RateUnit
from station.domain.charging_profiles.store import Installed
from station.domain.units import NOMINAL_VOLTAGE_V, MilliAmpere

# What a car at this station may use (ConnectorSwitch3to1PhaseSupported is false).
MOST_PHASES = 3
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class ProfileLimit:
    """The limit one period of one profile sets, still in the profile's own unit.

    `is_readable`: what is stored could be read; otherwise it is the 0 A that stand in for it. `is_timed`: the period
    holds now; otherwise the time is not known, and this is the least that the profile gives at any time. `connected`:
    by how many phases the charging point is connected to the mains.
    """

    limit_tenths: int
    unit: RateUnit
    phases: int | None
    profile_id: int
    is_readable: bool = True
    is_timed: bool = True
    connected: int = MOST_PHASES

    @property
    def current(self) -> MilliAmpere:
        """Milliamperes per phase, rounded down.

        Watts are the total at the nominal voltage (errata 3.69). They are spread over every phase the car may use and
        not over the period's numberPhases: a station that cannot switch phases off cannot hold a car to fewer. At a
        charging point that is wired to one phase a car has all of them there, whatever number the period names.
        """
        return MilliAmpere(
            self.limit_tenths * 100 // (1 if self.unit is RateUnit.A else NOMINAL_VOLTAGE_V * self.connected)
        )

    @property
    def total(self) -> int:
        """Milliamperes of all phases together, rounded down."""
        return (
            self.limit_tenths * 100 * MOST_PHASES
            if self.unit is RateUnit.A
            else (self.limit_tenths * 100 // NOMINAL_VOLTAGE_V)
        )

    def in_unit_hundredths(self, unit: RateUnit) -> int:
        """Return hundredths of the unit a backend asks for, rounded down; amperes count on the phases it named."""
        if unit is self.unit:
            return self.limit_tenths * 10
        if unit is RateUnit.A:
            return self.limit_tenths * 10 // (NOMINAL_VOLTAGE_V * self.connected)
        return self.limit_tenths * 10 * NOMINAL_VOLTAGE_V * min(self.phases or MOST_PHASES, self.connected)


def limit_at(
    t: datetime,
    connector_id: int,
    profiles: Iterable[Installed],
    transaction_start: datetime | None,
    *,
    time_is_known: bool = True,
    connected: int = MOST_PHASES,
) -> ProfileLimit | None:
    """Find the limit of a charging point: TxProfile if one applies, else TxDefaultProfile (sections 3.13.2 and 3.13.3).

    None: no profile limits it now. Without a transaction (`transaction_start` None) no TxProfile applies, nor any
    schedule that is relative to the start of charging. The ChargePointMaxProfile is `station_limit_at`.

    While the time is not known, `t` only tells how long the transaction has lasted. A profile that depends on the time
    counts with the least it gives at any time, whether it would apply now or not; it does not replace what stands
    below it. `connected`: by how many phases the charging point is connected to the mains; watts hold on all of them
    together.
    """
    profiles = tuple(profiles)
    stack = list(_by_level(_default_profiles(profiles, connector_id)))
    if transaction_start is not None:
        stack = [*_by_level(_tx_profiles(profiles, connector_id)), *stack]
    return _first_in_force(t, stack, transaction_start, time_is_known=time_is_known, connected=connected)


def station_limit_at(
    t: datetime, profiles: Iterable[Installed], *, time_is_known: bool = True, connected: int = MOST_PHASES
) -> ProfileLimit | None:
    """Find the limit of the ChargePointMaxProfiles: amperes per phase (or watts) for the sum of all connectors.

    `connected`: the phases of the charging point whose part of it is asked for.
    """
    stack = _by_level(_station_profiles(profiles))
    return _first_in_force(t, stack, None, time_is_known=time_is_known, connected=connected)


def next_change_after(
    t: datetime,
    profiles: Iterable[Installed],
    *,
    connector_id: int | None = None,
    transaction_start: datetime | None = None,
    time_is_known: bool = True,
) -> datetime | None:
    """Find the first moment after `t` at which a limit may change by itself; None: never.

    With a connector only its own profiles and the station's count; without one, all of them, each as far as it does not
    depend on the start of a transaction unless that is given.
    """
    profiles = tuple(profiles)
    if connector_id is None:
        relevant = profiles
    else:
        relevant = (
            *_tx_profiles(profiles, connector_id),
            *_default_profiles(profiles, connector_id),
            *_station_profiles(profiles),
        )
    if not time_is_known:
        relevant = tuple(each for each in relevant if not _depends_on_time(each))
    changes = (moment for each in relevant for moment in _changes(each, t, transaction_start) if moment > t)
    return min(changes, default=None)


def _tx_profiles(profiles: Iterable[Installed], connector_id: int) -> tuple[Installed, ...]:
    return tuple(each for each in profiles if each.profile.purpose is Purpose.TX and each.connector_id == connector_id)


def _default_profiles(profiles: Iterable[Installed], connector_id: int) -> tuple[Installed, ...]:
    defaults = [each for each in profiles if each.profile.purpose is Purpose.TX_DEFAULT]
    own = [each for each in defaults if each.connector_id == connector_id]
    # Section 3.13.1: for its connector, a connector's default stands in the place of the station's one of that level.
    replaced = {each.profile.stack_level for each in own}
    station = [each for each in defaults if each.connector_id == 0 and each.profile.stack_level not in replaced]
    return (*own, *(station if connector_id != 0 else ()))


def _station_profiles(profiles: Iterable[Installed]) -> tuple[Installed, ...]:
    return tuple(each for each in profiles if each.profile.purpose is Purpose.CHARGE_POINT_MAX)


def _by_level(profiles: Iterable[Installed]) -> list[Installed]:
    return sorted(profiles, key=lambda each: each.profile.stack_level, reverse=True)


def _first_in_force(
    t: datetime,
    stack: Iterable[Installed],
    transaction_start: datetime | None,
    *,
    time_is_known: bool,
    connected: int,
) -> ProfileLimit | None:
    """Return the limit of the first profile of a stack that applies; one that may apply counts with its least limit."""
    possible: list[ProfileLimit] = []
    for each in stack:
        if not time_is_known and _depends_on_time(each):
            if _begins_by_itself(each) or transaction_start is not None:
                least = min(each.profile.schedule.periods, key=lambda period: period.limit_tenths)
                possible.append(_limit_of(each, least, connected, is_timed=False))
            continue
        period = _period_at(each, t, transaction_start)
        if period is not None:
            possible.append(_limit_of(each, period, connected))
            break
    return min(possible, key=lambda limit: limit.current, default=None)


def _limit_of(each: Installed, period: Period, connected: int, *, is_timed: bool = True) -> ProfileLimit:
    return ProfileLimit(
        limit_tenths=period.limit_tenths,
        unit=each.profile.schedule.unit,
        phases=period.phases,
        profile_id=each.profile.profile_id,
        is_readable=not each.problem,
        is_timed=is_timed,
        connected=connected,
    )


def _begins_by_itself(each: Installed) -> bool:
    """Return whether the schedule has a begin of its own, and not that of a transaction."""
    profile = each.profile
    of_transaction = profile.kind is Kind.RELATIVE or profile.schedule.start is None
    return not of_transaction or profile.purpose is Purpose.CHARGE_POINT_MAX


def _depends_on_time(each: Installed) -> bool:
    """Return whether the wall clock decides what the profile gives; how long a transaction lasts needs none."""
    profile = each.profile
    return _begins_by_itself(each) or profile.valid_from is not None or profile.valid_to is not None


def _start_before(each: Installed, t: datetime, transaction_start: datetime | None) -> datetime | None:
    profile, start = each.profile, each.profile.schedule.start
    if profile.kind is Kind.RELATIVE or start is None:
        # A limit for the whole station is not relative to any one charging: it runs since it was set.
        return each.installed_at if profile.purpose is Purpose.CHARGE_POINT_MAX else transaction_start
    if profile.kind is Kind.RECURRING and profile.recurrency is not None and t >= start:
        return start + (t - start) // profile.recurrency.period * profile.recurrency.period
    return start


def _length(each: Installed) -> timedelta | None:
    profile = each.profile
    lengths = []
    if profile.schedule.duration_s is not None:
        lengths.append(timedelta(seconds=profile.schedule.duration_s))
    if profile.kind is Kind.RECURRING and profile.recurrency is not None:
        lengths.append(profile.recurrency.period)
    return min(lengths, default=None)


def _period_at(each: Installed, t: datetime, transaction_start: datetime | None) -> Period | None:
    profile = each.profile
    if (profile.valid_from is not None and t < profile.valid_from) or (
        profile.valid_to is not None and t >= profile.valid_to
    ):
        return None
    start = _start_before(each, t, transaction_start)
    if start is None or t < start:
        return None
    length = _length(each)
    if length is not None and t - start >= length:
        return None
    elapsed_s = (t - start) // _SECOND
    periods = profile.schedule.periods
    index = bisect_right(periods, elapsed_s, key=lambda period: period.start_s) - 1
    return periods[index] if index >= 0 else None


def _changes(each: Installed, t: datetime, transaction_start: datetime | None) -> Iterator[datetime]:
    profile = each.profile
    if profile.valid_from is not None:
        yield profile.valid_from
    if profile.valid_to is not None:
        yield profile.valid_to
    start = _start_before(each, t, transaction_start)
    if start is None:
        return
    if t < start:
        yield start
        return
    length = _length(each)
    periods = profile.schedule.periods
    index = bisect_right(periods, (t - start) // _SECOND, key=lambda period: period.start_s)
    if index < len(periods) and (length is None or periods[index].start_s * _SECOND < length):
        yield start + periods[index].start_s * _SECOND
    if length is not None:
        yield start + length
    if profile.kind is Kind.RECURRING and profile.recurrency is not None:
        yield start + profile.recurrency.period
