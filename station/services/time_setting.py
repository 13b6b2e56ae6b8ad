"""What the computer's time follows: the keys TimeZone and TimeSource, and once the browser of a person."""

from datetime import datetime, timedelta

from station import clock
from station.domain.commands import Origin, Status
from station.domain.moments import EARLIEST_STAMP, LATEST_STAMP
from station.host import time_service
from station.host.ports import TimePort
from station.models import AuditEntry
from station.services import configuration, security_log, stamps

NTP, HEARTBEAT = "NTP", "HeartBeat"
BROWSER = "browser"


class TimeIsImplausible(Exception):
    """No station can have been told this time."""


class ClockCannotBeSet(Exception):
    """This computer's clock is not the station's to set."""


class TimeIsKept(Exception):
    """A time server keeps the clock, which is more accurate than a person's computer."""


def follow(port: TimePort) -> bool:
    """Bring the computer into line with the keys; return whether anything was different. Raises ServiceRefused."""
    present = port.examine()
    zone, ntp_on = configuration.get("TimeZone"), NTP in configuration.get_list("TimeSource")
    is_different = False
    if present.zone != zone:
        port.set_zone(zone)
        is_different = True
    if present.ntp_on != ntp_on:
        port.use_ntp(on=ntp_on)
        is_different = True
    return is_different


def set_from_browser(port: TimePort, at: datetime, *, actor: str) -> timedelta:
    """Set the clock to what a person's computer shows, once; return by how much it has leapt.

    Raises TimeIsImplausible, ClockCannotBeSet, TimeIsKept, ServiceRefused.
    """
    if not port.can_be_set:
        raise ClockCannotBeSet
    if not EARLIEST_STAMP <= at < LATEST_STAMP:
        raise TimeIsImplausible
    if port.examine().is_synchronised:
        raise TimeIsKept
    before = clock.now()
    port.set_time(at)
    now = clock.now()
    time_service.note().write(BROWSER, now)
    AuditEntry.objects.create(
        at=now,
        origin=Origin.WEB.value,
        actor=actor,
        command="SetClock",
        data={"before": before.isoformat(timespec="seconds"), "after": now.isoformat(timespec="seconds")},
        outcome=Status.ACCEPTED.value,
    )
    security_log.record("SettingSystemTime", at=now, tech_info=f"from {before:%Y-%m-%dT%H:%M:%SZ} (web)")
    # The control loop does so, too, when it notices; until then pages would show moments of the wrong time.
    for _changed in stamps.correcting(clock.stamp()):
        continue
    return now - before
