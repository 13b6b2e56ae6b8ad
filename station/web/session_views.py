"""Sessions as the pages, the table file and the printed sheet show them."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.formats import get_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from station.domain import energy_curve
from station.models import ChargingSession
from station.services import session_history, signed_export
from station.services.signed_archive import ArchiveUnusable
from station.ui import charts, spreadsheet, words
from station.ui import format as formats

_DELIVERY_TONES = {"sent": "free", "waiting": "waiting", "set_aside": "fault"}
_PLOT_WIDTH, _PLOT_HEIGHT = 640, 180


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """One session in words. `ended` is empty while it runs; `delivery` is how far the backend knows it."""

    id: int
    connector: int
    began: str
    ended: str
    duration: str
    energy: str
    card: str
    reason: str
    transaction: str
    delivery: str
    delivery_tone: str


@dataclass(frozen=True, kw_only=True)
class MessageRow:
    """Messages of one kind and state."""

    kind: str
    count: int
    state: str
    last: str


@dataclass(frozen=True, kw_only=True)
class SessionDetails:
    """Everything about one session; `plot` is None where nothing was noted between begin and end."""

    row: SessionRow
    facts: tuple[tuple[str, str, str], ...]
    messages: tuple[MessageRow, ...]
    plot: charts.Plot | None
    across: tuple[tuple[float, str], ...]
    upwards: tuple[tuple[float, str], ...]


def running(zone: ZoneInfo) -> list[str]:
    """Return the sessions that run, each in a line, for pages on which somebody has to wait for their end."""
    return [
        _("Charging point %(connector)d: card %(card)s, since %(since)s")
        % {
            "connector": session.connector_id,
            "card": formats.card(session.id_tag),
            "since": formats.moment(session.started_at, zone),
        }
        for session in ChargingSession.objects.running().order_by("connector_id")
    ]


def row(session: ChargingSession, *, now: datetime, zone: ZoneInfo, shows_card: bool) -> SessionRow:
    """Write one session, as `session_history.find` returns it."""
    delivery = str(getattr(session, "delivery", ""))
    return SessionRow(
        id=session.pk,
        connector=session.connector_id,
        began=formats.moment(session.started_at, zone),
        ended=_end(session, zone),
        duration=formats.duration(((session.stopped_at or now) - session.started_at).total_seconds()),
        energy=formats.kilowatt_hours(session.meter_last_wh - session.meter_start_wh),
        card=session.id_tag if shows_card else formats.card(session.id_tag),
        reason=words.word(words.STOP_REASONS, session.stop_reason) if session.stopped_at else "",
        transaction=formats.MISSING if session.transaction_id is None else str(session.transaction_id),
        delivery=_delivery(session, delivery),
        delivery_tone=_DELIVERY_TONES.get(delivery, "off"),
    )


def _delivery(session: ChargingSession, delivery: str) -> str:
    if session.stopped_at is None and delivery == session_history.Delivery.SENT:
        return pgettext("session at the backend", "Complete so far")
    return words.word(words.DELIVERIES, delivery)


def details(session: ChargingSession, *, now: datetime, zone: ZoneInfo, shows_card: bool) -> SessionDetails:
    """Write one session in full."""
    one = row(session, now=now, zone=zone, shows_card=shows_card)
    steps = energy_curve.steps(session.energy_curve)
    plot = (
        charts.stairs(
            [(step.from_s, step.to_s, step.power_w / 1000) for step in steps], width=_PLOT_WIDTH, height=_PLOT_HEIGHT
        )
        if steps
        else None
    )
    return SessionDetails(
        row=one,
        facts=_facts(session, one, zone),
        messages=tuple(
            MessageRow(
                kind=words.word(words.FACT_KINDS, kind),
                count=count,
                state=words.word(words.MESSAGE_STATES, status),
                last=formats.moment(at, zone),
            )
            for kind, status, count, at in session_history.messages(session.pk)
        ),
        plot=plot,
        across=tuple((tick.at, _elapsed(tick.value)) for tick in plot.across) if plot else (),
        upwards=tuple((tick.at, f"{tick.value:g}") for tick in plot.upwards) if plot else (),
    )


def table_file(sessions: Iterable[ChargingSession], *, now: datetime, zone: ZoneInfo, shows_card: bool) -> str:
    """Write sessions as CSV for the spreadsheet program of the reader's language: its separator, its decimal sign.

    Registers are in Wh as the meter told them; moments are those of the station's zone, named in the heading.
    """
    decimal = get_format("DECIMAL_SEPARATOR")
    out = io.StringIO()
    # Excel takes UTF-8 for granted only after a byte-order mark.
    out.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    writer = csv.writer(out, delimiter=";" if decimal == "," else ",", lineterminator="\r\n")
    writer.writerow(
        [
            _("Number"),
            _("Charging point"),
            _("Begin (%(zone)s)") % {"zone": zone.key},
            _("End (%(zone)s)") % {"zone": zone.key},
            _("Duration"),
            _("Energy (kWh)"),
            _("Meter at the begin (Wh)"),
            _("Meter at the end (Wh)"),
            _("Card"),
            _("Ended by"),
            _("Transaction ID"),
            _("Backend"),
            _("Limited by"),
        ]
    )
    for session in sessions:
        one = row(session, now=now, zone=zone, shows_card=shows_card)
        kilowatt_hours = f"{(session.meter_last_wh - session.meter_start_wh) / 1000:.3f}".replace(".", decimal)
        writer.writerow(
            [
                session.pk,
                session.connector_id,
                _spreadsheet_moment(session.started_at, zone),
                _spreadsheet_moment(session.stopped_at, zone),
                one.duration,
                kilowatt_hours,
                session.meter_start_wh,
                session.meter_stop_wh if session.meter_stop_wh is not None else "",
                spreadsheet.guard(one.card),
                one.reason,
                "" if session.transaction_id is None else session.transaction_id,
                one.delivery,
                _limited_by(session),
            ]
        )
    return out.getvalue()


@dataclass(frozen=True, kw_only=True)
class SignedView:
    """What a calibrated meter has signed of a session, as people read it; `problems`: a sentence for each finding."""

    count: int
    is_running: bool
    problems: tuple[str, ...]


def signed(session: ChargingSession) -> SignedView | None:
    """Return what was signed of a session; None: its meter does not sign."""
    try:
        found = signed_export.of(session)
    except ArchiveUnusable:
        return SignedView(count=0, is_running=False, problems=(_("The archive cannot be read."),))
    if found is None:
        return None
    problems = tuple(words.word(words.FINDINGS, each.value) for each in found.findings)
    return SignedView(count=len(found.records), is_running=session.stopped_at is None, problems=problems)


def _facts(session: ChargingSession, one: SessionRow, zone: ZoneInfo) -> tuple[tuple[str, str, str], ...]:
    lines = [
        ("connector", _("Charging point"), str(one.connector)),
        ("began", _("Begin"), one.began),
        ("ended", _("End"), formats.moment(session.stopped_at, zone) if session.stopped_at else _("still running")),
        ("duration", _("Duration"), one.duration),
        ("energy", _("Energy"), formats.kilowatt_hours(session.meter_last_wh - session.meter_start_wh, decimals=3)),
        ("meter-start", _("Meter at the begin"), formats.kilowatt_hours(session.meter_start_wh, decimals=3)),
        ("meter-stop", _("Meter at the end"), formats.kilowatt_hours(session.meter_stop_wh, decimals=3)),
        ("meter-serial", _("Meter's serial number"), session.meter_serial),
        ("card", _("Card"), one.card),
        ("origin", _("Started by"), words.word(words.SESSION_ORIGINS, session.origin)),
        ("reason", _("Ended by"), one.reason),
        ("transaction", _("Transaction ID"), one.transaction),
        ("limited-by", _("Limited by"), _limited_by(session)),
    ]
    if session.deauthorized_at is not None:
        lines.append(("refused", _("Card refused by the backend"), formats.moment(session.deauthorized_at, zone)))
    return tuple((name, label, value or formats.MISSING) for name, label, value in lines)


def _limited_by(session: ChargingSession) -> str:
    """Name what set the current of the car below the rated one, the longest first; empty: nothing."""
    longest_first = sorted(session.limited_by.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{words.word(words.LIMIT_SOURCES, source)} {formats.brief_duration(seconds)}"
        for source, seconds in longest_first
    )


def _end(session: ChargingSession, zone: ZoneInfo) -> str:
    """The day only where it is another one than that of the begin."""
    if session.stopped_at is None:
        return ""
    same_day = session.stopped_at.astimezone(zone).date() == session.started_at.astimezone(zone).date()
    return (formats.time_of_day if same_day else formats.moment)(session.stopped_at, zone)


def _elapsed(seconds: float) -> str:
    minutes, rest_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}" if not rest_s else f"{hours}:{minutes:02}:{rest_s:02}"


def _spreadsheet_moment(at: datetime | None, zone: ZoneInfo) -> str:
    return "" if at is None else at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
