"""What a restart has to know of the sessions that were running before it."""

from station.domain.stamps import Stamp
from station.models import ChargingSession, OutboxMessage
from station.services import sessions


def open_sessions() -> list[ChargingSession]:
    """Read the sessions that have begun and whose end is not queued, oldest first."""
    return [row for row in ChargingSession.objects.running().order_by("id") if not sessions.stop_is_queued(row.pk)]


def last_sign_of_life(row: ChargingSession) -> Stamp:
    """Find the moment of the newest note of all connectors together, in the boot in which this session was alive last.

    Nothing ends before the last thing the station has told about itself. What another boot noted is no sign of this
    session, and its clock may have told another time.
    """
    last = row.last_sign
    signs = [last]
    noted = ChargingSession.objects.filter(meter_last_boot_id=last.boot_id).order_by("-meter_last_at").first()
    if noted is not None:
        signs.append(noted.last_sign)
    told = OutboxMessage.objects.filter(boot_id=last.boot_id).order_by("-id").first()
    if told is not None:
        signs.append(told.stamp)
    return max(signs, key=lambda stamp: stamp.since(last))


def is_of_another_boot(row: ChargingSession, now: Stamp) -> bool:
    """Return whether the computer was started anew since the last note of a session."""
    return row.meter_last_boot_id not in {"", now.boot_id}
