"""Load management among several stations, as the pages show it: this station's part, the stations, the sums."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from station.domain.cluster.timing import LOST_AFTER_S
from station.domain.snapshot import (
    ClusterFoundSnapshot,
    ClusterPointSnapshot,
    ClusterSnapshot,
    ClusterStationSnapshot,
    called,
)
from station.ui import cluster_words, words
from station.ui import format as formats
from station.web import facts
from station.web.present import Present

_PHASES = ("L1", "L2", "L3")


@dataclass(frozen=True, kw_only=True)
class PhaseBar:
    """What all stations may draw on a phase, beside the limit, in mA for the bar and in words."""

    name: str
    reserved_ma: int
    limit_ma: int
    reserved: str
    limit: str
    is_above: bool


@dataclass(frozen=True, kw_only=True)
class PointRow:
    """A charging point of the cluster."""

    number: int
    state: str
    demand: str
    granted: str
    held: str
    flowing: str
    is_waiting: bool


@dataclass(frozen=True, kw_only=True)
class StationRow:
    """A station of the cluster; `web`: the address of its pages, empty where that is not known."""

    id: str
    name: str
    is_master: bool
    is_own: bool
    is_lost: bool
    role: str
    web: str
    link: str
    fallback: str
    reserved: str
    may_be_forgotten: bool
    points: tuple[PointRow, ...]


@dataclass(frozen=True, kw_only=True)
class FoundRow:
    """A station that was found in the network and does not belong to the cluster."""

    id: str
    name: str
    is_master: bool
    role: str
    web: str
    note: str


@dataclass(frozen=True, kw_only=True)
class ClusterView:
    """The cluster in words; `notices` are what somebody has to look at."""

    connection: facts.Connection
    is_leading: bool
    is_on: bool
    limit: str
    total: str
    phases: tuple[PhaseBar, ...]
    stations: tuple[StationRow, ...]
    found: tuple[FoundRow, ...]
    has_others: bool
    waiting: tuple[str, ...]
    notices: tuple[str, ...]
    search_problem: str
    is_gathering: bool


def of(now: Present, *, enabled: bool) -> ClusterView:
    """Return the cluster as the control loop knows it now."""
    known = now.hardware.cluster if now.hardware else None
    if known is None or not known.enabled:
        return _unknown(enabled=enabled, is_heard=now.hardware is not None)
    webs = {each.id: each.web for each in known.found}
    stations = tuple(_station(each, known, webs) for each in known.stations) if known.is_told else ()
    # Whoever stands in no table above stands among those that were found.
    members = {each.id for each in stations} | {known.own_id}
    return ClusterView(
        connection=_connection(known),
        is_leading=known.state == "leading",
        is_on=True,
        limit=formats.ampere(known.limit_ma) if known.limit_ma is not None else "",
        total=formats.ampere(known.total_ma) if known.total_ma is not None else "",
        phases=_phases(known),
        stations=stations,
        found=tuple(_found(each) for each in known.found if each.id not in members),
        has_others=any(not each.is_own for each in stations),
        waiting=tuple(
            _("%(station)s, charging point %(number)s") % {"station": station.name, "number": point.number}
            for station in stations
            for point in station.points
            if point.is_waiting
        ),
        notices=tuple(_notices(known, now)),
        search_problem=known.search_problem,
        is_gathering=any(each.link_age_s is None for each in known.stations),
    )


def _unknown(*, enabled: bool, is_heard: bool) -> ClusterView:
    state = _("Switched off")
    if enabled:
        state = _("Being switched on") if is_heard else _("Not known")
    return ClusterView(
        connection=facts.Connection(
            id="cluster-state",
            label=_("This station in the cluster"),
            icon="share",
            tone="warning" if enabled else "off",
            state=state,
        ),
        is_leading=False,
        is_on=False,
        limit="",
        total="",
        phases=(),
        stations=(),
        found=(),
        has_others=False,
        waiting=(),
        notices=(),
        search_problem="",
        is_gathering=False,
    )


def _connection(known: ClusterSnapshot) -> facts.Connection:
    return facts.Connection(
        id="cluster-state",
        label=_("This station in the cluster"),
        icon="share",
        tone=cluster_words.TONES.get(known.state, "bad"),
        state=words.word(cluster_words.STATES, known.state),
        details=tuple(_details(known)),
    )


def _details(known: ClusterSnapshot) -> Iterator[str]:
    if known.problem:
        problem = words.word(cluster_words.PROBLEMS, known.problem)
        # What the server says of a wrong code is English, and adds nothing.
        is_said = not known.problem_detail or known.problem == "wrong_key"
        yield problem if is_said else f"{problem} ({known.problem_detail})"
    advice = cluster_words.ADVICE.get(known.state)
    if advice:
        yield str(advice)
    if known.master_address and not known.leads:
        yield _("Master: %(name)s at %(address)s") % {
            "name": _name_of(known, known.master_id) or formats.MISSING,
            "address": known.master_address,
        }
    if known.leads:
        # It hears itself, and its own grants never end.
        return
    if known.link_age_s is not None:
        yield _("Last heard %(seconds)s s ago") % {"seconds": known.link_age_s}
    if known.lease_remaining_s is not None:
        yield _("What the master has granted holds for %(seconds)s s more, then the fallback of %(fallback)s") % {
            "seconds": known.lease_remaining_s,
            "fallback": formats.ampere(known.fallback_ma),
        }
    if known.rise_in_s and known.state != "member":
        yield _("The charging points may rise to the fallback of %(fallback)s in %(seconds)s s") % {
            "seconds": known.rise_in_s,
            "fallback": formats.ampere(known.fallback_ma),
        }


def _name_of(known: ClusterSnapshot, station_id: str) -> str:
    found = {each.id: each.name for each in known.found}
    members = {each.id: each.name for each in known.stations}
    return called(station_id, members.get(station_id) or found.get(station_id, ""))


def _phases(known: ClusterSnapshot) -> tuple[PhaseBar, ...]:
    if known.limit_ma is None or known.reserved_ma is None or not known.is_told:
        return ()
    return tuple(
        PhaseBar(
            name=name,
            reserved_ma=reserved,
            limit_ma=known.limit_ma,
            reserved=formats.ampere(reserved),
            limit=formats.ampere(known.limit_ma),
            is_above=reserved > known.limit_ma,
        )
        for name, reserved in zip(_PHASES, known.reserved_ma, strict=True)
    )


def _station(station: ClusterStationSnapshot, known: ClusterSnapshot, webs: dict[str, str]) -> StationRow:
    is_own = station.id == known.own_id
    is_heard = station.link_age_s is not None and station.link_age_s < LOST_AFTER_S
    is_lost = station.link_age_s is not None and station.link_age_s >= LOST_AFTER_S
    return StationRow(
        id=station.id,
        name=called(station.id, station.name),
        is_master=station.role == "master",
        is_own=is_own,
        is_lost=is_lost,
        role=words.word(cluster_words.ROLES, station.role),
        web="" if is_own else webs.get(station.id, ""),
        link=_link(station, is_own=is_own, leads=known.leads),
        fallback=formats.ampere(station.fallback_ma),
        reserved=formats.ampere(station.reserved_ma),
        may_be_forgotten=known.state == "leading" and not is_own,
        points=tuple(_point(each, is_heard=is_heard) for each in station.points),
    )


def _link(station: ClusterStationSnapshot, *, is_own: bool, leads: bool) -> str:
    if is_own and leads:
        return _("this station")
    if station.link_age_s is None:
        return _("not heard yet")
    if station.link_age_s < LOST_AFTER_S and station.lost:
        return _("heard, has no grant")
    if station.lost:
        return _("lost: not heard for %(seconds)s s") % {"seconds": station.link_age_s}
    return _("heard %(seconds)s s ago") % {"seconds": station.link_age_s}


def _point(point: ClusterPointSnapshot, *, is_heard: bool) -> PointRow:
    return PointRow(
        number=point.number,
        state=words.word(cluster_words.POINT_STATES, point.state) if is_heard else _("not known"),
        demand=formats.ampere(point.limit_ma) if point.active else formats.MISSING,
        granted=formats.ampere(point.granted_ma),
        held=formats.ampere(point.held_ma),
        flowing=formats.ampere(point.flowing_ma) if is_heard else formats.MISSING,
        is_waiting=point.waiting and is_heard,
    )


def _found(found: ClusterFoundSnapshot) -> FoundRow:
    count = ngettext("%(count)d charging point", "%(count)d charging points", found.points) % {"count": found.points}
    belongs = _("has the same pairing code") if found.same_cluster else _("has no or another pairing code")
    return FoundRow(
        id=found.id,
        name=called(found.id, found.name),
        is_master=found.role == "master",
        role=words.word(cluster_words.ROLES, found.role),
        web=found.web,
        note=f"{count} · {belongs}",
    )


def _notices(known: ClusterSnapshot, now: Present) -> Iterator[str]:
    if known.second_master is not None:
        yield _(
            "There is a second master: %(name)s (%(address)s). A cluster has exactly one; set it to Slave there."
        ) % {
            "name": called(known.second_master.id, known.second_master.name),
            "address": known.second_master.address or known.second_master.web or formats.MISSING,
        }
    if known.refusal is not None:
        yield _("Last refused: %(station)s, %(moment)s – %(reason)s") % {
            "station": known.refusal.station or formats.MISSING,
            "moment": formats.moment(known.refusal.at, now.zone),
            "reason": words.word(cluster_words.PROBLEMS, known.refusal.reason),
        }
    if known.malformed:
        yield ngettext(
            "%(count)d message that nobody can read was dropped.",
            "%(count)d messages that nobody can read were dropped.",
            known.malformed,
        ) % {"count": known.malformed}
