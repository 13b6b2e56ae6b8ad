"""Whether a profile may be installed, and which answer its refusal gets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from station.domain.charging_profiles.profile import ChargingProfile, Kind, Purpose, RateUnit
from station.domain.charging_profiles.store import Installed, replaces

_UNITS = {"current": RateUnit.A, "power": RateUnit.W}
_MOST_PHASES = 3


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the station is and has when a profile arrives.

    `running` maps each connector with a transaction to the backend's number of it, None while that is not known yet.
    """

    connectors: int
    running: Mapping[int, int | None]
    installed: tuple[Installed, ...] = ()
    max_stack_level: int = 8
    max_periods: int = 96
    max_installed: int = 20
    units: frozenset[RateUnit] = frozenset(RateUnit)
    smart_charging: bool = True
    stack_per_connector: bool = True


class RejectionKind(StrEnum):
    """The form of the refusal: a status in the answer, or a CALLERROR."""

    REJECTED = "Rejected"
    NOT_SUPPORTED = "NotSupported"
    PROPERTY_CONSTRAINT = "PropertyConstraintViolation"


class RejectionReason(StrEnum):
    """Why a profile is refused."""

    SMART_CHARGING_OFF = "smart_charging_off"
    UNKNOWN_CONNECTOR = "unknown_connector"
    PURPOSE_NEEDS_STATION = "purpose_needs_connector_zero"
    PURPOSE_NEEDS_CONNECTOR = "purpose_needs_a_connector"
    PURPOSE_NOT_FOR_REMOTE_START = "purpose_not_for_remote_start"
    NO_TRANSACTION = "no_transaction"
    OTHER_TRANSACTION = "other_transaction"
    TRANSACTION_ID_NOT_ALLOWED = "transaction_id_not_allowed"
    STACK_LEVEL = "stack_level"
    TOO_MANY_PERIODS = "too_many_periods"
    TOO_MANY_PROFILES = "too_many_profiles"
    UNIT_NOT_ALLOWED = "unit_not_allowed"
    FIRST_PERIOD_NOT_ZERO = "first_period_not_zero"
    PERIODS_NOT_ASCENDING = "periods_not_ascending"
    NEGATIVE_LIMIT = "negative_limit"
    PHASES = "phases"
    DURATION = "duration"
    RECURRENCY_MISSING = "recurrency_missing"
    RECURRENCY_NOT_ALLOWED = "recurrency_not_allowed"
    START_MISSING = "start_missing"
    START_NOT_ALLOWED = "start_not_allowed"
    VALIDITY = "validity"


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A refusal."""

    kind: RejectionKind
    reason: RejectionReason


def allowed_units(csl: str) -> frozenset[RateUnit]:
    """Read ChargingScheduleAllowedChargingRateUnit, whose words are Current and Power (errata 3.88)."""
    words = (item.strip().casefold() for item in csl.split(","))
    return frozenset(_UNITS[word] for word in words if word in _UNITS)


def check_acceptance(profile: ChargingProfile, connector_id: int, context: Context) -> Rejection | None:
    """Check a SetChargingProfile.req; None: install it."""
    if not context.smart_charging:
        return Rejection(kind=RejectionKind.NOT_SUPPORTED, reason=RejectionReason.SMART_CHARGING_OFF)
    if not 0 <= connector_id <= context.connectors:
        return Rejection(kind=RejectionKind.PROPERTY_CONSTRAINT, reason=RejectionReason.UNKNOWN_CONNECTOR)
    reasons = (
        _check_purpose(profile, connector_id, context)
        or _check_contents(profile, context)
        or _check_room(profile, connector_id, context)
    )
    return _rejected(reasons)


def check_remote_start(profile: ChargingProfile, connector_id: int, context: Context) -> Rejection | None:
    """Check the profile of a RemoteStartTransaction.req, whose transaction does not exist yet (errata 3.41)."""
    if not context.smart_charging:
        return Rejection(kind=RejectionKind.NOT_SUPPORTED, reason=RejectionReason.SMART_CHARGING_OFF)
    if profile.purpose is not Purpose.TX:
        return _rejected(RejectionReason.PURPOSE_NOT_FOR_REMOTE_START)
    if profile.transaction_id is not None:
        return _rejected(RejectionReason.TRANSACTION_ID_NOT_ALLOWED)
    return _rejected(_check_contents(profile, context) or _check_room(profile, connector_id, context))


def check_stored(profile: ChargingProfile) -> RejectionReason | None:
    """Check a profile that was accepted once: what no rule of today allows cannot be computed with."""
    return _first((*_validity_rules(profile), *_kind_rules(profile), *_shape_rules(profile)))


def _rejected(reason: RejectionReason | None) -> Rejection | None:
    return None if reason is None else Rejection(kind=RejectionKind.REJECTED, reason=reason)


def _check_purpose(profile: ChargingProfile, connector_id: int, context: Context) -> RejectionReason | None:
    if profile.purpose is not Purpose.TX and profile.transaction_id is not None:
        return RejectionReason.TRANSACTION_ID_NOT_ALLOWED
    if profile.purpose is Purpose.CHARGE_POINT_MAX and connector_id != 0:
        return RejectionReason.PURPOSE_NEEDS_STATION
    if profile.purpose is Purpose.TX:
        if connector_id == 0:
            return RejectionReason.PURPOSE_NEEDS_CONNECTOR
        if connector_id not in context.running:
            return RejectionReason.NO_TRANSACTION
        if profile.transaction_id not in (None, context.running[connector_id]):
            return RejectionReason.OTHER_TRANSACTION
    return None


def _check_contents(profile: ChargingProfile, context: Context) -> RejectionReason | None:
    return _first(
        (
            (not 0 <= profile.stack_level <= context.max_stack_level, RejectionReason.STACK_LEVEL),
            *_validity_rules(profile),
            *_kind_rules(profile),
            (profile.schedule.unit not in context.units, RejectionReason.UNIT_NOT_ALLOWED),
            (len(profile.schedule.periods) > context.max_periods, RejectionReason.TOO_MANY_PERIODS),
            *_shape_rules(profile),
        )
    )


def _validity_rules(profile: ChargingProfile) -> Iterable[tuple[bool, RejectionReason]]:
    first, end = profile.valid_from, profile.valid_to
    yield first is not None and end is not None and end <= first, RejectionReason.VALIDITY


def _kind_rules(profile: ChargingProfile) -> Iterable[tuple[bool, RejectionReason]]:
    recurring = profile.kind is Kind.RECURRING
    started = profile.schedule.start is not None
    yield recurring and profile.recurrency is None, RejectionReason.RECURRENCY_MISSING
    yield not recurring and profile.recurrency is not None, RejectionReason.RECURRENCY_NOT_ALLOWED
    yield recurring and not started, RejectionReason.START_MISSING
    yield profile.kind is Kind.RELATIVE and started, RejectionReason.START_NOT_ALLOWED


def _shape_rules(profile: ChargingProfile) -> Iterable[tuple[bool, RejectionReason]]:
    schedule = profile.schedule
    periods = schedule.periods
    yield not periods or periods[0].start_s != 0, RejectionReason.FIRST_PERIOD_NOT_ZERO
    yield (
        any(later.start_s <= earlier.start_s for earlier, later in pairwise(periods)),
        (RejectionReason.PERIODS_NOT_ASCENDING),
    )
    yield any(period.limit_tenths < 0 for period in periods), RejectionReason.NEGATIVE_LIMIT
    yield (
        any(period.phases is not None and not 1 <= period.phases <= _MOST_PHASES for period in periods),
        (RejectionReason.PHASES),
    )
    yield schedule.duration_s is not None and schedule.duration_s < 0, RejectionReason.DURATION


def _check_room(profile: ChargingProfile, connector_id: int, context: Context) -> RejectionReason | None:
    remaining = sum(
        not replaces(profile, connector_id, old, stack_per_connector=context.stack_per_connector)
        for old in context.installed
    )
    return RejectionReason.TOO_MANY_PROFILES if remaining >= context.max_installed else None


def _first(rules: Iterable[tuple[bool, RejectionReason]]) -> RejectionReason | None:
    return next((reason for broken, reason in rules if broken), None)
