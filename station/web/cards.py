"""One tile of the dashboard per charging point: state in words, session, limit and what sets it, what can be done."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from station.domain.commands import Origin
from station.domain.limits import LimitSource
from station.domain.roles import Role
from station.domain.snapshot import PointSnapshot, SessionSnapshot
from station.services import configuration
from station.ui import charts, words
from station.ui import format as formats
from station.web import access
from station.web.present import Present, recorded

# Statuses in which a start may be asked for; the control loop has the last word.
_STARTABLE = {"Available", "Preparing", "Reserved", "Finishing"}
_TONES = {
    "Available": "free",
    "Preparing": "waiting",
    "Charging": "charging",
    "SuspendedEV": "paused",
    "SuspendedEVSE": "paused",
    "Finishing": "waiting",
    "Reserved": "reserved",
    "Unavailable": "off",
    "Faulted": "fault",
}
_ICONS = {
    "free": "check-circle",
    "waiting": "clock",
    "charging": "bolt",
    "paused": "pause-circle",
    "reserved": "bookmark",
    "off": "no-symbol",
    "fault": "exclamation-triangle",
    "unknown": "signal-slash",
}


@dataclass(frozen=True, kw_only=True)
class SessionView:
    """The running session in words."""

    card: str
    origin: str
    energy: str
    duration: str
    transaction: str


@dataclass(frozen=True, kw_only=True)
class LimitView:
    """One source of a current limit; `rules` for the one that sets it."""

    source: str
    value: str
    rules: bool


@dataclass(frozen=True, kw_only=True)
class FaultView:
    """A fault, and what to do about it."""

    text: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class PointCard:
    """What a tile shows. `tone` is the colour family, `status` OCPP's name of the state."""

    number: int
    status: str
    tone: str
    icon: str
    state: str
    hint: str
    is_live: bool
    session: SessionView | None
    power: str
    power_number: str
    ring: charts.Ring
    meter: str
    limit: str
    limit_source: str
    limits: tuple[LimitView, ...]
    faults: tuple[FaultView, ...]
    can_start: bool
    can_stop: bool
    can_unlock: bool
    stop_question: str
    default_card: str

    @property
    def id(self) -> str:
        """Return the stable id of the tile's root element."""
        return f"connector-{self.number}"


def for_connector(number: int, present: Present, role: Role) -> PointCard:
    """Make the tile of one charging point, with the buttons its reader may press."""
    live_point = present.connector(number)
    point = live_point or recorded(number)
    status = point.status
    is_live = live_point is not None
    tone = _TONES.get(status, "off") if is_live else "unknown"
    recorded_state = words.word(words.STATUSES, status)
    return PointCard(
        number=number,
        status=status,
        tone=tone,
        icon=_ICONS[tone],
        state=recorded_state if is_live else _("No contact"),
        hint=_hint(point, present) if is_live else _("Last recorded: %(state)s") % {"state": recorded_state},
        is_live=is_live,
        session=_session(point.session, present) if point.session else None,
        power=formats.kilowatt(point.power_w),
        power_number=formats.kilowatt_number(point.power_w),
        ring=charts.ring(max((each or 0 for each in point.currents_ma), default=0), point.limit_ma or 0),
        meter=formats.kilowatt_hours(point.energy_wh),
        limit=formats.ampere(point.limit_ma),
        limit_source=words.word(words.LIMIT_SOURCES, point.limit_source) if point.limit_source else "",
        limits=limits_of(point),
        faults=tuple(_fault(code) for code in point.faults),
        can_start=is_live
        and access.may(role, "connector-start", "POST")
        and not point.session
        and status in _STARTABLE,
        can_stop=is_live and access.may(role, "connector-stop", "POST") and bool(point.session),
        can_unlock=is_live
        and access.may(role, "connector-unlock", "POST")
        and present.identity.socket_lock
        and bool(point.plugged or point.locked),
        stop_question=_stop_question(point.session) if point.session else "",
        default_card=_default_card(),
    )


def _session(session: SessionSnapshot, present: Present) -> SessionView:
    return SessionView(
        card=formats.card(session.id_tag),
        origin=words.word(words.SESSION_ORIGINS, session.origin),
        energy=formats.kilowatt_hours(session.energy_wh),
        duration=formats.duration((present.at - session.started_at).total_seconds()),
        transaction="" if session.transaction_id is None else str(session.transaction_id),
    )


def _stop_question(session: SessionSnapshot) -> str:
    """Ask where somebody else would be stranded; what was started here may be stopped here."""
    if session.origin == Origin.WEB:
        return ""
    return _("This session of card %(card)s was not started here. End it?") % {"card": formats.card(session.id_tag)}


def limits_of(point: PointSnapshot) -> tuple[LimitView, ...]:
    """Return all limits of a charging point, the lowest first."""
    return tuple(
        LimitView(
            source=words.word(words.LIMIT_SOURCES, source),
            value=formats.ampere(limit_ma),
            rules=source == point.limit_source,
        )
        for source, limit_ma in sorted(point.limits.items(), key=lambda item: item[1])
    )


def _fault(code: str) -> FaultView:
    return FaultView(text=words.word(words.FAULTS, code), advice=str(words.FAULT_ADVICE.get(code, "")))


def _hint(point: PointSnapshot, present: Present) -> str:
    waiting, reservation = point.waiting_card, point.reservation
    if point.flashing:
        return _("The firmware of the controller is being written: %(percent)s %%.") % {
            "percent": point.flashing.percent
        }
    if point.limit_source == LimitSource.UNREADABLE_PROFILE:
        return _(
            "A charging profile of the backend cannot be read, so there is no energy here. Send the profile again from "
            "the backend (SetChargingProfile) or delete it there (ClearChargingProfile)."
        )
    if point.limit_source == LimitSource.UNTIMED_PROFILE:
        return _(
            "The station has not learned the time since it was switched on, so the least value of a charging profile "
            "holds. Connect the station with the backend or a time server, or set the time on the page Date/Time."
        )
    if point.scheduled_operative is False:
        return _("Goes out of service when the session has ended.")
    if waiting and not waiting.until:
        return _("Card %(card)s accepted – plug the vehicle in.") % {"card": formats.card(waiting.id_tag)}
    if waiting:
        return _("Card %(card)s accepted until %(time)s – plug the vehicle in.") % {
            "card": formats.card(waiting.id_tag),
            "time": formats.time_of_day(waiting.until, present.zone),
        }
    if reservation:
        return _("Reserved for card %(card)s until %(time)s.") % {
            "card": formats.card(reservation.id_tag),
            "time": formats.moment(reservation.expires_at, present.zone),
        }
    return words.word(words.HINTS, point.status, unknown="")


def _default_card() -> str:
    if configuration.get_bool("/hw/auth/device/Dummy/enabled"):
        return configuration.get("/hw/auth/device/Dummy/id/value")
    return ""
