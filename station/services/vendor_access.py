"""The vendor's access: what the two keys say is switched at the computer, and ends by itself after a day."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from station import host
from station.domain.commands import Origin
from station.domain.configuration import Change
from station.domain.stamps import Stamp
from station.domain.vendor_access import LONGEST, Door
from station.host.dbus.bus import ServiceRefused
from station.models import VendorAccess
from station.services import configuration, event_log

logger = logging.getLogger(__name__)

KEYS: Mapping[Door, str] = {
    Door.LOCAL: "/Security/enableLocalVendorAccess",
    Door.REMOTE: "/Security/enableRemoteVendorAccess",
}
# Who closes an access whose time is over; `station.ui.event_words` names it.
ACTOR = "vendor access"
NOT_SWITCHED_CODE = "vendor_access.not_switched"


@dataclass(frozen=True, kw_only=True)
class DoorState:
    """One access. `is_switched`: what the computer says; None with the `reason` where it cannot be switched here."""

    door: Door
    is_wanted: bool
    left: timedelta
    is_switched: bool | None
    reason: str = ""


def note(changes: Iterable[Change], now: Stamp) -> None:
    """Begin or forget the time of what was just opened or closed; within the transaction of the change."""
    changed = {each.key: each.new for each in changes}
    for door, key in KEYS.items():
        if key in changed and changed[key] == "true":
            VendorAccess.begin(door, now)
        elif key in changed:
            VendorAccess.objects.filter(door=door).delete()


def left(now: Stamp) -> dict[Door, timedelta]:
    """Return what is open and for how long."""
    wanted = [door for door in Door if configuration.get_bool(KEYS[door])]
    rows = {row.door: row for row in VendorAccess.objects.filter(door__in=wanted)} if wanted else {}
    # Without a row it was opened before times were kept: it has its day from the next count on.
    return {door: rows[door].opening.left(now) if door in rows else LONGEST for door in wanted}


def doors(now: Stamp) -> tuple[DoorState, ...]:
    """Return both accesses, with what the computer says of them."""
    open_now = left(now)
    return tuple(_door(door, open_now) for door in Door)


def _door(door: Door, open_now: Mapping[Door, timedelta]) -> DoorState:
    is_switched, reason = None, ""
    try:
        is_switched = host.for_settings().vendor_access.is_open(door)
    except ServiceRefused as refusal:
        reason = str(refusal)
    return DoorState(
        door=door,
        is_wanted=door in open_now,
        left=open_now.get(door, timedelta()),
        is_switched=is_switched,
        reason=reason,
    )


def count(now: Stamp) -> None:
    """Count the time of what is open, close what is over, and let the computer follow; once a minute."""
    for door, key in KEYS.items():
        if not configuration.get_bool(key):
            VendorAccess.objects.filter(door=door).delete()
        elif VendorAccess.count(door, now) <= timedelta():
            configuration.change({key: "false"}, origin=Origin.LOCAL, actor=ACTOR, at=now.at)
    apply(now)


def close_all(*, origin: Origin, actor: str, now: Stamp) -> bool:
    """Close what is open; return whether anything was."""
    wanted = {key: "false" for key in KEYS.values() if configuration.get_bool(key)}
    configuration.change(wanted, origin=origin, actor=actor, at=now.at)
    return bool(wanted)


def apply(now: Stamp) -> None:
    """Let the computer follow the keys; what cannot be switched stands in the event log until it can."""
    problem = ""
    for door, key in KEYS.items():
        is_wanted = configuration.get_bool(key)
        try:
            host.for_settings().vendor_access.switch(door, is_open=is_wanted)
        except (ServiceRefused, OSError) as refusal:
            # A computer without these units has nothing to close.
            if is_wanted:
                problem = str(refusal)
                logger.warning("vendor access (%s) cannot be switched: %s", door, refusal)
    if problem:
        event_log.begin(NOT_SWITCHED_CODE, at=now.at, reason=problem)
    else:
        event_log.end(NOT_SWITCHED_CODE, at=now.at)
