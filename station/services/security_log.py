"""The security log of the station (security whitepaper, section 8): bounded, and no flood pushes out the rest."""

from datetime import datetime, timedelta

from django.db import transaction

from station.models import SecurityEvent
from station.services.messages import SecurityEventRecorded, send_to_ocpp_sync

# Security whitepaper, section 8: these are critical.
CRITICAL = frozenset(
    {
        "FirmwareUpdated",
        "SettingSystemTime",
        "StartupOfTheDevice",
        "ResetOrReboot",
        "SecurityLogWasCleared",
        "MemoryExhaustion",
        "TamperDetectionActivated",
    }
)
# Not critical there, but use cases L01.FR.02/03, A02.FR.06/07 and A03.FR.07 want the backend to be told all the same.
OWED_BY_USE_CASE = frozenset(
    {
        "InvalidFirmwareSignature",
        "InvalidFirmwareSigningCertificate",
        "InvalidChargePointCertificate",
        "InvalidCentralSystemCertificate",
    }
)
# Ours: who gets into the station without knowing its password is the operator's business at once.
OWED_BY_STATION = frozenset({"LocalPasswordRecoveryRequested", "LocalPasswordRecovered"})
# The log keeps at least a thousand entries (reference/security.md, section 2.4) and is cut now and then.
KEPT = 2_000
_SLACK = 200
# What comes more often than this within the span is a flood: the last entry let through says so.
SPAN = timedelta(minutes=10)
MOST_OF_A_TYPE = 20
_FLOOD = "further entries of this type are left out for a while"
_LONGEST_INFO = 255


def record(kind: str, *, at: datetime, tech_info: str = "") -> SecurityEvent | None:
    """Append an entry; what the backend must be told is thereby owed to it. None: left out, because of a flood."""
    with transaction.atomic():
        recent = SecurityEvent.objects.filter(type=kind, at__gt=at - SPAN, at__lte=at).count()
        if recent >= MOST_OF_A_TYPE:
            return None
        info = _FLOOD if recent == MOST_OF_A_TYPE - 1 else tech_info[:_LONGEST_INFO]
        entry = SecurityEvent.objects.create(
            type=kind, at=at, tech_info=info, critical=kind in CRITICAL | OWED_BY_USE_CASE | OWED_BY_STATION
        )
        _cut(entry.pk)
        if entry.critical:
            # Without Redis the sender finds it by itself.
            transaction.on_commit(lambda: send_to_ocpp_sync(SecurityEventRecorded()))
    return entry


def _cut(newest: int) -> None:
    """Shorten the log; what is still owed to the backend stays."""
    if newest % _SLACK:
        return
    beyond = SecurityEvent.objects.order_by("-id").values_list("id", flat=True)[KEPT : KEPT + 1]
    for oldest in beyond:
        SecurityEvent.objects.filter(id__lte=oldest).exclude(critical=True, delivered_at=None).delete()
