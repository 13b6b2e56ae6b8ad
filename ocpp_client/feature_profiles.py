"""The feature profiles of OCPP 1.6: which calls belong to each, and what a call of one that is off is answered."""

from typing import Any

# What a backend may ask of a station, and the feature profile each belongs to (None: always there).
PROFILES: dict[str, str | None] = {
    "ChangeAvailability": None,
    "ChangeConfiguration": None,
    "ClearCache": None,
    "DataTransfer": None,
    "GetConfiguration": None,
    "RemoteStartTransaction": None,
    "RemoteStopTransaction": None,
    "Reset": None,
    "UnlockConnector": None,
    "GetDiagnostics": "FirmwareManagement",
    "UpdateFirmware": "FirmwareManagement",
    "GetLocalListVersion": "LocalAuthListManagement",
    "SendLocalList": "LocalAuthListManagement",
    "ReserveNow": "Reservation",
    "CancelReservation": "Reservation",
    "SetChargingProfile": "SmartCharging",
    "ClearChargingProfile": "SmartCharging",
    "GetCompositeSchedule": "SmartCharging",
    "TriggerMessage": "RemoteTrigger",
    "ExtendedTriggerMessage": None,
    "CertificateSigned": None,
    "InstallCertificate": None,
    "DeleteCertificate": None,
    "GetInstalledCertificateIds": None,
    "GetLog": None,
    "SignedUpdateFirmware": None,
}

# A profile that is off is answered in the response's own word where it has one. Without one are the calls of smart
# charging, for which section 3.13 asks for a CALLERROR, and UpdateFirmware, whose empty response would be a promise.
_REPLIES_WHEN_OFF: dict[str, dict[str, Any]] = {
    # Section 5.15 and section 5.10, where -1 says that there is no list.
    "SendLocalList": {"status": "NotSupported"},
    "GetLocalListVersion": {"listVersion": -1},
    # Section 5.13; and without reservations none can be cancelled (section 5.1).
    "ReserveNow": {"status": "Rejected"},
    "CancelReservation": {"status": "Rejected"},
    # Section 7.50: "not implemented or unknown".
    "TriggerMessage": {"status": "NotImplemented"},
    # Section 5.9: no file name means that there is nothing to upload.
    "GetDiagnostics": {},
}


def reply_when_off(action: str) -> dict[str, Any] | None:
    """Return the response to a call whose profile is off; None where only a CALLERROR can say so."""
    return _REPLIES_WHEN_OFF.get(action)
