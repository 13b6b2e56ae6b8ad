"""The stations a master leads, kept over restarts: a cold start reserves current for each of them."""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from loadmgmt.cluster.failures import Reason
from loadmgmt.cluster.registration import MAX_STATIONS, Registration, Station
from loadmgmt.models import ClusterMember
from station.domain.commands import Origin, Status
from station.domain.configuration import OtherStation
from station.domain.configuration.checks import CLUSTER_LIMIT, fallback_sum_ma
from station.domain.units import MilliAmpere
from station.models import AuditEntry
from station.services import configuration

FORGET = "ForgetClusterMember"
_MA_PER_A = 1_000


class MemberRefused(Exception):
    """A station may not become a member; `reason` is what it is told."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class MemberUnknown(Exception):
    """No such station is a member."""


def adopt(registration: Registration, *, own: str, at: datetime) -> bool:
    """Take a station in, or note what it says of itself now; return whether it is new.

    The first one who registers a serial number has it: another password is refused until somebody forgets the station.
    `own` is the master's own serial number, which nobody else can have. Raises `MemberRefused`.
    """
    who = registration.who
    if who.station == own:
        raise MemberRefused(Reason.ID_TAKEN)
    with transaction.atomic():
        if not _fits(who):
            raise MemberRefused(Reason.FALLBACKS)
        known = ClusterMember.objects.filter(station=who.station).first()
        if known is None:
            if ClusterMember.objects.count() >= MAX_STATIONS - 1:
                raise MemberRefused(Reason.FULL)
            ClusterMember.objects.create(
                station=who.station, password_hash=registration.password_hash, registered_at=at, **_columns(who)
            )
            return True
        if known.password_hash != registration.password_hash:
            raise MemberRefused(Reason.ID_TAKEN)
        known.note(**_columns(who))
    return False


def _fits(who: Station) -> bool:
    """Whether all fallbacks together, with this station's as it is now, stay within the cluster limit."""
    limit_a = configuration.get_optional_int(CLUSTER_LIMIT)
    if limit_a is None:
        return True
    present = configuration.snapshot()
    others = [
        OtherStation(points=len(each.points), fallback_ma=min(each.fallback, each.rating))
        for each in (who, *(member for member in known() if member.station != who.station))
    ]
    return fallback_sum_ma(present, present.registry.facts, others) <= limit_a * _MA_PER_A


def _columns(who: Station) -> dict[str, str | int]:
    return {"name": who.name, "points": len(who.points), "rating_ma": who.rating, "fallback_ma": who.fallback}


def listing() -> list[ClusterMember]:
    """Return the members, for pages and the command line."""
    return list(ClusterMember.objects.order_by("station"))


def known() -> tuple[Station, ...]:
    """Return whom a master has to reserve for."""
    return tuple(
        Station(
            station=row.station,
            name=row.name,
            points=tuple(range(1, row.points + 1)),
            rating=MilliAmpere(row.rating_ma),
            fallback=MilliAmpere(row.fallback_ma),
        )
        for row in listing()
    )


def password_hashes() -> Mapping[str, str]:
    """Return which password each member has, as its hash; for the server's users."""
    return dict(ClusterMember.objects.values_list("station", "password_hash"))


def forget(station: str, *, actor: str, origin: Origin, at: datetime) -> None:
    """Let a station go: its place and its serial number are free. Raises `MemberUnknown`."""
    with transaction.atomic():
        row = ClusterMember.objects.filter(station=station).first()
        if row is None:
            raise MemberUnknown(station)
        row.delete()
        AuditEntry.objects.create(
            at=at,
            origin=origin.value,
            actor=actor,
            command=FORGET,
            data={"station": station},
            outcome=Status.ACCEPTED.value,
        )
