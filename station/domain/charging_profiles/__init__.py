"""Smart charging of OCPP 1.6 (sections 3.13, 5.16, 7.8 to 7.14 and the errata): profiles in, limits out."""

from station.domain.charging_profiles.acceptance import (
    Context,
    Rejection,
    RejectionKind,
    RejectionReason,
    allowed_units,
    check_acceptance,
    check_remote_start,
    check_stored,
)
from station.domain.charging_profiles.composite import (
    CompositePeriod,
    CompositeSchedule,
    composite_schedule,
    render_composite,
)
from station.domain.charging_profiles.profile import (
    ChargingProfile,
    Kind,
    Period,
    ProfileMalformed,
    Purpose,
    RateUnit,
    Recurrency,
    Schedule,
    Violation,
    parse_profile,
    render_profile,
)
from station.domain.charging_profiles.schedule import (
    ProfileLimit,
    limit_at,
    next_change_after,
    station_limit_at,
)
from station.domain.charging_profiles.store import ClearFilter, Installed, clear, end_transaction, install, no_energy

__all__ = [
    "ChargingProfile",
    "ClearFilter",
    "CompositePeriod",
    "CompositeSchedule",
    "Context",
    "Installed",
    "Kind",
    "Period",
    "ProfileLimit",
    "ProfileMalformed",
    "Purpose",
    "RateUnit",
    "Recurrency",
    "Rejection",
    "RejectionKind",
    "RejectionReason",
    "Schedule",
    "Violation",
    "allowed_units",
    "check_acceptance",
    "check_remote_start",
    "check_stored",
    "clear",
    "composite_schedule",
    "end_transaction",
    "install",
    "limit_at",
    "next_change_after",
    "no_energy",
    "parse_profile",
    "render_composite",
    "render_profile",
    "station_limit_at",
]
