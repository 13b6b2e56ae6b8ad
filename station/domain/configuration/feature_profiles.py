"""Which configuration keys belong to an optional feature profile of OCPP 1.6 (sections 9.2 to 9.4)."""

from collections.abc import Collection

_KEYS_OF = {
    "FirmwareManagement": ("SupportedFileTransferProtocols",),
    "LocalAuthListManagement": ("LocalAuthListEnabled", "LocalAuthListMaxLength", "SendLocalListMaxLength"),
    "Reservation": ("ReserveConnectorZeroSupported",),
    "SmartCharging": (
        "ChargeProfileMaxStackLevel",
        "ChargingProfileStackPerConnector",
        "ChargingScheduleAllowedChargingRateUnit",
        "ChargingScheduleMaxPeriods",
        "ConnectorSwitch3to1PhaseSupported",
        "MaxChargingProfilesInstalled",
    ),
}
_PROFILE_OF = {key: profile for profile, keys in _KEYS_OF.items() for key in keys}


def is_off(key: str, profiles: Collection[str]) -> bool:
    """Return whether a key belongs to a profile that is not among the supported ones."""
    profile = _PROFILE_OF.get(key)
    return profile is not None and profile not in profiles
