"""A ChargingProfile as data, with the reading and writing of its OCPP form side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from station.domain.moments import EARLIEST, from_wire

_Member = TypeVar("_Member", bound=StrEnum)

# A limit has one decimal (section 7.14). Backends calculate in binary floats: this much beyond it is noise.
_DECIMAL_NOISE = Decimal("0.000001")
# Numbers of the schema are 32 bit; with moments far from the end of the calendar no sum of both can leave it.
_LARGEST_INTEGER = 2**31 - 1
# Numbers that only name something come larger from some backends; they have to fit a database column.
_LARGEST_NUMBER = 2**63 - 1
_YEARS = range(1970, 9000)


class Purpose(StrEnum):
    """OCPP 1.6 section 7.10."""

    CHARGE_POINT_MAX = "ChargePointMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"


class Kind(StrEnum):
    """OCPP 1.6 section 7.9."""

    ABSOLUTE = "Absolute"
    RECURRING = "Recurring"
    RELATIVE = "Relative"


class Recurrency(StrEnum):
    """OCPP 1.6 section 7.37."""

    DAILY = "Daily"
    WEEKLY = "Weekly"

    @property
    def period(self) -> timedelta:
        """The grid is 24 hours or 7 days of UTC; summer time does not shift it."""
        return timedelta(days=1) if self is Recurrency.DAILY else timedelta(days=7)


class RateUnit(StrEnum):
    """OCPP 1.6 section 7.12: A per phase, W in total."""

    A = "A"
    W = "W"


@dataclass(frozen=True, kw_only=True)
class Period:
    """From `start_s` seconds after the start of the schedule: `limit_tenths` tenths of the schedule's unit."""

    start_s: int
    limit_tenths: int
    phases: int | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """OCPP 1.6 section 7.13."""

    unit: RateUnit
    periods: tuple[Period, ...]
    duration_s: int | None = None
    start: datetime | None = None
    min_rate_tenths: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChargingProfile:
    """OCPP 1.6 section 7.8."""

    profile_id: int
    stack_level: int
    purpose: Purpose
    kind: Kind
    schedule: Schedule
    recurrency: Recurrency | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    transaction_id: int | None = None


class Violation(StrEnum):
    """The CALLERROR that answers a malformed profile, spelled as OCPP-J spells it."""

    OCCURRENCE = "OccurenceConstraintViolation"
    TYPE = "TypeConstraintViolation"
    PROPERTY = "PropertyConstraintViolation"


class ProfileMalformed(ValueError):
    """The dictionary is no ChargingProfile; `violation` is the CALLERROR code, `field` the field to name in it."""

    def __init__(self, violation: Violation, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.violation = violation
        self.field = field


def parse_profile(data: Mapping[str, Any]) -> ChargingProfile:
    """Read the OCPP form of a profile; raises ProfileMalformed."""
    recurrency = _text(data, "recurrencyKind", optional=True)
    return ChargingProfile(
        profile_id=_required_integer(data, "chargingProfileId", _LARGEST_NUMBER),
        transaction_id=_bounded_integer(data, "transactionId", _LARGEST_NUMBER),
        stack_level=_required_integer(data, "stackLevel"),
        purpose=_member(Purpose, _text(data, "chargingProfilePurpose"), "chargingProfilePurpose"),
        kind=_member(Kind, _text(data, "chargingProfileKind"), "chargingProfileKind"),
        recurrency=None if recurrency is None else _member(Recurrency, recurrency, "recurrencyKind"),
        valid_from=_bound(data, "validFrom", at_the_end=False),
        valid_to=_bound(data, "validTo", at_the_end=True),
        schedule=_parse_schedule(_object(data, "chargingSchedule")),
    )


def render_profile(profile: ChargingProfile) -> dict[str, Any]:
    """Write the OCPP form of a profile; `parse_profile` gives the same profile back."""
    schedule = profile.schedule
    rendered: dict[str, Any] = {
        "chargingProfileId": profile.profile_id,
        "transactionId": profile.transaction_id,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": profile.purpose.value,
        "chargingProfileKind": profile.kind.value,
        "recurrencyKind": profile.recurrency.value if profile.recurrency else None,
        "validFrom": render_moment(profile.valid_from),
        "validTo": render_moment(profile.valid_to),
        "chargingSchedule": _without_none(
            {
                "duration": schedule.duration_s,
                "startSchedule": render_moment(schedule.start),
                "chargingRateUnit": schedule.unit.value,
                "chargingSchedulePeriod": [render_period(period) for period in schedule.periods],
                "minChargingRate": None if schedule.min_rate_tenths is None else schedule.min_rate_tenths / 10,
            }
        ),
    }
    return _without_none(rendered)


def render_period(period: Period) -> dict[str, Any]:
    """Write one ChargingSchedulePeriod."""
    return _without_none(
        {"startPeriod": period.start_s, "limit": period.limit_tenths / 10, "numberPhases": period.phases}
    )


def render_moment(moment: datetime | None) -> str | None:
    """Write a moment as OCPP wants it: UTC, with Z."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _parse_schedule(data: Mapping[str, Any]) -> Schedule:
    periods = data.get("chargingSchedulePeriod")
    if periods is None:
        raise ProfileMalformed(Violation.OCCURRENCE, "chargingSchedulePeriod", "missing")
    if not isinstance(periods, list) or not all(isinstance(period, Mapping) for period in periods):
        raise ProfileMalformed(Violation.TYPE, "chargingSchedulePeriod", "not a list of objects")
    if not periods:
        raise ProfileMalformed(Violation.OCCURRENCE, "chargingSchedulePeriod", "empty")
    return Schedule(
        duration_s=_bounded_integer(data, "duration"),
        start=_moment(data, "startSchedule"),
        unit=_member(RateUnit, _text(data, "chargingRateUnit"), "chargingRateUnit"),
        periods=tuple(
            Period(
                start_s=_required_integer(period, "startPeriod"),
                limit_tenths=_required_tenths(period, "limit"),
                phases=_bounded_integer(period, "numberPhases"),
            )
            for period in periods
        ),
        min_rate_tenths=_tenths(data, "minChargingRate"),
    )


def _object(data: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = data.get(field)
    if value is None:
        raise ProfileMalformed(Violation.OCCURRENCE, field, "missing")
    if not isinstance(value, Mapping):
        raise ProfileMalformed(Violation.TYPE, field, "not an object")
    return value


def _integer(data: Mapping[str, Any], field: str) -> int | None:
    value = data.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProfileMalformed(Violation.TYPE, field, "not an integer")
    return value


def _bounded_integer(data: Mapping[str, Any], field: str, largest: int = _LARGEST_INTEGER) -> int | None:
    value = _integer(data, field)
    if value is not None and abs(value) > largest:
        raise ProfileMalformed(Violation.PROPERTY, field, "out of range")
    return value


def _required_integer(data: Mapping[str, Any], field: str, largest: int = _LARGEST_INTEGER) -> int:
    value = _bounded_integer(data, field, largest)
    if value is None:
        raise ProfileMalformed(Violation.OCCURRENCE, field, "missing")
    return value


def _tenths(data: Mapping[str, Any], field: str) -> int | None:
    value = data.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ProfileMalformed(Violation.TYPE, field, "not a number")
    tenths = Decimal(str(value)) * 10
    if not tenths.is_finite() or abs(tenths) > _LARGEST_INTEGER:
        raise ProfileMalformed(Violation.PROPERTY, field, "not a usable number")
    whole = tenths.to_integral_value()
    if abs(tenths - whole) > _DECIMAL_NOISE:
        raise ProfileMalformed(Violation.PROPERTY, field, "more than one decimal")
    return int(whole)


def _required_tenths(data: Mapping[str, Any], field: str) -> int:
    value = _tenths(data, field)
    if value is None:
        raise ProfileMalformed(Violation.OCCURRENCE, field, "missing")
    return value


def _text(data: Mapping[str, Any], field: str, *, optional: bool = False) -> Any:
    value = data.get(field)
    if value is None and not optional:
        raise ProfileMalformed(Violation.OCCURRENCE, field, "missing")
    if value is not None and not isinstance(value, str):
        raise ProfileMalformed(Violation.TYPE, field, "not a text")
    return value


def _member(kind: type[_Member], value: str, field: str) -> _Member:
    try:
        return kind(value)
    except ValueError:
        # Errata 3.38 asks for exactly this CALLERROR.
        raise ProfileMalformed(Violation.PROPERTY, field, f"unknown value {value!r}") from None


def _moment(data: Mapping[str, Any], field: str) -> datetime | None:
    moment = _any_moment(data, field)
    if moment is not None and moment.year not in _YEARS:
        raise ProfileMalformed(Violation.PROPERTY, field, "year out of range")
    return moment


def _bound(data: Mapping[str, Any], field: str, *, at_the_end: bool) -> datetime | None:
    """Read a bound of the validity; the first day of the calendar is an empty date of C# or Go, its end means never."""
    moment = _any_moment(data, field)
    if moment is None or moment == EARLIEST or (at_the_end and moment.year >= _YEARS.stop):
        return None
    return _moment(data, field)


def _any_moment(data: Mapping[str, Any], field: str) -> datetime | None:
    value = _text(data, field, optional=True)
    if value is None:
        return None
    try:
        return from_wire(value)
    except ValueError:
        raise ProfileMalformed(Violation.PROPERTY, field, "not a date and time") from None
