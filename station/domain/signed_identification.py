"""Who a signed meter value names: how a session was authorised, as OCMF says it (tables 11 to 17)."""

import re

from station.domain.authorization import Reason
from station.domain.connector import Permission
from station.domain.ports import Identification, SignedEnd

_UID_14443 = re.compile(r"(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{14})\Z")
_UID_15693 = re.compile(r"[0-9A-Fa-f]{16}\Z")
_LONGEST = 40
_CACHED = frozenset({Reason.PRE_AUTHORIZED_BY_CACHE, Reason.OFFLINE_CACHED})
_LISTED = frozenset({Reason.PRE_AUTHORIZED_BY_LIST, Reason.OFFLINE_LISTED, Reason.WHITELIST_ACCEPTED})
_ENDS = {
    "Local": SignedEnd.LOCAL,
    "Remote": SignedEnd.REMOTE,
    "UnlockCommand": SignedEnd.REMOTE,
    "PowerLoss": SignedEnd.POWER_FAILURE,
    "EmergencyStop": SignedEnd.ABORT,
    "DeAuthorized": SignedEnd.ABORT,
    "HardReset": SignedEnd.ABORT,
    "SoftReset": SignedEnd.ABORT,
    "Reboot": SignedEnd.ABORT,
}


def identification(
    permission: Permission, *, over_tls: bool, evse_id: str, charge_box_id: str, number: int
) -> Identification:
    """Return what the meter is told of whoever charges; nothing more certain than what was checked."""
    assigned, level, flags, kind, data = _of_permission(permission, over_tls=over_tls)
    # A charging point without an EVSE ID is known to its backend by the charge box and its number.
    place = ("EVSEID", evse_id) if evse_id else ("CBIDC", f"{charge_box_id} {number}")
    return Identification(
        assigned=assigned,
        level=level,
        flags=flags,
        kind=kind,
        data=data[:_LONGEST],
        charge_point_kind=place[0],
        charge_point=place[1],
    )


def _of_permission(permission: Permission, *, over_tls: bool) -> tuple[bool, str, tuple[str, ...], str, str]:
    tag, reason = permission.id_tag, permission.reason
    if permission.origin == "plug" or reason == Reason.WHITELIST_NO_IDENTIFICATION:
        return False, "NONE", ("RFID_NONE", "OCPP_NONE"), "NONE", ""
    if permission.origin == "backend":
        return True, "TRUSTED", ("RFID_NONE", "OCPP_RS_TLS" if over_tls else "OCPP_RS"), "CENTRAL_2", tag
    if permission.origin != "reader":
        # Somebody at the pages, or an energy manager: the station itself has let the session begin.
        return True, "HEARSAY", ("RFID_NONE", "OCPP_NONE"), "LOCAL_1", tag
    kind = "ISO14443" if _UID_14443.match(tag) else "ISO15693" if _UID_15693.match(tag) else "UNDEFINED"
    if reason == Reason.BACKEND_ACCEPTED:
        return True, "TRUSTED", ("RFID_PLAIN", "OCPP_AUTH_TLS" if over_tls else "OCPP_AUTH"), kind, tag
    how = "OCPP_CACHE" if reason in _CACHED else "OCPP_WHITELIST" if reason in _LISTED else "OCPP_NONE"
    return True, "HEARSAY", ("RFID_PLAIN", how), kind, tag


def signed_end(reason: str) -> SignedEnd:
    """Return how a meter is told why a session ends; `reason` as OCPP names it."""
    return _ENDS.get(reason, SignedEnd.END)
