"""Past and running sessions for people: found by what they ask for, with how far the backend knows them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, Sum, Value, When

from station.models import ChargingSession, OutboxMessage
from station.models.backend import OutboxStatus
from station.models.session import SessionQuerySet


class Delivery(StrEnum):
    """How far the backend knows a session."""

    SENT = "sent"
    WAITING = "waiting"
    SET_ASIDE = "set_aside"


class State(StrEnum):
    """Whether a session has ended."""

    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody looks for; None and empty: everything. `since` and `before` bound the begin (aware moments)."""

    connector_id: int | None = None
    state: State | None = None
    delivery: Delivery | None = None
    since: datetime | None = None
    before: datetime | None = None
    id_tag: str = ""


def find(wanted: Wanted) -> SessionQuerySet:
    """Return the sessions, newest first, each with its `delivery`; of an id tag the beginning is enough."""
    rows = ChargingSession.objects.annotate(delivery=_delivery()).order_by("-started_at", "-id")
    conditions = Q()
    if wanted.connector_id is not None:
        conditions &= Q(connector_id=wanted.connector_id)
    if wanted.state is not None:
        conditions &= Q(stopped_at__isnull=wanted.state is State.RUNNING)
    if wanted.since is not None:
        conditions &= Q(started_at__gte=wanted.since)
    if wanted.before is not None:
        conditions &= Q(started_at__lt=wanted.before)
    if wanted.id_tag:
        conditions &= Q(id_tag__istartswith=wanted.id_tag)
    if wanted.delivery is not None:
        conditions &= Q(delivery=wanted.delivery)
    return rows.filter(conditions)


def totals(rows: SessionQuerySet) -> tuple[int, int]:
    """Return how many sessions these are, and their energy in Wh."""
    sums = rows.order_by().aggregate(count=Count("pk"), wh=Sum(F("meter_last_wh") - F("meter_start_wh")))
    return sums["count"], sums["wh"] or 0


def messages(session_id: int) -> list[tuple[str, str, int, datetime]]:
    """Return what of a session is owed to the backend: kind, status, how many such messages, the moment of the last."""
    rows = OutboxMessage.objects.filter(session_id=session_id).order_by("id").values_list("kind", "status", "at")
    found: dict[tuple[str, str], tuple[int, datetime]] = {}
    for kind, status, at in rows.iterator():
        count, _ = found.get((kind, status), (0, at))
        found[kind, status] = (count + 1, at)
    return [(kind, status, count, at) for (kind, status), (count, at) in found.items()]


def _delivery() -> Case:
    owed = OutboxMessage.objects.filter(session=OuterRef("pk"))
    return Case(
        When(Exists(owed.filter(status=OutboxStatus.SET_ASIDE)), then=Value(Delivery.SET_ASIDE)),
        When(Exists(owed.exclude(status=OutboxStatus.DELIVERED)), then=Value(Delivery.WAITING)),
        default=Value(Delivery.SENT),
        output_field=CharField(),
    )
