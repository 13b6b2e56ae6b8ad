"""Waiting times after failed attempts to sign in: they grow, survive a restart, and never lock anybody out for good."""

import ipaddress
from datetime import datetime, timedelta

from django.db import transaction

from station.models import SignInDelay

FREE_FAILURES = 5
FIRST_DELAY_S = 30
LONGEST_DELAY_S = 15 * 60
ATTEMPTS_PER_MINUTE = 30
FORGOTTEN_AFTER = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_AFAR, _NEARBY = "", "nearby"
# The service port and the station itself: attempts from afar must not keep the installer out.
_NEAR = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
    ipaddress.ip_network("192.168.32.0/24"),
)


class SignInDelayed(Exception):
    """There were too many failures; try again after `wait_s`."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


def delay_s(failures: int) -> int:
    """Return how long the next attempt has to wait after this many failures in a row."""
    if failures < FREE_FAILURES:
        return 0
    doublings = min(failures - FREE_FAILURES, 10)
    return int(min(FIRST_DELAY_S * 2**doublings, LONGEST_DELAY_S))


def claim_attempt(*, account: str, address: str, at: datetime) -> None:
    """Count an attempt as failed before it is tried, so that parallel attempts cannot slip through.

    Raises SignInDelayed. A success is told with `forget`.
    """
    with transaction.atomic():
        SignInDelay.objects.filter(failed_at__lt=at - FORGOTTEN_AFTER).delete()
        _refuse_while_blocked(account, address, at)
        _count_in_total(_NEARBY if _is_near(address) else _AFAR, at)
        row, _ = SignInDelay.objects.get_or_create(account=account, address=address, defaults={"failed_at": at})
        row.failures += 1
        row.failed_at = at
        wait_s = delay_s(row.failures)
        row.blocked_until = at + timedelta(seconds=wait_s) if wait_s else None
        row.save(update_fields=["failures", "failed_at", "blocked_until"])


def forget(*, account: str, address: str) -> None:
    """Clear the count after a success."""
    SignInDelay.objects.filter(account=account, address=address).delete()


def forget_account(account: str) -> None:
    """Clear the counts of an account at every address: its owner has proved otherwise who he is."""
    SignInDelay.objects.filter(account=account).delete()


def _refuse_while_blocked(account: str, address: str, at: datetime) -> None:
    row = SignInDelay.objects.filter(account=account, address=address).first()
    if row is None or row.blocked_until is None:
        return
    wait_s = (row.blocked_until - at).total_seconds()
    # A longer wait than the longest one means that the clock was set back.
    if 0 < wait_s <= LONGEST_DELAY_S:
        raise SignInDelayed(int(wait_s) + 1)


def _count_in_total(place: str, at: datetime) -> None:
    """Bound all attempts together, whatever names they guess; those from afar and those nearby have each their own."""
    total, _ = SignInDelay.objects.get_or_create(account="", address=place, defaults={"failed_at": at})
    if not total.failed_at <= at < total.failed_at + _MINUTE:
        total.failures, total.failed_at = 0, at
    if total.failures >= ATTEMPTS_PER_MINUTE:
        raise SignInDelayed(int((total.failed_at + _MINUTE - at).total_seconds()) + 1)
    total.failures += 1
    total.save(update_fields=["failures", "failed_at"])


def _is_near(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in _NEAR)
