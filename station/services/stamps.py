"""Correcting what was stamped while the wall clock was wrong.

Everything is done in portions, each committed by itself: with a month's queue all of it together takes longer than
whoever waits for the database may be kept waiting. Whoever is interrupted begins anew. The newest rows come first: the
last word of a boot tells the next one when everything else in it was.
"""

from collections.abc import Generator, Iterator
from datetime import datetime
from typing import TypeVar

from django.db import transaction
from django.db.models import Q, QuerySet

from station.domain import stamps
from station.domain.facts import FactKind
from station.domain.moments import EARLIEST_STAMP
from station.domain.stamps import Stamp
from station.models import ChargingSession, DimmingIntervention, MeterSample, OutboxMessage
from station.models.backend import OutboxStatus
from station.services import outbox

_READ_AT_ONCE = 2_000
_WRITTEN_AT_ONCE = 200
_Row = TypeVar("_Row", OutboxMessage, MeterSample, ChargingSession, DimmingIntervention)
_Stamped = TypeVar("_Stamped", OutboxMessage, MeterSample)


def correcting(now: Stamp, *, trusted: bool = True) -> Iterator[int]:
    """Give what the backend has not been told its true moments; yield after each portion how many rows it changed.

    `now` is told by a clock that is right; by one that is not `trusted` only what cannot be is corrected. A start or an
    end that was sent without an answer stays as it was told, and a start that was answered without the number of a
    transaction: a backend may know its repetition by that.
    """
    boots = yield from _true_boots(now, trusted=trusted)
    owed = OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED)
    for portion in _newest_first(_untold_sessions()):
        with transaction.atomic():
            # Read again: the control loop may have written to them since.
            rows = ChargingSession.objects.filter(id__in=[row.pk for row in portion])
            changed = sum(row.correct(lambda stamp: stamps.corrected(stamp, boots)) for row in rows)
        yield changed
    told = owed.filter(
        Q(kind__in=(FactKind.SESSION_BEGAN, FactKind.SESSION_ENDED), id_was_sent=True)
        | Q(kind=FactKind.SESSION_BEGAN, last_error__contains=outbox.NO_NUMBER)
    )
    yield from _correct_rows(owed.exclude(id__in=told.values("id")), boots)
    ends = told.filter(kind=FactKind.SESSION_ENDED)
    yield from _correct_rows(MeterSample.objects.exclude(session_id__in=ends.values("session_id")), boots)
    yield from _correct_interventions(boots)


def portion(correction: Iterator[int]) -> int | None:
    """Do one portion of a correction; return how many rows it changed, None when all was done before."""
    return next(correction, None)


def _untold_sessions() -> "QuerySet[ChargingSession]":
    """Select those the backend does not know in full; sessions are kept for years."""
    owed = OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED).exclude(session=None)
    return ChargingSession.objects.filter(Q(stopped_at=None) | Q(id__in=owed.values("session")))


def _correct_rows(rows: "QuerySet[_Stamped]", boots: dict[str, datetime]) -> Iterator[int]:
    stamped = rows.filter(boot_id__in=boots).only("id", "at", "boot_id", "steady_ms")
    for portion in _newest_first(stamped):
        changed = 0
        with transaction.atomic():
            for row in portion:
                after = stamps.corrected(row.stamp, boots)
                if after != row.stamp:
                    changed += rows.filter(id=row.pk).update(at=after.at)
        yield changed


def _correct_interventions(boots: dict[str, datetime]) -> Iterator[int]:
    """Correct what the grid operator has ordered, told or not: it is a proof of when something was done."""
    for portion in _newest_first(DimmingIntervention.objects.of_boots(boots)):
        with transaction.atomic():
            rows = DimmingIntervention.objects.filter(id__in=[row.pk for row in portion])
            changed = sum(row.correct(lambda stamp: stamps.corrected(stamp, boots)) for row in rows)
        yield changed


def _true_boots(now: Stamp, *, trusted: bool) -> Generator[int, None, dict[str, datetime]]:
    """Find out when the boots began whose stamps are to be corrected."""
    telling: dict[str, _Telling] = {}
    messages = OutboxMessage.objects.exclude(boot_id="").only("id", "at", "boot_id", "steady_ms")
    for rows in _oldest_first(messages):
        for row in rows:
            telling.setdefault(row.boot_id, _Telling(row.stamp)).take(row.stamp)
        yield 0
    for interventions in _oldest_first(DimmingIntervention.objects.exclude(began_boot_id="")):
        for intervention in interventions:
            for stamp in intervention.stamps:
                telling.setdefault(stamp.boot_id, _Telling(stamp)).take(stamp)
        yield 0
    for sessions in _oldest_first(_untold_sessions()):
        for session in sessions:
            if session.meter_last_boot_id in telling:
                telling[session.meter_last_boot_id].take(session.last_sign)
        yield 0
    boots = stamps.true_boots((stamp for each in telling.values() for stamp in each.stamps), now)
    if trusted:
        return boots
    return {
        boot: began for boot, began in boots.items() if boot in telling and telling[boot].lowest.at < EARLIEST_STAMP
    }


class _Telling:
    """The stamps that tell whether the clock of a boot was right: the first, the last, and the last by steady time."""

    def __init__(self, stamp: Stamp) -> None:
        self.lowest = self.highest = self.last = stamp

    def take(self, stamp: Stamp) -> None:
        """Look at a stamp of this boot."""
        self.lowest = min(self.lowest, stamp, key=lambda each: each.at)
        self.highest = max(self.highest, stamp, key=lambda each: each.at)
        self.last = max(self.last, stamp, key=lambda each: each.steady_ms or 0)

    @property
    def stamps(self) -> tuple[Stamp, Stamp, Stamp]:
        """All three."""
        return self.lowest, self.highest, self.last


def _oldest_first(rows: "QuerySet[_Row]") -> Iterator[list[_Row]]:
    """Read rows in portions to be looked at."""
    last = 0
    while portion := list(rows.order_by("id").filter(id__gt=last)[:_READ_AT_ONCE]):
        last = portion[-1].pk
        yield portion


def _newest_first(rows: "QuerySet[_Row]") -> Iterator[list[_Row]]:
    """Read rows in portions to be changed."""
    portion = list(rows.order_by("-id")[:_WRITTEN_AT_ONCE])
    while portion:
        yield portion
        portion = list(rows.order_by("-id").filter(id__lt=portion[-1].pk)[:_WRITTEN_AT_ONCE])
