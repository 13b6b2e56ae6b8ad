"""Communication – Load management: who gives how much to which charging point, as it is now."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from station import clock
from station.domain.configuration.checks import MAINS, MAINS_CEILING
from station.services import configuration
from station.ui import format as formats
from station.ui import words
from station.web import cards, present
from station.web.cards import LimitView
from station.web.present import Present, recorded

_PHASES = 3


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


@require_GET
def load_management(request: HttpRequest) -> HttpResponse:
    """Show the levels of load management as they are in force."""
    return render(
        request, "pages/communication/load_management.html", {"overview": _overview(present.look(clock.now()))}
    )


@require_GET
def shares(request: HttpRequest) -> HttpResponse:
    """Show the live part alone."""
    return render(request, "components/load_shares.html", {"overview": _overview(present.look(clock.now()))})


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
