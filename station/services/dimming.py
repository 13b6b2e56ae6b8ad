"""The verbs of the grid operator's interventions: each is kept for two years and told to the backend."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from station.domain.configuration import checks
from station.domain.dimming import ActiveWhen, Cause, Drawn, Settings, WhenSilent, phases_of
from station.domain.stamps import TOLERANCE, Stamp
from station.domain.units import Watt
from station.models import DimmingIntervention
from station.services import configuration, event_log, hardware_description, identity

# Entries of the event log for as long as it lasts.
ACTIVE_CODE = "dimming.active"
SILENT_CODE = "dimming.silent"
# BNetzA BK6-22-300: so long it has to be proved that an order was carried out.
KEPT_FOR = timedelta(days=2 * 366)
# A backend that has refused a message so often is not asked again.
MOST_REFUSALS = 3


def settings() -> Settings:
    """Return what the installer has set."""
    connectors = identity.load().connectors
    return Settings(
        enabled=configuration.get_bool(checks.DIMMING_ENABLED),
        power=Watt(configuration.get_int(checks.DIMMING_POWER)),
        active_when=ActiveWhen(configuration.get(checks.DIMMING_ACTIVE_WHEN)),
        when_silent=WhenSilent(configuration.get(checks.DIMMING_WHEN_SILENT)),
        phases=phases_of(
            configuration.get(checks.PHASE_ROTATION), hardware_description.connected_phases(connectors), connectors
        ),
    )


@transaction.atomic
def begin(*, power: Watt, by: Cause, at: Stamp) -> int:
    """Write down that the grid operator dims; return the number of the intervention."""
    row = DimmingIntervention.objects.create(
        began_at=at.at,
        began_boot_id=at.boot_id,
        began_steady_ms=at.steady_ms,
        power_w=power,
        begun_by=by.value,
    )
    event_log.begin(ACTIVE_CODE, at=at.at, power_w=power, by=by.value)
    return int(row.pk)


def running() -> DimmingIntervention | None:
    """Return the intervention that has not ended."""
    return DimmingIntervention.objects.running().order_by("-id").first()


def note(number: int, drawn: Drawn, carried_out: Stamp | None) -> bool:
    """Remember what was drawn so far. Return True."""
    row = DimmingIntervention.objects.running().filter(pk=number).first()
    if row is not None:
        row.note(drawn, _within(row, carried_out))
    return True


@transaction.atomic
def end(number: int, drawn: Drawn, carried_out: Stamp | None, *, by: Cause, at: Stamp) -> bool:
    """Close an intervention; one that is closed already is left as it is. Return True.

    The end is never before the begin, whatever the clock says.
    """
    row = DimmingIntervention.objects.running().filter(pk=number).first()
    if row is not None:
        ended = _within(row, at) or at
        row.end(drawn, _within(row, carried_out), by=by, at=ended)
        event_log.end(ACTIVE_CODE, at=ended.at)
    return True


def _within(row: DimmingIntervention, at: Stamp | None) -> Stamp | None:
    """Return a moment of an intervention as the steady clock tells it from its begin on."""
    if at is None:
        return None
    by_steady_clock = row.began_at + max(at.since(row.began), timedelta())
    is_off = at.at < row.began_at or abs(by_steady_clock - at.at) > TOLERANCE
    return replace(at, at=by_steady_clock) if is_off else at


def note_silence(*, silent: bool, at: datetime, counts_as: str) -> bool:
    """Write into the event log that the contact's position is not known, or is known again. Return True."""
    if silent:
        event_log.begin(SILENT_CODE, at=at, counts_as=counts_as)
    else:
        event_log.end(SILENT_CODE, at=at)
    return True


def kept() -> "QuerySet[DimmingIntervention]":
    """Return what is kept, newest first."""
    return DimmingIntervention.objects.order_by("-began_at", "-id")


def forget_old(at: datetime) -> int:
    """Delete what nobody has to prove any more; return how many."""
    return DimmingIntervention.objects.filter(ended_at__lt=at - KEPT_FOR).delete()[0]


# --- what the backend is told


def next_owed() -> DimmingIntervention | None:
    """Return the oldest intervention of which the backend has not been told everything."""
    return DimmingIntervention.objects.owed().order_by("id").first()


def told(number: int, *, at: datetime) -> None:
    """Note that the backend has got the message that was due."""
    _settle(number, at)


def refused(number: int, *, at: datetime) -> None:
    """Note that the backend has refused the message that is due; it is not asked for ever."""
    row = DimmingIntervention.objects.get(pk=number)
    if row.refusals + 1 >= MOST_REFUSALS:
        _settle(number, at)
    else:
        DimmingIntervention.objects.filter(pk=number).update(refusals=row.refusals + 1)


def _settle(number: int, at: datetime) -> None:
    row = DimmingIntervention.objects.get(pk=number)
    told: dict[str, Any] = {"begin_told_at": at} if row.begin_told_at is None else {"end_told_at": at}
    DimmingIntervention.objects.filter(pk=number).update(refusals=0, **told)
