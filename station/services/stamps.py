"""Correcting what was stamped while the wall clock was wrong."""

from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from django.db import transaction
from django.db.models import Max, Min, Q, QuerySet

from station.domain import stamps
from station.domain.moments import EARLIEST_STAMP
from station.domain.stamps import Stamp
from station.models import ChargingSession, MeterSample, OutboxMessage
from station.models.backend import OutboxStatus

_AT_ONCE = 500
_Row = TypeVar("_Row", OutboxMessage, MeterSample)


def correct(now: Stamp) -> int:
    """Give what the backend has not taken its true moments, now that the clock is right; return how many rows changed.

    A message that is under way was sent as it stood; its repetition after a failure tells the corrected moment.
    """
    boots = stamps.true_boots(_stamps_of_boots(), now, earliest=EARLIEST_STAMP)
    owed = OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED)
    changed = _correct_rows(owed, boots) + _correct_rows(MeterSample.objects.all(), boots)
    # Sessions are kept for years; those the backend knows in full are not read again at every start.
    untold = Q(stopped_at=None) | Q(id__in=owed.exclude(session=None).values("session"))
    for session in ChargingSession.objects.filter(untold).iterator(chunk_size=_AT_ONCE):
        changed += session.correct(lambda stamp: stamps.corrected(stamp, boots))
    return changed


def _correct_rows(rows: "QuerySet[_Row]", boots: dict[str, datetime]) -> int:
    changed, last = 0, 0
    stamped = rows.filter(boot_id__in=boots).order_by("id").only("id", "at", "boot_id", "steady_ms")
    while portion := list(stamped.filter(id__gt=last)[:_AT_ONCE]):
        last = portion[-1].pk
        with transaction.atomic():
            for row in portion:
                after = stamps.corrected(row.stamp, boots)
                if after != row.stamp:
                    changed += rows.filter(id=row.pk).update(at=after.at)
    return changed


def _stamps_of_boots() -> Iterator[Stamp]:
    """Read the first, the last and the steadily last stamp of each boot, in the order of the boots."""
    messages = OutboxMessage.objects.exclude(boot_id="")
    for boot in messages.values("boot_id").annotate(first=Min("id"), low=Min("at"), high=Max("at")).order_by("first"):
        of_boot = messages.filter(boot_id=boot["boot_id"])
        for row in (of_boot.order_by("at")[0], of_boot.order_by("-at")[0], of_boot.order_by("-steady_ms")[0]):
            yield row.stamp
