"""The charging profiles the station holds: rows as profiles, and what the rules about new ones need to know."""

from station.domain import charging_profiles as profiles
from station.domain.charging_profiles import Installed
from station.models import ChargingProfileRow, ChargingSession
from station.services import configuration


def installed() -> tuple[Installed, ...]:
    """Read every installed profile, in the order of their arrival."""
    return tuple(
        Installed(
            connector_id=row.connector_id,
            profile=profiles.parse_profile(row.profile),
            installed_at=row.installed_at,
        )
        for row in ChargingProfileRow.objects.order_by("id")
    )


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
