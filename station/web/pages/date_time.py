"""Station – Date/Time: the time zone, what keeps the clock, and setting it once from a browser."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from zoneinfo import available_timezones

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from station import clock
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.host import time_service
from station.host.dbus.bus import ServiceRefused
from station.host.ports import TimePort, TimeStatus
from station.services import accounts, configuration, time_setting
from station.services.messages import ConfigurationChanged, send_to_control_loop
from station.services.time_setting import HEARTBEAT, NTP, ClockCannotBeSet, TimeIsImplausible, TimeIsKept
from station.ui import computer_words, problems, words
from station.ui import format as formats
from station.web import login_sessions
from station.web.requests import signed_in
from station.web.settings_form import Setting

SETTINGS = (
    Setting(key="TimeZone", label=gettext_lazy("Time zone")),
    Setting(key="TimeSource", label=gettext_lazy("Synchronise date and time via")),
)
_LONGEST_NAME = 64
# Milliseconds of a browser's clock: more digits are none.
_LONGEST_MOMENT = 15
_REGIONS = ("Europe", "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Indian", "Pacific")


@dataclass(frozen=True, kw_only=True)
class TimeView:
    """The station's time in words. `is_set`: somebody has told it since the computer started."""

    at: datetime
    zone: str
    moment: str
    source: str
    age: str
    servers: str
    is_set: bool
    can_be_set: bool
    problem: str


@dataclass(frozen=True, kw_only=True)
class TimeForm:
    """What is entered, or else in force, and what is wrong with it."""

    zone: str
    sources: tuple[str, ...]
    zone_errors: tuple[str, ...] = ()
    source_errors: tuple[str, ...] = ()
    takes_browser_zone: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether something that was entered cannot be."""
        return bool(self.zone_errors or self.source_errors)


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show the time and what keeps it; take other settings."""
    port = time_service.for_settings()
    form = TimeForm(zone=configuration.get("TimeZone"), sources=configuration.get_list("TimeSource"))
    if request.method == "POST":
        form = _save(request, port)
        if not form.is_refused:
            return redirect("date-time")
    expert = accounts.profile_of(signed_in(request)).expert
    return render(
        request,
        "pages/station/date_time.html",
        {"form": form, "time": _look(port), "regions": _zones(), "expert": expert},
        status=422 if form.is_refused else 200,
    )


@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """Return the time and its source as they are now, for the page that shows them."""
    return render(request, "components/station_time.html", {"time": _look(time_service.for_settings())})


@require_POST
def set_clock(request: HttpRequest) -> HttpResponse:
    """Set the clock to the one of the browser, once."""
    text = request.POST.get("now-ms", "")
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_MOMENT):
        messages.error(request, _("The browser has not told its time. That needs JavaScript; use NTP or OCPP instead."))
        return redirect("date-time")
    actor = signed_in(request).get_username()
    try:
        at = datetime.fromtimestamp(int(text) / 1000, UTC)
        step = time_setting.set_from_browser(time_service.for_settings(), at, actor=actor)
    except (TimeIsImplausible, ValueError, OverflowError):
        messages.error(request, _("The clock of this computer is wrong. Set it right first, then try again."))
    except ClockCannotBeSet:
        messages.error(request, _("A simulated station keeps the clock of the computer it runs on."))
    except TimeIsKept:
        messages.info(request, _("A time server keeps the clock, which is more accurate than this browser."))
    except ServiceRefused as refusal:
        messages.error(request, computer_words.refused(refusal))
    else:
        # A clock that leaps by hours must not sign out the person who has set it.
        login_sessions.shift(request.session, by=step)
        messages.success(request, _("The clock was set."))
    return redirect("date-time")


def _save(request: HttpRequest, port: TimePort) -> TimeForm:
    takes_browser_zone = request.POST.get("browser-zone-wanted") == "true"
    zone = request.POST.get("browser-zone" if takes_browser_zone else "zone", "").strip()[:_LONGEST_NAME]
    sources = tuple(each for each in (NTP, HEARTBEAT) if each in request.POST.getlist("source"))
    zone_errors: list[str] = []
    source_errors: list[str] = []
    if takes_browser_zone and not zone:
        zone_errors.append(
            _("The browser has not told its time zone. Choose it from the list, for example Europe/Berlin.")
        )
    if not sources:
        source_errors.append(_("Choose NTP, OCPP or both: without them nothing keeps the clock."))
    if not zone_errors and not source_errors:
        try:
            changes = configuration.change(
                {"TimeZone": zone, "TimeSource": ",".join(sources)},
                origin=Origin.WEB,
                actor=signed_in(request).get_username(),
                at=clock.now(),
            )
        except ConfigurationRefused as refusal:
            for problem in refusal.problems:
                errors = zone_errors if problem.key == "TimeZone" else source_errors
                errors.append(problems.say(problem.code, problem.data))
        else:
            _follow(request, port, is_different=bool(changes))
    return TimeForm(
        zone=configuration.get("TimeZone") if takes_browser_zone else zone,
        sources=sources,
        zone_errors=tuple(zone_errors),
        source_errors=tuple(source_errors),
        takes_browser_zone=takes_browser_zone,
    )


def _follow(request: HttpRequest, port: TimePort, *, is_different: bool) -> None:
    if is_different:
        send_to_control_loop(ConfigurationChanged())
        messages.success(request, _("Saved."))
    else:
        messages.info(request, _("Nothing was different."))
    try:
        time_setting.follow(port)
    except ServiceRefused as refusal:
        messages.warning(
            request,
            _("The settings are saved, but the computer has not taken them over yet. %(reason)s")
            % {"reason": computer_words.refused(refusal)},
        )


def _look(port: TimePort) -> TimeView:
    at, zone = clock.now(), configuration.zone()
    problem = ""
    try:
        status = port.examine()
    except ServiceRefused as refusal:
        status = TimeStatus(zone=zone.key, ntp_on=False, is_synchronised=False)
        problem = computer_words.refused(refusal)
    noted = time_service.note().read()
    source, heard_at = "", None
    if status.is_synchronised:
        source, heard_at = " · ".join(part for part in (NTP, status.server) if part), status.heard_at
    elif noted is not None:
        source, heard_at = words.word(computer_words.TIME_SOURCES, noted.source), noted.at
    if not problem and not status.is_synchronised and NTP in configuration.get_list("TimeSource"):
        problem = _("No time server can be reached.")
    return TimeView(
        at=at,
        zone=zone.key,
        moment=formats.moment_with_seconds(at, zone),
        source=source,
        age=_age(heard_at, at),
        servers=", ".join(status.servers),
        is_set=status.is_synchronised or noted is not None,
        can_be_set=port.can_be_set,
        problem=problem,
    )


def _age(heard_at: datetime | None, now: datetime) -> str:
    if heard_at is None:
        return ""
    return _("%(duration)s ago") % {"duration": formats.wait(max(0, int((now - heard_at).total_seconds())))}


@cache
def _zones() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the names of the time zones by region, Europe first."""
    names = sorted(available_timezones())
    regions = [(region, tuple(name for name in names if name.startswith(f"{region}/"))) for region in _REGIONS]
    return (*((region, names) for region, names in regions if names), ("UTC", ("UTC",)))
