"""The fault memory: written with the status of a connector, read by support, cleared by nobody."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import F, QuerySet

from station.models import FaultMemory


def begin(number: int, codes: Iterable[str], *, at: datetime) -> None:
    """Count faults that have come at a charging point (0: the station)."""
    for code in codes:
        entry, _ = FaultMemory.objects.get_or_create(
            number=number, code=code, defaults={"first_at": at, "since": at, "until": at}
        )
        entry.begin(at)


def end(number: int, codes: Iterable[str], *, at: datetime) -> None:
    """Write down until when faults lasted; a clock that was set back meanwhile makes no end before its begin."""
    lasting = FaultMemory.objects.filter(number=number, code__in=list(codes), until=None)
    lasting.filter(since__lte=at).update(until=at)
    lasting.update(until=F("since"))


def kept() -> "QuerySet[FaultMemory]":
    """Return everything: what lasts first, then what was there last."""
    return FaultMemory.objects.order_by(F("until").desc(nulls_first=True), "-since", "number", "code")
