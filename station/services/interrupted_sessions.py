"""What a restart has to know of the sessions that were running before it."""

from station.domain.stamps import Stamp
from station.models import ChargingSession, OutboxMessage
from station.services import sessions


def open_sessions() -> list[ChargingSession]:
    """Read the sessions that have begun and whose end is not queued, oldest first."""
    return [row for row in ChargingSession.objects.running().order_by("id") if not sessions.stop_is_queued(row.pk)]


def last_sign_of_life(row: ChargingSession) -> Stamp:
    """Find the moment of the newest note that all connectors together have left, and not before that of this session.

    Nothing ends before the last thing the station has told about itself.
    """
    signs = [row.last_sign]
    noted = ChargingSession.objects.order_by("-meter_last_at").first()
    if noted is not None:
        signs.append(noted.last_sign)
    told = OutboxMessage.objects.order_by("-id").only("at", "boot_id", "steady_ms").first()
    if told is not None:
        signs.append(told.stamp)
    return max(signs, key=lambda stamp: stamp.at)


def is_of_another_boot(row: ChargingSession, now: Stamp) -> bool:
    """Return whether the computer was started anew since the last note of a session."""
    return row.meter_last_boot_id not in {"", now.boot_id}
