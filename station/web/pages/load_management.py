"""Communication – Load management: who gives how much to which charging point, and the cluster's settings."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from loadmgmt.cluster import keys, members, pairing
from station import clock
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.domain.configuration.checks import CLUSTER_ENABLED, CLUSTER_KEY, CLUSTER_ROLE, MAINS, MAINS_CEILING
from station.domain.snapshot import called
from station.services import configuration
from station.services.messages import ConfigurationChanged, send_to_control_loop
from station.ui import format as formats
from station.ui import problems, words
from station.web import cards, cluster_view, dimming_view, power_plot, present
from station.web import link_lost as link_lost_view
from station.web.cards import LimitView
from station.web.cluster_view import ClusterView
from station.web.present import Present, recorded
from station.web.requests import signed_in
from station.web.settings_form import Setting, SettingsForm, field_name

_PHASES = 3
_MASTER, _SLAVE = "master", "slave"
SETTINGS = (
    Setting(
        key="/cluster/enabled",
        label=gettext_lazy("Load management among several stations"),
        help=gettext_lazy(
            "Takes effect at once. From then on the fallback holds at every charging point until the master grants "
            "more. Switched off, the cluster limit does not hold for this station any more: its cars may draw all that "
            "the station itself allows, at once."
        ),
    ),
    Setting(
        key="/cluster/role",
        label=gettext_lazy("This station is"),
        choices=(
            (
                _MASTER,
                "Master",
                gettext_lazy("Divides the cluster limit. Exactly one station of the cluster is the master."),
            ),
            (_SLAVE, "Slave", gettext_lazy("Asks the master for its share. All others are slaves.")),
        ),
    ),
    Setting(
        key="/cluster/limitA",
        label=gettext_lazy("Cluster limit"),
        help=gettext_lazy("What all stations together may draw per phase: 6 to 10,000 A."),
        example="63",
        unit="A",
        only_with=_MASTER,
    ),
    Setting(
        key="/cluster/key",
        label=gettext_lazy("Pairing code"),
        help=gettext_lazy("The code that the master's page shows. It is the same at all stations of the cluster."),
        only_with=_SLAVE,
    ),
    Setting(
        key="/cluster/fallbackA",
        label=gettext_lazy("Fallback per charging point"),
        help=gettext_lazy(
            "What each charging point of this station may draw while the master is not heard: 0 (pause), or 6 to 32 A. "
            "The fallbacks of all charging points together must fit into the cluster limit."
        ),
        example="6",
        unit="A",
    ),
    Setting(
        key="/cluster/address",
        label=gettext_lazy("Fixed address of the master"),
        help=gettext_lazy(
            "Empty: the stations find one another in their network. Needed behind a router. At the master: where it "
            "listens."
        ),
        example="192.168.30.50:6390",
    ),
    Setting(
        key="/cluster/rotateMin",
        label=gettext_lazy("Rotation"),
        help=gettext_lazy(
            "When there is not enough for all: after so long a charging point gives way to one that waits, 5 to 1,440 "
            "min. 0: it keeps its place until it is done."
        ),
        example="15",
        unit="min",
        expert=True,
        only_with=_MASTER,
    ),
)


@dataclass(frozen=True, kw_only=True)
class PointShare:
    """What a charging point gets, by whom, and what it draws on each phase."""

    number: int
    state: str
    limit: str
    source: str
    signalled: str
    currents: tuple[str, ...]
    limits: tuple[LimitView, ...]

    @property
    def id(self) -> str:
        """Return a stable id."""
        return f"share-{self.number}"


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The whole station; sums are those of all charging points, by phase."""

    is_live: bool
    mains: str
    ceiling: str
    points: tuple[PointShare, ...]
    signalled: str
    currents: tuple[str, ...]
    modbus: str


@require_http_methods(["GET", "POST"])
def load_management(request: HttpRequest) -> HttpResponse:
    """Show the levels of load management as they are in force; take new settings of the cluster."""
    form = SettingsForm(request, SETTINGS)
    if request.method == "POST" and form.save(_code_to_make(request)):
        return redirect("load-management")
    now = present.look(clock.now())
    return render(
        request,
        "pages/communication/load_management.html",
        {
            "form": form,
            "overview": _overview(now),
            "cluster": _cluster(now),
            "plots": power_plot.plots(now),
            "dimming": dimming_view.card(now),
            "code": pairing.code() if _is_master() else None,
        },
        status=422 if form.is_refused else 200,
    )


@require_GET
def shares(request: HttpRequest) -> HttpResponse:
    """Show the live part alone."""
    return render(request, "components/load_shares.html", {"overview": _overview(present.look(clock.now()))})


@require_GET
def cluster(request: HttpRequest) -> HttpResponse:
    """Show the live state of the cluster alone."""
    return render(request, "components/cluster_live.html", {"cluster": _cluster(present.look(clock.now()))})


@require_GET
def link_lost(request: HttpRequest) -> HttpResponse:
    """Show what every station falls to when the links are cut now."""
    lost = link_lost_view.of(present.look(clock.now()))
    return render(request, "pages/communication/cluster_link_lost.html", {"lost": lost})


@require_GET
def plots(request: HttpRequest) -> HttpResponse:
    """Show the last hour alone."""
    return render(request, "components/power_plots.html", {"plots": power_plot.plots(present.look(clock.now()))})


@require_http_methods(["GET", "POST"])
def code(request: HttpRequest) -> HttpResponse:
    """Ask, and then replace the pairing code by a new one."""
    if not _is_master():
        raise Http404
    if request.method == "POST":
        try:
            pairing.new_code(signed_in(request).get_username(), Origin.WEB)
        except ConfigurationRefused as refusal:
            reasons = " ".join(problems.say(problem.code, problem.data) for problem in refusal.problems)
            messages.error(request, _("The code stays. %(reason)s") % {"reason": reasons})
        else:
            send_to_control_loop(ConfigurationChanged())
            messages.success(request, _("There is a new pairing code. Enter it at every slave."))
        return redirect("load-management")
    return render(request, "pages/communication/cluster_code.html")


@require_http_methods(["GET", "POST"])
def forget(request: HttpRequest, station: str) -> HttpResponse:
    """Ask, and then let a station of the cluster go."""
    known = next((each for each in members.listing() if each.station == station), None)
    if known is None:
        raise Http404
    if request.method == "POST":
        members.forget(station, actor=signed_in(request).get_username(), origin=Origin.WEB, at=clock.now())
        send_to_control_loop(ConfigurationChanged())
        messages.success(request, _("%(station)s is forgotten.") % {"station": called(known.station, known.name)})
        return redirect("load-management")
    return render(request, "pages/communication/cluster_forget.html", {"station": known})


def _is_master() -> bool:
    return configuration.get_bool(CLUSTER_ENABLED) and configuration.get(CLUSTER_ROLE) == _MASTER


def _code_to_make(request: HttpRequest) -> dict[str, str]:
    """Return the code of a station that is made the master and has none."""
    sent = request.POST
    becomes = sent.get(field_name(CLUSTER_ROLE)) == _MASTER and "true" in sent.getlist(field_name(CLUSTER_ENABLED))
    return {CLUSTER_KEY: keys.new_code()} if becomes and not pairing.code() else {}


def _cluster(now: Present) -> ClusterView:
    return cluster_view.of(now, enabled=configuration.get_bool(CLUSTER_ENABLED))


def _overview(now: Present) -> Overview:
    points = [now.connector(number) or recorded(number) for number in now.connector_numbers]
    sums = [sum(point.currents_ma[phase] or 0 for point in points) for phase in range(_PHASES)]
    is_live = now.hardware is not None
    return Overview(
        is_live=is_live,
        mains=formats.ampere(configuration.get_int(MAINS)),
        ceiling=formats.ampere(configuration.get_int(MAINS_CEILING)),
        points=tuple(
            PointShare(
                number=point.number,
                state=words.word(words.STATUSES, point.status),
                limit=formats.ampere(point.limit_ma),
                source=words.word(words.LIMIT_SOURCES, point.limit_source) if point.limit_source else "",
                signalled=formats.ampere(point.offered_ma),
                currents=tuple(formats.ampere(current) for current in point.currents_ma),
                limits=cards.limits_of(point),
            )
            for point in points
        ),
        signalled=formats.ampere(sum(point.offered_ma or 0 for point in points)) if is_live else formats.MISSING,
        currents=tuple(formats.ampere(each) if is_live else formats.MISSING for each in sums),
        modbus=_modbus(),
    )


def _modbus() -> str:
    if not configuration.get_bool("/modbus/enabled"):
        return _("Switched off")
    return _("Only reading") if configuration.get_bool("/modbus/readOnly") else _("Switched on")
