"""The charging profiles the station holds: rows as profiles, and what the rules about new ones need to know."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from station.domain import charging_profiles as profiles
from station.domain.charging_profiles import Installed, Purpose
from station.models import ChargingProfileRow, ChargingSession, LogEntry
from station.services import configuration, event_log

logger = logging.getLogger(__name__)

UNREADABLE_CODE = "charging_profile.unreadable"
# What a row of another version of the software, or of a damaged database, leads to.
_NOT_READABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
# Where the damage has reached the columns, too: the highest level is overruled by nothing.
_HIGHEST_LEVEL = 2**31 - 1


def installed() -> tuple[Installed, ...]:
    """Read every installed profile, in the order of their arrival.

    Fails closed: in the place of one that cannot be read stands 0 A, at its connector, purpose and level, until it is
    cleared or replaced. Its row stays as it is.
    """
    try:
        rows = list(ChargingProfileRow.objects.order_by("id"))
    except _NOT_READABLE:
        # A column of one row is damaged; the others are read all the same.
        return tuple(_one(row_id) for row_id in ChargingProfileRow.objects.order_by("id").values_list("id", flat=True))
    return tuple(_read(row) for row in rows)


def _one(row_id: int) -> Installed:
    try:
        row = ChargingProfileRow.objects.get(pk=row_id)
    except _NOT_READABLE as error:
        # These columns come as they are, whatever is in them.
        found = ChargingProfileRow.objects.filter(pk=row_id)
        columns = found.values("connector_id", "profile_id", "purpose", "stack_level").get()
        return _stand_in(row_id, dict(columns), str(error))
    return _read(row)


def _read(row: ChargingProfileRow) -> Installed:
    columns = {name: getattr(row, name) for name in ("connector_id", "profile_id", "purpose", "stack_level")}
    try:
        profile = profiles.parse_profile(row.profile)
        _check(row, profile)
    except _NOT_READABLE as error:
        return _stand_in(row.pk, columns, str(error) or type(error).__name__)
    return Installed(connector_id=row.connector_id, profile=profile, installed_at=row.installed_at, row_id=row.pk)


def _check(row: ChargingProfileRow, profile: profiles.ChargingProfile) -> None:
    """Refuse a profile that cannot be what was accepted once; raises ValueError."""
    content = (profile.profile_id, profile.purpose, profile.stack_level)
    if (row.profile_id, row.purpose, row.stack_level) != content:
        raise ValueError("columns and content name different profiles")
    if not isinstance(row.connector_id, int) or not isinstance(row.installed_at, datetime):
        raise TypeError("connector or moment of installation is damaged")
    broken = profiles.check_stored(profile)
    if broken is not None:
        raise ValueError(broken.value)


def _stand_in(row_id: int, columns: dict[str, Any], problem: str) -> Installed:
    """Return 0 A in the place of a profile, as far as it is known where that is; else it holds for all connectors."""
    connector, level, number = columns["connector_id"], columns["stack_level"], columns["profile_id"]
    connector_id = connector if isinstance(connector, int) else 0
    try:
        purpose = Purpose(columns["purpose"])
    except ValueError:
        purpose = Purpose.TX if connector_id else Purpose.CHARGE_POINT_MAX
    if purpose is Purpose.TX and not connector_id:
        purpose = Purpose.CHARGE_POINT_MAX
    return Installed(
        connector_id=connector_id,
        profile=profiles.no_energy(
            profile_id=number if isinstance(number, int) else 0,
            stack_level=level if isinstance(level, int) else _HIGHEST_LEVEL,
            purpose=purpose,
        ),
        installed_at=datetime(1970, 1, 1, tzinfo=UTC),
        row_id=row_id,
        problem=problem,
    )


def note_unreadable(unreadable: Collection[Installed], at: datetime) -> None:
    """Note in the event log, once, which profiles cannot be read, and when none is left at a connector."""
    for each in unreadable:
        logger.error(
            "charging profile %d of connector %d cannot be read, so it counts as 0 A: %s",
            each.profile.profile_id,
            each.connector_id,
            each.problem,
        )
        event_log.begin(
            UNREADABLE_CODE,
            at=at,
            connector_id=each.connector_id,
            profile_id=each.profile.profile_id,
            purpose=each.profile.purpose.value,
            problem=each.problem,
        )
    mended = LogEntry.objects.filter(code=UNREADABLE_CODE, cleared_at=None)
    for entry in mended.exclude(connector_id__in={each.connector_id for each in unreadable}):
        event_log.end(UNREADABLE_CODE, at=at, connector_id=entry.connector_id)


def context() -> profiles.Context:
    """Read what decides whether a new profile is accepted."""
    present = configuration.snapshot()
    running = ChargingSession.objects.running().values_list("connector_id", "transaction_id")
    return profiles.Context(
        connectors=int(present["NumberOfConnectors"]),
        running=dict(running),
        installed=installed(),
        max_stack_level=int(present["ChargeProfileMaxStackLevel"]),
        max_periods=int(present["ChargingScheduleMaxPeriods"]),
        max_installed=int(present["MaxChargingProfilesInstalled"]),
        units=profiles.allowed_units(present["ChargingScheduleAllowedChargingRateUnit"]),
        smart_charging="SmartCharging" in present.items_in("SupportedFeatureProfiles"),
        stack_per_connector=present["ChargingProfileStackPerConnector"] == "true",
    )
