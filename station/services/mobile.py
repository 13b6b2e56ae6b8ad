"""The mobile connection: what the configuration wants of it, and bringing the modem into line with that."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from station import private_files
from station.domain.configuration import mobile_keys as keys
from station.domain.mobile import ModemStatus, PinRecord, SimState, may_send_pin
from station.domain.mobile_providers import provider
from station.host.ports import MobilePort, MobileProfile
from station.models import ConfigurationValue
from station.services import configuration

logger = logging.getLogger(__name__)


def profile() -> MobileProfile:
    """Return how the station shall go into the mobile network."""
    mode = configuration.get(keys.SERVICE_MODE)
    modes = "" if mode == keys.AUTOMATIC else mode
    chosen = configuration.get(keys.PROVIDER)
    known = provider(chosen)
    if known is not None:
        return MobileProfile(
            apn=known.apn,
            authentication=known.authentication,
            user=known.user,
            password=known.password,
            modes=modes,
        )
    if chosen == keys.AUTOMATIC:
        return MobileProfile(modes=modes, authentication="none")
    return MobileProfile(
        apn=configuration.get(keys.APN),
        authentication=configuration.get(keys.AUTHENTICATION),
        user=configuration.get(keys.USER),
        password=configuration.get(keys.PASSWORD),
        modes=modes,
    )


def pin_record(status: ModemStatus) -> PinRecord:
    """Return what is known of the PIN for the card in the modem."""
    is_set = bool(configuration.get(keys.PIN))
    return PinRecord(is_set=is_set, was_refused=is_set and _refused() == _attempt(status))


def follow(port: MobilePort) -> ModemStatus | None:
    """Bring modem and connection into line; return what the modem says now. Raises ServiceRefused.

    The PIN is sent at most once for a card and an entry: an attempt is written down before it is made and struck out
    when it has succeeded, so that neither a second process nor a restart repeats it.
    """
    status = port.examine()
    if status is None:
        return None
    if status.sim is SimState.LOCKED:
        _unlock(port)
        status = port.examine()
    if status is not None and status.sim is SimState.READY and port.apply(profile()):
        logger.info("the mobile connection was brought into line with the settings")
        status = port.examine()
    return status


def forget_refusal() -> None:
    """Let the PIN be sent once more: somebody has entered it anew."""
    settings.DATA.pin_attempt.unlink(missing_ok=True)


def _unlock(port: MobilePort) -> None:
    with _alone() as is_alone:
        # Asked again: another process may have sent it meanwhile.
        status = port.examine() if is_alone else None
        if status is None or not may_send_pin(status, pin_record(status)):
            return
        private_files.write(settings.DATA.pin_attempt, _attempt(status).encode())
        if port.unlock(configuration.get(keys.PIN)):
            settings.DATA.pin_attempt.unlink(missing_ok=True)
        else:
            logger.warning("the SIM card has refused its PIN; it is not sent again before it is entered anew")


@contextmanager
def _alone() -> Iterator[bool]:
    """Keep other processes from sending the same PIN meanwhile."""
    with (settings.DATA.run / "pin.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _attempt(status: ModemStatus) -> str:
    """Name a card and an entry of the PIN, without telling the PIN."""
    row = ConfigurationValue.objects.filter(key=keys.PIN).first()
    return f"{status.iccid} {row.changed_at.isoformat() if row else ''}"


def _refused() -> str:
    try:
        return private_files.read(settings.DATA.pin_attempt).decode()
    except OSError:
        return ""
