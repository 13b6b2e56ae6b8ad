"""The charging profiles the station holds: rows as profiles, and what the rules about new ones need to know."""

import logging

from station.domain import charging_profiles as profiles
from station.domain.charging_profiles import Installed
from station.models import ChargingProfileRow, ChargingSession
from station.services import configuration

logger = logging.getLogger(__name__)


def installed() -> tuple[Installed, ...]:
    """Read every installed profile, in the order of their arrival; one that cannot be read is kept, but not used."""
    found = []
    for row in ChargingProfileRow.objects.order_by("id"):
        try:
            profile = profiles.parse_profile(row.profile)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            # Another version of the software has written it. It must not keep the control loop from starting.
            logger.exception("charging profile %d of connector %d cannot be read", row.profile_id, row.connector_id)
            continue
        found.append(Installed(connector_id=row.connector_id, profile=profile, installed_at=row.installed_at))
    return tuple(found)


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
