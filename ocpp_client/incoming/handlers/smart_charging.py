"""Calls of the SmartCharging profile on the table of installed profiles (OCPP 1.6 sections 5.3, 5.7 and 5.16)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from ocpp.exceptions import (
    NotSupportedError,
    OccurenceConstraintViolationError,
    OCPPError,
    PropertyConstraintViolationError,
    TypeConstraintViolationError,
)
from ocpp.v16 import call_result
from ocpp.v16.enums import (
    Action,
    ChargingProfileStatus,
    ClearChargingProfileStatus,
    GetCompositeScheduleStatus,
)

from ocpp_client.database import in_database
from ocpp_client.incoming.routing import after, on
from ocpp_client.ports import ControlLoop, LiveSnapshots
from station.domain import charging_profiles as profiles
from station.domain.charging_profiles import Installed, Purpose, RateUnit, RejectionKind
from station.domain.limits import LimitSource, effective
from station.domain.snapshot import HardwareSnapshot, PointSnapshot
from station.domain.units import MilliAmpere
from station.models import ChargingProfileRow, ChargingSession
from station.services import charging_profiles, configuration, hardware_description
from station.services.messages import ProfilesChanged

_LONGEST_SCHEDULE_S = 366 * 86_400
_MA_PER_A = 1000
_ERRORS: dict[profiles.Violation, type[OCPPError]] = {
    profiles.Violation.OCCURRENCE: OccurenceConstraintViolationError,
    profiles.Violation.TYPE: TypeConstraintViolationError,
    profiles.Violation.PROPERTY: PropertyConstraintViolationError,
}
_LOCAL_SOURCES = frozenset(LimitSource) - {
    LimitSource.CHARGING_PROFILE,
    LimitSource.UNREADABLE_PROFILE,
    LimitSource.UNTIMED_PROFILE,
    # Over in a minute.
    LimitSource.CONTACTOR_REST,
}


def refuse_remote_profile(raw: dict[str, Any], connector_id: int | None) -> bool:
    """Return whether the profile of a RemoteStartTransaction makes the whole call unacceptable (errata 3.41)."""
    return profiles.check_remote_start(_parse(raw), connector_id or 1, charging_profiles.context()) is not None


def _parse(raw: dict[str, Any]) -> profiles.ChargingProfile:
    try:
        return profiles.parse_profile(raw)
    except profiles.ProfileMalformed as error:
        raise _ERRORS[error.violation](str(error)) from error


class SmartChargingHandlers:
    """Maintains the installed profiles."""

    def __init__(self, control_loop: ControlLoop, snapshots: LiveSnapshots) -> None:
        self._control_loop = control_loop
        self._snapshots = snapshots

    @on(Action.set_charging_profile)
    async def on_set_charging_profile(
        self, *, connector_id: int, cs_charging_profiles: dict[str, Any], at: datetime
    ) -> call_result.SetChargingProfile:
        """Install a profile durably."""
        rejection = await in_database(_install, connector_id, cs_charging_profiles, at)
        if rejection is None:
            return call_result.SetChargingProfile(ChargingProfileStatus.accepted)
        if rejection.kind is RejectionKind.PROPERTY_CONSTRAINT:
            raise PropertyConstraintViolationError(rejection.reason.value)
        if rejection.kind is RejectionKind.NOT_SUPPORTED:
            raise NotSupportedError(rejection.reason.value)
        return call_result.SetChargingProfile(ChargingProfileStatus.rejected)

    @after(Action.set_charging_profile)
    async def after_set_charging_profile(self, *, response: call_result.SetChargingProfile, **_: Any) -> None:
        """Have the control loop compute the new limit."""
        if response.status is ChargingProfileStatus.accepted:
            await self._control_loop.inform(ProfilesChanged())

    @on(Action.clear_charging_profile)
    async def on_clear_charging_profile(
        self,
        *,
        id: int | None = None,  # noqa: A002 – the field's name
        connector_id: int | None = None,
        charging_profile_purpose: str | None = None,
        stack_level: int | None = None,
        **_: Any,
    ) -> call_result.ClearChargingProfile:
        """Remove the profiles that all given filters fit; an id stands alone."""
        wanted = profiles.ClearFilter(
            profile_id=id,
            connector_id=connector_id,
            purpose=None if charging_profile_purpose is None else Purpose(charging_profile_purpose),
            stack_level=stack_level,
        )
        found = await in_database(_clear, wanted)
        return call_result.ClearChargingProfile(
            ClearChargingProfileStatus.accepted if found else ClearChargingProfileStatus.unknown
        )

    @after(Action.clear_charging_profile)
    async def after_clear_charging_profile(self, *, response: call_result.ClearChargingProfile, **_: Any) -> None:
        """Have the control loop compute the new limit."""
        if response.status is ClearChargingProfileStatus.accepted:
            await self._control_loop.inform(ProfilesChanged())

    @on(Action.get_composite_schedule)
    async def on_get_composite_schedule(
        self, *, connector_id: int, duration: int, charging_rate_unit: str = "A", at: datetime
    ) -> call_result.GetCompositeSchedule:
        """Return what the profiles and the station's own limits allow from now on."""
        live = await self._snapshots.hardware()
        found = await in_database(_composite, connector_id, duration, RateUnit(charging_rate_unit), live, at)
        if found is None:
            return call_result.GetCompositeSchedule(GetCompositeScheduleStatus.rejected)
        return found


@transaction.atomic
def _install(connector_id: int, raw: dict[str, Any], at: datetime) -> profiles.Rejection | None:
    profile, context = _parse(raw), charging_profiles.context()
    rejection = profiles.check_acceptance(profile, connector_id, context)
    if rejection is not None:
        return rejection
    kept = profiles.install(
        context.installed, profile, connector_id, at=at, stack_per_connector=context.stack_per_connector
    )
    _remove(each for each in context.installed if each not in kept)
    session = None
    if profile.purpose is Purpose.TX:
        session = ChargingSession.objects.running().on(connector_id).first()
    ChargingProfileRow.objects.create(
        connector_id=connector_id,
        profile_id=profile.profile_id,
        purpose=profile.purpose.value,
        stack_level=profile.stack_level,
        profile=raw,
        session=session,
        installed_at=at,
    )
    return None


def _remove(gone: Iterable[Installed]) -> int:
    # By the row: of a profile that cannot be read, nothing else is certain.
    count, _ = ChargingProfileRow.objects.filter(pk__in=[each.row_id for each in gone]).delete()
    return count


@transaction.atomic
def _clear(wanted: profiles.ClearFilter) -> int:
    _, gone = profiles.clear(charging_profiles.installed(), wanted)
    return _remove(gone)


def _composite(
    connector_id: int, duration_s: int, unit: RateUnit, live: HardwareSnapshot | None, at: datetime
) -> call_result.GetCompositeSchedule | None:
    context = charging_profiles.context()
    if not 0 <= connector_id <= context.connectors or duration_s < 0 or unit not in context.units:
        return None
    starts = ChargingSession.objects.running().values_list("connector_id", "started_at")
    schedule = profiles.composite_schedule(
        connector_id,
        start=at,
        duration_s=min(duration_s, _LONGEST_SCHEDULE_S),
        unit=unit,
        profiles=context.installed,
        transaction_starts=dict(starts),
        local_limits={n: _local_limit(live.point(n) if live else None) for n in range(1, context.connectors + 1)},
        station_limit=MilliAmpere(configuration.get_int("/power/station/mainsMaxCurrent")),
        phases=hardware_description.connected_phases(context.connectors),
        time_is_known=live.time_is_known if live else True,
        max_periods=context.max_periods,
    )
    rendered = profiles.render_composite(schedule)
    return call_result.GetCompositeSchedule(
        status=GetCompositeScheduleStatus.accepted,
        connector_id=rendered["connectorId"],
        schedule_start=rendered["scheduleStart"],
        charging_schedule=rendered["chargingSchedule"],
    )


def _local_limit(point: PointSnapshot | None) -> MilliAmpere:
    """Return what limits a connector beside the profiles: the control loop's sources, or at least its rating."""
    limits = {LimitSource.RATING: MilliAmpere(configuration.get_int("/identity/ratedCurrentA") * _MA_PER_A)}
    for name, value in (point.limits if point else {}).items():
        if name in _LOCAL_SOURCES:
            limits[LimitSource(name)] = value
    return effective(limits).limit
