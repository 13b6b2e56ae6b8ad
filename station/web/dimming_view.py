"""The grid operator's dimming in words: its present state, and every intervention that is kept."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.formats import get_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from station.domain.dimming import Cause
from station.domain.snapshot import DimmingSnapshot
from station.domain.stamps import Stamp
from station.models import DimmingIntervention
from station.services import configuration
from station.ui import format as formats
from station.ui import spreadsheet, words
from station.web import facts
from station.web.present import Present

# § 14a EnWG with BNetzA BK6-22-300: an order has to be carried out in this time.
CARRIED_OUT_WITHIN = timedelta(minutes=3)


@dataclass(frozen=True, kw_only=True)
class InterventionRow:
    """An intervention in words; `ended` is empty while it holds, `carried_out` until it was."""

    id: int
    began: str
    ended: str
    duration: str
    power: str
    carried_out: str
    is_late: bool
    mean: str
    greatest: str
    begun_by: str
    backend: str
    backend_tone: str


def card(now: Present) -> facts.Connection:
    """Return the present state."""
    known = now.hardware.dimming if now.hardware else None
    tone, title, details = _state(known, now)
    return facts.Connection(
        id="dimming-state",
        label=_("Dimming by the grid operator (§ 14a EnWG)"),
        icon="bolt",
        tone=tone,
        state=title,
        details=details,
    )


def _state(known: DimmingSnapshot | None, now: Present) -> tuple[str, str, tuple[str, ...]]:
    if not configuration.get_bool("/dimming/enabled"):
        return _switched_off(known)
    if known is None or not known.enabled:
        return "bad", _("Not known"), (_("The control of the charging points does not answer."),)
    if not known.has_input:
        return (
            "bad",
            _("No input is assigned to the control box"),
            (_counts_as(known), _("Add it to io.inputs in hardware.json and restart the daemon.")),
        )
    if known.cause == Cause.SILENT:
        return "bad", _("The input module does not answer"), (_counts_as(known), *_present(known, now))
    if known.active:
        return "warning", _("Limited to %(power)s") % {"power": formats.kilowatt(known.power_w)}, _present(known, now)
    position = _("The contact is closed.") if known.closed else _("The contact is open.")
    return "good", _("Ready, no limit now"), (position,)


def _switched_off(known: DimmingSnapshot | None) -> tuple[str, str, tuple[str, ...]]:
    if known is not None and known.has_input:
        detail = _("An input is assigned to a control box, but the station does not obey it.")
        return "warning", _("Switched off"), (detail,)
    return "off", _("Switched off"), ()


def _counts_as(known: DimmingSnapshot) -> str:
    if known.active:
        return _("Counts as active: limited to %(power)s.") % {"power": formats.kilowatt(known.power_w)}
    return _("Counts as inactive: there is no limit.")


def _present(known: DimmingSnapshot, now: Present) -> tuple[str, ...]:
    if not known.active or known.since is None:
        return ()
    lines = [_("Since %(moment)s") % {"moment": formats.moment(known.since, now.zone)}]
    if known.carried_out_at is None:
        lines.append(_("The cars are still following."))
    else:
        lines.append(_("Carried out after %(seconds)d s") % {"seconds": _whole_s(known.carried_out_at - known.since)})
    if known.drawn_w is not None:
        lines.append(_("Drawn now: %(power)s") % {"power": formats.kilowatt(known.drawn_w)})
    return tuple(lines)


def row(intervention: DimmingIntervention, *, zone: ZoneInfo, now: Stamp) -> InterventionRow:
    """Return an intervention in words."""
    drawn, ended = intervention.drawn, intervention.ended
    took = _carried_out_after(intervention)
    is_told = intervention.begin_told_at is not None and (ended is None or intervention.end_told_at is not None)
    return InterventionRow(
        id=intervention.pk,
        began=formats.moment_with_seconds(intervention.began_at, zone),
        ended=formats.moment_with_seconds(ended.at, zone) if ended else "",
        duration=formats.duration(_whole_s((ended or now).since(intervention.began))),
        power=formats.kilowatt(intervention.power_w),
        carried_out="" if took is None else _("after %(seconds)d s") % {"seconds": _whole_s(took)},
        is_late=took is not None and took > CARRIED_OUT_WITHIN,
        mean=formats.kilowatt(drawn.mean_w),
        greatest=formats.kilowatt(drawn.greatest_carried_out_w),
        begun_by=words.word(words.DIMMING_CAUSES, intervention.begun_by),
        backend=_("told") if is_told else pgettext("message for the backend", "waiting"),
        backend_tone="free" if is_told else "waiting",
    )


def _carried_out_after(intervention: DimmingIntervention) -> timedelta | None:
    carried_out = intervention.carried_out
    return None if carried_out is None else max(carried_out.since(intervention.began), timedelta())


def table_file(interventions: Iterable[DimmingIntervention], *, zone: ZoneInfo) -> str:
    """Write interventions as CSV for the spreadsheet program of the reader's language.

    Powers are in whole watts, moments those of the station's zone, named in the heading, with their offset from UTC.
    """
    out = io.StringIO()
    # Excel takes UTF-8 for granted only after a byte-order mark.
    out.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    separator = ";" if get_format("DECIMAL_SEPARATOR") == "," else ","
    writer = csv.writer(out, delimiter=separator, lineterminator="\r\n")
    writer.writerow(
        [
            _("Number"),
            _("Begin (%(zone)s)") % {"zone": zone.key},
            _("End (%(zone)s)") % {"zone": zone.key},
            _("Duration (s)"),
            _("Set power (W)"),
            _("Begun by"),
            _("Ended by"),
            _("Carried out (%(zone)s)") % {"zone": zone.key},
            _("Carried out after (s)"),
            _("Carried out within 3 minutes"),
            _("Mean power (W)"),
            _("Greatest power (W)"),
            _("Greatest power once carried out (W)"),
            _("Backend knows the begin (%(zone)s)") % {"zone": zone.key},
            _("Backend knows the end (%(zone)s)") % {"zone": zone.key},
        ]
    )
    for each in interventions:
        took, ended, drawn = _carried_out_after(each), each.ended, each.drawn
        cells = [
            each.pk,
            _moment(each.began_at, zone),
            _moment(each.ended_at, zone),
            _seconds(ended.since(each.began) if ended else None),
            each.power_w,
            words.word(words.DIMMING_CAUSES, each.begun_by),
            words.word(words.DIMMING_CAUSES, each.ended_by) if each.ended_by else "",
            _moment(each.carried_out_at, zone),
            _seconds(took),
            _in_time(each, took),
            drawn.mean_w,
            drawn.greatest_w,
            drawn.greatest_carried_out_w,
            _moment(each.begin_told_at, zone),
            _moment(each.end_told_at, zone),
        ]
        writer.writerow(["" if cell is None else spreadsheet.guard(str(cell)) for cell in cells])
    return out.getvalue()


def _in_time(intervention: DimmingIntervention, took: timedelta | None) -> str:
    if took is not None:
        return _("yes") if took <= CARRIED_OUT_WITHIN else _("no")
    ended = intervention.ended
    # One that was over sooner had no three minutes to be carried out in.
    is_missed = ended is not None and ended.since(intervention.began) > CARRIED_OUT_WITHIN
    return _("no") if is_missed else ""


def _moment(at: datetime | None, zone: ZoneInfo) -> str:
    # With its offset: in autumn an hour comes twice.
    return "" if at is None else at.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def _seconds(length: timedelta | None) -> int | None:
    return None if length is None else _whole_s(length)


def _whole_s(length: timedelta) -> int:
    """Round alike for the page and for the file: the proof has one figure."""
    return round(max(length, timedelta()).total_seconds())
