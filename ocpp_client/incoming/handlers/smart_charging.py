"""Calls of the SmartCharging profile on the table of installed profiles (OCPP 1.6 sections 5.3, 5.7 and 5.16)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.base import CallRefused, Handler, Payload, Reply, Request, status
from ocpp_client.rpc.frames import ErrorCode
from station.domain import charging_profiles as profiles
from station.domain.charging_profiles import Installed, Purpose, RateUnit, RejectionKind
from station.domain.limits import LimitSource, effective
from station.domain.snapshot import HardwareSnapshot, PointSnapshot
from station.domain.units import MilliAmpere
from station.models import ChargingProfileRow, ChargingSession
from station.services import charging_profiles, configuration
from station.services.messages import ProfilesChanged

_LONGEST_SCHEDULE_S = 366 * 86_400
_MA_PER_A = 1000
_LOCAL_SOURCES = frozenset(source.value for source in LimitSource) - {LimitSource.CHARGING_PROFILE.value}


def refuse_remote_profile(raw: Payload, connector_id: int | None) -> bool:
    """Tell whether the profile of a RemoteStartTransaction makes the whole call unacceptable (errata 3.41)."""
    return profiles.check_remote_start(_parse(raw), connector_id or 1, charging_profiles.context()) is not None


def _parse(raw: Payload) -> profiles.ChargingProfile:
    try:
        return profiles.parse_profile(raw)
    except profiles.ProfileMalformed as error:
        raise CallRefused(ErrorCode(error.violation.value), str(error)) from error


async def set_charging_profile(request: Request) -> Reply:
    """Install a profile durably; the control loop then computes the new limit."""
    payload = request.payload
    rejection = await in_database(_install, payload["connectorId"], payload["csChargingProfiles"], request.at)
    if rejection is None:
        return status("Accepted", after=_tell(request))
    if rejection.kind is RejectionKind.PROPERTY_CONSTRAINT:
        raise CallRefused(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, rejection.reason.value)
    if rejection.kind is RejectionKind.NOT_SUPPORTED:
        raise CallRefused(ErrorCode.NOT_SUPPORTED, rejection.reason.value)
    return status("Rejected")


@transaction.atomic
def _install(connector_id: int, raw: Payload, at: datetime) -> profiles.Rejection | None:
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
    removed = 0
    for each in gone:
        count, _ = ChargingProfileRow.objects.filter(
            connector_id=each.connector_id, purpose=each.profile.purpose.value, stack_level=each.profile.stack_level
        ).delete()
        removed += count
    return removed


async def clear_charging_profile(request: Request) -> Reply:
    """Remove the profiles that all given filters fit; an id stands alone."""
    payload = request.payload
    purpose = payload.get("chargingProfilePurpose")
    wanted = profiles.ClearFilter(
        profile_id=payload.get("id"),
        connector_id=payload.get("connectorId"),
        purpose=None if purpose is None else Purpose(purpose),
        stack_level=payload.get("stackLevel"),
    )
    if await in_database(_clear, wanted):
        return status("Accepted", after=_tell(request))
    return status("Unknown")


@transaction.atomic
def _clear(wanted: profiles.ClearFilter) -> int:
    _, gone = profiles.clear(charging_profiles.installed(), wanted)
    return _remove(gone)


def _tell(request: Request) -> Any:
    async def tell() -> None:
        await request.link.environment.control_loop.inform(ProfilesChanged())

    return tell


async def get_composite_schedule(request: Request) -> Reply:
    """Answer what the profiles and the station's own limits allow from now on."""
    payload = request.payload
    duration_s, connector_id = payload["duration"], payload["connectorId"]
    unit = RateUnit(payload.get("chargingRateUnit", "A"))
    live = await request.link.environment.snapshots.hardware()
    answer = await in_database(_composite, connector_id, duration_s, unit, live, request.at)
    return status("Rejected") if answer is None else Reply(payload=answer)


def _composite(
    connector_id: int, duration_s: int, unit: RateUnit, live: HardwareSnapshot | None, at: datetime
) -> Payload | None:
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
        max_periods=context.max_periods,
    )
    return profiles.render_composite(schedule)


def _local_limit(point: PointSnapshot | None) -> MilliAmpere:
    """Answer what limits a connector beside the profiles: the control loop's sources, or at least its rating."""
    limits = {LimitSource.RATING: MilliAmpere(configuration.get_int("/identity/ratedCurrentA") * _MA_PER_A)}
    for name, value in (point.limits if point else {}).items():
        if name in _LOCAL_SOURCES:
            limits[LimitSource(name)] = value
    return effective(limits).limit


HANDLERS: dict[str, Handler] = {
    "SetChargingProfile": set_charging_profile,
    "ClearChargingProfile": clear_charging_profile,
    "GetCompositeSchedule": get_composite_schedule,
}
