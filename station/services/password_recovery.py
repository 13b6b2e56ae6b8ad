"""A lost password, replaced without a backend: who stands at the open station sets a new one.

It takes two things in a row. Somebody at the service port, which is inside the housing, asks for it (`request`); then
the station loses its power, and in the first minutes after that start somebody at the service port sets the password
(`replace_password`). The network of the site gets neither: pages ask `station.web.service_port`. A stranger outside
who switches the power off finds no request; whoever only has the service port - a cable that somebody left there, say -
cannot switch the power; and a restart that software orders takes the request back.
"""

from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.db import transaction

from station.domain.commands import Origin, Status
from station.domain.stamps import Stamp
from station.host.power import reboot_was_ordered
from station.models import AuditEntry, PasswordRecovery
from station.services import accounts, security_log, sign_in_delays

# Time to walk to the fuse.
REQUEST_HOLDS = timedelta(minutes=15)
# After the start of the computer; the station itself needs one or two of these minutes.
WINDOW = timedelta(minutes=10)


class State(StrEnum):
    """How far a recovery is."""

    NONE = "none"
    REQUESTED = "requested"
    OPEN = "open"


class RecoveryIsClosed(Exception):
    """Nobody has asked, the power was not switched off and on, or it is too late."""


def state(now: Stamp) -> State:
    """Return how far it is at this moment. The steady clock decides: the wall clock may be wrong after a power cut."""
    asked = PasswordRecovery.objects.first()
    if asked is None:
        return State.NONE
    if asked.opened_in_boot:
        in_time = asked.opened_in_boot == now.boot_id and _since_boot(now) <= WINDOW
        return State.OPEN if in_time else State.NONE
    in_time = asked.boot_id == now.boot_id and _since_boot(now) - asked.asked_after <= REQUEST_HOLDS
    return State.REQUESTED if in_time else State.NONE


def request(*, address: str, now: Stamp) -> None:
    """Ask for a new password; the next loss of power opens the window."""
    with transaction.atomic():
        PasswordRecovery.objects.all().delete()
        PasswordRecovery.objects.create(boot_id=now.boot_id, asked_after=_since_boot(now), requested_at=now.at)
        _tell("LocalPasswordRecoveryRequested", "RequestPasswordRecovery", address, now)


def note_start(now: Stamp) -> None:
    """Open the window when power has come back since somebody asked, and forget what is too old for it."""
    for asked in PasswordRecovery.objects.all():
        if now.boot_id in {asked.boot_id, asked.opened_in_boot}:
            continue
        # A clock that was lost stands before the request, and says nothing; one that kept going does.
        too_late = now.at - asked.requested_at > REQUEST_HOLDS + WINDOW
        if asked.opened_in_boot or too_late or reboot_was_ordered(settings.DATA, boot_id=asked.boot_id):
            asked.delete()
        else:
            asked.open_in(now.boot_id)


def replace_password(new: str, *, address: str, now: Stamp) -> None:
    """Set a new password for the administrator, once; every session ends.

    Raises RecoveryIsClosed, or ValidationError with every reason; then the window stays open.
    """
    if state(now) is not State.OPEN:
        raise RecoveryIsClosed
    with transaction.atomic():
        taken, _ = PasswordRecovery.objects.filter(opened_in_boot=now.boot_id).delete()
        if not taken:
            raise RecoveryIsClosed
        accounts.set_password(accounts.ensure_admin(at=now.at), new, origin=Origin.WEB, at=now.at)
        sign_in_delays.forget_account(accounts.ADMIN)
        _tell("LocalPasswordRecovered", "ReplaceLostPassword", address, now)


def _tell(event: str, command: str, address: str, now: Stamp) -> None:
    security_log.record(event, at=now.at, tech_info=f"address {address}")
    AuditEntry.objects.create(
        at=now.at, origin=Origin.WEB.value, actor=address, command=command, outcome=Status.ACCEPTED.value
    )


def _since_boot(now: Stamp) -> timedelta:
    return timedelta(milliseconds=now.steady_ms or 0)
